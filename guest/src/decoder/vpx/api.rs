//! The part of libvpx's interface that is used. Facts: the headers of libvpx 1.12.0,
//! whose decoder ABI version is 12, as in all since 1.8.0.

use crate::library::{Library, symbols};
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};
use std::mem::offset_of;

/// `VPX_DECODER_ABI_VERSION`.
pub const ABI_VERSION: c_int = 12;
/// `VP8D_GET_FRAME_CORRUPTED`; the argument is an `int *`.
const GET_FRAME_CORRUPTED: c_int = 257;

/// `VPX_CODEC_OK`.
pub const OK: c_int = 0;
/// `VPX_CODEC_ABI_MISMATCH`.
pub const ABI_MISMATCH: c_int = 3;
/// `VPX_CODEC_UNSUP_FEATURE`.
pub const UNSUPPORTED_FEATURE: c_int = 6;

/// `enum vpx_img_fmt` without the bit for 16-bit samples.
pub mod format {
    use std::ffi::c_int;

    pub const I420: c_int = 0x102;
    pub const I422: c_int = 0x105;
    pub const I444: c_int = 0x106;
    pub const I440: c_int = 0x107;
    /// `VPX_IMG_FMT_HIGHBITDEPTH`.
    pub const HIGH_DEPTH: c_int = 0x800;
}

/// `enum vpx_color_space`.
pub mod colour_space {
    use std::ffi::c_int;

    pub const BT601: c_int = 1;
    pub const BT709: c_int = 2;
    pub const SMPTE170: c_int = 3;
    pub const SMPTE240: c_int = 4;
    pub const BT2020: c_int = 5;
    pub const SRGB: c_int = 7;
}

/// `vpx_codec_iface_t`.
pub type Interface = c_void;

/// `vpx_codec_ctx_t`, for libvpx to fill.
#[repr(C)]
pub struct Context([usize; 7]);

impl Context {
    /// Not initialised yet.
    pub const EMPTY: Self = Self([0; 7]);
}

/// `vpx_codec_dec_cfg_t`.
#[repr(C)]
pub struct Config {
    pub threads: c_uint,
    pub width: c_uint,
    pub height: c_uint,
}

/// `vpx_codec_frame_buffer_t`.
#[repr(C)]
pub struct FrameBuffer {
    pub data: *mut u8,
    pub size: usize,
    pub private: *mut c_void,
}

/// `vpx_image_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// One of [`format`](mod@format).
    pub format: c_int,
    /// One of [`colour_space`].
    pub colour_space: c_int,
    pub full_range: c_int,
    pub stored_size: [c_uint; 2],
    pub depth: c_uint,
    /// Of what was decoded, without padding.
    pub width: c_uint,
    pub height: c_uint,
    /// The size at which to show it.
    pub render_size: [c_uint; 2],
    pub chroma_shift: [c_uint; 2],
    pub planes: [*mut u8; 4],
    /// In bytes.
    pub stride: [c_int; 4],
    pub packed_bits: c_int,
    pub user_private: *mut c_void,
    pub image_data: *mut u8,
    pub owners: [c_int; 2],
    /// [`FrameBuffer::private`] of the buffer it lies in.
    pub frame_buffer: *mut c_void,
}

// As a C compiler lays out the structs of the headers for LP64.
const _: () = {
    assert!(size_of::<Context>() == 56 && size_of::<FrameBuffer>() == 24);
    assert!(size_of::<Image>() == 136);
    assert!(offset_of!(Image, planes) == 48 && offset_of!(Image, stride) == 80);
    assert!(offset_of!(Image, frame_buffer) == 128);
};

/// `vpx_get_frame_buffer_cb_fn_t`.
pub type GetFrameBuffer = unsafe extern "C" fn(*mut c_void, usize, *mut FrameBuffer) -> c_int;
/// `vpx_release_frame_buffer_cb_fn_t`.
pub type ReleaseFrameBuffer = unsafe extern "C" fn(*mut c_void, *mut FrameBuffer) -> c_int;

symbols! {
    /// libvpx, loaded.
    struct Functions {
        fn vpx_codec_version_str() -> *const c_char;
        fn vpx_codec_err_to_string(error: c_int) -> *const c_char;
        fn vpx_codec_error_detail(context: *mut Context) -> *const c_char;
        fn vpx_codec_dec_init_ver(
            context: *mut Context, interface: *const Interface, config: *const Config,
            flags: c_long, version: c_int,
        ) -> c_int;
        fn vpx_codec_set_frame_buffer_functions(
            context: *mut Context, get: GetFrameBuffer, release: ReleaseFrameBuffer,
            user: *mut c_void,
        ) -> c_int;
        fn vpx_codec_decode(
            context: *mut Context, data: *const u8, size: c_uint, user: *mut c_void,
            deadline: c_long,
        ) -> c_int;
        fn vpx_codec_get_frame(
            context: *mut Context, iterator: *mut *const c_void,
        ) -> *const Image;
    }
    optional {
        // What it was built with.
        fn vpx_codec_vp8_dx() -> *const Interface;
        fn vpx_codec_vp9_dx() -> *const Interface;
    }
}

/// `vpx_codec_control_`, whose arguments depend on the second.
type Control = unsafe extern "C" fn(*mut Context, c_int, ...) -> c_int;

/// All functions.
pub struct Api {
    pub functions: Functions,
    control: Control,
}

impl Api {
    /// Finds every function, or names the first one missing.
    pub fn load(library: &Library) -> Result<Self, &'static str> {
        let functions = Functions::load(library)?;
        let control = library.symbol(c"vpx_codec_control_");
        let control = control.ok_or("vpx_codec_control_")?;
        // SAFETY: the header declares it so.
        let control = unsafe { std::mem::transmute::<std::ptr::NonNull<c_void>, Control>(control) };
        Ok(Self { functions, control })
    }

    /// Whether the picture decoded last is known to be damaged.
    ///
    /// # Safety
    /// `context` was initialised.
    pub unsafe fn is_corrupted(&self, context: *mut Context) -> bool {
        let mut corrupted: c_int = 0;
        // SAFETY: this control stores an int.
        let code = unsafe { (self.control)(context, GET_FRAME_CORRUPTED, &raw mut corrupted) };
        code == OK && corrupted != 0
    }
}
