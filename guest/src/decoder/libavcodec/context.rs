//! Making a decoder context for a stream.

use super::api::{Api, CAP_DELAY, CAP_DR1, Codec, Context, INPUT_PADDING};
use super::layout::{self, CodecHead, Layout};
use super::memory;
use crate::decoder::Stream;
use iotdec_wire::msg::StreamHead;
use std::ffi::{CStr, CString, c_char, c_int};

/// The inverse transform of decoders that have a choice. The library's own choice on
/// aarch64, in NEON, now and then rounds otherwise than all its others, and is no
/// faster under emulation (measured).
const IDCT: &str = "simple";

/// What every context of the decoder is made with.
#[derive(Debug)]
pub struct Recipe {
    codec: *const Codec,
    head: CodecHead,
    /// It guesses how far pictures are reordered, and throws away what comes too late
    /// for the guess, unless it is told to be strict.
    guesses_order: bool,
    pub threads: u32,
    /// As the host told last.
    stream: StreamHead,
    codec_data: Vec<u8>,
    low_delay: bool,
}

impl Recipe {
    /// For a decoder by its name.
    pub fn new(api: &Api, name: &str, threads: u32) -> Result<Self, String> {
        let name = CString::new(name).map_err(|_| "name with a zero byte".to_owned())?;
        // SAFETY: a C string.
        let codec = unsafe { (api.avcodec_find_decoder_by_name)(name.as_ptr()) };
        if codec.is_null() {
            return Err(format!("it has no decoder {}", name.to_string_lossy()));
        }
        Ok(Self {
            codec,
            head: layout::codec_head(codec, &name)?,
            guesses_order: name.as_bytes() == b"h264",
            threads,
            stream: StreamHead::default(),
            codec_data: Vec::new(),
            low_delay: false,
        })
    }

    /// Takes over what is known of a stream.
    pub fn describe(&mut self, stream: &Stream<'_>) {
        self.stream = stream.head;
        self.codec_data = stream.codec_data.to_vec();
        self.low_delay = stream.is_low_delay();
    }

    /// Pictures may come later than their packets.
    pub fn delays(&self) -> bool {
        self.head.capabilities & CAP_DELAY != 0
    }

    /// Whether a packet whose pictures were not begun by the time that it is decoded
    /// has none.
    pub fn is_prompt(&self) -> bool {
        self.threads == 1 || self.low_delay
    }

    /// A context that is ready to decode, beginning with this packet.
    pub fn open(&self, api: &Api, layout: &Layout, first: &[u8]) -> Result<*mut Context, String> {
        // Xvid's encoder has a transform of its own, and tells its name in the headers.
        let is_xvid = [&self.codec_data, first]
            .iter()
            .any(|data| data.windows(4).any(|word| word == b"XviD"));
        // SAFETY: a codec of the library.
        let mut context = unsafe { (api.avcodec_alloc_context3)(self.codec) };
        if context.is_null() {
            return Err("avcodec_alloc_context3 failed".to_owned());
        }
        let opened = self.prepare(api, layout, context, is_xvid).and_then(|()| {
            // SAFETY: a fresh context of this codec.
            match unsafe { (api.avcodec_open2)(context, self.codec, std::ptr::null_mut()) } {
                error if error < 0 => Err(format!("it does not open: {}", text_of(api, error))),
                _ => Ok(()),
            }
        });
        if let Err(text) = opened {
            // SAFETY: ours, and not used again.
            unsafe { (api.avcodec_free_context)(&mut context) };
            return Err(text);
        }
        Ok(context)
    }

