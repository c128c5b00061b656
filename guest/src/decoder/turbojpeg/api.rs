//! The functions of libturbojpeg that are used. Facts: turbojpeg.h of libjpeg-turbo
//! 2.1.5; the required ones are in every version since 1.4, of 3.x too.

use crate::library::symbols;
use std::ffi::{c_char, c_int, c_uchar, c_ulong, c_void};

/// `tjhandle`.
pub type Handle = *mut c_void;

/// `TJSAMP_*`: how chroma is sampled.
pub mod sampling {
    use std::ffi::c_int;

    pub const S444: c_int = 0;
    pub const S422: c_int = 1;
    pub const S420: c_int = 2;
    pub const GRAY: c_int = 3;
    pub const S440: c_int = 4;
    pub const S411: c_int = 5;
}

/// `TJCS_*`: what the components of the file are.
pub mod colour_space {
    use std::ffi::c_int;

    pub const YCBCR: c_int = 1;
    pub const GRAY: c_int = 2;
    pub const CMYK: c_int = 3;
    pub const YCCK: c_int = 4;
}

/// `TJPF_*`: pixels to decode to.
pub mod pixels {
    use std::ffi::c_int;

    pub const RGBX: c_int = 2;
    pub const CMYK: c_int = 11;
}

/// `TJERR_WARNING`: the picture was decoded all the same.
pub const WARNING: c_int = 0;

/// `TJFLAG_LIMITSCANS`: a progressive image of more scans than anyone makes, which
/// would take forever, is an error.
pub const LIMIT_SCANS: c_int = 32768;

symbols! {
    /// libturbojpeg, loaded.
    #[allow(non_snake_case)]
    struct Api {
        fn tjInitDecompress() -> Handle;
        fn tjDestroy(handle: Handle) -> c_int;
        fn tjDecompressHeader3(
            handle: Handle, data: *const c_uchar, len: c_ulong, width: *mut c_int,
            height: *mut c_int, sampling: *mut c_int, colour_space: *mut c_int,
        ) -> c_int;
        fn tjDecompressToYUVPlanes(
            handle: Handle, data: *const c_uchar, len: c_ulong, planes: *mut *mut c_uchar,
            width: c_int, strides: *mut c_int, height: c_int, flags: c_int,
        ) -> c_int;
        fn tjDecompress2(
            handle: Handle, data: *const c_uchar, len: c_ulong, target: *mut c_uchar,
            width: c_int, pitch: c_int, height: c_int, pixels: c_int, flags: c_int,
        ) -> c_int;
    }
    optional {
        // Since 2.0: the last error of a handle, and how bad it is.
        fn tjGetErrorStr2(handle: Handle) -> *const c_char;
        fn tjGetErrorCode(handle: Handle) -> c_int;
    }
}
