//! The part of dav1d's interface that is used. Facts: the headers of dav1d 1.0.0,
//! which is API version 6.6.0; what soname libdav1d.so.6 promises is that they hold
//! up to 1.2.1.

use crate::library::symbols;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::mem::offset_of;

/// `Dav1dContext`.
pub type Context = c_void;

/// `DAV1D_ERR(EAGAIN)`: not an error, the other direction has its turn.
pub const AGAIN: c_int = -libc::EAGAIN;
/// `DAV1D_ERR(ENOMEM)`.
pub const NO_MEMORY: c_int = -libc::ENOMEM;

/// `DAV1D_PICTURE_ALIGNMENT`: planes begin at and are padded by as many bytes.
pub const ALIGNMENT: u32 = 64;
/// Memory of pictures is for widths and heights that are multiples of it.
pub const BLOCK: u32 = 128;
/// `DAV1D_PIXEL_LAYOUT_I400`, `_I420`, `_I422`, `_I444`.
pub mod layout {
    use std::ffi::c_int;

    pub const I400: c_int = 0;
    pub const I420: c_int = 1;
    pub const I422: c_int = 2;
    pub const I444: c_int = 3;
}
/// `DAV1D_MC_IDENTITY`: the planes are green, blue and red.
pub const MATRIX_IDENTITY: c_int = 0;
/// `DAV1D_FRAME_TYPE_KEY`.
pub const KEY_FRAME: c_int = 0;

/// `Dav1dSettings`.
#[repr(C)]
pub struct Settings {
    pub threads: c_int,
    pub max_frame_delay: c_int,
    pub apply_grain: c_int,
    pub operating_point: c_int,
    pub all_layers: c_int,
    pub frame_size_limit: c_uint,
    pub allocator: Allocator,
    pub log_cookie: *mut c_void,
    pub log: *mut c_void,
    pub strict_std_compliance: c_int,
    pub output_invisible_frames: c_int,
    pub inloop_filters: c_int,
    pub reserved: [u8; 20],
}

/// `Dav1dPicAllocator`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Allocator {
    pub cookie: *mut c_void,
    pub alloc: Option<unsafe extern "C" fn(*mut Picture, *mut c_void) -> c_int>,
    pub release: Option<unsafe extern "C" fn(*mut Picture, *mut c_void)>,
}

/// `Dav1dPictureParameters`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub width: c_int,
    pub height: c_int,
    /// One of [`layout`].
    pub layout: c_int,
    /// Bits a sample: 8, 10 or 12.
    pub depth: c_int,
}

/// `Dav1dDataProps`.
#[repr(C)]
pub struct Props {
    pub timestamp: i64,
    pub duration: i64,
    pub offset: i64,
    pub size: usize,
    pub user_data: [*mut c_void; 2],
}

/// `Dav1dData`.
#[repr(C)]
pub struct Data {
    pub data: *const u8,
    pub size: usize,
    pub reference: *mut c_void,
    pub props: Props,
}

/// `Dav1dPicture`.
#[repr(C)]
pub struct Picture {
    pub sequence: *const SequenceHeader,
    pub frame: *const FrameHeader,
    pub data: [*mut u8; 3],
    /// Of luma, and of both chroma planes.
    pub stride: [isize; 2],
    pub parameters: Parameters,
    pub props: Props,
    pub content_light: *const ContentLight,
    pub mastering_display: *const MasteringDisplay,
    pub itut_t35: *const c_void,
    pub reserved: [usize; 4],
    pub references: [*mut c_void; 10],
    pub allocator_data: *mut c_void,
}

/// `Dav1dContentLightLevel`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ContentLight {
    /// In cd/m².
    pub max_content: c_int,
    /// In cd/m².
    pub max_average: c_int,
}

/// `Dav1dMasteringDisplay`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MasteringDisplay {
    /// x and y of red, green and blue, in 1/65536.
    pub primaries: [[u16; 2]; 3],
    /// The same of white.
    pub white_point: [u16; 2],
    /// In 1/256 cd/m².
    pub max_luminance: u32,
    /// In 1/16384 cd/m².
    pub min_luminance: u32,
}

