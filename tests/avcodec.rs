//! libavcodec: what its decoders make under emulation is what the native library makes.

use gst::prelude::*;
use iotdec_bridge::Manifest;
use iotdec_tests::clips::{Codec, demuxer, is_understood, packets_behind, packets_until_end};
use iotdec_tests::environment::{self, sample};
use iotdec_tests::frames::{Checksum, Frame};
use iotdec_tests::pipeline::{Decoded, Playing, Report, count, decode, decode_summing};
use iotdec_tests::random::Random;
use iotdec_tests::{exclusive, fetch, native, vectors};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::MutexGuard;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);
/// Luma samples of the vectors that are always tried, and how many of a codec; all are
/// with IOTDEC_FULL=1.
const SMALL: u64 = 2_000_000;
const FEW: usize = 4;
/// GStreamer 1.22's parser ends these with an error, whatever decodes behind it.
const UNPARSED: [&str; 1] = ["fate-h264/FRext/FRExt2_Panasonic.avc"];

/// The library is there, and no other test disturbs.
fn prepared() -> MutexGuard<'static, ()> {
    let turn = exclusive();
    fetch::avcodec_sysroot();
    environment::prepare();
    turn
}

fn manifest(element: &str) -> Manifest {
    let (manifests, errors) = iotdec_bridge::manifest::discover();
    assert!(errors.is_empty(), "{errors:?}");
    let found = manifests.into_iter().find(|m| m.element_name() == element);
    found.unwrap_or_else(|| panic!("no manifest of {element}"))
}

fn element(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "iotdec_avcodec_h264",
        Codec::H265 => "iotdec_avcodec_h265",
        Codec::Av1 => "iotdec_avcodec_av1",
        Codec::Vp8 => "iotdec_avcodec_vp8",
        Codec::Vp9 => "iotdec_avcodec_vp9",
        Codec::Mpeg2 => "iotdec_avcodec_mpeg2",
        Codec::Jpeg => "iotdec_avcodec_mjpeg",
    }
}

/// What lies between a file and its decoder.
fn parsed(file: &Path, codec: Codec) -> String {
    format!("{}{} ! {}", demuxer(file), codec.parser(), codec.caps())
}

/// Nothing was copied, not by us and not by the guest.
#[track_caller]
fn assert_no_copies(decoded: &Decoded) {
    let stats = decoded.stats.as_ref().expect("a decoder");
    assert_eq!(count(stats, "frames-out"), decoded.frames.len() as u64);
    assert_eq!(count(stats, "frames-copied"), 0, "{stats}");
    assert_eq!(count(stats, "frames-copied-by-guest"), 0, "{stats}");
}

/// Decodes for a sink that understands where planes lie.
fn decode_in_place(file: &Path, middle: &str, sum: &mut Checksum) -> Decoded {
    let description = format!(
        "filesrc location=\"{}\" ! {middle} ! appsink name=sink sync=false max-buffers=4",
        file.display()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    let pad = playing
        .element("sink")
        .static_pad("sink")
        .expect("sinks have one");
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        let Some(gst::PadProbeData::Query(query)) = &mut info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let gst::QueryViewMut::Allocation(query) = query.view_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        gst::PadProbeReturn::Handled
    });
    playing.play();
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, Some(sum)));
    }
    let stats = Some(playing.stats());
    let end = playing.stop();
    Decoded { frames, end, stats }
}

#[track_caller]
fn as_the_native_library(name: &str, codec: Codec) {
    let _turn = prepared();
    let file = sample(name);
    let front = parsed(&file, codec);
    let mut sum = Checksum::md5();
    let middle = format!("{front} ! {} name=decoder", element(codec));
    let decoded = decode_in_place(&file, &middle, &mut sum);
    decoded.end.assert_eos();
    let packets = packets_behind(&file, &front);
    let (frames, expected) = native::checksum(&packets, &manifest(element(codec)), Checksum::md5());
    assert_eq!(decoded.frames.len() as u64, frames);
    assert!(frames > 0 && frames == packets.len() as u64);
    assert_eq!(sum.finish(), expected);
    assert!(decoded.frames.iter().all(|frame| !frame.corrupted));
    assert_no_copies(&decoded);
}

#[test]
fn h264_is_decoded_as_by_the_native_library() {
    as_the_native_library("yard-h264.mp4", Codec::H264);
}

#[test]
fn h265_is_decoded_as_by_the_native_library() {
    as_the_native_library("yard-h265.mp4", Codec::H265);
}

