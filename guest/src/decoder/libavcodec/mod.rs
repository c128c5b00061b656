//! libavcodec: decoders of nearly every video codec, behind one interface. Those that
//! let their memory be provided (all that matter) render into slots.
//!
//! Which of them is used says the option `codec`, by the library's own name for it.
//! Any major version will do whose structs can be made out; see [`layout`].

mod api;
mod context;
mod format;
mod layout;
mod light;
mod log;
mod memory;
mod show;

use super::damage::Damage;
use super::{
    Adapter, DecodeError, Decoded, Decoder, OpenError, Opened, Options, Output, Packet, Stream,
};
use crate::library::Library;
use crate::slots::SlotPool;
use api::{AGAIN, Api, AvFrame, AvPacket, Context, END, PACKET_KEY};
use context::{Recipe, text_of};
use iotdec_wire::msg::packet_flags;
use layout::{Layout, PACKET_DATA, PACKET_FLAGS, PACKET_PTS};
use light::LightKinds;
use memory::Hooks;
use show::Shown;
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "libavcodec",
    open,
};

/// The oldest major version with all the functions (FFmpeg 5.0).
const OLDEST: u32 = 59;
/// Calls that get everything out of a decoder; more than it has pictures.
const ENOUGH: usize = 1000;
/// One thread decodes in the caller: under emulation two are slower (measured).
const THREADS: u32 = 1;
/// The error of a picture that can't be shown; not one of the library's.
const CANNOT_SHOW: c_int = -libc::ENOTSUP;

/// A decoder, and what is needed to make another.
struct AvCodec {
    hooks: &'static Hooks,
    recipe: Recipe,
    light: LightKinds,
    /// Made with the first packet, when all is known of the stream.
    context: *mut Context,
    packet: *mut AvPacket,
    frame: *mut AvFrame,
    damage: Damage,
    /// `skip_frame` is set.
    skipping: bool,
    version: String,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&["codec", "threads"])?;
    let codec = options
        .text("codec")
        .ok_or_else(|| OpenError::decoder("option codec is missing, such as codec=h264"))?;
    let threads = options.number("threads", THREADS)?.max(1);
    let api = Api::load(library).map_err(OpenError::symbol)?;
    // SAFETY: no preconditions.
    let number = unsafe { (api.avcodec_version)() };
    let (major, minor, micro) = (number >> 16, number >> 8 & 255, number & 255);
    let version = format!("libavcodec {major}.{minor}.{micro} {codec}");
    let refused = |text: String| OpenError::decoder(format!("{version}: {text}"));
    if major < OLDEST {
        return Err(refused(format!("older than {OLDEST}")));
    }
    log::install(&api);
    let layout = Layout::discover(&api).map_err(refused)?;
    let recipe = Recipe::new(&api, codec, threads).map_err(refused)?;
    let light = LightKinds::find(&api);
    // SAFETY: no preconditions.
    let (packet, frame) = unsafe { ((api.av_packet_alloc)(), (api.av_frame_alloc)()) };
    if packet.is_null() || frame.is_null() {
        return Err(refused("no memory".to_owned()));
    }
    let hooks = Hooks::install(api, layout, slots)
        .ok_or_else(|| refused("this process has a decoder already".to_owned()))?;
    Ok(Box::new(AvCodec {
        hooks,
        recipe,
        light,
        context: null_mut(),
        packet,
        frame,
        damage: Damage::default(),
        skipping: false,
        version,
    }))
}

