//! Every form in which H.264 and H.265 travel through GStreamer gives the same
//! frames at the same times.

use gst::prelude::*;
use iotdec_tests::clips::Codec;
use iotdec_tests::environment::sample;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count, decode};
use iotdec_tests::{exclusive, native, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: usize = 48;

/// A clip with pictures that are decoded before others that are shown earlier, and
/// of several slices each.
fn encode(directory: &Path, codec: Codec, (width, height): (u32, u32)) -> PathBuf {
    let encoder = match codec {
        Codec::H264 => "x264enc key-int-max=16 bframes=2 bitrate=256 option-string=slices=3",
        Codec::H265 => {
            "x265enc key-int-max=16 speed-preset=ultrafast bitrate=256 \
             option-string=slices=3:bframes=2:open-gop=0"
        }
        other => unimplemented!("{other:?} has one form"),
    };
    let file = directory.join(format!("{codec:?}-{width}.mp4"));
    let mut playing = Playing::start(
        &format!(
            "videotestsrc num-buffers={FRAMES} pattern=ball \
             ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
             ! {encoder} ! {parser} ! mp4mux ! filesink location=\"{file}\"",
            parser = codec.parser(),
            file = file.display(),
        ),
        LIMIT,
    );
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

/// What the stream of a codec is called in caps, and the forms it comes in.
fn forms(codec: Codec) -> (&'static str, [&'static str; 3]) {
    match codec {
        Codec::H264 => ("video/x-h264", ["byte-stream", "avc", "avc3"]),
        Codec::H265 => ("video/x-h265", ["byte-stream", "hvc1", "hev1"]),
        other => unimplemented!("{other:?} has one form"),
    }
}

/// Decodes an MP4 file in one form.
fn decode_as(file: &Path, codec: Codec, form: &str, alignment: &str) -> Vec<Frame> {
    let (name, _) = forms(codec);
    let middle = format!(
        "qtdemux ! {} ! {name},stream-format={form},alignment={alignment} ! {} name=decoder",
        codec.parser(),
        codec.decoder()
    );
    let decoded = decode(file, &middle, LIMIT);
    decoded.end.assert_eos();
    let stats = decoded.stats.expect("a decoder");
    assert_eq!(count(&stats, "decode-errors"), 0, "{form} {alignment}");
    decoded.frames
}

#[track_caller]
fn assert_same(frames: &[Frame], expected: &[Frame], what: &str) {
    assert_eq!(frames.len(), expected.len(), "{what}: count of frames");
    for (index, (frame, expected)) in frames.iter().zip(expected).enumerate() {
        assert_eq!(frame, expected, "{what}: frame {index}");
    }
}

fn every_form(codec: Codec) {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), codec, (320, 192));
    let (_, forms) = forms(codec);
    let expected = decode_as(&file, codec, "byte-stream", "au");
    assert_eq!(expected.len(), FRAMES);
    native::assert_equal(&file, codec, &expected);
    for form in forms {
        for alignment in ["au", "nal"] {
            let frames = decode_as(&file, codec, form, alignment);
            assert_same(&frames, &expected, &format!("{form} {alignment}"));
        }
    }
    // Behind a depayloader markers end access units.
    let (name, _) = self::forms(codec);
    let rtp = name.replace("video/x-", "rtp");
    let middle = format!(
        "qtdemux ! {} config-interval=-1 ! {rtp}pay mtu=300 ! {rtp}depay \
         ! {name},stream-format=byte-stream,alignment=nal ! {} name=decoder",
        codec.parser(),
        codec.decoder(),
    );
    let decoded = decode(&file, &middle, LIMIT);
    decoded.end.assert_eos();
    let planes = |frames: &[Frame]| -> Vec<_> { frames.iter().map(|f| f.planes.clone()).collect() };
    assert_eq!(planes(&decoded.frames), planes(&expected), "over RTP");
}

#[test]
fn every_form_of_h264() {
    every_form(Codec::H264);
}

#[test]
fn every_form_of_h265() {
    every_form(Codec::H265);
}

/// Behind a demuxer no parser is needed.
#[track_caller]
fn right_behind_the_demuxer(name: &str, codec: Codec) {
    let _turn = exclusive();
    let file = sample(name);
    let middle = format!("qtdemux ! {} name=decoder", codec.decoder());
    let decoded = decode(&file, &middle, LIMIT);
    decoded.end.assert_eos();
    native::assert_equal(&file, codec, &decoded.frames);
}

#[test]
fn h264_right_behind_the_demuxer() {
    right_behind_the_demuxer("yard-h264.mp4", Codec::H264);
}

#[test]
fn h265_right_behind_the_demuxer() {
    right_behind_the_demuxer("yard-h265.mp4", Codec::H265);
}

/// The packets of a file in one form, with their caps. Seen on their way to the sink,
/// which leaves out those that it takes to be before the segment.
fn packets(
    file: &Path,
    codec: Codec,
    form: &str,
    alignment: &str,
) -> (gst::Caps, Vec<gst::Buffer>) {
    let (name, _) = forms(codec);
    let description = format!(
        "filesrc location=\"{}\" ! qtdemux ! {} \
         ! {name},stream-format={form},alignment={alignment} ! fakesink name=sink sync=false",
        file.display(),
        codec.parser(),
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    let pad = playing.element("sink").static_pad("sink").expect("a sink");
    let (sender, receiver) = mpsc::channel();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let sent = (pad.current_caps(), info.buffer().cloned());
        sender.send(sent).expect("the test waits");
        gst::PadProbeReturn::Ok
    });
    playing.play();
    playing.wait_for_end();
    playing.stop().assert_eos();
    let (caps, packets): (Vec<_>, Vec<_>) = receiver.try_iter().unzip();
    let caps = caps.into_iter().flatten().next_back().expect("packets");
    (caps, packets.into_iter().flatten().collect())
}

