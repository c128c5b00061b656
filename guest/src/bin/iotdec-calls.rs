//! Calls libraries for a program of another architecture: see `iotdec_guest::calls`.
//!
//! The functions here are those that libraries in the process find before any other's.

#[cfg(target_arch = "aarch64")]
mod exported {
    use iotdec_guest::c_library::fail;
    use iotdec_guest::calls::programs::{self, Start};
    use iotdec_guest::calls::{Callback, Part, heap, mappings};
    use std::ffi::{c_char, c_int, c_void};

    iotdec_heap::malloc_family!(heap::PROCESS);

    /// See `iotdec_guest.h`.
    ///
    /// # Safety
    /// `callback` is valid for writing.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn iotdec_callback_begin(
        callback: *mut Callback,
        message: usize,
    ) -> *mut c_void {
        // SAFETY: the caller's promise is the same.
        unsafe { iotdec_guest::calls::callback_begin(callback, message) }
    }

    /// See `iotdec_guest.h`.
    ///
    /// # Safety
    /// `callback` was begun and not yet ended, `part` is the exported struct of a part.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn iotdec_callback_run(
        callback: *mut Callback,
        part: *const Part,
        signature: u32,
        target: *mut c_void,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { iotdec_guest::calls::callback_run(callback, part, signature, target) }
    }

    /// See `iotdec_guest.h`.
    ///
    /// # Safety
    /// `callback` was begun and not yet ended.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn iotdec_callback_end(callback: *mut Callback) {
        // SAFETY: the caller's promise is the same.
        unsafe { iotdec_guest::calls::callback_end(callback) }
    }

    /// As in POSIX.
    #[unsafe(no_mangle)]
    extern "C" fn mmap(
        address: *mut c_void,
        size: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void {
        mappings::map(address, size, protection, flags, fd, offset)
    }

    /// The same, as some libraries call it.
    #[unsafe(no_mangle)]
    extern "C" fn mmap64(
        address: *mut c_void,
        size: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void {
        mappings::map(address, size, protection, flags, fd, offset)
    }

    /// As in POSIX.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn munmap(address: *mut c_void, size: usize) -> c_int {
        // SAFETY: what POSIX asks of the caller.
        unsafe { mappings::unmap(address, size) }
    }

    /// As in Linux, where variable arguments are passed as others are.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn mremap(
        address: *mut c_void,
        size: usize,
        new_size: usize,
        flags: c_int,
        new_address: *mut c_void,
    ) -> *mut c_void {
        // SAFETY: what Linux asks of the caller.
        unsafe { mappings::remap(address, size, new_size, flags, new_address) }
    }

    /// As in Linux.
    #[unsafe(no_mangle)]
    extern "C" fn madvise(address: *mut c_void, size: usize, advice: c_int) -> c_int {
        mappings::advise(address, size, advice)
    }

    /// As in C.
    ///
    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn fflush(file: *mut libc::FILE) -> c_int {
        // SAFETY: the caller's promise is the same.
        unsafe { iotdec_guest::calls::flush(file) }
    }

    /// Functions of the type of `posix_spawn`.
    macro_rules! spawn {
        ($($function:ident $name:literal)*) => { $(
            /// As in POSIX.
            ///
            /// # Safety
            /// As in POSIX.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $function(
                child: *mut libc::pid_t,
                file: *const c_char,
                actions: *const libc::posix_spawn_file_actions_t,
                attributes: *const libc::posix_spawnattr_t,
                words: *const *mut c_char,
                variables: *const *mut c_char,
            ) -> c_int {
                let start = Start {
                    file,
                    actions,
                    attributes,
                    words,
                    variables,
                };
                // SAFETY: the caller's promise is the same.
                unsafe { programs::spawn($name, child, start) }
            }
        )* };
    }
    spawn!(posix_spawn c"posix_spawn" posix_spawnp c"posix_spawnp");

    /// As in C.
    ///
    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C-unwind" fn system(command: *const c_char) -> c_int {
        // SAFETY: the caller's promise is the same.
        unsafe { programs::system(command) }
    }

    /// As in POSIX.
    ///
    /// # Safety
    /// As in POSIX.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn popen(command: *const c_char, mode: *const c_char) -> *mut libc::FILE {
        // SAFETY: the caller's promise is the same.
        unsafe { programs::popen(command, mode) }
    }

    /// As in POSIX.
    ///
    /// # Safety
    /// As in POSIX.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn pclose(stream: *mut libc::FILE) -> c_int {
        // SAFETY: the caller's promise is the same.
        unsafe { programs::pclose(stream) }
    }

    /// Refused: stacks and heap of this process are shared memory, so a child would
    /// write over its parent's.
    #[unsafe(no_mangle)]
    extern "C" fn fork() -> c_int {
        eprintln!(
            "the library forks, which it cannot do behind the bridge; it may use posix_spawn"
        );
        fail(libc::ENOSYS, -1)
    }

    /// The same, as some libraries call it.
    #[unsafe(no_mangle)]
    extern "C" fn _Fork() -> c_int {
        fork()
    }
}

#[cfg(target_arch = "aarch64")]
fn main() -> std::process::ExitCode {
    iotdec_guest::calls::main()
}

#[cfg(not(target_arch = "aarch64"))]
fn main() -> std::process::ExitCode {
    eprintln!("iotdec-calls is for aarch64: native libraries can be called without it");
    std::process::ExitCode::FAILURE
}
