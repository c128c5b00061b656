//! The functions of C that a process's heap replaces.

/// The [`Interface`](crate::process::Interface) of a `static` [`Process`](crate::process::Process), for a `static`.
#[macro_export]
macro_rules! interface {
    ($process:expr) => {{
        use ::core::ffi::{c_int, c_void};
        use $crate::process::{Foreign, Interface, VERSION};

        extern "C" fn malloc(size: usize) -> *mut c_void {
            $process.malloc(size)
        }
        extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
            $process.calloc(count, size)
        }
        unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.realloc(pointer, size) }
        }
        unsafe extern "C" fn free(pointer: *mut c_void) {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.free(pointer) }
        }
        extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
            $process.memalign(align, size)
        }
        unsafe extern "C" fn usable_size(pointer: *mut c_void) -> usize {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.usable_size(pointer) }
        }
        unsafe extern "C" fn exchange(start: *mut *mut c_void, size: *mut usize) -> c_int {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.tell_exchange(start, size) }
        }
        extern "C" fn try_free(pointer: *mut c_void) -> bool {
            $process.try_free(pointer).is_ok()
        }
        extern "C" fn set_foreign(foreign: &'static Foreign) {
            $process.set_foreign(foreign);
        }

        Interface {
            version: VERSION,
            malloc,
            calloc,
            realloc,
            free,
            memalign,
            usable_size,
            exchange,
            try_free,
            set_foreign,
        }
    }};
}

/// Defines malloc and its whole family for this process, over a `static` [`Process`](crate::process::Process). Once, in
/// a preloaded library or in a program that exports them.
///
/// All of it or nothing: what one of these functions hands out, another takes back.
#[macro_export]
macro_rules! malloc_family {
    ($process:expr) => {
        /// As in C.
        #[unsafe(no_mangle)]
        pub extern "C" fn malloc(size: usize) -> *mut ::core::ffi::c_void {
            $process.malloc(size)
        }

        /// As in C.
        #[unsafe(no_mangle)]
        pub extern "C" fn calloc(count: usize, size: usize) -> *mut ::core::ffi::c_void {
            $process.calloc(count, size)
        }

        /// As in C.
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn realloc(
            pointer: *mut ::core::ffi::c_void,
            size: usize,
        ) -> *mut ::core::ffi::c_void {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.realloc(pointer, size) }
        }

        /// As in glibc.
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn reallocarray(
            pointer: *mut ::core::ffi::c_void,
            count: usize,
            size: usize,
        ) -> *mut ::core::ffi::c_void {
            // More than there can be, which is refused with the right errno.
            let size = count.checked_mul(size).unwrap_or(usize::MAX);
            // SAFETY: the caller's promise is the same.
            unsafe { $process.realloc(pointer, size) }
        }

        /// As in C.
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn free(pointer: *mut ::core::ffi::c_void) {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.free(pointer) }
        }

        /// As in glibc; an alignment that is no power of two is rounded up.
        #[unsafe(no_mangle)]
        pub extern "C" fn memalign(align: usize, size: usize) -> *mut ::core::ffi::c_void {
            $process.memalign(align.checked_next_power_of_two().unwrap_or(0), size)
        }

        /// As in C.
        #[unsafe(no_mangle)]
        pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut ::core::ffi::c_void {
            $process.memalign(align, size)
        }

        /// As in POSIX.
        ///
        /// # Safety
        /// `memory` may be written to.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn posix_memalign(
            memory: *mut *mut ::core::ffi::c_void,
            align: usize,
            size: usize,
        ) -> ::core::ffi::c_int {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.posix_memalign(memory, align, size) }
        }

        /// As it was in POSIX.
        #[unsafe(no_mangle)]
        pub extern "C" fn valloc(size: usize) -> *mut ::core::ffi::c_void {
            $process.memalign($crate::process::page_size(), size)
        }

        /// As in glibc.
        #[unsafe(no_mangle)]
        pub extern "C" fn pvalloc(size: usize) -> *mut ::core::ffi::c_void {
            let page = $crate::process::page_size();
            $process.memalign(
                page,
                size.checked_next_multiple_of(page).unwrap_or(usize::MAX),
            )
        }

        /// As in glibc.
        ///
        /// # Safety
        /// The pointer is NULL or malloc's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn malloc_usable_size(pointer: *mut ::core::ffi::c_void) -> usize {
            // SAFETY: the caller's promise is the same.
            unsafe { $process.usable_size(pointer) }
        }
    };
}
