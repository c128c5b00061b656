//! libopenh264, an H.264 decoder: it keeps its pictures, so each is copied once,
//! into a slot, as large as it is shown.
//!
//! Facts from the headers of 2.3.1 and from how that version behaves:
//! * `DecodeFrameNoDelay` is `DecodeFrame2` with the packet and once more with
//!   nothing, which completes the picture; but it returns only the second call's
//!   picture. Called apart, neither is lost.
//! * Pictures of all but baseline profiles pass a reordering buffer, and each decoded
//!   picture pushes out at most one: a picture late at least. Emptying the buffer
//!   before an IDR picture looks safe but disturbs the order of what follows.
//! * `FlushFrame` works only after a call with nothing.

mod api;

use super::damage::Damage;
use super::{
    Adapter, DecodeError, Decoder, Frame, OpenError, Opened, Options, Output, Packet, copy_planes,
};
use crate::annexb::nal_units;
use crate::library::Library;
use crate::slots::SlotPool;
use api::{Api, BufferInfo, DecodingParam, Object, Version, state};
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, PictureRecord, PixelFormat, Rect, arrange};
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
/// The oldest version whose decoder has a table of the known shape.
const OLDEST: u32 = 2;

/// The decoder object. Never destroyed: the worker decodes one stream, and exits.
struct OpenH264 {
    object: *mut Object,
    version: String,
    slots: Arc<dyn SlotPool>,
    damage: Damage,
}

fn open(library: &Library, slots: Arc<dyn SlotPool>, options: &Options) -> Opened {
    options.only(&["concealment"])?;
    let concealment = options.number("concealment", CONCEALMENT)?;
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
    let mut object = std::ptr::null_mut();
    // SAFETY: stores the object's address.
    let error = unsafe { (api.WelsCreateDecoder)(&mut object) };
    if error != 0 || object.is_null() {
        return Err(OpenError::decoder(format!("WelsCreateDecoder: {error}")));
    }
    let param = DecodingParam {
        reconstructed_file: std::ptr::null_mut(),
        cpu_load: 0,
        target_layer: c_uchar::MAX,
        error_concealment: concealment as c_int,
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
    if error != 0 {
        return Err(OpenError::decoder(format!("Initialize: {error}")));
    }
    Ok(Box::new(OpenH264 {
        object,
        version,
        slots,
        damage: Damage::default(),
    }))
}

impl OpenH264 {
    /// One call of the decoder, with a packet or with nothing; what it complains of.
    fn step(&mut self, number: u64, data: &[u8], output: &mut dyn Output) -> c_int {
        let (start, len) = match data.len() {
            0 => (std::ptr::null(), 0),
            len => (data.as_ptr(), len as c_int),
        };
        let complaint = self.call(number, Some(output), |object, planes, info| {
            // SAFETY: see `call`; the data is read during the call only.
            unsafe { ((**object).decode_frame_2)(object, start, len, planes, info) }
        });
        complaint & !state::FRAME_PENDING
    }

    /// Gives out what waits for its turn, or throws it away.
    fn empty(&mut self, mut output: Option<&mut dyn Output>) {
        for _ in 0..ENOUGH {
            if self.remaining() == 0 {
                return;
            }
            let output = output
                .as_mut()
                .map(|output| &mut **output as &mut dyn Output);
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

    /// Makes a call that may return a picture: `call` passes the arguments on to
    /// one of the object's functions, whose structures outlive it.
    fn call(
        &mut self,
        number: u64,
        output: Option<&mut dyn Output>,
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
        let is_whole = info.status == 1 && planes.iter().all(|plane| !plane.is_null());
        if let Some(output) = output.filter(|_| is_whole) {
            self.give_out(&info, planes.map(|plane| plane.cast_const()), output);
        }
        complaint
    }

    /// Copies a picture into a slot.
    fn give_out(&mut self, info: &BufferInfo, planes: [*const u8; 3], output: &mut dyn Output) {
        let format = PixelFormat::I420;
        let (width, height) = (info.width as u32, info.height as u32);
        // Chroma rows are half of luma rows, aligned for SIMD.
        let (offset, stride, size) = arrange(format, width.next_multiple_of(32), height, 16);
        let Some(mut lease) = self.slots.clone().acquire(size.into(), 1) else {
            return;
        };
        let number = info.out_timestamp;
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
            colour: Colour::default(),
        };
        let steps = [info.stride[0], info.stride[1], info.stride[1]].map(|step| step as usize);
        // SAFETY: the decoder's planes have the size that it told, and it leaves
        // them alone until it is called again.
        unsafe { copy_planes(&picture, format, planes, steps, lease.bytes_mut()) };
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

/// Whether an access unit has an IDR slice (H.264, 7.4.1: type 5), or any slice.
fn slices(data: &[u8]) -> (bool, bool) {
    let kinds = nal_units(data).map(|nal| nal[0] & 31);
    let first = kinds.into_iter().find(|kind| matches!(kind, 1..=5));
    (first == Some(5), first.is_some())
}

impl Decoder for OpenH264 {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn decode(&mut self, packet: Packet<'_>, output: &mut dyn Output) -> Result<(), DecodeError> {
        let (is_idr, has_slices) = slices(packet.data);
        if has_slices {
            self.damage.begin(packet.number, is_idr);
        }
        let mut complaint = self.step(packet.number, packet.data, output);
        complaint |= self.step(packet.number, &[], output);
        if complaint == 0 {
            return Ok(());
        }
        let named = state::NAMES.iter().filter(|(bit, _)| complaint & bit != 0);
        Err(DecodeError {
            code: complaint,
            text: named.map(|(_, name)| *name).collect::<Vec<_>>().join(", "),
            fatal: complaint & state::INITIAL_OPT_EXPECTED != 0,
        })
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        self.empty(Some(output));
        Ok(())
    }

    fn flush(&mut self) {
        // Parameter sets stay, so that decoding can start at any IDR picture.
        self.empty(None);
        self.damage.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::slices;

    #[test]
    fn idr_pictures_are_told_from_others() {
        assert_eq!(slices(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 9]), (true, true));
        assert_eq!(slices(&[0, 0, 1, 0x09, 1, 0, 0, 1, 0x41, 9]), (false, true));
        assert_eq!(
            slices(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 9]),
            (false, false)
        );
    }
}
