//! libde265, an HEVC decoder: it renders into slots, nothing is copied.
//!
//! Facts from de265.h of 1.0.11 and from how that version behaves:
//! * With the end of a frame announced, a picture is finished together with its
//!   last slice, without waiting for the next packet.
//! * `de265_decode` called once more after that, with no NAL unit pending, takes
//!   it for the end of the stream and gives out pictures that others precede. So it
//!   is called only while NAL units are pending, and what follows the last slice of
//!   a picture is pushed after the picture is finished.
//! * `de265_flush_data` can't be undone; announcing the end of a frame and calling
//!   `de265_decode` until it has nothing to do drains as well.

mod api;
mod headers;
mod memory;
mod show;

use super::damage::Damage;
use super::{Adapter, DecodeError, Decoded, Decoder, OpenError, Opened, Options, Output, Packet};
use crate::library::Library;
use crate::slots::SlotPool;
use api::{Api, Context};
use headers::ParameterSets;
use iotdec_nal::annexb::nal_units;
use iotdec_nal::h265::{self, Unit};
use memory::Hooks;
use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "libde265",
    open,
};

/// User data of everything that comes out of a packet; pictures without it are
/// libde265's inventions.
const MARK: *mut c_void = std::ptr::without_provenance_mut(1);
/// Calls that get everything out of a decoder; more than it has pictures.
const ENOUGH: usize = 1000;

/// A decoder context with the hooks it calls. Never freed: the worker decodes one
/// stream, and exits.
struct De265 {
    api: Arc<Api>,
    context: *mut Context,
    hooks: &'static Hooks,
    headers: ParameterSets,
    damage: Damage,
    /// The packet being decoded.
    packet: u64,
    /// The highest temporal sub-layer seen: nothing refers to its non-reference
    /// pictures.
    top_sub_layer: u8,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&["threads"])?;
    let threads = options.number("threads", 1)?;
    let api = Arc::new(Api::load(library).map_err(OpenError::symbol)?);
    // SAFETY: no preconditions.
    let context = unsafe { (api.de265_new_decoder)() };
    if context.is_null() {
        return Err(OpenError::decoder("de265_new_decoder failed"));
    }
    let hooks: &'static Hooks = Box::leak(Box::new(Hooks {
        api: api.clone(),
        slots,
        starved: AtomicBool::new(false),
    }));
    // SAFETY: a fresh context, hooks that live forever, and a worker opens one
    // decoder.
    unsafe { memory::install(hooks, context) };
    // One thread decodes in the caller: under emulation two are slower (measured).
    if threads > 1 {
        // SAFETY: a fresh context.
        let error = unsafe { (api.de265_start_worker_threads)(context, threads as c_int) };
        if error != api::OK {
            return Err(OpenError::decoder(text_of(&api, error)));
        }
    }
    Ok(Box::new(De265 {
        api,
        context,
        hooks,
        headers: ParameterSets::default(),
        damage: Damage::default(),
        packet: 0,
        top_sub_layer: 0,
    }))
}

fn text_of(api: &Api, error: c_int) -> String {
    // SAFETY: returns a static string for any number.
    unsafe { CStr::from_ptr((api.de265_get_error_text)(error)) }
        .to_string_lossy()
        .into_owned()
}

impl De265 {
    /// Decodes what is pending, and not one call more (see the module's facts).
    fn run(&mut self, output: &mut dyn Output, result: &mut c_int) {
        // SAFETY: `context` lives as long as the process.
        while unsafe { (self.api.de265_get_number_of_NAL_units_pending)(self.context) } > 0 {
            if !self.step(output, result) && *result == api::IMAGE_BUFFER_FULL {
                return;
            }
        }
    }

    /// Finishes everything begun, and gives it out.
    fn settle(&mut self, output: &mut dyn Output, result: &mut c_int) {
        // SAFETY: as in `run`.
        unsafe { (self.api.de265_push_end_of_frame)(self.context) };
        for _ in 0..ENOUGH {
            if !self.step(output, result) {
                break;
            }
        }
    }

