//! One function of the worker in front of a library's.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// The limit of a function that does not pay at any size, or whose size is not known.
pub const NEVER: usize = usize::MAX;

/// Sizes that work has to exceed for the host to do it sooner (measured: `docs/native.md`).
#[derive(Clone, Copy, Debug)]
pub struct Worth {
    /// When the code around is translated by QEMU.
    pub qemu: usize,
    /// The same for the second translator, whose own code for these functions is faster.
    pub turbo: usize,
}

/// A function that may be native.
#[derive(Debug)]
pub struct Function {
    /// What the dynamic linker knows it by.
    pub symbol: &'static CStr,
    /// What it is chosen by.
    pub name: &'static str,
    /// Work of up to this size is done sooner without the host.
    pub worth: Worth,
    /// The same where the function is native, [`NEVER`] where it is not.
    limit: AtomicUsize,
    /// The library's function of the name; until that is known, one that looks it up.
    next: AtomicPtr<c_void>,
}

impl Function {
    /// One that is not native yet.
    pub const fn new(
        symbol: &'static CStr,
        name: &'static str,
        worth: Worth,
        first: *mut c_void,
    ) -> Self {
        Self {
            symbol,
            name,
            worth,
            limit: AtomicUsize::new(NEVER),
            next: AtomicPtr::new(first),
        }
    }

    /// Leaves work of more than this size to the host.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Whether the host is to do work of this size.
    #[inline(always)]
    pub fn is_native(&self, size: usize) -> bool {
        size > self.limit.load(Relaxed)
    }

    /// The library's function of the name, or one that finds and calls it.
    #[inline(always)]
    pub fn next(&self) -> *mut c_void {
        self.next.load(Relaxed)
    }

    /// Looks up the library's function of the name.
    pub fn find(&self) {
        // SAFETY: C strings. The dynamic linker calls none of these functions by name.
        let next = unsafe {
            let next = libc::dlsym(libc::RTLD_NEXT, self.symbol.as_ptr());
            if next.is_null() {
                // The worker itself does not need the math library.
                let handle = libc::dlopen(c"libm.so.6".as_ptr(), libc::RTLD_NOW);
                libc::dlsym(handle, self.symbol.as_ptr())
            } else {
                next
            }
        };
        if next.is_null() {
            eprintln!("the guest's libraries lack {}", self.name);
            std::process::exit(1);
        }
        self.next.store(next, Relaxed);
    }
}

/// Defines functions that stand in front of those of the same name, each in a module
/// that is called so too, and `FUNCTIONS`, the list of them:
///
/// `fn SYMBOL(ARGUMENTS) -> RESULT, as NAME, of SIZE over QEMU or TURBO => NATIVE;`
///
/// When NAME is native and SIZE greater than its [`Worth`], NATIVE is tried. If it is `None`,
/// and in all other cases, the next function of the name is called.
macro_rules! stand_in {
    ($(
        fn $symbol:ident($($argument:ident: $type:ty),*) -> $result:ty,
        as $name:ident, of $size:ident over $qemu:ident or $turbo:ident => $native:expr;
    )*) => {
        /// Those of this module.
        pub const FUNCTIONS: &[&$crate::native::function::Function] =
            &[$(&$symbol::FUNCTION),*];

        $(
            pub mod $symbol {
                use super::*;

                pub static FUNCTION: $crate::native::function::Function =
                    $crate::native::function::Function::new(
                        match std::ffi::CStr::from_bytes_with_nul(
                            concat!(stringify!($symbol), "\0").as_bytes(),
                        ) {
                            Ok(symbol) => symbol,
                            Err(_) => unreachable!(),
                        },
                        stringify!($name),
                        $crate::native::function::Worth {
                            qemu: $qemu,
                            turbo: $turbo,
                        },
                        first as *mut std::ffi::c_void,
                    );

                /// What libraries call: small, since most calls go straight on.
                #[unsafe(no_mangle)]
                pub unsafe extern "C" fn $symbol($($argument: $type),*) -> $result {
                    // SAFETY: the caller's promise, here and below.
                    unsafe {
                        if FUNCTION.is_native($size) {
                            native($($argument),*)
                        } else {
                            next($($argument),*)
                        }
                    }
                }

                #[inline(never)]
                unsafe extern "C" fn native($($argument: $type),*) -> $result {
                    // SAFETY: see above.
                    $native.unwrap_or_else(|| unsafe { next($($argument),*) })
                }

                #[inline(always)]
                pub unsafe extern "C" fn next($($argument: $type),*) -> $result {
                    // SAFETY: the library's function has the signature that a standard
                    // gives to the name.
                    unsafe {
                        std::mem::transmute::<
                            *mut std::ffi::c_void,
                            unsafe extern "C" fn($($type),*) -> $result,
                        >(FUNCTION.next())($($argument),*)
                    }
                }

                /// Is called before `main` only, by libraries that the worker needs.
                unsafe extern "C" fn first($($argument: $type),*) -> $result {
                    FUNCTION.find();
                    // SAFETY: see above.
                    unsafe { next($($argument),*) }
                }
            }
        )*
    };
}
pub(super) use stand_in;
