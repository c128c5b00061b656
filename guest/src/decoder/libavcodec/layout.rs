//! Where fields are in the library's structs.
//!
//! Their order changes from one major version to the next, and not all have an
//! accessor. So nothing about a version is assumed: each place is found by what the
//! loaded library itself puts there, and a library that does not is refused.
//!
//! * Fields with an AVOption are reached by that, and need no place.
//! * `get_buffer2`: a fresh context holds the address of the exported default.
//! * The heads of AVCodec, AVPacket, AVCodecParameters and AVFrame, which never
//!   changed: their values are checked.
//! * The rest of AVFrame: a tiny raw picture with known properties is decoded, and
//!   the places where they turn up are taken.

use super::api::{AGAIN, Api, AvFrame, AvPacket, Codec, Context, DATA_POINTERS, NO_TIME};
use std::ffi::{CStr, c_char, c_int};

/// A field of a struct of the library: its offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(usize);

impl Field {
    /// Reads the field.
    ///
    /// # Safety
    /// `object` is of the struct that this is a field of, of type `T`, and nobody
    /// writes to it meanwhile.
    pub unsafe fn read<T: Copy>(self, object: *const std::ffi::c_void) -> T {
        // SAFETY: inside the object by the caller's promise.
        unsafe { object.byte_add(self.0).cast::<T>().read_unaligned() }
    }

    /// Writes the field.
    ///
    /// # Safety
    /// As for `read`; nobody reads it meanwhile, and the library allows the value.
    pub unsafe fn write<T: Copy>(self, object: *mut std::ffi::c_void, value: T) {
        // SAFETY: inside the object by the caller's promise.
        unsafe { object.byte_add(self.0).cast::<T>().write_unaligned(value) }
    }

    /// The `index`th int from here on.
    pub fn at(self, index: usize) -> Self {
        Self(self.0 + index * size_of::<c_int>())
    }
}

/// `AVCodec.name`, `.type`, `.id`, `.capabilities`.
const CODEC_NAME: Field = Field(0);
const CODEC_TYPE: Field = Field(16);
const CODEC_ID: Field = Field(20);
const CODEC_CAPABILITIES: Field = Field(24);

/// `AVPacket.pts`, `.dts`, `.data`, `.size`, `.flags`.
pub const PACKET_PTS: Field = Field(8);
const PACKET_DTS: Field = Field(16);
pub const PACKET_DATA: Field = Field(24);
const PACKET_SIZE: Field = Field(32);
pub const PACKET_FLAGS: Field = Field(40);

/// `AVCodecParameters.codec_type`, `.codec_id`, `.extradata`, `.extradata_size`.
const PARAMETERS_TYPE: Field = Field(0);
const PARAMETERS_ID: Field = Field(4);
pub const PARAMETERS_EXTRADATA: Field = Field(16);
pub const PARAMETERS_EXTRADATA_SIZE: Field = Field(24);

/// `AVFrame.data`, `.linesize`, `.extended_data`, `.width`, `.height`, `.format`.
pub const FRAME_DATA: Field = Field(0);
pub const FRAME_LINESIZE: Field = Field(64);
pub const FRAME_EXTENDED_DATA: Field = Field(96);
pub const FRAME_WIDTH: Field = Field(104);
pub const FRAME_HEIGHT: Field = Field(108);
pub const FRAME_FORMAT: Field = Field(116);
/// Behind it the versions differ.
const FRAME_HEAD: usize = 120;

/// A bit somewhere in a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    field: Field,
    mask: c_int,
}

impl Bit {
    /// Whether it is set.
    ///
    /// # Safety
    /// As for [`Field::read`].
    pub unsafe fn is_set(self, object: *const std::ffi::c_void) -> bool {
        // SAFETY: by the caller's promise.
        unsafe { self.field.read::<c_int>(object) & self.mask != 0 }
    }
}

