//! Loading a decoder library and finding its functions.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;

/// A loaded library. It stays loaded until the worker exits: the decoder may have
/// threads of its own that run its code.
#[derive(Debug)]
pub struct Library {
    handle: NonNull<c_void>,
}

impl Library {
    /// Loads the library at `path`; the dynamic linker's complaint if it cannot.
    pub fn open(path: &str) -> Result<Self, String> {
        let path = CString::new(path).map_err(|_| "path contains a zero byte".to_owned())?;
        // SAFETY: the path is a C string; constructors of the library run, which
        // is what loading a decoder means.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        NonNull::new(handle)
            .map(|handle| Self { handle })
            .ok_or_else(last_error)
    }

    /// The address of a symbol, if the library has it.
    pub fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: the handle is from `dlopen` and never closed.
        NonNull::new(unsafe { libc::dlsym(self.handle.as_ptr(), name.as_ptr()) })
    }
}

fn last_error() -> String {
    // SAFETY: the message is the calling thread's and is copied before any other
    // call into the dynamic linker.
    let message: *const c_char = unsafe { libc::dlerror() };
    if message.is_null() {
        return "unknown error of the dynamic linker".to_owned();
    }
    // SAFETY: not null, so a C string.
    unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned()
}

/// Declares a struct of function pointers with a `load` that finds each in a
/// library by its name; those after `optional` may be absent.
///
/// The signatures are the library's public header's: whoever writes one states
/// which header, and that is what makes calling it sound.
macro_rules! symbols {
    (
        $(#[$doc:meta])*
        struct $api:ident {
            $(fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)?;)*
        }
        optional {
            $(fn $opt:ident($($opt_arg:ident: $opt_type:ty),* $(,)?) $(-> $opt_ret:ty)?;)*
        }
    ) => {
        $(#[$doc])*
        pub struct $api {
            $(pub $name: unsafe extern "C" fn($($arg: $type),*) $(-> $ret)?,)*
            $(pub $opt: Option<unsafe extern "C" fn($($opt_arg: $opt_type),*) $(-> $opt_ret)?>,)*
        }

        impl $api {
            /// Finds every function, or names the first one missing.
            pub fn load(library: &$crate::library::Library) -> Result<Self, &'static str> {
                /// As a C string.
                macro_rules! address {
                    ($symbol:ident) => {
                        library.symbol(
                            std::ffi::CStr::from_bytes_with_nul(
                                concat!(stringify!($symbol), "\0").as_bytes(),
                            )
                            .expect("one zero, at the end"),
                        )
                    };
                }
                Ok(Self {
                    $($name: {
                        let address = address!($name).ok_or(stringify!($name))?;
                        // SAFETY: the function of that name has this signature in
                        // the library's header; the macro's user vouches for it.
                        unsafe {
                            std::mem::transmute::<
                                std::ptr::NonNull<std::ffi::c_void>,
                                unsafe extern "C" fn($($type),*) $(-> $ret)?,
                            >(address)
                        }
                    },)*
                    $($opt: address!($opt).map(|address| {
                        // SAFETY: as above.
                        unsafe {
                            std::mem::transmute::<
                                std::ptr::NonNull<std::ffi::c_void>,
                                unsafe extern "C" fn($($opt_type),*) $(-> $opt_ret)?,
                            >(address)
                        }
                    }),)*
                })
            }
        }
    };
}
pub(crate) use symbols;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_the_linkers_message() {
        let text = Library::open("/nonexistent/libnothing.so").unwrap_err();
        assert!(text.contains("libnothing.so"), "{text}");
    }

    #[test]
    fn symbols_are_found_or_named() {
        symbols! {
            struct Good { fn strlen(text: *const c_char) -> usize; }
            optional { fn no_such_function_x(); }
        }
        symbols! {
            #[allow(dead_code)]
            struct Bad { fn no_such_function_y(); }
            optional {}
        }
        let libc = Library::open("libc.so.6").unwrap();
        let good = Good::load(&libc).unwrap_or_else(|name| panic!("{name}"));
        // SAFETY: a C string.
        assert_eq!(unsafe { (good.strlen)(c"four".as_ptr()) }, 4);
        assert!(good.no_such_function_x.is_none());
        assert_eq!(Bad::load(&libc).err(), Some("no_such_function_y"));
    }
}