    /// One call of the decoder; whether it wants another.
    fn step(&mut self, output: &mut dyn Output, result: &mut c_int) -> bool {
        let mut more = 0;
        // SAFETY: as in `run`. The hooks it calls use nothing of `self`.
        let error = unsafe { (self.api.de265_decode)(self.context, &mut more) };
        let failed =
            error != api::OK && error < api::FIRST_WARNING && error != api::WAITING_FOR_INPUT_DATA;
        if failed {
            *result = error;
        }
        if self.warned() || failed {
            self.damage.notice(self.packet);
        }
        self.give_out(output);
        more != 0 && error == api::OK
    }

    /// Whether libde265 warned of damage since the last call.
    fn warned(&self) -> bool {
        let mut damage = false;
        for _ in 0..ENOUGH {
            // SAFETY: as in `run`.
            match unsafe { (self.api.de265_get_warning)(self.context) } {
                api::OK => break,
                warning => damage |= !api::HARMLESS_WARNINGS.contains(&warning),
            }
        }
        damage
    }

    fn error(&self, code: c_int) -> DecodeError {
        DecodeError {
            code,
            text: text_of(&self.api, code),
            fatal: false,
        }
    }
}

impl Decoder for De265 {
    fn version(&self) -> String {
        // SAFETY: returns a static string.
        let version = unsafe { CStr::from_ptr((self.api.de265_get_version)()) };
        format!("libde265 {}", version.to_string_lossy())
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        let mut result = api::OK;
        self.packet = packet.number;
        let units: Vec<_> = nal_units(packet.data)
            .map(|nal| (nal, Unit::of(nal)))
            // They only check pictures that are finished by then.
            .filter(|(_, unit)| unit.kind != h265::SUFFIX_SEI)
            // libde265 decodes the base layer only.
            .filter(|(_, unit)| unit.layer == 0)
            .filter(|(nal, unit)| !self.headers.is_repeated(unit.kind, nal))
            .collect();
        if let Some((_, slice)) = units.iter().find(|(_, unit)| unit.is_slice()) {
            self.top_sub_layer = self.top_sub_layer.max(slice.temporal_id_plus_1);
            if packet.may_be_skipped()
                && slice.is_sub_layer_non_reference()
                && slice.temporal_id_plus_1 == self.top_sub_layer
            {
                return Ok(Decoded::Nothing);
            }
        }
        for (at, (nal, unit)) in units.iter().enumerate() {
            if unit.begins_picture && unit.is_cut() {
                // Changes no order here, and catches up with pictures that damaged
                // input left unfinished.
                self.settle(output, &mut result);
            }
            if unit.begins_picture {
                self.damage.begin(packet.number, unit.is_irap());
            }
            // SAFETY: the data is copied during the call.
            let error = unsafe {
                (self.api.de265_push_NAL)(
                    self.context,
                    nal.as_ptr().cast(),
                    nal.len() as c_int,
                    packet.number as i64,
                    MARK,
                )
            };
            if error != api::OK {
                result = error;
            }
            let mut later = units[at + 1..].iter().map(|(_, unit)| unit);
            let next = later.find(|unit| unit.is_slice());
            if unit.is_slice() && next.is_none_or(|next| next.begins_picture) {
                // SAFETY: as in `run`.
                unsafe { (self.api.de265_push_end_of_frame)(self.context) };
                self.run(output, &mut result);
            }
        }
        self.run(output, &mut result);
        if result != api::OK {
            self.settle(output, &mut result);
        }
        // What went wrong for want of a slot is being flushed.
        if self.hooks.starved.swap(false, Ordering::Relaxed) {
            return Ok(Decoded::Picture);
        }
        if result == api::OK {
            return Ok(Decoded::Picture);
        }
        Err(self.error(result))
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        let mut result = api::OK;
        self.settle(output, &mut result);
        if result == api::OK {
            return Ok(());
        }
        Err(self.error(result))
    }

    fn flush(&mut self) {
        // SAFETY: as in `run`.
        unsafe { (self.api.de265_reset)(self.context) };
        self.warned();
        self.damage.clear();
    }
}