/// What differs from version to version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `AVCodecContext.get_buffer2`.
    pub get_buffer: Field,
    /// `AVFrame.buf`: so many pointers as `data`.
    pub buf: Field,
    /// `AVFrame.pts`.
    pub pts: Field,
    /// `AVFrame.sample_aspect_ratio`: two ints.
    pub aspect: Field,
    /// `AVFrame.color_range` and behind it `color_primaries`, `color_trc`,
    /// `colorspace`, `chroma_location`.
    pub colour: Field,
    /// `AVFrame.flags`.
    pub flags: Field,
    /// `AVFrame.decode_error_flags`.
    pub errors: Field,
    /// The picture is interlaced.
    pub interlaced: Bit,
    /// The upper field is the first.
    pub top_field_first: Bit,
}

/// Head of an `AVCodec`.
#[derive(Clone, Copy, Debug)]
pub struct CodecHead {
    pub id: c_int,
    pub capabilities: c_int,
}

/// Reads what a decoder says of itself.
pub fn codec_head(codec: *const Codec, name: &CStr) -> Result<CodecHead, String> {
    // SAFETY: a codec of the library is longer than its head, and constant.
    let (own, kind, id, capabilities) = unsafe {
        (
            CODEC_NAME.read::<*const c_char>(codec),
            CODEC_TYPE.read::<c_int>(codec),
            CODEC_ID.read::<c_int>(codec),
            CODEC_CAPABILITIES.read::<c_int>(codec),
        )
    };
    // SAFETY: were it not the name, the library would be of a kind that never was.
    let is_name = !own.is_null() && unsafe { CStr::from_ptr(own) } == name;
    (is_name && kind == 0 && id > 0)
        .then_some(CodecHead { id, capabilities })
        .ok_or_else(|| unknown("AVCodec"))
}

fn unknown(what: &str) -> String {
    format!("its {what} is of a layout that could not be made out")
}

/// The properties that the sample picture is given. Each is one of a kind.
const SIZE: (c_int, c_int) = (22, 6);
const TIME: i64 = 0x1234_5678_9abc;
const ASPECT: [c_int; 2] = [12_289, 12_301];
/// Full range, BT.2020 primaries, PQ, BT.2020 matrix, top left.
const COLOUR: [c_int; 5] = [2, 9, 16, 9, 3];
const COLOUR_OPTIONS: [&CStr; 5] = [
    c"color_range",
    c"color_primaries",
    c"color_trc",
    c"colorspace",
    c"chroma_sample_location",
];
/// `field_order`: progressive, bottom field first, top field first.
const FIELD_ORDERS: [i64; 3] = [1, 3, 2];

impl Layout {
    /// Makes out the layout of the loaded library's structs.
    pub fn discover(api: &Api) -> Result<Self, String> {
        check_packet(api)?;
        let get_buffer = find_get_buffer(api).ok_or_else(|| unknown("AVCodecContext"))?;
        let sample = Sample::new(api)?;
        sample.check_parameters()?;
        let progressive = sample.decode(FIELD_ORDERS[0], false)?;
        let bottom = sample.decode(FIELD_ORDERS[1], false)?;
        let top = sample.decode(FIELD_ORDERS[2], false)?;
        let described = sample.decode(FIELD_ORDERS[0], true)?;
        let buf = find_buf(api).ok_or_else(|| unknown("AVFrame.buf"))?;
        let place = |bytes: &[u8], what: &str| {
            only_place(&progressive[FRAME_HEAD..], bytes)
                .map(|place| Field(FRAME_HEAD + place))
                .ok_or_else(|| unknown(what))
        };
        let pts =
            time_of_display(&progressive, &described).ok_or_else(|| unknown("AVFrame.pts"))?;
        let aspect = place(bytes_of(&ASPECT), "AVFrame.sample_aspect_ratio")?;
        let colour = place(bytes_of(&COLOUR), "AVFrame.color_range")?;
        let metadata = changed_pointer(&progressive, &described, buf)
            .ok_or_else(|| unknown("AVFrame.metadata"))?;
        let bit =
            |from: &[u8], to: &[u8], what: &str| changed_bit(from, to).ok_or_else(|| unknown(what));
        let layout = Self {
            get_buffer,
            buf,
            pts,
            aspect,
            colour,
            // Their neighbours since they exist; a whole picture has none set that
            // would tell of damage.
            flags: Field(colour.0 - 4),
            errors: metadata.at(2),
            interlaced: bit(&progressive, &bottom, "AVFrame.interlaced")?,
            top_field_first: bit(&bottom, &top, "AVFrame.top_field_first")?,
        };
        let word = |field: Field| {
            let bytes = progressive[field.0..][..4].try_into().expect("4 bytes");
            c_int::from_ne_bytes(bytes)
        };
        if word(layout.flags) & super::api::FRAME_CORRUPT != 0 || word(layout.errors) != 0 {
            return Err(unknown("AVFrame.flags"));
        }
        Ok(layout)
    }
}

