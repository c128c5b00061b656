//! dav1d, an AV1 decoder: it renders into slots, nothing is copied but pictures
//! that are shown twice.
//!
//! Facts from the headers of 1.0.0 and from how that version behaves:
//! * With one frame at a time in work, everything that a packet shows can be fetched
//!   as soon as the packet was sent.
//! * With several, it can come to rest for ever with work to do: what one thread found to
//!   be possible is noted by a number that means another frame as soon as the oldest is
//!   done (`reset_task_cur` in src/thread_task.c; seen once in some hundred streams).
//!   So its threads share the work of one frame.
//! * Pictures come out in the order of packets, and so do errors.
//! * A frame that was not decoded for an error leaves no reference behind, and those
//!   that need it are errors too. Where the error hides which references were to be
//!   replaced, later pictures are built on the wrong ones.

mod api;
mod headers;
mod memory;
mod show;

use super::{
    Adapter, DecodeError, Decoded, Decoder, OpenError, Opened, Options, Output, Packet, Stream,
};
use crate::library::Library;
use crate::slots::SlotPool;
use api::{Api, Context, Data, Settings};
use headers::Headers;
use memory::Allocator;
use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "dav1d",
    open,
};

/// Pixels of a picture at most; for more there is no slot.
const MOST_PIXELS: u32 = 8192 * 8192;
/// Pictures that dav1d holds: 8 references (AV1, 6.8.2), the one in work, one waiting to
/// be fetched, one of a lower layer, and one that gets its film grain.
const HELD: u32 = 8 + 4;
/// Calls that get everything out of a decoder; more than it has pictures.
const ENOUGH: usize = 1000;

/// A decoder context with its allocator.
struct Dav1d {
    api: Api,
    context: *mut Context,
    /// Lives as long as the process: the worker decodes one stream.
    allocator: &'static Allocator,
    headers: Headers,
    /// Something was lost, and no key frame came since.
    damaged: bool,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&["threads", "film-grain", "operating-point"])?;
    // One by default: under emulation a second one gains little (docs/bench.md).
    let threads = options.number("threads", 1)?.clamp(1, 64);
    let film_grain = options.number("film-grain", 1)?;
    let operating_point = options.number("operating-point", 0)?;
    let api = Api::load(library).map_err(OpenError::symbol)?;
    check_version(&api)?;
    let mut settings = MaybeUninit::uninit();
    // SAFETY: fills the struct it is given.
    let mut settings: Settings = unsafe {
        (api.dav1d_default_settings)(settings.as_mut_ptr());
        settings.assume_init()
    };
    let allocator: &'static Allocator = Box::leak(Box::new(Allocator {
        slots,
        depth: HELD,
        starved: AtomicBool::new(false),
    }));
    settings.threads = threads as c_int;
    settings.max_frame_delay = 1;
    settings.apply_grain = (film_grain != 0).into();
    settings.operating_point = operating_point.min(31) as c_int;
    // Of a scalable stream only the best layer: a picture for each point in time.
    settings.all_layers = 0;
    settings.frame_size_limit = MOST_PIXELS;
    settings.allocator = api::Allocator {
        cookie: std::ptr::from_ref(allocator).cast_mut().cast(),
        alloc: Some(memory::alloc),
        release: Some(memory::release),
    };
    let context = create(&api, &settings).map_err(|code| OpenError::decoder(text_of(code)))?;
    Ok(Box::new(Dav1d {
        api,
        context,
        allocator,
        headers: Headers::default(),
        damaged: false,
    }))
}

/// Refuses libraries whose structures are laid out differently.
fn check_version(api: &Api) -> Result<(), OpenError> {
    let version = version(api);
    // 1.3.0 changed the structures; it is the first that tells its API's version.
    let is_later = api.dav1d_version_api.is_some();
    let is_known = ["1.0.", "1.1.", "1.2."]
        .iter()
        .any(|known| version.starts_with(known));
    if is_known && !is_later {
        return Ok(());
    }
    Err(OpenError::decoder(format!(
        "dav1d {version} has another interface than 1.0 to 1.2 (libdav1d.so.6)"
    )))
}

fn version(api: &Api) -> String {
    // SAFETY: returns a static string.
    let version = unsafe { CStr::from_ptr((api.dav1d_version)()) };
    version.to_string_lossy().into_owned()
}

fn create(api: &Api, settings: &Settings) -> Result<*mut Context, c_int> {
    let mut context = std::ptr::null_mut();
    // SAFETY: copies the settings, whose allocator lives forever, and stores the
    // context's address.
    match unsafe { (api.dav1d_open)(&mut context, settings) } {
        0 => Ok(context),
        code => Err(code),
    }
}

