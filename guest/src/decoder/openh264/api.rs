//! The part of libopenh264 that is used. Facts: codec_api.h, codec_app_def.h and
//! codec_def.h of openh264 2.3.1; the decoder's table has had this shape since 2.0.

use crate::library::symbols;
use std::ffi::{c_char, c_int, c_long, c_uchar, c_uint, c_ulonglong, c_void};

/// `DECODING_STATE`: bits.
pub mod state {
    use std::ffi::c_int;
    /// `dsFramePending`: says only that no picture is ready.
    pub const FRAME_PENDING: c_int = 1;
    /// `dsNoParamSets`.
    pub const NO_PARAM_SETS: c_int = 0x10;
    /// `dsInitialOptExpected`: the decoder is not initialised.
    pub const INITIAL_OPT_EXPECTED: c_int = 0x2000;
    /// `dsOutOfMemory`.
    pub const OUT_OF_MEMORY: c_int = 0x4000;
    /// Every bit with its name in the header, as text.
    pub const NAMES: [(c_int, &str); 10] = [
        (0x02, "reference lost"),
        (0x04, "bitstream error"),
        (0x08, "dependent layer lost"),
        (NO_PARAM_SETS, "no parameter sets"),
        (0x20, "data error concealed"),
        (0x40, "reference list incomplete"),
        (0x1000, "invalid argument"),
        (INITIAL_OPT_EXPECTED, "not initialised"),
        (OUT_OF_MEMORY, "out of memory"),
        (0x8000, "destination too small"),
    ];
}

/// `DECODER_OPTION_TRACE_LEVEL`.
pub const OPTION_TRACE_LEVEL: c_int = 9;
/// `DECODER_OPTION_NUM_OF_FRAMES_REMAINING_IN_BUFFER`.
pub const OPTION_FRAMES_REMAINING: c_int = 18;
/// `WELS_LOG_ERROR`.
pub const LOG_ERROR: c_int = 1;
/// `VIDEO_BITSTREAM_AVC`.
pub const BITSTREAM_AVC: c_int = 0;

/// `SDecodingParam`.
#[repr(C)]
pub struct DecodingParam {
    pub reconstructed_file: *mut c_char,
    pub cpu_load: c_uint,
    pub target_layer: c_uchar,
    /// `ERROR_CON_IDC`.
    pub error_concealment: c_int,
    pub parse_only: bool,
    pub property_size: c_uint,
    pub bitstream_type: c_int,
}

/// `SBufferInfo`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BufferInfo {
    /// 1 if there is a picture.
    pub status: c_int,
    pub in_timestamp: c_ulonglong,
    pub out_timestamp: c_ulonglong,
    pub width: c_int,
    pub height: c_int,
    pub format: c_int,
    /// Of luma and of chroma.
    pub stride: [c_int; 2],
    pub planes: [*mut c_uchar; 3],
}

/// `OpenH264Version`.
#[repr(C)]
#[derive(Default)]
pub struct Version {
    pub major: c_uint,
    pub minor: c_uint,
    pub revision: c_uint,
    pub reserved: c_uint,
}

/// `ISVCDecoder`: a C++ object, or in C a pointer to its table.
pub type Object = *const Table;

type Decode = unsafe extern "C" fn(
    *mut Object,
    *const c_uchar,
    c_int,
    *mut *mut c_uchar,
    *mut BufferInfo,
) -> c_int;
type Unused = unsafe extern "C" fn();

/// `ISVCDecoderVtbl`.
#[repr(C)]
pub struct Table {
    pub initialize: unsafe extern "C" fn(*mut Object, *const DecodingParam) -> c_long,
    pub uninitialize: unsafe extern "C" fn(*mut Object) -> c_long,
    pub decode_frame: Unused,
    pub decode_frame_no_delay: Decode,
    pub decode_frame_2: Decode,
    pub flush_frame: unsafe extern "C" fn(*mut Object, *mut *mut c_uchar, *mut BufferInfo) -> c_int,
    pub decode_parser: Unused,
    pub decode_frame_ex: Unused,
    pub set_option: unsafe extern "C" fn(*mut Object, c_int, *mut c_void) -> c_long,
    pub get_option: unsafe extern "C" fn(*mut Object, c_int, *mut c_void) -> c_long,
}

symbols! {
    /// libopenh264, loaded.
    #[allow(non_snake_case)]
    struct Api {
        fn WelsCreateDecoder(decoder: *mut *mut Object) -> c_long;
        fn WelsDestroyDecoder(decoder: *mut Object);
        fn WelsGetCodecVersionEx(version: *mut Version);
    }
    optional {}
}