fn bytes_of<const N: usize>(words: &[c_int; N]) -> &[u8] {
    bytemuck::cast_slice(words)
}

/// Where `bytes` are, if that is just one place; at a multiple of 4.
fn only_place(memory: &[u8], bytes: &[u8]) -> Option<usize> {
    let mut places = (0..memory.len().saturating_sub(bytes.len() - 1))
        .step_by(4)
        .filter(|at| memory[*at..].starts_with(bytes));
    places.next().filter(|_| places.next().is_none())
}

/// Where `TIME` is in the first frame, whose packet had it as its time of display, but
/// not in the second, whose packet had it as its time of decoding: there are places
/// for either, and one for the library's guess.
fn time_of_display(displayed: &[u8], decoded: &[u8]) -> Option<Field> {
    let time = TIME.to_ne_bytes();
    let mut places = (FRAME_HEAD..displayed.len().min(decoded.len()) - 7)
        .step_by(8)
        .filter(|at| displayed[*at..].starts_with(&time) && !decoded[*at..].starts_with(&time));
    places.next().filter(|_| places.next().is_none()).map(Field)
}

/// The 8-byte word behind the head that is zero in one frame and not in the other.
fn changed_pointer(without: &[u8], with: &[u8], buf: Field) -> Option<Field> {
    let skipped = buf.0..buf.0 + DATA_POINTERS * 8;
    let mut places = (FRAME_HEAD..without.len().min(with.len()) - 7)
        .step_by(8)
        .filter(|at| !skipped.contains(at))
        .filter(|at| without[*at..][..8] == [0; 8] && with[*at..][..8] != [0; 8]);
    places.next().filter(|_| places.next().is_none()).map(Field)
}

/// The one bit behind the head by which two frames differ; not of a pointer, which is
/// a large number.
fn changed_bit(from: &[u8], to: &[u8]) -> Option<Bit> {
    let word = |frame: &[u8], at: usize| {
        c_int::from_ne_bytes(frame[at..][..4].try_into().expect("4 bytes"))
    };
    let mut bits = (FRAME_HEAD..from.len().min(to.len()) - 3)
        .step_by(4)
        .filter_map(|at| {
            let (from, to) = (word(from, at), word(to, at));
            let mask = from ^ to;
            let is_small = (from | to) >> 16 == 0;
            let field = Field(at);
            (mask.count_ones() == 1 && is_small).then_some(Bit { field, mask })
        });
    bits.next().filter(|_| bits.next().is_none())
}

/// A block of the library's allocator, as far as it goes.
///
/// # Safety
/// `start` was allocated with malloc or its like, and nobody writes to it meanwhile.
unsafe fn block<'a>(start: *const std::ffi::c_void) -> &'a [u8] {
    // SAFETY: by the caller's promise; the allocator's size is readable.
    unsafe {
        let len = libc::malloc_usable_size(start.cast_mut());
        std::slice::from_raw_parts(start.cast(), len)
    }
}

/// Packets are as expected: fresh ones without times, filled ones of their size.
fn check_packet(api: &Api) -> Result<(), String> {
    const LEN: c_int = 4711;
    // SAFETY: a fresh packet is longer than its head, which the library fills. It is
    // not freed: once a worker.
    let (is_fresh, is_filled) = unsafe {
        let packet = (api.av_packet_alloc)();
        if packet.is_null() {
            return Err("av_packet_alloc failed".to_owned());
        }
        let is_fresh = [PACKET_PTS, PACKET_DTS].map(|f| f.read::<i64>(packet)) == [NO_TIME; 2];
        let error = (api.av_new_packet)(packet, LEN);
        let is_filled = error == 0
            && PACKET_SIZE.read::<c_int>(packet) == LEN
            && !PACKET_DATA.read::<*mut u8>(packet).is_null()
            && PACKET_FLAGS.read::<c_int>(packet) == 0;
        (is_fresh, is_filled)
    };
    (is_fresh && is_filled)
        .then_some(())
        .ok_or_else(|| unknown("AVPacket"))
}