/// Where libavcodec's own pictures are not as published, ours are as the native ones.
#[test]
fn vectors_are_decoded_as_published() {
    let _turn = prepared();
    let Some(folder) = environment::vectors("vectors by libavcodec") else {
        return;
    };
    let (mut tried, mut failed) = (BTreeMap::<_, usize>::new(), Vec::new());
    let mut as_published = 0;
    for vector in vectors::read(&folder) {
        let of_codec = tried.entry(element(vector.codec)).or_default();
        let wanted = *of_codec < FEW && (1..=SMALL).contains(&vector.effort);
        let usable = is_understood(&vector.file) && vector.checksum.is_some();
        if !usable || !(wanted || environment::is_full()) {
            continue;
        }
        *of_codec += 1;
        let front = parsed(&vector.file, vector.codec);
        if UNPARSED.contains(&vector.name.as_str()) {
            let (_, end) = packets_until_end(&vector.file, &front);
            let by_parser = |error: &Report| error.source.starts_with("h264parse");
            assert!(
                !end.errors.is_empty() && end.errors.iter().all(by_parser),
                "{end:?}"
            );
            continue;
        }
        let middle = format!("{front} ! {} name=decoder", element(vector.codec));
        let new_sum = || match vector.is_sha1 {
            true => Checksum::sha1(),
            false => Checksum::md5(),
        };
        let mut sum = new_sum();
        decode_summing(&vector.file, &middle, LIMIT, Some(&mut sum));
        let sum = sum.finish();
        if Some(&sum) == vector.checksum.as_ref() {
            as_published += 1;
            continue;
        }
        let packets = packets_behind(&vector.file, &front);
        let manifest = manifest(element(vector.codec));
        let (frames, native) = native::checksum(&packets, &manifest, new_sum());
        println!(
            "{}: not as published, {frames} frames natively",
            vector.name
        );
        if sum != native {
            failed.push(vector.name);
        }
    }
    println!("{as_published} as published, of {tried:?}");
    assert!(
        failed.is_empty(),
        "not equal to the native library: {failed:#?}"
    );
    assert!(as_published >= 10, "a table with H.264 and HEVC vectors");
}

/// The manifest names decoders as the library does.
#[test]
fn every_decoder_of_the_manifest_is_in_the_library() {
    let _turn = prepared();
    let file = environment::root().join("manifests/avcodec.toml");
    let manifests = Manifest::read(&file).expect("part of the tree");
    assert!(manifests.len() > 80);
    for manifest in manifests {
        // No packets, so it ends when it was opened.
        let (frames, _) = native::checksum(&[], &manifest, Checksum::md5());
        assert_eq!(frames, 0, "{}", manifest.name);
        let factory = gst::ElementFactory::find(&manifest.element_name());
        let factory = factory.unwrap_or_else(|| panic!("no element {}", manifest.name));
        let rank = factory.rank();
        assert!(
            gst::Rank::NONE < rank && rank <= gst::Rank::MARGINAL,
            "{}: {rank:?}",
            manifest.name
        );
    }
}

/// Encoders of which the packets go through a decoder here and a native one there: the
/// encoder, what it encodes, the decoder. The first ones are always tried.
const ODD: [(&str, &str, &str); 28] = [
    ("avenc_mpeg4", "I420,width=320,height=240", "mpeg4"),
    ("avenc_wmv2", "I420,width=320,height=240", "wmv2"),
    ("avenc_h263", "I420,width=352,height=288", "h263"),
    ("avenc_flv", "I420,width=322,height=242", "flv"),
    ("avenc_msmpeg4", "I420,width=320,height=240", "msmpeg4"),
    ("avenc_ffv1", "Y444,width=322,height=242", "ffv1"),
    ("avenc_huffyuv", "Y42B,width=320,height=240", "huffyuv"),
    ("avenc_prores", "I422_10LE,width=320,height=240", "prores"),
    ("avenc_dvvideo", "I420,width=720,height=576", "dvvideo"),
    ("avenc_cinepak", "RGB,width=320,height=240", "cinepak"),
    ("avenc_svq1", "YUV9,width=320,height=240", "svq1"),
    ("avenc_speedhq", "I420,width=320,height=240", "speedhq"),
    ("pngenc", "RGBA,width=321,height=241", "png"),
    ("avenc_smc", "RGB8P,width=320,height=240", "smc"),
    ("avenc_qtrle", "RGB,width=320,height=240", "qtrle"),
    // With IOTDEC_FULL=1.
    ("avenc_h261", "I420,width=352,height=288", "h261"),
    ("avenc_msmpeg4v2", "I420,width=320,height=240", "msmpeg4v2"),
    ("avenc_wmv1", "I420,width=320,height=240", "wmv1"),
    (
        "avenc_dnxhd bitrate=36000000",
        "Y42B,width=1920,height=1080",
        "dnxhd",
    ),
    ("avenc_cfhd", "I422_10LE,width=320,height=240", "cfhd"),
    ("avenc_ffvhuff", "I420,width=320,height=240", "ffvhuff"),
    ("avenc_asv1", "I420,width=320,height=240", "asv1"),
    ("avenc_asv2", "I420,width=320,height=240", "asv2"),
    ("avenc_zmbv", "BGRx,width=320,height=240", "zmbv"),
    ("avenc_flashsv", "BGR,width=320,height=240", "flashsv"),
    ("avenc_rpza", "RGB15,width=320,height=240", "rpza"),
    ("avenc_cljr", "Y41B,width=320,height=240", "cljr"),
    ("avenc_roqvideo", "Y444,width=256,height=256", "roqvideo"),
];
const ODD_ALWAYS: usize = 15;
/// Frames of each.
const ODD_FRAMES: usize = 10;

