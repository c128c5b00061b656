//! The functions of libmpeg2 that are used. Facts: mpeg2.h of libmpeg2 0.5.1, whose
//! structures have not changed since 0.5.0, the first with this soname.

use crate::library::symbols;
use std::ffi::{c_int, c_uint, c_void};

/// `mpeg2dec_t`.
pub type Handle = c_void;

/// `mpeg2_state_t`: what `mpeg2_parse` stopped at.
pub mod state {
    use std::ffi::c_int;

    pub const BUFFER: c_int = 0;
    pub const SEQUENCE: c_int = 1;
    pub const SEQUENCE_REPEATED: c_int = 2;
    pub const GOP: c_int = 3;
    pub const PICTURE: c_int = 4;
    pub const PICTURE_2ND: c_int = 6;
    pub const SLICE: c_int = 7;
    pub const END: c_int = 8;
    pub const INVALID: c_int = 9;
    pub const INVALID_END: c_int = 10;
    pub const SEQUENCE_MODIFIED: c_int = 11;
}

/// `SEQ_FLAG_*`.
pub mod sequence_flags {
    pub const MPEG2: u32 = 1;
    pub const PROGRESSIVE: u32 = 4;
    pub const LOW_DELAY: u32 = 8;
    pub const COLOUR_DESCRIPTION: u32 = 16;
}

/// `GOP_FLAG_*`.
pub mod gop_flags {
    pub const BROKEN_LINK: u32 = 2;
    pub const CLOSED: u32 = 4;
}

/// `PIC_FLAG_*`.
pub mod picture_flags {
    pub const CODING_TYPE: u32 = 7;
    pub const CODING_TYPE_P: u32 = 2;
    pub const CODING_TYPE_B: u32 = 3;
    pub const TOP_FIELD_FIRST: u32 = 8;
    pub const PROGRESSIVE_FRAME: u32 = 16;
    pub const REPEAT_FIRST_FIELD: u32 = 256;
}

/// `mpeg2_sequence_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    /// In whole macroblocks.
    pub width: c_uint,
    pub height: c_uint,
    pub chroma_width: c_uint,
    pub chroma_height: c_uint,
    pub byte_rate: c_uint,
    pub vbv_buffer_size: c_uint,
    pub flags: u32,
    /// Of which is coded.
    pub picture_width: c_uint,
    pub picture_height: c_uint,
    /// What a 4:3 or 16:9 screen of the time would show of it: pan and scan.
    pub display_width: c_uint,
    pub display_height: c_uint,
    /// 0 if the stream has an illegal code.
    pub pixel_width: c_uint,
    pub pixel_height: c_uint,
    pub frame_period: c_uint,
    pub profile_level_id: u8,
    /// Code points of H.273.
    pub colour_primaries: u8,
    pub transfer_characteristics: u8,
    pub matrix_coefficients: u8,
}

/// `mpeg2_gop_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Gop {
    pub hours: u8,
    pub minutes: u8,
    pub seconds: u8,
    pub pictures: u8,
    pub flags: u32,
}

/// `mpeg2_picture_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    pub temporal_reference: c_uint,
    /// 1: a field, whose other one should follow.
    pub nb_fields: c_uint,
    pub tag: u32,
    pub tag2: u32,
    pub flags: u32,
    pub display_offset: [[c_int; 2]; 3],
}

/// `mpeg2_info_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Info {
    pub sequence: *const Sequence,
    pub gop: *const Gop,
    pub current_picture: *const Picture,
    pub current_picture_2nd: *const Picture,
    pub current_fbuf: *const c_void,
    pub display_picture: *const Picture,
    pub display_picture_2nd: *const Picture,
    pub display_fbuf: *const c_void,
    pub discard_fbuf: *const c_void,
    pub user_data: *const u8,
    pub user_data_len: c_uint,
}

symbols! {
    /// libmpeg2, loaded.
    struct Api {
        fn mpeg2_accel(accelerations: u32) -> u32;
        fn mpeg2_init() -> *mut Handle;
        fn mpeg2_info(decoder: *mut Handle) -> *const Info;
        fn mpeg2_buffer(decoder: *mut Handle, start: *mut u8, end: *mut u8);
        fn mpeg2_parse(decoder: *mut Handle) -> c_int;
        fn mpeg2_reset(decoder: *mut Handle, full: c_int);
        fn mpeg2_skip(decoder: *mut Handle, skip: c_int);
        fn mpeg2_custom_fbuf(decoder: *mut Handle, custom: c_int);
        fn mpeg2_stride(decoder: *mut Handle, stride: c_int) -> c_int;
        fn mpeg2_set_buf(decoder: *mut Handle, planes: *mut *mut u8, id: *mut c_void);
    }
    optional {}
}
