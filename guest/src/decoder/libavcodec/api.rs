//! The functions of libavcodec, and of the libavutil it is linked with, that are
//! used. Facts: avcodec.h, packet.h, codec_par.h, frame.h, buffer.h, opt.h, log.h of
//! FFmpeg 5.1 and 8.0; the signatures are the same in both.

use crate::library::symbols;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// `AVCodecContext`; see [`super::layout`] for what is in it.
pub type Context = c_void;
/// `AVCodec`.
pub type Codec = c_void;
/// `AVFrame`.
pub type AvFrame = c_void;
/// `AVPacket`.
pub type AvPacket = c_void;
/// `AVCodecParameters`.
pub type Parameters = c_void;
/// `AVBufferRef`.
pub type BufferRef = c_void;
/// `va_list` as a parameter: a pointer in the ABIs of aarch64 and x86-64.
pub type VaList = *mut c_void;

/// `AVERROR(EAGAIN)`.
pub const AGAIN: c_int = -libc::EAGAIN;
/// `AVERROR(ENOMEM)`.
pub const NO_MEMORY: c_int = -libc::ENOMEM;
/// `AVERROR_EOF`.
pub const END: c_int = -i32::from_le_bytes(*b"EOF ");
/// `AV_NOPTS_VALUE`.
pub const NO_TIME: i64 = i64::MIN;
/// `AV_CODEC_CAP_DR1`: `get_buffer2` may be replaced.
pub const CAP_DR1: c_int = 1 << 1;
/// `AV_CODEC_CAP_DELAY`: pictures come later than their packets.
pub const CAP_DELAY: c_int = 1 << 5;
/// `AV_PKT_FLAG_KEY`.
pub const PACKET_KEY: c_int = 1;
/// `AV_FRAME_FLAG_CORRUPT`.
pub const FRAME_CORRUPT: c_int = 1;
/// `AV_BUFFER_FLAG_READONLY`: the library never takes the memory for its own to
/// write to, even if nobody else refers to it.
pub const BUFFER_READONLY: c_int = 1;
/// `AV_NUM_DATA_POINTERS`.
pub const DATA_POINTERS: usize = 8;
/// `AV_INPUT_BUFFER_PADDING_SIZE`.
pub const INPUT_PADDING: usize = 64;
/// `AV_LOG_ERROR`: lower is worse.
pub const LOG_ERROR: c_int = 16;

/// The function behind `AVCodecContext.get_buffer2`.
pub type GetBuffer = unsafe extern "C" fn(*mut Context, *mut AvFrame, c_int) -> c_int;
/// What frees the memory of an `AVBuffer`.
pub type FreeBuffer = unsafe extern "C" fn(opaque: *mut c_void, data: *mut u8);
/// A log callback.
pub type Log = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, VaList);

/// Head of `AVFrameSideData`.
#[repr(C)]
#[derive(Debug)]
pub struct SideData {
    pub kind: c_int,
    pub data: *const u8,
    pub size: usize,
}

symbols! {
    /// libavcodec and libavutil, loaded.
    struct Api {
        fn avcodec_version() -> c_uint;
        fn avcodec_find_decoder_by_name(name: *const c_char) -> *const Codec;
        fn avcodec_alloc_context3(codec: *const Codec) -> *mut Context;
        fn avcodec_free_context(context: *mut *mut Context);
        fn avcodec_open2(
            context: *mut Context, codec: *const Codec, options: *mut *mut c_void,
        ) -> c_int;
        fn avcodec_send_packet(context: *mut Context, packet: *const AvPacket) -> c_int;
        fn avcodec_receive_frame(context: *mut Context, frame: *mut AvFrame) -> c_int;
        fn avcodec_flush_buffers(context: *mut Context);
        fn avcodec_align_dimensions2(
            context: *mut Context, width: *mut c_int, height: *mut c_int, align: *mut c_int,
        );
        fn avcodec_default_get_buffer2(
            context: *mut Context, frame: *mut AvFrame, flags: c_int,
        ) -> c_int;
        fn avcodec_parameters_alloc() -> *mut Parameters;
        fn avcodec_parameters_free(parameters: *mut *mut Parameters);
        fn avcodec_parameters_from_context(
            parameters: *mut Parameters, context: *const Context,
        ) -> c_int;
        fn avcodec_parameters_to_context(
            context: *mut Context, parameters: *const Parameters,
        ) -> c_int;
        fn av_packet_alloc() -> *mut AvPacket;
        fn av_packet_unref(packet: *mut AvPacket);
        fn av_new_packet(packet: *mut AvPacket, size: c_int) -> c_int;
        fn av_packet_new_side_data(packet: *mut AvPacket, kind: c_int, size: usize) -> *mut u8;
        fn av_packet_side_data_name(kind: c_int) -> *const c_char;
        fn av_frame_alloc() -> *mut AvFrame;
        fn av_frame_unref(frame: *mut AvFrame);
        fn av_frame_get_buffer(frame: *mut AvFrame, align: c_int) -> c_int;
        fn av_frame_get_plane_buffer(frame: *mut AvFrame, plane: c_int) -> *mut BufferRef;
        fn av_frame_get_side_data(frame: *const AvFrame, kind: c_int) -> *const SideData;
        fn av_frame_side_data_name(kind: c_int) -> *const c_char;
        fn av_buffer_create(
            data: *mut u8, size: usize, free: Option<FreeBuffer>, opaque: *mut c_void, flags: c_int,
        ) -> *mut BufferRef;
        fn av_opt_set(
            object: *mut c_void, name: *const c_char, value: *const c_char, search: c_int,
        ) -> c_int;
        fn av_opt_set_int(
            object: *mut c_void, name: *const c_char, value: i64, search: c_int,
        ) -> c_int;
        fn av_opt_get_int(
            object: *mut c_void, name: *const c_char, search: c_int, value: *mut i64,
        ) -> c_int;
        fn av_get_pix_fmt_name(format: c_int) -> *const c_char;
        fn av_mallocz(size: usize) -> *mut c_void;
        fn av_strerror(error: c_int, text: *mut c_char, size: usize) -> c_int;
        fn av_log_set_callback(callback: Option<Log>);
        fn av_log_format_line2(
            object: *mut c_void, level: c_int, format: *const c_char, arguments: VaList,
            line: *mut c_char, size: c_int, print_prefix: *mut c_int,
        ) -> c_int;
    }
    optional {}
}