/// Decodes packets that are pushed one by one, caps before them where they change.
fn decode_pushed(codec: Codec, pushed: &[(gst::Caps, Vec<gst::Buffer>)]) -> (Vec<Frame>, Playing) {
    let description = format!(
        "appsrc name=src format=time ! {} name=decoder ! appsink name=sink sync=false",
        codec.decoder()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let source: gst_app::AppSrc = playing.element("src").downcast().expect("an appsrc");
    for (caps, packets) in pushed {
        source.set_caps(Some(caps));
        for packet in packets {
            source.push_buffer(packet.clone()).expect("it takes them");
        }
    }
    source.end_of_stream().expect("it takes it");
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
    }
    (frames, playing)
}

/// Packets at a later time.
fn later(packets: Vec<gst::Buffer>, by: gst::ClockTime) -> Vec<gst::Buffer> {
    let shift = |mut packet: gst::Buffer| {
        let buffer = packet.make_mut();
        buffer.set_pts(buffer.pts().map(|time| time + by));
        buffer.set_dts(buffer.dts().map(|time| time + by));
        packet
    };
    packets.into_iter().map(shift).collect()
}

/// Other parameter sets in codec_data, and another size: the old stream comes out to
/// its last frame, the new one from its first.
fn codec_data_changes(codec: Codec) {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let small = encode(directory.path(), codec, (320, 192));
    let large = encode(directory.path(), codec, (416, 240));
    let [_, form, _] = forms(codec).1;
    for alignment in ["au", "nal"] {
        let expected: Vec<_> = [&small, &large]
            .into_iter()
            .flat_map(|file| decode_as(file, codec, form, alignment))
            .collect();
        let first = packets(&small, codec, form, alignment);
        let (caps, second) = packets(&large, codec, form, alignment);
        assert_ne!(first.0, caps);
        let second = (caps, later(second, gst::ClockTime::from_seconds(10)));
        let (frames, playing) = decode_pushed(codec, &[first, second]);
        let stats = playing.stats();
        playing.stop().assert_eos();
        assert_eq!(count(&stats, "decode-errors"), 0, "{alignment}");
        assert_eq!(frames.len(), 2 * FRAMES, "{alignment}");
        for (index, (frame, expected)) in frames.iter().zip(&expected).enumerate() {
            assert_eq!(frame.planes, expected.planes, "{alignment}: frame {index}");
        }
        let sizes: Vec<_> = frames.iter().map(|frame| frame.width).collect();
        assert_eq!((sizes[FRAMES - 1], sizes[FRAMES]), (320, 416));
    }
}

#[test]
fn h264_codec_data_changes() {
    codec_data_changes(Codec::H264);
}

#[test]
fn h265_codec_data_changes() {
    codec_data_changes(Codec::H265);
}

/// A worker that replaces a lost one gets the parameter sets, which are nowhere but
/// in codec_data.
fn a_new_worker_gets_codec_data(name: &str, codec: Codec) {
    let _turn = exclusive();
    let file = sample(name);
    let [_, form, _] = forms(codec).1;
    let expected = decode_as(&file, codec, form, "au");
    let description = format!(
        "filesrc location=\"{}\" ! qtdemux ! {} name=decoder \
         ! appsink name=sink sync=false max-buffers=1",
        file.display(),
        codec.decoder()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
        if frames.len() == 3 {
            let worker = process::workers()[0];
            kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it runs");
        }
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert_eq!(count(&stats, "worker-restarts"), 1);
    let last = expected.last().expect("frames");
    assert_eq!(frames.last(), Some(last), "decoding did not go on");
    assert!(frames.iter().all(|frame| expected.contains(frame)));
    // Key frames are 25 frames apart.
    assert!(frames.len() + 50 >= expected.len(), "{}", frames.len());
}

#[test]
fn a_new_h264_worker_gets_codec_data() {
    a_new_worker_gets_codec_data("yard-h264.mp4", Codec::H264);
}

#[test]
fn a_new_h265_worker_gets_codec_data() {
    a_new_worker_gets_codec_data("yard-h265.mp4", Codec::H265);
}

/// Caps that cannot be understood are one error of the decoder that says why.
#[test]
fn malformed_codec_data_is_an_error() {
    let _turn = exclusive();
    let codec_data = gst::Buffer::from_slice([1, 0x64, 0, 0x1f, 0xff, 0xe1, 0xff]);
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", codec_data)
        .build();
    let packet = gst::Buffer::from_slice([0, 0, 0, 1, 0x65]);
    let (frames, playing) = decode_pushed(Codec::H264, &[(caps, vec![packet])]);
    assert!(frames.is_empty());
    let end = playing.stop();
    let ours = end.errors.iter().filter(|error| error.source == "decoder");
    let texts: Vec<_> = ours.map(|error| &error.text).collect();
    assert_eq!(texts.len(), 1, "{:?}", end.errors);
    assert!(texts[0].contains("codec_data"), "{}", texts[0]);
    process::assert_no_children();
}
