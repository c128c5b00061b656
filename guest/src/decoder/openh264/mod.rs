//! libopenh264, an H.264 decoder: it keeps its pictures, so each is copied once,
//! into a slot, as large as it is shown.
//!
//! Facts from the headers of 2.3.1 and from how that version behaves:
//! * `DecodeFrameNoDelay` is `DecodeFrame2` with the packet and once more with
//!   nothing, which completes the picture; but it returns only the second call's
//!   picture. Called apart, neither is lost.
//! * Pictures of all but baseline profiles pass a reordering buffer, and each decoded
//!   picture pushes out at most one: a picture late at least. Where there are B
//!   pictures, an IDR picture overtakes the last one before it; emptying the buffer
//!   in time disturbs the order of what follows. A new decoder object does neither,
//!   but has nothing to conceal a damaged IDR picture with, so only where it must be.
//! * `FlushFrame` works only after a call with nothing.
//! * A damaged picture is completed at the next access unit delimiter, not by a call
//!   with nothing. Where that is the next packet's, the decoder soon runs out of
//!   pictures; it then forgets everything, parameter sets included.
//! * B slices that refer to a damaged picture are not decoded: of 300 pictures with up
//!   to three B pictures between others, 264 to 288 came out after 400 bytes were
//!   changed. Without B pictures it was all 300.

mod api;
mod headers;

use super::copy::Foreign;
use super::damage::Damage;
use super::{
    Adapter, DecodeError, Decoded, Decoder, Frame, OpenError, Opened, Options, Output, Packet,
    Stream,
};
use crate::library::Library;
use crate::slots::SlotPool;
use api::{Api, BufferInfo, DecodingParam, Object, Version, state};
use headers::{Contents, Headers};
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, MAX_PLANES, PixelFormat};
use std::ffi::{c_int, c_uchar};
use std::sync::Arc;

/// In the table of adapters.
pub const ADAPTER: Adapter = Adapter {
    name: "openh264",
    open,
};

/// `ERROR_CON_SLICE_MV_COPY_CROSS_IDR`: damaged and missing parts are filled from
/// earlier pictures along their motion, and nearly every picture is shown.
const CONCEALMENT: u32 = 6;
/// More pictures than the reordering buffer holds (16).
const ENOUGH: usize = 64;
/// An access unit delimiter.
const DELIMITER: &[u8] = &[0, 0, 0, 1, 9, 0xf0];
/// The oldest version whose decoder has a table of the known shape.
const OLDEST: u32 = 2;

/// The decoder object, and what is needed to make another.
struct OpenH264 {
    api: Api,
    object: *mut Object,
    concealment: c_int,
    version: String,
    slots: Arc<dyn SlotPool>,
    headers: Headers,
    damage: Damage,
    /// The picture that came out last, and whether others than the next one ever
    /// followed one.
    last_out: Option<u64>,
    reorders: bool,
    /// Nothing waits for its turn.
    low_delay: bool,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&["concealment"])?;
    let concealment = options.number("concealment", CONCEALMENT)? as c_int;
    let api = Api::load(library).map_err(OpenError::symbol)?;
    let mut version = Version::default();
    // SAFETY: fills the struct it is given.
    unsafe { (api.WelsGetCodecVersionEx)(&mut version) };
    let Version {
        major,
        minor,
        revision,
        ..
    } = version;
    let version = format!("openh264 {major}.{minor}.{revision}");
    if major < OLDEST {
        return Err(OpenError::decoder(format!(
            "{version} is older than {OLDEST}.0"
        )));
    }
    let object = create(&api, concealment).map_err(OpenError::decoder)?;
    Ok(Box::new(OpenH264 {
        api,
        object,
        concealment,
        version,
        slots,
        headers: Headers::default(),
        damage: Damage::default(),
        last_out: None,
        reorders: false,
        low_delay: false,
    }))
}

/// Makes a decoder object, ready to decode.
fn create(api: &Api, concealment: c_int) -> Result<*mut Object, String> {
    let mut object = std::ptr::null_mut();
    // SAFETY: stores the object's address.
    let error = unsafe { (api.WelsCreateDecoder)(&mut object) };
    if error != 0 || object.is_null() {
        return Err(format!("WelsCreateDecoder: {error}"));
    }
    let param = DecodingParam {
        reconstructed_file: std::ptr::null_mut(),
        cpu_load: 0,
        target_layer: c_uchar::MAX,
        error_concealment: concealment,
        parse_only: false,
        property_size: 8,
        bitstream_type: api::BITSTREAM_AVC,
    };
    let mut level = api::LOG_ERROR;
    // SAFETY: a fresh object of a version with this table; both calls read what
    // they are given before they return.
    let error = unsafe {
        let table = &**object;
        (table.set_option)(object, api::OPTION_TRACE_LEVEL, (&raw mut level).cast());
        (table.initialize)(object, &param)
    };
    match error {
        0 => Ok(object),
        error => Err(format!("Initialize: {error}")),
    }
}

impl OpenH264 {
    /// Decodes a packet; what the decoder complains of.
    fn feed(&mut self, packet: &Packet<'_>, contents: &Contents, output: &mut dyn Output) -> c_int {
        let number = packet.number;
        if contents.slices
            && let Some(headers) = self.headers.missed()
        {
            self.step(number, &headers, output);
        }
        let mut complaint = self.step(number, packet.data, output);
        complaint |= self.step(number, &[], output);
        if complaint != 0 {
            complaint |= self.step(number, DELIMITER, output);
            complaint |= self.step(number, &[], output);
        }
        complaint
    }

