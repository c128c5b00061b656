//! Clips to decode: parsed into packets, or made on the spot.

use crate::pipeline::{End, Playing};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Formats that iotdec has decoders for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Decoded by openh264.
    H264,
    /// Decoded by libde265.
    H265,
    /// Decoded by dav1d.
    Av1,
    /// Decoded by libvpx.
    Vp8,
    /// Decoded by libvpx.
    Vp9,
    /// MPEG-1 as well as MPEG-2; decoded by libmpeg2.
    Mpeg2,
    /// Also in motion; decoded by libjpeg-turbo.
    Jpeg,
}

impl Codec {
    /// Its parser.
    pub fn parser(self) -> &'static str {
        match self {
            Self::H264 => "h264parse",
            Self::H265 => "h265parse",
            Self::Av1 => "av1parse",
            // There is none, and nothing to parse.
            Self::Vp8 => "identity",
            Self::Vp9 => "vp9parse",
            Self::Mpeg2 => "mpegvideoparse",
            Self::Jpeg => "jpegparse",
        }
    }

    /// Its decoder element.
    pub fn decoder(self) -> &'static str {
        match self {
            Self::H264 => "iotdec_openh264",
            Self::H265 => "iotdec_de265",
            Self::Av1 => "iotdec_dav1d",
            Self::Vp8 => "iotdec_vp8",
            Self::Vp9 => "iotdec_vp9",
            Self::Mpeg2 => "iotdec_mpeg2",
            Self::Jpeg => "iotdec_turbojpeg",
        }
    }

    /// What the decoder takes.
    pub fn caps(self) -> &'static str {
        match self {
            Self::H264 => "video/x-h264,stream-format=byte-stream,alignment=au",
            Self::H265 => "video/x-h265,stream-format=byte-stream,alignment=au",
            Self::Av1 => "video/x-av1,stream-format=obu-stream,alignment=tu",
            Self::Vp8 => "video/x-vp8",
            Self::Vp9 => "video/x-vp9,alignment=super-frame",
            Self::Mpeg2 => "video/mpeg,mpegversion=[1,2],systemstream=false,parsed=true",
            Self::Jpeg => "image/jpeg,parsed=true",
        }
    }
}

/// The demuxer that a file needs before its parser, with the link.
pub fn demuxer(file: &Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()) {
        Some("webm" | "mkv") => "matroskademux ! ",
        // cros-codecs names IVF files by what is in them.
        Some("ivf" | "av1" | "vp8" | "vp9") => "ivfparse ! ",
        Some("mp4" | "mov") => "qtdemux ! ",
        Some("avi") => "avidemux ! ",
        Some("ts") => "tsdemux ! ",
        Some("mpg") => "mpegpsdemux ! ",
        _ => "",
    }
}

/// Whether a file is of a kind that GStreamer itself can take apart.
pub fn is_understood(file: &Path) -> bool {
    let suffix = file.extension().and_then(|e| e.to_str());
    !matches!(suffix, Some("dhav" | "hxvs"))
}

/// The packets of a file as GStreamer's parser cuts them.
pub fn packets(file: &Path, codec: Codec) -> Vec<Vec<u8>> {
    let middle = format!("{}{} ! {}", demuxer(file), codec.parser(), codec.caps());
    packets_behind(file, &middle)
}

/// What comes out of `middle`, in a pipeline behind a file.
pub fn packets_behind(file: &Path, middle: &str) -> Vec<Vec<u8>> {
    let (packets, end) = packets_until_end(file, middle);
    end.assert_eos();
    packets
}

/// The same, with how it ended.
pub fn packets_until_end(file: &Path, middle: &str) -> (Vec<Vec<u8>>, End) {
    let description = format!(
        "filesrc location=\"{}\" ! {middle} ! appsink name=sink sync=false",
        file.display(),
    );
    let mut playing = Playing::start(&description, Duration::from_secs(60));
    let mut packets = Vec::new();
    while let Some(sample) = playing.next_sample() {
        let buffer = sample.buffer().expect("samples have buffers");
        packets.push(buffer.map_readable().expect("packets can be read").to_vec());
    }
    (packets, playing.stop())
}

