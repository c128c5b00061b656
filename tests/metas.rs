//! What upstream says of a picture arrives with that picture, whatever the order in
//! which pictures are decoded; so do closed captions that travel in the stream.

use gst::prelude::*;
use gst_video::{VideoCaptionMeta, VideoCaptionType, VideoFormat, VideoMeta, VideoTimeCodeMeta};
use iotdec_tests::clips::Codec;
use iotdec_tests::exclusive;
use iotdec_tests::pipeline::Playing;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: usize = 30;
/// Between frames, in ms.
const STEP: u64 = 40;

/// A clip with two pictures of three between others.
fn encode(directory: &Path, codec: Codec) -> PathBuf {
    let encoder = match codec {
        Codec::H264 => "x264enc key-int-max=10 bframes=2",
        Codec::H265 => "x265enc key-int-max=10 speed-preset=ultrafast option-string=bframes=2",
        other => unimplemented!("{other:?}"),
    };
    let file = directory.join("clip.mp4");
    let description = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball \
         ! video/x-raw,format=I420,width=320,height=192,framerate=25/1 \
         ! {encoder} ! {} ! mp4mux ! filesink location=\"{}\"",
        codec.parser(),
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

/// Plays a clip; `touch` sees each packet before the element `at`, `check` each decoded
/// frame with its number in the order of display.
fn play(
    codec: Codec,
    file: &Path,
    alignment: &str,
    at: &str,
    touch: impl Fn(&mut gst::Buffer) + Send + Sync + 'static,
    mut check: impl FnMut(u64, &gst::BufferRef),
) {
    let media = codec.caps().split(',').next().expect("a name");
    let parser = codec.parser();
    let description = format!(
        "filesrc location=\"{}\" ! qtdemux ! {parser} \
         ! {media},stream-format=byte-stream,alignment=au ! {parser} name=parser \
         ! {media},stream-format=byte-stream,alignment={alignment} \
         ! {} name=decoder ! appsink name=sink sync=false",
        file.display(),
        codec.decoder()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    let pad = playing.element(at).static_pad("sink").expect("a sink");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        touch(info.buffer_mut().expect("a buffer probe"));
        gst::PadProbeReturn::Ok
    });
    playing.play();
    let mut first = None;
    let mut frames = 0;
    while let Some(sample) = playing.next_sample() {
        let buffer = sample.buffer().expect("samples have buffers");
        let pts = buffer.pts().expect("all frames have times").mseconds();
        let number = (pts - *first.get_or_insert(pts)) / STEP;
        assert_eq!(number, frames, "in the order of display");
        check(number, buffer);
        frames += 1;
    }
    playing.stop().assert_eos();
    assert_eq!(frames, FRAMES as u64);
}

/// Metas of several kinds that say when a packet's picture is shown, and one that
/// describes the packet's memory.
fn tag(packet: &mut gst::Buffer) {
    let Some(pts) = packet.pts() else { return };
    let buffer = packet.make_mut();
    let reference = gst::Caps::new_empty_simple("timestamp/x-test");
    gst::ReferenceTimestampMeta::add(buffer, &reference, pts, gst::ClockTime::NONE);
    let mut custom = gst::meta::CustomMeta::add(buffer, "IotdecTestMeta").expect("registered");
    custom.mut_structure().set("pts", pts);
    let frames = pts.mseconds() / STEP;
    let code = gst_video::ValidVideoTimeCode::new(
        gst::Fraction::new(25, 1),
        None,
        gst_video::VideoTimeCodeFlags::empty(),
        1,
        2,
        (frames / 25) as u32,
        (frames % 25) as u32,
        0,
    );
    VideoTimeCodeMeta::add(buffer, &code.expect("a valid time"));
    let flags = gst_video::VideoFrameFlags::empty();
    VideoMeta::add(buffer, flags, VideoFormat::Gray8, 1, 1).expect("a meta");
}

fn assert_tagged(buffer: &gst::BufferRef) {
    let pts = buffer.pts();
    let references: Vec<_> = buffer.iter_meta::<gst::ReferenceTimestampMeta>().collect();
    let mut times: Vec<_> = references.iter().map(|meta| meta.timestamp()).collect();
    // Several NAL units of an access unit may have its time, and were tagged.
    times.dedup();
    assert_eq!(times, [pts.expect("a time")]);
    let custom = gst::meta::CustomMeta::from_buffer(buffer, "IotdecTestMeta").expect("it is there");
    assert_eq!(custom.structure().get::<gst::ClockTime>("pts").ok(), pts);
    let codes: Vec<_> = buffer.iter_meta::<VideoTimeCodeMeta>().collect();
    let mut frames: Vec<_> = codes
        .iter()
        .map(|meta| meta.tc())
        .map(|code| u64::from(code.seconds()) * 25 + u64::from(code.frames()))
        .collect();
    frames.dedup();
    assert_eq!(frames, [pts.expect("a time").mseconds() / STEP]);
    // What describes the packet's memory says nothing of the picture's.
    let videos: Vec<_> = buffer.iter_meta::<VideoMeta>().collect();
    let formats: Vec<_> = videos.iter().map(|meta| meta.format()).collect();
    assert_eq!(formats, [VideoFormat::I420]);
}

