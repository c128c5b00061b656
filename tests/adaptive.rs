//! Size, format and headers change within a stream: everything before the change
//! comes out, then caps, then everything behind it, and what downstream still holds
//! stays as it was.

use gst::prelude::*;
use gst_video::VideoFormat;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::film::Film;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, decode};
use iotdec_tests::{exclusive, native};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// For one seek.
const STEP: Duration = Duration::from_secs(30);
const CODECS: [Codec; 2] = [Codec::H264, Codec::H265];
const WIDE: (u32, u32) = (320, 192);
const TALL: (u32, u32) = (192, 320);
const LARGE: (u32, u32) = (640, 384);

/// A raw stream with its headers before each key frame, and its frames.
struct Piece {
    file: PathBuf,
    frames: Vec<Frame>,
}

impl Piece {
    fn make(directory: &Path, codec: Codec, size: (u32, u32), frames: u32) -> Self {
        Self::of(
            clips::encode_sized(directory, codec, size, frames, 5),
            codec,
        )
    }

    fn of(file: PathBuf, codec: Codec) -> Self {
        let decoded = decode(&file, "iotdec name=decoder", LIMIT);
        decoded.end.assert_eos();
        let frames = decoded.frames;
        native::assert_equal(&file, codec, &frames);
        Self { file, frames }
    }
}

/// One raw stream of several.
fn join(directory: &Path, pieces: &[&Piece]) -> PathBuf {
    let read = |piece: &&Piece| std::fs::read(&piece.file).expect("a readable file");
    let file = directory.join(format!("joined-{}.stream", pieces.len()));
    let streams: Vec<_> = pieces.iter().map(read).collect();
    std::fs::write(&file, streams.concat()).expect("a writable directory");
    file
}

/// Fails unless frames show what those of the pieces show, one after the other.
#[track_caller]
fn assert_shown<'a>(frames: &[Frame], expected: impl Iterator<Item = &'a Frame>) {
    let expected: Vec<_> = expected.collect();
    for (index, (frame, expected)) in frames.iter().zip(&expected).enumerate() {
        let size = |frame: &Frame| (frame.format, frame.width, frame.height);
        assert_eq!(size(frame), size(expected), "frame {index}");
        assert_eq!(frame.planes, expected.planes, "frame {index}");
        assert!(!frame.corrupted, "frame {index}");
    }
    assert_eq!(frames.len(), expected.len());
}

fn by_hand(file: &Path, codec: Codec) -> String {
    format!(
        "filesrc location=\"{}\" ! {} ! {} name=decoder ! appsink name=sink sync=false",
        file.display(),
        codec.parser(),
        codec.decoder()
    )
}

/// Everything a pipeline shows; `hold` keeps all samples until its end, and looks
/// at them again.
#[track_caller]
fn show(description: &str, hold: bool) -> Vec<Frame> {
    let mut playing = Playing::start(description, LIMIT);
    let (mut frames, mut held) = (Vec::new(), Vec::new());
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
        held.extend(hold.then_some(sample));
    }
    for (index, sample) in held.iter().enumerate() {
        assert_eq!(
            Frame::of(sample, None),
            frames[index],
            "frame {index} was overwritten"
        );
    }
    playing.stop().assert_eos();
    // Memory of the worker's outlives it, too.
    for (index, sample) in held.iter().enumerate() {
        assert_eq!(
            Frame::of(sample, None),
            frames[index],
            "frame {index} is gone"
        );
    }
    frames
}

/// Smaller, larger and turned, with and without all frames held downstream.
#[test]
fn adaptive_size() {
    let _turn = exclusive();
    for codec in CODECS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let make = |size| Piece::make(directory.path(), codec, size, 10);
        let (wide, tall, large) = (make(WIDE), make(TALL), make(LARGE));
        let pieces = [&wide, &tall, &large, &wide];
        let file = join(directory.path(), &pieces);
        for hold in [false, true] {
            let frames = show(&by_hand(&file, codec), hold);
            assert_shown(&frames, pieces.iter().flat_map(|piece| &piece.frames));
        }
    }
}

/// Again and again, after few frames each.
#[test]
fn adaptive_size_often() {
    let _turn = exclusive();
    for codec in CODECS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let make = |size| Piece::make(directory.path(), codec, size, 5);
        let (wide, tall) = (make(WIDE), make(TALL));
        let pieces: Vec<_> = [&wide, &tall].into_iter().cycle().take(20).collect();
        let file = join(directory.path(), &pieces);
        let frames = show(&by_hand(&file, codec), true);
        assert_shown(&frames, pieces.iter().flat_map(|piece| &piece.frames));
    }
}