/// What dav1d means by an error number.
fn text_of(code: c_int) -> String {
    let text = match -code {
        libc::EINVAL => "damaged or invalid bitstream",
        libc::ENOENT => "no sequence header",
        libc::ENOMEM => "no memory for a picture",
        libc::ENOPROTOOPT => "unsupported bit depth or feature",
        libc::ERANGE => "picture too large",
        _ => "decoding failed",
    };
    text.to_owned()
}

impl Dav1d {
    /// Sends data and fetches what it makes. The first error, if there is one.
    fn feed(&mut self, number: u64, bytes: &[u8], output: &mut dyn Output) -> Result<(), c_int> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut data = MaybeUninit::<Data>::uninit();
        // SAFETY: allocates so many bytes of dav1d's own and fills the struct, or
        // returns null.
        let target = unsafe { (self.api.dav1d_data_create)(data.as_mut_ptr(), bytes.len()) };
        if target.is_null() {
            return Err(api::NO_MEMORY);
        }
        // SAFETY: filled by the call before; `target` has room for all bytes.
        let mut data = unsafe {
            target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            data.assume_init()
        };
        data.props.timestamp = number as i64;
        let mut result = Ok(());
        for _ in 0..ENOUGH {
            // SAFETY: `context` lives as long as this; data that is not taken
            // stays ours.
            let sent = unsafe { (self.api.dav1d_send_data)(self.context, &mut data) };
            if sent < 0 && sent != api::AGAIN {
                // SAFETY: refused, so it is still ours; used no more.
                unsafe { (self.api.dav1d_data_unref)(&mut data) };
                result = result.and(Err(sent));
            }
            while self.fetch(output).unwrap_or_else(|code| {
                result = result.and(Err(code));
                false
            }) {}
            if data.size == 0 {
                return result;
            }
        }
        // SAFETY: as above. It takes nothing any more.
        unsafe { (self.api.dav1d_data_unref)(&mut data) };
        result.and(Err(-libc::EIO))
    }

    /// Fetches a picture and shows it; whether there was one.
    fn fetch(&mut self, output: &mut dyn Output) -> Result<bool, c_int> {
        let mut picture = MaybeUninit::zeroed();
        // SAFETY: `context` lives as long as this; fills the picture, whose
        // reference is then ours.
        match unsafe { (self.api.dav1d_get_picture)(self.context, picture.as_mut_ptr()) } {
            0 => {}
            api::AGAIN => return Ok(false),
            code => return Err(code),
        }
        // SAFETY: filled, because the call returned 0.
        let mut picture = unsafe { picture.assume_init() };
        self.show(&picture, output);
        // SAFETY: the reference is ours, and this its end.
        unsafe { (self.api.dav1d_picture_unref)(&mut picture) };
        Ok(true)
    }

    /// What to tell of an error.
    fn failed(&mut self, code: c_int) -> Result<(), DecodeError> {
        // What went wrong for want of a slot is being flushed.
        if self.allocator.starved.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.damaged = true;
        Err(DecodeError {
            code,
            text: text_of(code),
            fatal: false,
        })
    }
}

impl Decoder for Dav1d {
    fn version(&self) -> String {
        format!("dav1d {}", version(&self.api))
    }

    fn begin(&mut self, stream: &Stream<'_>) -> Result<(), DecodeError> {
        self.headers.begin(stream.codec_data);
        Ok(())
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        let contents = self.headers.read(&self.api, packet.data);
        if packet.may_be_skipped() && contents.frames > 0 && !contents.referred {
            return Ok(Decoded::Nothing);
        }
        let mut result = Ok(());
        if let Some(headers) = self.headers.missing(packet.data) {
            result = self.feed(packet.number, &headers, output);
        }
        let fed = self.feed(packet.number, packet.data, output);
        if let Err(code) = result.and(fed) {
            self.failed(code)?;
        }
        Ok(match contents.shown {
            true => Decoded::Picture,
            false => Decoded::Nothing,
        })
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        let mut result = Ok(());
        for _ in 0..ENOUGH {
            match self.fetch(output) {
                Ok(true) => {}
                Ok(false) => break,
                Err(code) => result = Err(code),
            }
        }
        result.or_else(|code| self.failed(code))
    }

    fn flush(&mut self) {
        // SAFETY: `context` lives as long as this.
        unsafe { (self.api.dav1d_flush)(self.context) };
        self.headers.forget();
        self.damaged = false;
    }
}