/// `Dav1dSequenceHeaderOperatingPoint`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OperatingPoint {
    pub level: [c_int; 2],
    pub initial_display_delay: c_int,
    pub idc: c_int,
    pub tier: c_int,
    pub decoder_model_param_present: c_int,
    pub display_model_param_present: c_int,
}

/// `Dav1dSequenceHeader`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SequenceHeader {
    pub profile: c_int,
    pub max_size: [c_int; 2],
    pub layout: c_int,
    pub primaries: c_int,
    pub transfer: c_int,
    pub matrix: c_int,
    /// `enum Dav1dChromaSamplePosition`: 0 unknown, 1 beside, 2 at the upper left.
    pub chroma_position: c_int,
    pub depth_index: c_int,
    pub full_range: c_int,
    pub operating_points_count: c_int,
    pub operating_points: [OperatingPoint; 32],
    pub still_picture: c_int,
    pub reduced_still_picture_header: c_int,
    pub timing_info_present: c_int,
    pub num_units_in_tick: c_int,
    pub time_scale: c_int,
    pub equal_picture_interval: c_int,
    pub num_ticks_per_picture: c_uint,
    pub decoder_model_info_present: c_int,
    pub encoder_decoder_buffer_delay_length: c_int,
    pub num_units_in_decoding_tick: c_int,
    pub buffer_removal_delay_length: c_int,
    pub frame_presentation_delay_length: c_int,
    pub display_model_info_present: c_int,
    pub size_bits: [c_int; 2],
    pub frame_id_numbers_present: c_int,
    pub delta_frame_id_bits: c_int,
    pub frame_id_bits: c_int,
    pub tools: [c_int; 10],
    /// `enum Dav1dAdaptiveBoolean`: 0 off, 1 on, 2 as each frame says.
    pub screen_content_tools: c_int,
    /// The same.
    pub force_integer_mv: c_int,
    pub order_hint_bits: c_int,
    pub rest: [c_int; 105],
}

/// The beginning of `Dav1dFrameHeader`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    pub film_grain: [u64; 29],
    /// `enum Dav1dFrameType`.
    pub frame_type: c_int,
    /// Coded, and after super-resolution.
    pub width: [c_int; 2],
    pub height: c_int,
    pub between: [c_int; 49],
    /// The size at which to show it.
    pub render_size: [c_int; 2],
}

// As a C compiler lays out the structs of the headers for LP64.
const _: () = {
    assert!(size_of::<Settings>() == 96 && offset_of!(Settings, allocator) == 24);
    assert!(offset_of!(Settings, inloop_filters) == 72);
    assert!(size_of::<Data>() == 72 && size_of::<Picture>() == 264);
    assert!(offset_of!(Picture, parameters) == 56 && offset_of!(Picture, props) == 72);
    assert!(offset_of!(Picture, content_light) == 120);
    assert!(offset_of!(Picture, allocator_data) == 256);
    assert!(size_of::<MasteringDisplay>() == 24);
    assert!(offset_of!(SequenceHeader, primaries) == 16);
    assert!(offset_of!(SequenceHeader, full_range) == 36);
    assert!(offset_of!(SequenceHeader, still_picture) == 940);
    assert!(offset_of!(SequenceHeader, order_hint_bits) == 1060);
    assert!(size_of::<SequenceHeader>() == 1484);
    assert!(offset_of!(FrameHeader, frame_type) == 232);
    assert!(offset_of!(FrameHeader, render_size) == 444);
};

symbols! {
    /// dav1d, loaded.
    struct Api {
        fn dav1d_version() -> *const c_char;
        fn dav1d_default_settings(settings: *mut Settings);
        fn dav1d_open(context: *mut *mut Context, settings: *const Settings) -> c_int;
        fn dav1d_parse_sequence_header(
            header: *mut SequenceHeader, data: *const u8, size: usize,
        ) -> c_int;
        fn dav1d_data_create(data: *mut Data, size: usize) -> *mut u8;
        fn dav1d_data_unref(data: *mut Data);
        fn dav1d_send_data(context: *mut Context, data: *mut Data) -> c_int;
        fn dav1d_get_picture(context: *mut Context, picture: *mut Picture) -> c_int;
        fn dav1d_picture_unref(picture: *mut Picture);
        fn dav1d_flush(context: *mut Context);
    }
    optional {
        // Since 1.3.0, with API version 7.
        fn dav1d_version_api() -> c_uint;
    }
}