    fn prepare(
        &self,
        api: &Api,
        layout: &Layout,
        context: *mut Context,
        is_xvid: bool,
    ) -> Result<(), String> {
        let StreamHead {
            width,
            height,
            depth,
            fourcc,
            ..
        } = self.stream;
        let set = |name, value: &str| set(api, context, name, value);
        let set_number = |name, value: u32| set_number(api, context, name, value.into());
        // Damaged pictures are shown and marked; the visible part is exact, whatever
        // that does to the alignment of its first sample; and no rounding is done more
        // cheaply on one machine than on another.
        set(c"flags", "+output_corrupt+unaligned+bitexact")?;
        set(c"idct", if is_xvid { "xvid" } else { IDCT })?;
        set_number(c"threads", self.threads)?;
        if self.low_delay {
            set(c"flags", "+low_delay")?;
            set(c"thread_type", "slice")?;
        } else if self.guesses_order {
            set(c"strict", "strict")?;
        }
        if width > 0 && height > 0 {
            set(c"video_size", &format!("{width}x{height}"))?;
        }
        if depth > 0 {
            set_number(c"bits_per_coded_sample", depth)?;
        }
        if fourcc > 0 {
            set_number(c"codec_tag", fourcc)?;
        }
        if !self.codec_data.is_empty() {
            self.set_extradata(api, context)?;
        }
        if self.head.capabilities & CAP_DR1 != 0 {
            // SAFETY: the place of this function pointer, in a fresh context.
            unsafe { layout.get_buffer.write(context, memory::HOOK) };
        }
        Ok(())
    }

    /// Extradata has no option: it goes by way of AVCodecParameters, which hold all
    /// that was set so far.
    fn set_extradata(&self, api: &Api, context: *mut Context) -> Result<(), String> {
        let data = &self.codec_data;
        // SAFETY: fresh parameters, filled from the context; their head was checked.
        // The extradata is allocated as the library asks, and theirs from then on.
        unsafe {
            let mut parameters = (api.avcodec_parameters_alloc)();
            let copy = (api.av_mallocz)(data.len() + INPUT_PADDING).cast::<u8>();
            if parameters.is_null() || copy.is_null() {
                return Err("no memory for extradata".to_owned());
            }
            copy.copy_from_nonoverlapping(data.as_ptr(), data.len());
            let mut error = (api.avcodec_parameters_from_context)(parameters, context);
            layout::PARAMETERS_EXTRADATA.write(parameters, copy);
            layout::PARAMETERS_EXTRADATA_SIZE.write(parameters, data.len() as c_int);
            if error >= 0 {
                error = (api.avcodec_parameters_to_context)(context, parameters);
            }
            (api.avcodec_parameters_free)(&mut parameters);
            if error < 0 {
                return Err(format!("extradata: {}", text_of(api, error)));
            }
        }
        Ok(())
    }
}

/// Sets an option of a context, from text.
pub fn set(api: &Api, context: *mut Context, name: &CStr, value: &str) -> Result<(), String> {
    let text = CString::new(value).map_err(|_| "value with a zero byte".to_owned())?;
    // SAFETY: a context of the library, and C strings.
    let error = unsafe { (api.av_opt_set)(context, name.as_ptr(), text.as_ptr(), 0) };
    told(api, name, value, error)
}

/// Sets an option of a context, from a number.
pub fn set_number(api: &Api, context: *mut Context, name: &CStr, value: i64) -> Result<(), String> {
    // SAFETY: a context of the library, and a C string.
    let error = unsafe { (api.av_opt_set_int)(context, name.as_ptr(), value, 0) };
    told(api, name, value, error)
}

/// The number of an option of a context.
pub fn number(api: &Api, context: *mut Context, name: &CStr) -> Option<i64> {
    let mut value = 0;
    // SAFETY: a context of the library, a C string, and a place for the number.
    let error = unsafe { (api.av_opt_get_int)(context, name.as_ptr(), 0, &mut value) };
    (error >= 0).then_some(value)
}

fn told(api: &Api, name: &CStr, value: impl std::fmt::Display, error: c_int) -> Result<(), String> {
    if error >= 0 {
        return Ok(());
    }
    let name = name.to_string_lossy();
    Err(format!("option {name}={value}: {}", text_of(api, error)))
}

/// What the library calls an error.
pub fn text_of(api: &Api, error: c_int) -> String {
    let mut text = [0 as c_char; 128];
    // SAFETY: a buffer of that size; the text ends with a zero.
    unsafe {
        (api.av_strerror)(error, text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr())
    }
    .to_string_lossy()
    .into_owned()
}
