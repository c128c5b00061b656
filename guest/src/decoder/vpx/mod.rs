//! libvpx, a decoder of VP8 and VP9. VP9 is rendered into slots and nothing copied
//! but pictures that are shown twice; VP8 keeps its pictures, so each is copied once.
//!
//! Facts from the headers of 1.12.0 and from how that version behaves:
//! * All of a packet is decoded at once, and at most one picture comes of it: of a
//!   superframe the last that is shown.
//! * The buffer of a picture that was shown is not given back before the next packet.
//! * After an error VP9 refuses frames until one that needs no other.
//! * There is nothing to flush: a key frame replaces all state.

mod api;
mod headers;
mod memory;
mod show;

use super::{Adapter, DecodeError, Decoded, Decoder, OpenError, Opened, Options, Output, Packet};
use crate::library::Library;
use crate::slots::SlotPool;
use api::{Api, Config, Context, Image};
use iotdec_wire::msg::frame_flags;
use memory::Buffers;
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "libvpx",
    open,
};

/// A decoder context with its frame buffers. Both live as long as the process: the
/// worker decodes one stream.
struct Vpx {
    api: Api,
    context: *mut Context,
    buffers: &'static Buffers,
    is_vp9: bool,
    headers: headers::Vp9,
    /// Something was lost, and no key frame came since.
    damaged: bool,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&["codec", "threads"])?;
    // One by default: under emulation a second one gains little (docs/bench.md).
    let threads = options.number("threads", 1)?.clamp(1, 64);
    let api = Api::load(library).map_err(OpenError::symbol)?;
    let (is_vp9, interface) = match options.text("codec") {
        Some("vp8") => (false, api.functions.vpx_codec_vp8_dx),
        Some("vp9") => (true, api.functions.vpx_codec_vp9_dx),
        _ => return Err(OpenError::decoder("option codec: give vp8 or vp9")),
    };
    let version = version(&api);
    let Some(interface) = interface else {
        let codec = if is_vp9 { "VP9" } else { "VP8" };
        return Err(OpenError::decoder(format!(
            "libvpx {version} was built without a {codec} decoder"
        )));
    };
    let buffers: &'static Buffers = Box::leak(Box::new(Buffers {
        slots,
        starved: AtomicBool::new(false),
    }));
    let context = Box::into_raw(Box::new(Context::EMPTY));
    let config = Config {
        threads: threads as c_uint,
        width: 0,
        height: 0,
    };
    // SAFETY: the context is libvpx's to fill and stays where it is; the
    // configuration is copied.
    let code = unsafe {
        (api.functions.vpx_codec_dec_init_ver)(context, interface(), &config, 0, api::ABI_VERSION)
    };
    match code {
        api::OK => {}
        api::ABI_MISMATCH => {
            return Err(OpenError::decoder(format!(
                "libvpx {version} does not have decoder ABI {}, that of libvpx since 1.8",
                api::ABI_VERSION
            )));
        }
        code => return Err(OpenError::decoder(text_of(&api, code))),
    }
    if is_vp9 {
        // SAFETY: initialised, and nothing decoded yet; the buffers live forever.
        let code = unsafe {
            (api.functions.vpx_codec_set_frame_buffer_functions)(
                context,
                memory::get,
                memory::release,
                std::ptr::from_ref(buffers).cast_mut().cast(),
            )
        };
        if code != api::OK {
            return Err(OpenError::decoder(text_of(&api, code)));
        }
    }
    Ok(Box::new(Vpx {
        api,
        context,
        buffers,
        is_vp9,
        headers: headers::Vp9::default(),
        damaged: false,
    }))
}

fn version(api: &Api) -> String {
    // SAFETY: returns a static string.
    text(unsafe { (api.functions.vpx_codec_version_str)() })
}

fn text_of(api: &Api, code: c_int) -> String {
    // SAFETY: returns a static string for any number.
    text(unsafe { (api.functions.vpx_codec_err_to_string)(code) })
}

/// A string of libvpx's, empty if there is none.
fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: a C string; callers pass what libvpx returned just now.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().into_owned()
}

impl Vpx {
    /// The picture of the packet decoded last, if it shows one.
    fn picture(&self) -> Option<&Image> {
        let mut iterator = std::ptr::null();
        // SAFETY: `context` was initialised. The image is valid until the next call
        // that decodes, which needs `&mut self`.
        unsafe { (self.api.functions.vpx_codec_get_frame)(self.context, &mut iterator).as_ref() }
    }

    fn failed(&mut self, code: c_int) -> Result<Decoded, DecodeError> {
        // What went wrong for want of a slot is being flushed.
        if self.buffers.starved.swap(false, Ordering::Relaxed) {
            return Ok(Decoded::Picture);
        }
        self.damaged = true;
        // SAFETY: `context` was initialised.
        let detail = text(unsafe { (self.api.functions.vpx_codec_error_detail)(self.context) });
        let text = match detail.is_empty() {
            true => text_of(&self.api, code),
            false => format!("{}: {detail}", text_of(&self.api, code)),
        };
        Err(DecodeError {
            code,
            text,
            fatal: false,
        })
    }
}

impl Decoder for Vpx {
    fn version(&self) -> String {
        format!("libvpx {}", version(&self.api))
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        // Which would mean to flush.
        if packet.data.is_empty() {
            return Ok(Decoded::Nothing);
        }
        let contents = match self.is_vp9 {
            true => self.headers.read(packet.data),
            false => headers::vp8(packet.data),
        };
        if packet.may_be_skipped() && contents.dispensable {
            return Ok(Decoded::Nothing);
        }
        self.damaged &= !contents.key;
        // SAFETY: `context` was initialised; the data is read during the call only.
        let code = unsafe {
            (self.api.functions.vpx_codec_decode)(
                self.context,
                packet.data.as_ptr(),
                packet.data.len() as c_uint,
                std::ptr::null_mut(),
                0,
            )
        };
        if code != api::OK {
            return self.failed(code);
        }
        // SAFETY: `context` was initialised.
        self.damaged |= unsafe { self.api.is_corrupted(self.context) };
        let Some(image) = self.picture() else {
            return Ok(Decoded::Nothing);
        };
        let mut flags = 0;
        if self.damaged {
            flags |= frame_flags::CORRUPT;
        }
        self.show(image, packet.number, flags, output)?;
        Ok(Decoded::Picture)
    }

    fn drain(&mut self, _output: &mut dyn Output) -> Result<(), DecodeError> {
        Ok(())
    }

    fn flush(&mut self) {
        // Until a key frame, which is what should follow.
        self.damaged = true;
    }
}