/// A fresh context holds the address of the function that decodes into memory of the
/// library's own.
fn find_get_buffer(api: &Api) -> Option<Field> {
    // SAFETY: any codec or none; the fresh context is a block of the allocator.
    let context = unsafe {
        let mut context = (api.avcodec_alloc_context3)(std::ptr::null());
        if context.is_null() {
            return None;
        }
        let found = only_place(
            block(context),
            &(api.avcodec_default_get_buffer2 as usize).to_ne_bytes(),
        );
        (api.avcodec_free_context)(&mut context);
        found
    };
    context.map(Field)
}

/// A frame with memory of its own has one reference to it, and the library tells which.
fn find_buf(api: &Api) -> Option<Field> {
    // SAFETY: a fresh frame with size and format set may be given memory; it is a
    // block of the allocator. The few bytes are not freed: once a worker.
    unsafe {
        let frame = (api.av_frame_alloc)();
        if frame.is_null() {
            return None;
        }
        FRAME_WIDTH.write(frame, SIZE.0);
        FRAME_HEIGHT.write(frame, SIZE.1);
        // AV_PIX_FMT_YUV420P, which is 0 since there are pixel formats.
        FRAME_FORMAT.write(frame, 0);
        if (api.av_frame_get_buffer)(frame, 0) != 0 {
            return None;
        }
        let mut references = [0; DATA_POINTERS];
        references[0] = (api.av_frame_get_plane_buffer)(frame, 0).addr();
        only_place(block(frame), bytemuck::cast_slice(&references)).map(Field)
    }
}

/// Decodes a tiny raw picture again and again.
struct Sample<'a> {
    api: &'a Api,
    id: c_int,
    context: *mut Context,
}

impl<'a> Sample<'a> {
    fn new(api: &'a Api) -> Result<Self, String> {
        let name = c"rawvideo";
        // SAFETY: a C string.
        let codec = unsafe { (api.avcodec_find_decoder_by_name)(name.as_ptr()) };
        if codec.is_null() {
            return Err("it has no decoder rawvideo, to make out the layout with".to_owned());
        }
        let id = codec_head(codec, name)?.id;
        // SAFETY: a codec of the library.
        let context = unsafe { (api.avcodec_alloc_context3)(codec) };
        if context.is_null() {
            return Err("avcodec_alloc_context3 failed".to_owned());
        }
        let sample = Self { api, id, context };
        sample.set(c"video_size", &format!("{}x{}", SIZE.0, SIZE.1))?;
        sample.set(c"aspect", &format!("{}/{}", ASPECT[0], ASPECT[1]))?;
        sample.set(c"pixel_format", "gray")?;
        for (name, value) in COLOUR_OPTIONS.iter().zip(COLOUR) {
            sample.set_number(name, value.into())?;
        }
        // SAFETY: a fresh context of this codec.
        match unsafe { (api.avcodec_open2)(context, codec, std::ptr::null_mut()) } {
            0 => Ok(sample),
            error => Err(format!("its decoder rawvideo does not open: {error}")),
        }
    }

    fn set(&self, name: &CStr, value: &str) -> Result<(), String> {
        super::context::set(self.api, self.context, name, value)
    }

    fn set_number(&self, name: &CStr, value: i64) -> Result<(), String> {
        super::context::set_number(self.api, self.context, name, value)
    }

    /// Parameters have the head that is expected: the codec, and no extradata.
    fn check_parameters(&self) -> Result<(), String> {
        let api = self.api;
        // SAFETY: fresh parameters are longer than their head; filled from an open
        // context.
        let is_known = unsafe {
            let mut parameters = (api.avcodec_parameters_alloc)();
            if parameters.is_null() {
                return Err("avcodec_parameters_alloc failed".to_owned());
            }
            let error = (api.avcodec_parameters_from_context)(parameters, self.context);
            let is_known = error == 0
                && PARAMETERS_TYPE.read::<c_int>(parameters) == 0
                && PARAMETERS_ID.read::<c_int>(parameters) == self.id
                && PARAMETERS_EXTRADATA.read::<*mut u8>(parameters).is_null()
                && PARAMETERS_EXTRADATA_SIZE.read::<c_int>(parameters) == 0;
            (api.avcodec_parameters_free)(&mut parameters);
            is_known
        };
        is_known
            .then_some(())
            .ok_or_else(|| unknown("AVCodecParameters"))
    }