    /// One call of the decoder, with a packet or with nothing; what it complains of.
    fn step(&mut self, number: u64, data: &[u8], output: &mut dyn Output) -> c_int {
        let (start, len) = match data.len() {
            0 => (std::ptr::null(), 0),
            len => (data.as_ptr(), len as c_int),
        };
        let complaint = self.call(number, output, |object, planes, info| {
            // SAFETY: see `call`; the data is read during the call only.
            unsafe { ((**object).decode_frame_2)(object, start, len, planes, info) }
        });
        complaint & !state::FRAME_PENDING
    }

    /// Gives out what waits for its turn.
    fn give_out_rest(&mut self, output: &mut dyn Output) {
        for _ in 0..ENOUGH {
            if self.remaining() == 0 {
                return;
            }
            self.call(0, output, |object, planes, info| {
                // SAFETY: see `call`.
                unsafe { ((**object).flush_frame)(object, planes, info) }
            });
        }
    }

    /// Pictures in the reordering buffer.
    fn remaining(&self) -> c_int {
        let mut count: c_int = 0;
        // SAFETY: the object lives as long as the process, and stores an int.
        unsafe {
            ((**self.object).get_option)(
                self.object,
                api::OPTION_FRAMES_REMAINING,
                (&raw mut count).cast(),
            )
        };
        count
    }

    /// Takes a new decoder object. One that was emptied and is used on remembers
    /// which picture it showed last, and what it has lost.
    fn renew(&mut self) {
        match create(&self.api, self.concealment) {
            Ok(object) => {
                // SAFETY: replaced at once, so this is its last use.
                unsafe { (self.api.WelsDestroyDecoder)(self.object) };
                self.object = object;
                self.headers.forget();
            }
            Err(text) => eprintln!("openh264: {text}; going on with the old decoder"),
        }
    }

    /// Makes a call that may return a picture: `call` passes the arguments on to
    /// one of the object's functions, whose structures outlive it.
    fn call(
        &mut self,
        number: u64,
        output: &mut dyn Output,
        call: impl FnOnce(*mut Object, *mut *mut c_uchar, *mut BufferInfo) -> c_int,
    ) -> c_int {
        let mut planes = [std::ptr::null_mut(); 3];
        let mut info = BufferInfo {
            status: 0,
            in_timestamp: number,
            out_timestamp: 0,
            width: 0,
            height: 0,
            format: 0,
            stride: [0; 2],
            planes,
        };
        let complaint = call(self.object, planes.as_mut_ptr(), &mut info);
        if complaint & !state::FRAME_PENDING != 0 {
            self.damage.notice(number);
        }
        if info.status == 1 && planes.iter().all(|plane| !plane.is_null()) {
            self.give_out(&info, planes, output);
        }
        complaint
    }

    /// Copies a picture into a slot.
    fn give_out(&mut self, info: &BufferInfo, planes: [*mut u8; 3], output: &mut dyn Output) {
        let foreign = Foreign {
            format: PixelFormat::I420,
            width: info.width as u32,
            height: info.height as u32,
            planes: std::array::from_fn(|plane| {
                planes
                    .get(plane)
                    .map_or(std::ptr::null(), |p| p.cast_const())
            }),
            stride: std::array::from_fn::<_, MAX_PLANES, _>(|plane| {
                info.stride[plane.min(1)] as usize
            }),
            colour: Colour::default(),
        };
        // SAFETY: the decoder's planes have the size that it told, and it leaves
        // them alone until it is called again.
        let Some((picture, lease)) = (unsafe { foreign.copy(&self.slots) }) else {
            return;
        };
        let number = info.out_timestamp;
        self.reorders |= self
            .last_out
            .is_some_and(|last| number != last.wrapping_add(1));
        self.last_out = Some(number);
        let mut flags = frame_flags::COPIED;
        if self.damage.is_damaged(number) {
            flags |= frame_flags::CORRUPT;
        }
        let frame = Frame {
            number,
            flags,
            picture,
        };
        output.picture(&frame, &lease);
    }
}

impl Decoder for OpenH264 {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn begin(&mut self, stream: &Stream<'_>) -> Result<(), DecodeError> {
        self.low_delay = stream.is_low_delay();
        self.reorders = false;
        Ok(())
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        let contents = Contents::of(packet.data, &mut self.headers);
        if packet.may_be_skipped() && contents.slices && !contents.reference {
            return Ok(Decoded::Nothing);
        }
        if contents.slices {
            if contents.idr && self.reorders && self.remaining() > 0 {
                self.give_out_rest(output);
                self.renew();
            }
            self.damage.begin(packet.number, contents.idr);
        }
        let complaint = self.feed(&packet, &contents, output);
        if complaint & state::OUT_OF_MEMORY != 0 {
            self.headers.forget();
        }
        if self.low_delay {
            self.give_out_rest(output);
        }
        if complaint == 0 {
            return Ok(Decoded::Picture);
        }
        let named = state::NAMES.iter().filter(|(bit, _)| complaint & bit != 0);
        Err(DecodeError {
            code: complaint,
            text: named.map(|(_, name)| *name).collect::<Vec<_>>().join(", "),
            fatal: complaint & state::INITIAL_OPT_EXPECTED != 0,
        })
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        self.give_out_rest(output);
        Ok(())
    }

    fn flush(&mut self) {
        self.renew();
        self.last_out = None;
        self.damage.clear();
    }
}