#[test]
fn odd_codecs_are_decoded_as_by_native_elements() {
    let _turn = prepared();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wanted = if environment::is_full() {
        ODD.len()
    } else {
        ODD_ALWAYS
    };
    for (encoder, format, codec) in &ODD[..wanted] {
        // Any caps and packets, codec data included.
        let file = directory.path().join(format!("{codec}.gdp"));
        let description = format!(
            "videotestsrc num-buffers={ODD_FRAMES} pattern=ball ! videoconvert \
             ! video/x-raw,framerate=25/1,format={format} ! {encoder} \
             ! gdppay ! filesink location=\"{}\"",
            file.display()
        );
        let mut playing = Playing::start(&description, LIMIT);
        playing.wait_for_end();
        playing.stop().assert_eos();
        // A palette is applied by us, and not by the native element.
        let plain = if *codec == "smc" {
            "! videoconvert ! video/x-raw,format=BGRA"
        } else {
            ""
        };
        let native = decode(&file, &format!("gdpdepay ! avdec_{codec} {plain}"), LIMIT);
        native.end.assert_eos();
        let middle = format!("gdpdepay ! iotdec_avcodec_{codec} name=decoder");
        let decoded = decode(&file, &middle, LIMIT);
        decoded.end.assert_eos();
        assert!(
            native.frames.len() + 2 >= ODD_FRAMES,
            "{codec}: {}",
            native.frames.len()
        );
        assert_eq!(decoded.frames.len(), native.frames.len(), "{codec}");
        for (index, (ours, theirs)) in decoded.frames.iter().zip(&native.frames).enumerate() {
            assert_eq!(ours.format, theirs.format, "{codec}");
            assert_eq!(ours.planes, theirs.planes, "{codec}, frame {index}");
            assert!(!ours.corrupted, "{codec}, frame {index}");
        }
        let stats = decoded.stats.expect("a decoder");
        let copied = count(&stats, "frames-copied-by-guest");
        let expected = if *codec == "smc" {
            native.frames.len()
        } else {
            0
        };
        assert_eq!(copied, expected as u64, "{codec}: {stats}");
    }
}

/// Nearly every picture of a damaged stream is shown, and those that are damaged are
/// said to be.
#[test]
fn a_damaged_stream_shows_nearly_every_frame() {
    const FRAMES: usize = 300;
    const FLIPPED: usize = 400;
    let _turn = prepared();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("clip.264");
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball \
         ! video/x-raw,format=I420,width=320,height=192,framerate=25/1 \
         ! x264enc speed-preset=fast key-int-max=60 bitrate=512 \
         ! video/x-h264,stream-format=byte-stream ! filesink location=\"{}\"",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    let mut stream = std::fs::read(&file).expect("just made");
    let mut random = Random(1);
    // In the slices, behind their headers: the parser cuts the stream by these.
    let starts: Vec<_> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, bytes)| *bytes == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    let is_spared = |at: usize| {
        let start = starts.partition_point(|start| *start <= at + 3);
        let distance = start
            .checked_sub(1)
            .map_or(0, |i| at.saturating_sub(starts[i]));
        distance < 32 || at < 1000
    };
    let mut flipped = 0;
    while flipped < FLIPPED {
        let at = random.below(stream.len());
        if !is_spared(at) {
            stream[at] ^= 1 << random.below(8);
            flipped += 1;
        }
    }
    std::fs::write(&file, stream).expect("a writable file");
    let middle = "h264parse ! iotdec_avcodec_h264 name=decoder";
    let decoded = decode(&file, middle, LIMIT);
    decoded.end.assert_eos();
    let corrupted = decoded
        .frames
        .iter()
        .filter(|frame| frame.corrupted)
        .count();
    println!(
        "{} frames, {corrupted} of them damaged",
        decoded.frames.len()
    );
    assert!(
        decoded.frames.len() >= FRAMES - 1,
        "{}",
        decoded.frames.len()
    );
    assert!(corrupted > 0);
}