impl AvCodec {
    fn api(&self) -> &'static Api {
        &self.hooks.api
    }

    /// The context, made if there is none.
    fn ensure_context(&mut self, first: &[u8]) -> Result<(), DecodeError> {
        if !self.context.is_null() {
            return Ok(());
        }
        self.skipping = false;
        let opened = self.recipe.open(self.api(), &self.hooks.layout, first);
        self.context = opened.map_err(|text| DecodeError {
            code: CANNOT_SHOW,
            text: format!("{}: {text}", self.version),
            fatal: true,
        })?;
        Ok(())
    }

    /// Makes a packet of the library's, padded as it asks.
    fn fill(&mut self, packet: &Packet<'_>) -> Result<(), DecodeError> {
        let len = packet.data.len();
        // SAFETY: an empty packet, made to hold `len` bytes, at places that were
        // checked; the copy is the library's from then on.
        unsafe {
            let error = c_int::try_from(len).map_or(api::NO_MEMORY, |len| {
                (self.api().av_new_packet)(self.packet, len)
            });
            if error < 0 {
                return Err(self.error(error));
            }
            let target = PACKET_DATA.read::<*mut u8>(self.packet);
            target.copy_from_nonoverlapping(packet.data.as_ptr(), len);
            PACKET_PTS.write(self.packet, packet.number as i64);
            if packet.flags & packet_flags::SYNC_POINT != 0 {
                PACKET_FLAGS.write(self.packet, PACKET_KEY);
            }
        }
        Ok(())
    }

    /// Lets the decoder leave out pictures that no other refers to, or not.
    fn skip(&mut self, skipping: bool) {
        if self.skipping != skipping {
            let what = if skipping { "nonref" } else { "default" };
            // An option that every version has; if not, nothing is left out.
            let _ = context::set(self.api(), self.context, c"skip_frame", what);
            self.skipping = skipping;
        }
    }

    /// Gives out every picture that is ready, and says how many; `result` becomes the
    /// last error.
    fn give_out(&mut self, output: &mut dyn Output, result: &mut Result<(), DecodeError>) -> usize {
        let mut count = 0;
        for _ in 0..ENOUGH {
            // SAFETY: an open context and a frame of ours, which is empty.
            match unsafe { (self.api().avcodec_receive_frame)(self.context, self.frame) } {
                AGAIN | END => break,
                error if error < 0 => *result = Err(self.error(error)),
                _ => {
                    // SAFETY: just filled, and let go below.
                    match unsafe { Shown::new(self.hooks, self.frame) } {
                        Ok(shown) => shown.give_out(&self.light, &mut self.damage, output),
                        Err(text) => {
                            *result = Err(DecodeError {
                                code: CANNOT_SHOW,
                                text,
                                fatal: true,
                            });
                        }
                    }
                    count += 1;
                }
            }
            // SAFETY: ours; nothing of it is used any more.
            unsafe { (self.api().av_frame_unref)(self.frame) };
        }
        count
    }

    fn error(&self, code: c_int) -> DecodeError {
        DecodeError {
            code,
            text: text_of(self.api(), code),
            fatal: false,
        }
    }
}

impl Decoder for AvCodec {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn begin(&mut self, stream: &Stream<'_>) -> Result<(), DecodeError> {
        self.recipe.describe(stream);
        // SAFETY: ours or null, which is allowed; it is set to null.
        unsafe { (self.api().avcodec_free_context)(&mut self.context) };
        self.damage.clear();
        Ok(())
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        // To the library it would be the end of the stream.
        if packet.data.is_empty() {
            return Ok(Decoded::Nothing);
        }
        self.ensure_context(packet.data)?;
        log::begin_packet();
        self.skip(packet.may_be_skipped());
        self.fill(&packet)?;
        let is_key = packet.flags & packet_flags::SYNC_POINT != 0;
        self.damage.begin(packet.number, is_key);
        let before = self.hooks.begun.load(Ordering::Relaxed);
        let mut result = Ok(());
        let mut shown = 0;
        for _ in 0..ENOUGH {
            // SAFETY: an open context and a packet of ours.
            let sent = unsafe { (self.api().avcodec_send_packet)(self.context, self.packet) };
            if sent < 0 && sent != AGAIN {
                result = Err(self.error(sent));
            }
            shown += self.give_out(output, &mut result);
            if sent != AGAIN {
                break;
            }
        }
        // SAFETY: ours; the library has its own reference if it needs one.
        unsafe { (self.api().av_packet_unref)(self.packet) };
        // What went wrong for want of a slot is being flushed.
        if self.hooks.starved.swap(false, Ordering::Relaxed) {
            return Ok(Decoded::Picture);
        }
        if result.is_err() {
            self.damage.notice(packet.number);
        }
        result?;
        let begun = self.hooks.begun.load(Ordering::Relaxed) != before;
        if begun || shown > 0 || !self.recipe.is_prompt() {
            Ok(Decoded::Picture)
        } else {
            Ok(Decoded::Nothing)
        }
    }

    fn delay(&self) -> u32 {
        if self.context.is_null() || !self.recipe.delays() {
            return 0;
        }
        let reordered = context::number(self.api(), self.context, c"has_b_frames");
        let reordered = reordered.and_then(|count| count.try_into().ok());
        let threads = if self.recipe.is_prompt() {
            0
        } else {
            self.recipe.threads - 1
        };
        reordered.unwrap_or(0) + threads
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        if self.context.is_null() {
            return Ok(());
        }
        let mut result = Ok(());
        // SAFETY: an open context; nothing instead of a packet is the end.
        unsafe { (self.api().avcodec_send_packet)(self.context, null_mut()) };
        self.give_out(output, &mut result);
        // SAFETY: as above. Without it nothing more would be taken.
        unsafe { (self.api().avcodec_flush_buffers)(self.context) };
        result
    }

    fn flush(&mut self) {
        if !self.context.is_null() {
            // SAFETY: an open context.
            unsafe { (self.api().avcodec_flush_buffers)(self.context) };
        }
        self.damage.clear();
    }
}
