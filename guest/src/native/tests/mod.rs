//! The environment variable `IOTDEC_GUEST_ACCEL`, `native` or `turbo`, says that QEMU
//! runs these tests with the accelerator and what is to be on. Without it, what needs
//! the accelerator is left out.

mod faults;
mod hostile;
mod math;
mod memory;
mod text;

use super::function::NEVER;
use super::{Patterns, all, limit, matches, open};
use crate::accel::{self, Mode};
use std::io::Write;
use std::sync::LazyLock;

/// Runs a test with every function native, in turbo if that is to be on.
fn accelerated(test: impl FnOnce()) {
    static IS_ON: LazyLock<bool> = LazyLock::new(|| {
        let Ok(name) = std::env::var("IOTDEC_GUEST_ACCEL") else {
            return false;
        };
        let wanted = Mode::from_name(&name).expect("IOTDEC_GUEST_ACCEL names a mode");
        let report = accel::open(wanted);
        assert_eq!(report.mode, wanted, "{}", report.reason);
        open(Some("*"), wanted).expect("a pattern that fits");
        true
    });
    if *IS_ON {
        accel::run(test);
    } else {
        // Past the test harness, which shows nothing of what tests that pass have printed.
        let _ = writeln!(std::io::stderr(), "skipped: IOTDEC_GUEST_ACCEL is not set");
    }
}

/// Whether the long form of a test is wanted.
fn is_full() -> bool {
    std::env::var_os("IOTDEC_FULL").is_some_and(|value| value != "0")
}

/// Calls that the accelerator answered.
fn native_calls() -> u64 {
    accel::counters().map_or(0, |counters| counters.native_calls)
}

/// The same numbers in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }
}

/// Memory that ends where the next page may not be accessed.
struct Guarded {
    start: *mut u8,
}

impl Guarded {
    /// Bytes that can be used.
    const SIZE: usize = 3 << 12;

    fn new() -> Self {
        // SAFETY: new pages, the last of which is closed again.
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), 4 << 12, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let start = start.cast::<u8>();
            assert_eq!(
                libc::mprotect(start.add(Self::SIZE).cast(), 1 << 12, libc::PROT_NONE),
                0
            );
            Self { start }
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped by `new`.
        unsafe { std::slice::from_raw_parts_mut(self.start, Self::SIZE) }
    }

    /// So many bytes before the end.
    fn end(&self, bytes: usize) -> *mut u8 {
        assert!(bytes <= Self::SIZE);
        // SAFETY: stays in the mapping.
        unsafe { self.start.add(Self::SIZE - bytes) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing borrows it any more.
        unsafe { libc::munmap(self.start.cast(), 4 << 12) };
    }
}

#[test]
fn libraries_find_the_workers_functions() {
    for function in all() {
        // SAFETY: a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, function.symbol.as_ptr()) };
        // SAFETY: zeros are valid, and filled in.
        let place = unsafe {
            let mut place = std::mem::zeroed::<libc::Dl_info>();
            assert_ne!(libc::dladdr(found, &mut place), 0, "{}", function.name);
            place
        };
        // SAFETY: as above, of this function.
        let own = unsafe {
            let mut own = std::mem::zeroed::<libc::Dl_info>();
            let here = libraries_find_the_workers_functions as *const ();
            assert_ne!(libc::dladdr(here.cast(), &mut own), 0);
            own
        };
        assert_eq!(
            place.dli_fbase, own.dli_fbase,
            "{:?} is not exported",
            function.symbol
        );
        function.find();
        assert_ne!(
            function.next(),
            found,
            "{:?} would call itself",
            function.symbol
        );
    }
}

#[test]
fn patterns_fit_names() {
    for (pattern, name) in [
        ("*", ""),
        ("*", "x"),
        ("mem*", "memcpy"),
        ("a*b*c", "axxbc"),
    ] {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("", "x"),
        ("mem", "memcpy"),
        ("*cp", "memcpy"),
        ("a*b*c", "acb"),
    ] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
}

#[test]
fn functions_are_chosen_by_name_and_mode() {
    let native = |list: Option<&str>, mode| {
        let chosen = list.map(|list| Patterns::parse(list).unwrap_or_else(|why| panic!("{why}")));
        let native = all().filter(|function| limit(function, chosen.as_ref(), mode) != NEVER);
        native
            .map(|function| function.symbol.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        native(Some("memcpy"), Mode::Native),
        ["memcpy", "__memcpy_chk"]
    );
    assert_eq!(native(Some(" strlen, exp"), Mode::Turbo), ["strlen", "exp"]);
    assert!(native(Some(""), Mode::Turbo).is_empty());
    assert!(native(Some("*"), Mode::Off).is_empty());
    assert!(native(None, Mode::Off).is_empty());
    assert_eq!(native(Some("*"), Mode::Native).len(), all().count());
    // What does not pay is native only if named.
    assert!(native(None, Mode::Native).contains(&"log"));
    assert!(!native(None, Mode::Turbo).contains(&"log"));
    assert!(!native(None, Mode::Native).contains(&"strlen"));
    let unknown = Patterns::parse("memcpy,malloc").err();
    assert_eq!(unknown.unwrap(), "--native: no function is called malloc");
}
