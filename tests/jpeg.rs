//! JPEG and Motion JPEG: what encoders and cameras write, against jpegdec, which is
//! the same library natively.

use gst_video::VideoFormat;
use iotdec_tests::clips::{self, Codec, demuxer};
use iotdec_tests::environment::{variable_or_advice, vectors};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Decoded, Playing, count, decode};
use iotdec_tests::{exclusive, native};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: usize = 5;

/// Encodes moving pictures: `source` are their caps, `encode` the elements from the
/// encoder to the container.
fn make(directory: &Path, name: &str, source: &str, encode: &str) -> PathBuf {
    let file = directory.join(name);
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=smpte ! video/x-raw,{source},framerate=25/1 \
         ! {encode} ! filesink location=\"{}\"",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

/// Plays a file through the bin, without a complaint.
#[track_caller]
fn play(file: &Path) -> Decoded {
    let decoded = decode(file, "iotdec name=decoder decoder=turbojpeg", LIMIT);
    decoded.end.assert_eos();
    let stats = decoded.stats.as_ref().expect("a decoder was chosen");
    assert_eq!(count(stats, "frames-corrupt"), 0);
    assert_eq!(count(stats, "decode-errors"), 0);
    assert_eq!(count(stats, "frames-copied-by-guest"), 0, "not into slots");
    decoded
}

fn planes(frames: &[Frame]) -> Vec<&[String]> {
    frames.iter().map(|frame| &frame.planes[..]).collect()
}

#[test]
fn vectors_equal_the_native_element() {
    let _turn = exclusive();
    let Some(folder) = vectors("Motion JPEG of cameras and ffmpeg") else {
        return;
    };
    for (name, count) in [
        ("gen/mjpeg_720p.mjpeg", 25),
        ("libvpl/cars_320x240.mjpeg", 30),
    ] {
        let file = folder.join(name);
        let ours = play(&file);
        let theirs = decode(&file, "jpegparse ! jpegdec idct-method=islow", LIMIT);
        assert_eq!(ours.frames.len(), count, "{name}");
        assert_eq!(planes(&ours.frames), planes(&theirs.frames), "{name}");
    }
}

#[test]
fn containers() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, muxer) in [
        ("a.avi", "avimux"),
        ("a.mov", "qtmux"),
        ("a.mkv", "matroskamux"),
    ] {
        let source = "format=I420,width=320,height=240";
        let file = make(
            directory.path(),
            name,
            source,
            &format!("jpegenc ! {muxer}"),
        );
        let ours = play(&file);
        assert_eq!(ours.frames.len(), FRAMES, "{name}");
        let native = format!("{} jpegdec idct-method=islow", demuxer(&file));
        let theirs = decode(&file, &native, LIMIT);
        assert_eq!(planes(&ours.frames), planes(&theirs.frames), "{name}");
        let times: Vec<_> = ours.frames.iter().map(|frame| frame.pts).collect();
        assert!(
            times.is_sorted() && times[0] < times[FRAMES - 1],
            "{times:?}"
        );
    }
}

/// Every sampling that GStreamer's encoder makes, in sizes that are no whole blocks.
#[test]
fn samplings() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, format) in [
        ("I420", VideoFormat::I420),
        ("Y42B", VideoFormat::Y42b),
        ("Y444", VideoFormat::Y444),
        ("Y41B", VideoFormat::Y41b),
        ("GRAY8", VideoFormat::Gray8),
    ] {
        let source = format!("format={name},width=330,height=251");
        let file = make(directory.path(), "a.mjpeg", &source, "jpegenc");
        let decoded = play(&file);
        native::assert_equal(&file, Codec::Jpeg, &decoded.frames);
        assert_eq!(decoded.frames.len(), FRAMES, "{name}");
        for frame in &decoded.frames {
            assert_eq!(frame.format, format);
            assert_eq!((frame.width, frame.height), (330, 251));
        }
    }
}

/// The colour of a still picture's first sample, as 8-bit RGB, by way of `decoder`.
fn first_pixel(file: &Path, decoder: &str) -> [u8; 3] {
    let description = format!(
        "filesrc location=\"{}\" ! {decoder} ! videoconvert ! video/x-raw,format=RGB \
         ! appsink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let sample = playing.next_sample().expect("a picture");
    playing.stop();
    let buffer = sample.buffer().expect("samples have buffers");
    let map = buffer.map_readable().expect("it can be read");
    map[..3].try_into().expect("three bytes")
}

/// Samplings and colours that only programs for stills write: 4:4:0, whose chroma is
/// subsampled downwards alone, and ink.
#[test]
fn stills_of_other_programs() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, options) in [
        ("440.jpg", &["-sampling-factor", "1x2"][..]),
        ("cmyk.jpg", &["-colorspace", "CMYK"]),
        ("progressive.jpg", &["-interlace", "JPEG"]),
    ] {
        let file = directory.path().join(name);
        let status = Command::new("convert")
            .args(["-size", "75x41", "xc:rgb(200,80,40)", "-quality", "95"])
            .args(options)
            .arg(&file)
            .status()
            .expect("ImageMagick is there: setup/packages.txt");
        assert!(status.success(), "convert: {status}");
        let pixel = first_pixel(&file, "iotdec decoder=turbojpeg");
        let close = |(is, should): (&u8, u8)| is.abs_diff(should) < 8;
        assert!(
            pixel.iter().zip([200, 80, 40]).all(close),
            "{name}: {pixel:?}"
        );
    }
}

