//! The functions of libde265 that are used. Facts: de265.h of libde265 1.0.11; the
//! required ones are in every version since 1.0.2.

use crate::library::symbols;
use std::ffi::{c_char, c_int, c_void};

/// `de265_decoder_context`.
pub type Context = c_void;
/// `struct de265_image`.
pub type Image = c_void;

/// `DE265_OK`.
pub const OK: c_int = 0;
/// `DE265_ERROR_IMAGE_BUFFER_FULL`.
pub const IMAGE_BUFFER_FULL: c_int = 9;
/// `DE265_ERROR_WAITING_FOR_INPUT_DATA`.
pub const WAITING_FOR_INPUT_DATA: c_int = 13;
/// Numbers from here on are warnings.
pub const FIRST_WARNING: c_int = 1000;
/// Warnings that say nothing about the picture: no WPP, too many threads, warning
/// buffer full, SEI before its SPS.
pub const HARMLESS_WARNINGS: [c_int; 4] = [1000, 1001, 1022, 1025];

/// `struct de265_image_spec`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ImageSpec {
    /// `enum de265_image_format`: 1 gray, 2 4:2:0, 3 4:2:2, 4 4:4:4. Says 8 bits
    /// for any depth.
    pub format: c_int,
    pub width: c_int,
    pub height: c_int,
    pub alignment: c_int,
    pub crop_left: c_int,
    pub crop_right: c_int,
    pub crop_top: c_int,
    pub crop_bottom: c_int,
    pub visible_width: c_int,
    pub visible_height: c_int,
}

/// `struct de265_image_allocation`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ImageAllocation {
    pub get_buffer:
        unsafe extern "C" fn(*mut Context, *mut ImageSpec, *mut Image, *mut c_void) -> c_int,
    pub release_buffer: unsafe extern "C" fn(*mut Context, *mut Image, *mut c_void),
}

symbols! {
    /// libde265, loaded.
    #[allow(non_snake_case)]
    struct Api {
        fn de265_get_version() -> *const c_char;
        fn de265_get_error_text(error: c_int) -> *const c_char;
        fn de265_new_decoder() -> *mut Context;
        fn de265_start_worker_threads(context: *mut Context, threads: c_int) -> c_int;
        fn de265_set_image_allocation_functions(
            context: *mut Context, functions: *mut ImageAllocation, user: *mut c_void,
        );
        fn de265_get_default_image_allocation_functions() -> *const ImageAllocation;
        fn de265_set_image_plane(
            image: *mut Image, plane: c_int, memory: *mut c_void, stride: c_int, user: *mut c_void,
        );
        fn de265_get_image_plane_user_data(image: *const Image, plane: c_int) -> *mut c_void;
        fn de265_get_image_user_data(image: *const Image) -> *mut c_void;
        fn de265_push_NAL(
            context: *mut Context, data: *const c_void, len: c_int, pts: i64, user: *mut c_void,
        ) -> c_int;
        fn de265_push_end_of_frame(context: *mut Context);
        fn de265_get_number_of_NAL_units_pending(context: *mut Context) -> c_int;
        fn de265_decode(context: *mut Context, more: *mut c_int) -> c_int;
        fn de265_reset(context: *mut Context);
        fn de265_peek_next_picture(context: *mut Context) -> *const Image;
        fn de265_release_next_picture(context: *mut Context);
        fn de265_get_warning(context: *mut Context) -> c_int;
        fn de265_get_image_width(image: *const Image, plane: c_int) -> c_int;
        fn de265_get_image_height(image: *const Image, plane: c_int) -> c_int;
        fn de265_get_chroma_format(image: *const Image) -> c_int;
        fn de265_get_bits_per_pixel(image: *const Image, plane: c_int) -> c_int;
        fn de265_get_image_plane(image: *const Image, plane: c_int, stride: *mut c_int) -> *const u8;
        fn de265_get_image_PTS(image: *const Image) -> i64;
    }
    optional {
        // Since 1.0.9.
        fn de265_get_image_full_range_flag(image: *const Image) -> c_int;
        fn de265_get_image_colour_primaries(image: *const Image) -> c_int;
        fn de265_get_image_transfer_characteristics(image: *const Image) -> c_int;
        fn de265_get_image_matrix_coefficients(image: *const Image) -> c_int;
    }
}