    /// The bytes of a frame decoded with this field order; of another kind of packet,
    /// which has metadata, and the time as its time of decoding.
    fn decode(&self, field_order: i64, described: bool) -> Result<Vec<u8>, String> {
        self.set_number(c"field_order", field_order)?;
        let api = self.api;
        let len = SIZE.0 * SIZE.1;
        // SAFETY: fresh objects of the library, used as its headers say, at places that
        // were checked. They are not freed: four small ones once a worker.
        unsafe {
            let (packet, frame) = ((api.av_packet_alloc)(), (api.av_frame_alloc)());
            if packet.is_null() || frame.is_null() || (api.av_new_packet)(packet, len) != 0 {
                return Err("no memory for a packet".to_owned());
            }
            PACKET_DATA
                .read::<*mut u8>(packet)
                .write_bytes(0, len as usize);
            if described {
                PACKET_DTS.write(packet, TIME);
                self.describe(packet)?;
            } else {
                PACKET_PTS.write(packet, TIME);
            }
            let sent = (api.avcodec_send_packet)(self.context, packet);
            let received = match (api.avcodec_receive_frame)(self.context, frame) {
                AGAIN => return Err("its decoder rawvideo gives no picture".to_owned()),
                received => received,
            };
            if sent != 0 || received != 0 {
                return Err(format!("its decoder rawvideo fails: {sent}, {received}"));
            }
            self.check_frame(frame)?;
            Ok(block(frame).to_vec())
        }
    }

    /// Gives a packet metadata, which the frame will have.
    ///
    /// # Safety
    /// `packet` is a packet.
    unsafe fn describe(&self, packet: *mut AvPacket) -> Result<(), String> {
        const METADATA: &[u8] = b"key\0value\0";
        let kind = kind_of(c"Strings Metadata", self.api.av_packet_side_data_name)
            .ok_or_else(|| unknown("AVPacketSideData"))?;
        // SAFETY: by the caller's promise; the new side data is as long as asked for.
        unsafe {
            let data = (self.api.av_packet_new_side_data)(packet, kind, METADATA.len());
            if data.is_null() {
                return Err("no memory for side data".to_owned());
            }
            data.copy_from_nonoverlapping(METADATA.as_ptr(), METADATA.len());
        }
        Ok(())
    }

    /// The frame's head is as expected.
    ///
    /// # Safety
    /// `frame` was decoded from a sample packet.
    unsafe fn check_frame(&self, frame: *const AvFrame) -> Result<(), String> {
        // SAFETY: a frame is longer than its head.
        let is_known = unsafe {
            let format = (self.api.av_get_pix_fmt_name)(FRAME_FORMAT.read(frame));
            FRAME_WIDTH.read::<c_int>(frame) == SIZE.0
                && FRAME_HEIGHT.read::<c_int>(frame) == SIZE.1
                && FRAME_LINESIZE.read::<c_int>(frame) == SIZE.0
                && !FRAME_DATA.read::<*const u8>(frame).is_null()
                && FRAME_EXTENDED_DATA.read::<*const AvFrame>(frame) == frame
                && !format.is_null()
                && CStr::from_ptr(format) == c"gray"
        };
        is_known.then_some(()).ok_or_else(|| unknown("AVFrame"))
    }
}

impl Drop for Sample<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { (self.api.avcodec_free_context)(&mut self.context) };
    }
}

/// The number of a kind of side data, by its name: numbers change, names do not.
pub fn kind_of(
    name: &CStr,
    name_of: unsafe extern "C" fn(c_int) -> *const c_char,
) -> Option<c_int> {
    /// More kinds than there are.
    const MOST: c_int = 128;
    (0..MOST).find(|kind| {
        // SAFETY: takes any number, returns a static string or null.
        let known = unsafe { name_of(*kind) };
        // SAFETY: not null, so a C string.
        !known.is_null() && unsafe { CStr::from_ptr(known) } == name
    })
}