/// The segments of an image before its data, each with its marker.
fn segments(image: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
    let (mut segments, mut at) = (Vec::new(), 2);
    loop {
        let len = usize::from(u16::from_be_bytes([image[at + 2], image[at + 3]]));
        segments.push((image[at + 1], at..at + 2 + len));
        if image[at + 1] == 0xda {
            return segments;
        }
        at += 2 + len;
    }
}

/// Cameras leave the usual Huffman tables out, and fill packets up with garbage.
#[test]
fn what_cameras_write() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "format=Y42B,width=320,height=240";
    let file = make(directory.path(), "a.mjpeg", source, "jpegenc");
    let whole = play(&file).frames;
    let packets = clips::packets(&file, Codec::Jpeg);
    let bare: Vec<_> = packets
        .iter()
        .map(|packet| {
            let mut bare = packet.clone();
            let tables = segments(packet)
                .into_iter()
                .filter(|(code, _)| *code == 0xc4);
            for (_, range) in tables.collect::<Vec<_>>().into_iter().rev() {
                bare.drain(range);
            }
            assert!(bare.len() < packet.len(), "there were no tables");
            bare.extend([0; 100]);
            bare
        })
        .collect();
    if let Err(difference) = native::first_difference(&bare, Codec::Jpeg, &whole, None) {
        panic!("natively: {difference}");
    }
    std::fs::write(&file, bare.concat()).expect("a writable directory");
    assert_eq!(planes(&play(&file).frames), planes(&whole));
}

/// Interlaced Motion JPEG has two images in a packet, one for each field.
#[test]
fn two_fields_make_a_frame() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = |pattern: &str, polarity: u8| {
        let file = directory.path().join("a.jpg");
        let description = format!(
            "videotestsrc num-buffers=1 pattern={pattern} \
             ! video/x-raw,format=I420,width=64,height=32 ! jpegenc ! filesink location=\"{}\"",
            file.display()
        );
        let mut playing = Playing::start(&description, LIMIT);
        playing.wait_for_end();
        playing.stop().assert_eos();
        let image = std::fs::read(&file).expect("just made");
        let app0 = [0xff, 0xe0, 0, 16, b'A', b'V', b'I', b'1', polarity, 0];
        [&image[..2], &app0, &[0; 8], &image[2..]].concat()
    };
    for (first, second, upper) in [("white", "black", 1), ("black", "white", 2)] {
        let packet = [image(first, upper), image(second, 3 - upper)].concat();
        let frame = decode_natively(&[packet]);
        assert_eq!(frame.len(), 64 * 64 * 3 / 2, "a frame of both fields");
        for (index, row) in frame[..64 * 64].chunks(64).enumerate() {
            let bright = row.iter().all(|sample| *sample > 200);
            assert_eq!(bright, index % 2 == 0, "row {index}, polarity {upper}");
        }
    }
}

/// What the native worker makes of packets.
fn decode_natively(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    clips::write_packet_file(packets, file.as_file_mut()).expect("a full packet file");
    let output = Command::new(variable_or_advice("IOTDEC_NATIVE_WORKER"))
        .args([
            "bare",
            "--adapter",
            "turbojpeg",
            "--library",
            "libturbojpeg.so.0",
        ])
        .args(["--frames-to", "2"])
        .arg("--packets")
        .arg(file.path())
        .output()
        .expect("a worker");
    assert!(output.status.success(), "native worker: {}", output.status);
    output.stderr
}

/// What is in an image's header stays there: those after it do not suffer.
#[test]
fn a_bad_header_spoils_no_other_image() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "format=I420,width=64,height=64";
    let file = make(directory.path(), "a.mjpeg", source, "jpegenc");
    let mut packets = clips::packets(&file, Codec::Jpeg);
    let tables = segments(&packets[1])
        .into_iter()
        .find(|(code, _)| *code == 0xc4);
    let (_, range) = tables.expect("jpegenc writes tables");
    packets[1][range.start + 5..range.end].fill(0xff);
    let frames = decode_natively(&packets);
    let size = 64 * 64 * 3 / 2;
    // Its complaint is written to the same place.
    let (whole, rest) = (frames.len() / size, frames.len() % size);
    assert_eq!(whole, FRAMES - 1, "and {rest} bytes of complaint");
}

/// An image that is cut short is shown as far as it goes, and flagged; the others are
/// not touched by it.
#[test]
fn damage_is_flagged() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "format=I420,width=320,height=240";
    let file = make(directory.path(), "a.mjpeg", source, "jpegenc");
    let whole = play(&file).frames;
    let mut packets = clips::packets(&file, Codec::Jpeg);
    let half = packets[2].len() / 2;
    packets[2].truncate(half);
    packets[2].extend([0xff, 0xd9]);
    std::fs::write(&file, packets.concat()).expect("a writable directory");
    let decoded = decode(&file, "iotdec name=decoder", LIMIT);
    decoded.end.assert_eos();
    assert_eq!(decoded.frames.len(), FRAMES);
    for (index, (frame, whole)) in decoded.frames.iter().zip(&whole).enumerate() {
        assert_eq!(frame.corrupted, index == 2, "frame {index}");
        assert_eq!(frame.planes == whole.planes, index != 2, "frame {index}");
    }
}
