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

use super::damage::Damage;
use super::{Adapter, DecodeError, Decoder, Frame, OpenError, Opened, Options, Output, Packet};
use crate::annexb::nal_units;
use crate::library::Library;
use crate::slots::SlotPool;
use api::{Api, Context, Image};
use headers::ParameterSets;
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, PictureRecord, PixelFormat, Rect, arrange};
use memory::{Hooks, Picture};
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
    }))
}

fn text_of(api: &Api, error: c_int) -> String {
    // SAFETY: returns a static string for any number.
    unsafe { CStr::from_ptr((api.de265_get_error_text)(error)) }
        .to_string_lossy()
        .into_owned()
}

/// What the header of a NAL unit says (HEVC, 7.3.1.2).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Unit {
    kind: u8,
    layer: u8,
    begins_picture: bool,
}

impl Unit {
    /// `SUFFIX_SEI_NUT`.
    const SUFFIX_SEI: u8 = 40;

    fn of(nal: &[u8]) -> Self {
        let kind = nal[0] >> 1 & 63;
        Self {
            kind,
            layer: (nal[0] & 1) << 5 | nal.get(1).map_or(0, |byte| byte >> 3),
            begins_picture: kind < 32 && nal.get(2).is_some_and(|byte| byte & 0x80 != 0),
        }
    }

    fn is_slice(self) -> bool {
        self.kind < 32
    }

    /// Needs no other picture: IDR, BLA, CRA and what is reserved for more.
    fn is_irap(self) -> bool {
        (16..24).contains(&self.kind)
    }

    /// All pictures before it are shown before it: IDR or BLA.
    fn is_cut(self) -> bool {
        (16..21).contains(&self.kind)
    }
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

    fn give_out(&mut self, output: &mut dyn Output) {
        loop {
            // SAFETY: as in `run`.
            let image = unsafe { (self.api.de265_peek_next_picture)(self.context) };
            if image.is_null() {
                return;
            }
            self.give_out_one(image, output);
            // SAFETY: as in `run`; it is still the one peeked.
            unsafe { (self.api.de265_release_next_picture)(self.context) };
        }
    }

    fn give_out_one(&mut self, image: *const Image, output: &mut dyn Output) {
        // SAFETY: the image is valid until it is released, below our caller.
        let number = unsafe { (self.api.de265_get_image_PTS)(image) } as u64;
        let mut flags = 0;
        if self.damage.is_damaged(number) {
            flags |= frame_flags::CORRUPT;
        }
        // SAFETY: as above; all images got their memory in `get_buffer`.
        let picture = unsafe {
            (self.api.de265_get_image_plane_user_data)(image, 0)
                .cast::<Picture>()
                .as_ref()
        };
        if let Some(Picture::Slot(lease, record)) = picture {
            let picture = PictureRecord {
                colour: self.colour(image),
                ..*record
            };
            output.picture(
                &Frame {
                    number,
                    flags,
                    picture,
                },
                lease,
            );
        } else if let Some((picture, lease)) = self.copy(image) {
            let flags = flags | frame_flags::COPIED;
            output.picture(
                &Frame {
                    number,
                    flags,
                    picture,
                },
                &lease,
            );
        }
    }

    /// A copy, in a slot, of a picture that is not in one.
    fn copy(&self, image: *const Image) -> Option<(PictureRecord, crate::slots::Lease)> {
        let api = &self.api;
        // SAFETY: the image is valid, see `give_out_one`.
        let (chroma, depth, width, height) = unsafe {
            (
                (api.de265_get_chroma_format)(image),
                (api.de265_get_bits_per_pixel)(image, 0) as u32,
                (api.de265_get_image_width)(image, 0) as u32,
                (api.de265_get_image_height)(image, 0) as u32,
            )
        };
        let (shift_x, shift_y) = ((chroma == 1 || chroma == 2) as u32, (chroma == 1) as u32);
        let Some(format) = PixelFormat::planar(chroma == 0, shift_x, shift_y, depth) else {
            eprintln!("libde265: pictures of {depth} bits can't be shown");
            return None;
        };
        let (offset, stride, size) = arrange(format, width.next_multiple_of(32), height, 16);
        let mut lease = self.hooks.slots.clone().acquire(size.into(), 1)?;
        let picture = PictureRecord {
            format: format.code(),
            width,
            height,
            crop: Rect {
                x: 0,
                y: 0,
                width,
                height,
            },
            offset,
            stride,
            colour: self.colour(image),
        };
        let mut source = [std::ptr::null(); 3];
        let mut steps = [0; 3];
        for plane in 0..format.planes() {
            let mut step = 0;
            // SAFETY: as above.
            source[plane] =
                unsafe { (api.de265_get_image_plane)(image, plane as c_int, &mut step) };
            steps[plane] = step as usize;
        }
        // SAFETY: libde265's planes have the visible size it told.
        unsafe { super::copy_planes(&picture, format, source, steps, lease.bytes_mut()) };
        Some((picture, lease))
    }

    fn error(&self, code: c_int) -> DecodeError {
        DecodeError {
            code,
            text: text_of(&self.api, code),
            fatal: false,
        }
    }

    fn colour(&self, image: *const Image) -> Colour {
        // 2 is "unspecified" in H.273: then the container may know.
        let code = |function: Option<unsafe extern "C" fn(*const Image) -> c_int>| {
            // SAFETY: the image is valid, see `give_out_one`.
            let code = function.map_or(2, |function| unsafe { function(image) });
            u8::try_from(code).ok().filter(|code| *code != 2)
        };
        let primaries = code(self.api.de265_get_image_colour_primaries);
        let transfer = code(self.api.de265_get_image_transfer_characteristics);
        let matrix = code(self.api.de265_get_image_matrix_coefficients);
        let full = code(self.api.de265_get_image_full_range_flag);
        // Without a description the flag is 0 too, so limited range is believed
        // only beside one.
        let described = primaries.or(transfer).or(matrix).is_some();
        Colour {
            primaries: primaries.unwrap_or(0),
            transfer: transfer.unwrap_or(0),
            matrix_plus_1: matrix.and_then(|code| code.checked_add(1)).unwrap_or(0),
            range: match full {
                Some(1) => 2,
                Some(0) if described => 1,
                _ => 0,
            },
        }
    }
}

impl Decoder for De265 {
    fn version(&self) -> String {
        // SAFETY: returns a static string.
        let version = unsafe { CStr::from_ptr((self.api.de265_get_version)()) };
        format!("libde265 {}", version.to_string_lossy())
    }

    fn decode(&mut self, packet: Packet<'_>, output: &mut dyn Output) -> Result<(), DecodeError> {
        let mut result = api::OK;
        self.packet = packet.number;
        let units: Vec<_> = nal_units(packet.data)
            .map(|nal| (nal, Unit::of(nal)))
            // They only check pictures that are finished by then.
            .filter(|(_, unit)| unit.kind != Unit::SUFFIX_SEI)
            // libde265 decodes the base layer only.
            .filter(|(_, unit)| unit.layer == 0)
            .filter(|(nal, unit)| !self.headers.is_repeated(unit.kind, nal))
            .collect();
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
            return Ok(());
        }
        if result == api::OK {
            return Ok(());
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
