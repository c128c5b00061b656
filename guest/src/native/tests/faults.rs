//! Memory that is not there ends as the library's own access of it would.

use super::{Guarded, accelerated};
use crate::native::{memory, text};
use std::ffi::{c_int, c_void};

/// What became of a call in a process of its own.
fn fate(call: impl FnOnce()) -> c_int {
    // SAFETY: the child runs the call and ends, without a destructor.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            call();
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    }
}

fn is_segv(status: c_int) -> bool {
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV
}

#[test]
fn bad_memory_is_a_fault_of_the_guest() {
    accelerated(|| {
        let good = Guarded::new();
        let end = good.end(0);
        let places = [
            0,
            end as u64 - 100,
            end as u64,
            1 << 47,
            1 << 48,
            1 << 60,
            u64::MAX - 50,
        ];
        for place in places {
            let bad = place as *mut c_void;
            let other = good.start.cast();
            // SAFETY: in a process that ends with it.
            let calls: [&dyn Fn(); 6] = unsafe {
                [
                    &|| _ = memory::memcpy::memcpy(bad, other, 4096),
                    &|| _ = memory::memmove::memmove(other, bad, 4096),
                    &|| _ = memory::memset::memset(bad, 1, 4096),
                    &|| _ = memory::memcmp::memcmp(other, bad, 4096),
                    &|| _ = memory::memchr::memchr(bad, 1, 4096),
                    &|| _ = text::strncmp::strncmp(other.cast(), bad.cast(), 4096),
                ]
            };
            for (index, call) in calls.into_iter().enumerate() {
                if (place, index) == (end as u64 - 100, 5) {
                    // Both are empty.
                    continue;
                }
                let status = fate(call);
                assert!(is_segv(status), "call {index} of {place:#x}: {status:#x}");
            }
        }
    });
}

#[test]
fn a_handler_learns_the_address() {
    static END: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    use std::sync::atomic::Ordering::Relaxed;

    extern "C" fn handler(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
        // SAFETY: of a signal handler; then the process ends.
        unsafe {
            let address = (*info).si_addr() as u64;
            libc::_exit(if address & !4095 == END.load(Relaxed) {
                7
            } else {
                8
            });
        }
    }

    accelerated(|| {
        let good = Guarded::new();
        END.store(good.end(0) as u64, Relaxed);
        // SAFETY: in a process that ends with it.
        let status = fate(|| unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
            memory::memset::memset(good.end(1000).cast(), 1, 2000);
        });
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7,
            "{status:#x}"
        );
    });
}

/// QEMU write-protects pages whose code it has translated.
#[test]
fn code_that_is_copied_runs() {
    /// `mov w0, #N`, `ret`, and more than any limit of `nop`.
    fn code(number: u32) -> Vec<u32> {
        let mut code = vec![0x5280_0000 | number << 5, 0xd65f_03c0];
        code.resize(1024, 0xd503_201f);
        code
    }

    accelerated(|| {
        // SAFETY: new pages, of which a function is made; its caches are seen to as the
        // Arm ARM says (B2.4.4).
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            for number in 1..100 {
                let code = code(number);
                memory::memcpy::memcpy(page, code.as_ptr().cast(), 4096);
                std::arch::asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) page);
                let function = std::mem::transmute::<*mut c_void, extern "C" fn() -> u32>(page);
                assert_eq!(function(), number);
            }
            libc::munmap(page, 4096);
        }
    });
}