fn metas_follow_their_picture(codec: Codec) {
    let _turn = exclusive();
    iotdec_tests::environment::prepare();
    static ONCE: Once = Once::new();
    ONCE.call_once(|| gst::meta::CustomMeta::register_simple("IotdecTestMeta"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), codec);
    for alignment in ["au", "nal"] {
        play(codec, &file, alignment, "decoder", tag, |_, buffer| {
            assert_tagged(buffer);
        });
    }
}

#[test]
fn metas_follow_their_h264_picture() {
    metas_follow_their_picture(Codec::H264);
}

#[test]
fn metas_follow_their_h265_picture() {
    metas_follow_their_picture(Codec::H265);
}

/// Caption bytes that name a time; the high bits keep zeros out of the stream.
fn caption(pts: gst::ClockTime) -> [u8; 3] {
    let frame = pts.mseconds() / STEP;
    // A valid pair of the first field (CEA-708, cc_data_pkt).
    [0xfc, 0x80 | (frame >> 7) as u8, 0x80 | (frame & 0x7f) as u8]
}

/// An SEI NAL unit with captions and the shape of the picture (H.264 and H.265,
/// `user_data_registered_itu_t_t35`; ATSC A/53, ETSI TS 101 154).
fn sei(codec: Codec, captions: [u8; 3]) -> Vec<u8> {
    let head: &[u8] = match codec {
        Codec::H264 => &[0, 0, 0, 1, 6],
        _ => &[0, 0, 0, 1, 0x4e, 1],
    };
    // Type 4; the United States' code, ATSC's; one triplet, after 0x40 for "process".
    let caption = [0xb5, 0, 0x31, b'G', b'A', b'9', b'4', 3, 0x41, 0xff];
    let caption = [&caption[..], &captions, &[0xff]].concat();
    let shape = [0xb5, 0, 0x31, b'D', b'T', b'G', b'1', 0x41, 0xfa];
    let message = |payload: &[u8]| [&[4, payload.len() as u8], payload].concat();
    [head, &message(&caption), &message(&shape), &[0x80]].concat()
}

/// Puts an SEI before the first slice of a packet with a time.
fn insert_sei(codec: Codec, packet: &mut gst::Buffer) {
    let Some(pts) = packet.pts() else { return };
    let data = packet.map_readable().expect("packets can be read").to_vec();
    let nal_codec = match codec {
        Codec::H264 => iotdec_nal::Codec::H264,
        _ => iotdec_nal::Codec::H265,
    };
    let sei = sei(codec, caption(pts));
    let mut sei = Some(sei);
    let mut with_sei = Vec::new();
    for nal in iotdec_nal::annexb::nal_units(&data) {
        if nal_codec.is_slice(nal) {
            with_sei.extend(sei.take().unwrap_or_default());
        }
        with_sei.extend([iotdec_nal::START_CODE, nal].concat());
    }
    let mut replaced = gst::Buffer::from_slice(with_sei);
    let metadata =
        gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
    packet
        .copy_into(replaced.make_mut(), metadata, ..)
        .expect("no memory is copied");
    *packet = replaced;
}

fn captions_follow_their_picture(codec: Codec) {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = encode(directory.path(), codec);
    for alignment in ["au", "nal"] {
        let touch = move |packet: &mut gst::Buffer| insert_sei(codec, packet);
        play(
            codec,
            &file,
            alignment,
            "parser",
            touch,
            |number, buffer| {
                let metas: Vec<_> = buffer.iter_meta::<VideoCaptionMeta>().collect();
                let captions: Vec<_> = metas.iter().map(|meta| meta.data().to_vec()).collect();
                let expected = caption(buffer.pts().expect("a time"));
                assert_eq!(captions, [expected], "{alignment}: frame {number}");
                assert_eq!(metas[0].caption_type(), VideoCaptionType::Cea708Raw);
                let shapes = buffer.iter_meta::<gst_video::VideoAFDMeta>();
                let shapes: Vec<_> = shapes.map(|meta| meta.afd()).collect();
                assert_eq!(shapes, [gst_video::VideoAFDValue::_169Letter169Full]);
            },
        );
    }
}

#[test]
fn captions_follow_their_h264_picture() {
    captions_follow_their_picture(Codec::H264);
}

#[test]
fn captions_follow_their_h265_picture() {
    captions_follow_their_picture(Codec::H265);
}