/// Writes packets the way the worker's command `bare` reads them.
pub fn write_packet_file(packets: &[Vec<u8>], file: &mut impl Write) -> std::io::Result<()> {
    write_flagged_packets(packets, 0, file)
}

/// The same; each packet with these bits of [`iotdec_wire::msg::packet_flags`].
pub fn write_flagged_packets(
    packets: &[Vec<u8>],
    flags: u32,
    file: &mut impl Write,
) -> std::io::Result<()> {
    for packet in packets {
        file.write_all(&(packet.len() as u32).to_le_bytes())?;
        file.write_all(&flags.to_le_bytes())?;
        file.write_all(packet)?;
    }
    Ok(())
}

/// Encodes a moving test picture, with a key frame every `distance` frames, into
/// a raw stream in `directory`.
pub fn encode(directory: &Path, codec: Codec, frames: u32, distance: u32) -> PathBuf {
    encode_sized(directory, codec, (320, 192), frames, distance)
}

/// The same in another size.
pub fn encode_sized(
    directory: &Path,
    codec: Codec,
    size: (u32, u32),
    frames: u32,
    distance: u32,
) -> PathBuf {
    encode_picture(directory, codec, "pattern=ball", size, frames, distance)
}

/// Encodes what videotestsrc makes with these `properties`, in this size.
pub fn encode_picture(
    directory: &Path,
    codec: Codec,
    properties: &str,
    (width, height): (u32, u32),
    frames: u32,
    distance: u32,
) -> PathBuf {
    let (encoder, suffix) = match codec {
        Codec::H264 => (
            format!("openh264enc gop-size={distance} complexity=low bitrate=256000"),
            "264",
        ),
        // Closed groups: where decoding starts at a key frame, all frames after it can
        // be shown, so they can be told by their number.
        Codec::H265 => (
            format!(
                "x265enc key-int-max={distance} speed-preset=ultrafast bitrate=256 \
                 option-string=open-gop=0"
            ),
            "265",
        ),
        Codec::Av1 => (
            format!(
                "av1enc usage-profile=realtime cpu-used=8 lag-in-frames=0 target-bitrate=256 \
                 keyframe-max-dist={distance}"
            ),
            "webm",
        ),
        Codec::Vp8 => (
            format!("vp8enc deadline=1 target-bitrate=256000 keyframe-max-dist={distance}"),
            "webm",
        ),
        // With hidden frames, in packets with shown ones.
        Codec::Vp9 => (
            format!(
                "vp9enc deadline=1 cpu-used=8 lag-in-frames=10 auto-alt-ref=true \
                 target-bitrate=256000 keyframe-max-dist={distance}"
            ),
            "webm",
        ),
        Codec::Mpeg2 => (
            format!(
                "mpeg2enc format=3 bitrate=500 b-per-refframe=2 min-gop-size={distance} \
                 max-gop-size={distance}"
            ),
            "m2v",
        ),
        Codec::Jpeg => ("jpegenc".to_owned(), "mjpeg"),
    };
    // Headers again before each key frame; or a container, which has times.
    let parser = match codec {
        Codec::H264 | Codec::H265 => {
            format!("{} config-interval=-1 ! {}", codec.parser(), codec.caps())
        }
        Codec::Av1 | Codec::Vp8 | Codec::Vp9 => format!("{} ! webmmux", codec.parser()),
        Codec::Mpeg2 | Codec::Jpeg => codec.parser().to_owned(),
    };
    let file = directory.join(format!(
        "made-{codec:?}-{width}x{height}-{frames}-{distance}.{suffix}"
    ));
    let description = format!(
        "videotestsrc num-buffers={frames} {properties} \
         ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
         ! {encoder} ! {parser} ! filesink location=\"{file}\"",
        file = file.display(),
    );
    let mut playing = Playing::start(&description, Duration::from_secs(60));
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}