/// Behind a seek there is another size than before it.
#[test]
fn seeking_to_another_size() {
    let _turn = exclusive();
    for codec in CODECS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let make = |size| Piece::make(directory.path(), codec, size, 10);
        let (wide, tall) = (make(WIDE), make(TALL));
        let file = join(directory.path(), &[&wide, &tall]);
        let mut playing = Playing::start(&by_hand(&file, codec), LIMIT);
        let mut held = Vec::new();
        for round in 0..3 {
            let mut frames = Vec::new();
            for _ in 0..wide.frames.len() + 5 {
                let sample = playing.next_sample().expect("frames of both sizes");
                frames.push(Frame::of(&sample, None));
                held.push(sample);
            }
            let both = wide.frames.iter().chain(&tall.frames[..5]);
            assert_shown(&frames, both);
            let sought = playing.within(STEP, "sought", |pipeline| {
                pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO)
            });
            sought.unwrap_or_else(|error| panic!("seek {round}: {error}"));
        }
        let again: Vec<_> = held.iter().map(|sample| Frame::of(sample, None)).collect();
        let both = || wide.frames.iter().chain(&tall.frames[..5]);
        assert_shown(&again, both().chain(both()).chain(both()));
        let end = playing.stop();
        assert!(end.errors.is_empty(), "{:?}", end.errors);
    }
}

/// 8 and 10 bits a sample in one stream.
#[test]
fn adaptive_depth() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let make = |format: &str| {
        let file = directory.path().join(format!("{format}.265"));
        let mut playing = Playing::start(
            &format!(
                "videotestsrc num-buffers=12 pattern=ball \
                 ! video/x-raw,format={format},width=320,height=192,framerate=25/1 \
                 ! x265enc speed-preset=ultrafast key-int-max=6 option-string=open-gop=0 \
                 ! h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream \
                 ! filesink location=\"{}\"",
                file.display()
            ),
            LIMIT,
        );
        playing.wait_for_end();
        playing.stop().assert_eos();
        Piece::of(file, Codec::H265)
    };
    let (eight, ten) = (make("I420"), make("I420_10LE"));
    assert_eq!(eight.frames[0].format, VideoFormat::I420);
    assert_eq!(ten.frames[0].format, VideoFormat::I42010le);
    let pieces = [&eight, &ten, &eight];
    let file = join(directory.path(), &pieces);
    let frames = show(&by_hand(&file, Codec::H265), true);
    assert_shown(&frames, pieces.iter().flat_map(|piece| &piece.frames));
}

/// Films one after the other as they lie in MP4: headers in caps, and B-frames
/// still on their way when others come.
#[test]
fn changing_codec_data() {
    let _turn = exclusive();
    for codec in CODECS {
        let films = [
            Film::make_sized(codec, WIDE, 20, 10),
            Film::make_sized(codec, TALL, 20, 10),
            Film::make_sized(codec, WIDE, 30, 15),
        ];
        // The queues are linked at once, so in this order; demuxers when they have pads.
        let source = |film: &Film| {
            let file = film.file.display();
            format!(" filesrc location=\"{file}\" ! qtdemux ! queue ! c.")
        };
        let sources: String = films.iter().map(source).collect();
        // As it is; and through a parser, which may turn it into another form.
        for parser in ["", "! h264parse ", "! h265parse "] {
            if !parser.is_empty() && !parser.contains(codec.parser()) {
                continue;
            }
            let frames = show(
                &format!(
                    "concat name=c {parser}! {} name=decoder \
                     ! appsink name=sink sync=false {sources}",
                    codec.decoder()
                ),
                true,
            );
            assert_shown(&frames, films.iter().flat_map(|film| &film.frames));
        }
    }
}

/// Nobody tells of the new size but the stream itself.
#[test]
fn adaptive_size_without_new_caps() {
    let _turn = exclusive();
    for codec in CODECS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let make = |size| Piece::make(directory.path(), codec, size, 10);
        let pieces = [make(WIDE), make(TALL), make(LARGE), make(WIDE)];
        let mut harness = gst_check::Harness::new(codec.decoder());
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = shown.clone();
        let sink = harness.sinkpad().expect("the harness takes the frames");
        sink.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let caps = pad.current_caps().expect("caps before buffers");
            let buffer = info.buffer().expect("a probe of buffers");
            let sample = gst::Sample::builder().caps(&caps).buffer(buffer).build();
            seen.lock()
                .expect("no panic under it")
                .push(Frame::of(&sample, None));
            gst::PadProbeReturn::Ok
        });
        harness.set_src_caps_str(codec.caps());
        let packets = pieces.iter().flat_map(|p| clips::packets(&p.file, codec));
        for (number, packet) in (0..).zip(packets) {
            let mut buffer = gst::Buffer::from_slice(packet);
            let time = gst::ClockTime::from_mseconds(40 * number);
            buffer.get_mut().expect("just made").set_pts(time);
            harness.push(buffer).expect("a packet is taken");
        }
        assert!(harness.push_event(gst::event::Eos::new()));
        let frames = shown.lock().expect("no panic under it");
        assert_shown(&frames, pieces.iter().flat_map(|piece| &piece.frames));
    }
}
