//! What the decoder adds to the way of a frame: told to the pipeline as it is, and
//! nothing with live input.

use gst::prelude::*;
use iotdec_tests::clips::Codec;
use iotdec_tests::exclusive;
use iotdec_tests::pipeline::Playing;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// Longer than decoding a small picture takes on a busy machine.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);
/// Long enough for a picture that is ready, and for an idle decoder.
const GLANCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// Access units of an encoder, with their time stamps.
fn encoded(codec: Codec, encoder: &str, frames: usize) -> Vec<gst::Sample> {
    let description = format!(
        "videotestsrc num-buffers={frames} pattern=ball \
         ! video/x-raw,format=I420,width=320,height=192,framerate=25/1 \
         ! {encoder} ! {} ! {} ! appsink name=sink sync=false",
        codec.parser(),
        codec.caps(),
    );
    let mut playing = Playing::start(&description, LIMIT);
    let samples: Vec<_> = std::iter::from_fn(|| playing.next_sample()).collect();
    playing.stop().assert_eos();
    assert_eq!(samples.len(), frames);
    samples
}

/// A source that pushes what it is given, live or not, and a decoder.
fn fed(codec: Codec, live: bool, settings: &str) -> (Playing, gst_app::AppSrc) {
    let description = format!(
        "appsrc name=source format=time is-live={live} \
         ! {} name=decoder {settings} ! appsink name=sink sync=false",
        codec.decoder(),
    );
    let playing = Playing::start(&description, LIMIT);
    let source = playing.element("source").downcast().expect("an appsrc");
    (playing, source)
}

/// How many of the packets come out each before the next one goes in.
fn one_in_one_out(codec: Codec, live: bool, settings: &str, samples: &[gst::Sample]) -> usize {
    let (playing, source) = fed(codec, live, settings);
    let sink = playing.app_sink("sink");
    let mut prompt = 0;
    for (index, sample) in samples.iter().enumerate() {
        source.push_sample(sample).expect("it takes samples");
        let patience = if index == 0 { PATIENCE } else { GLANCE };
        let Some(picture) = sink.try_pull_sample(patience) else {
            break;
        };
        let pts = |sample: &gst::Sample| sample.buffer().and_then(|buffer| buffer.pts());
        assert_eq!(pts(&picture), pts(sample), "another one");
        prompt += 1;
    }
    playing.stop();
    prompt
}

/// The latency that the decoder adds: minimum and maximum.
fn latency(playing: &Playing) -> (gst::ClockTime, Option<gst::ClockTime>) {
    let pad = playing
        .element("decoder")
        .static_pad("src")
        .expect("decoders have one");
    let mut query = gst::query::Latency::new();
    assert!(pad.query(&mut query));
    let (_, min, max) = query.result();
    (min, max)
}

#[test]
fn live_h264_comes_out_at_once() {
    let _turn = exclusive();
    let encoder = "x264enc tune=zerolatency ! video/x-h264,profile=main";
    let samples = encoded(Codec::H264, encoder, 12);
    assert_eq!(one_in_one_out(Codec::H264, true, "", &samples), 12);
    let on = one_in_one_out(Codec::H264, false, "low-delay=on", &samples);
    assert_eq!(on, 12, "as a player wants it");
    let off = one_in_one_out(Codec::H264, true, "low-delay=off", &samples);
    assert_eq!(off, 0, "libopenh264 by itself keeps a picture");
}

#[test]
fn live_h265_comes_out_at_once() {
    let _turn = exclusive();
    let encoder = "x265enc tune=zerolatency speed-preset=ultrafast";
    let samples = encoded(Codec::H265, encoder, 12);
    assert_eq!(one_in_one_out(Codec::H265, true, "", &samples), 12);
}

/// The reported latency covers what really happens: no picture comes out later
/// than that many packets after its own.
#[test]
fn reordering_is_reported() {
    let _turn = exclusive();
    for (codec, encoder) in [
        (
            Codec::H264,
            "x264enc bframes=3 b-adapt=false key-int-max=24 ! video/x-h264,profile=main",
        ),
        (
            Codec::H265,
            "x265enc speed-preset=ultrafast option-string=bframes=3:b-adapt=0",
        ),
    ] {
        let samples = encoded(codec, encoder, 24);
        let (mut playing, source) = fed(codec, false, "");
        for sample in &samples {
            source.push_sample(sample).expect("it takes samples");
        }
        let sink = playing.app_sink("sink");
        for _ in 0..12 {
            sink.try_pull_sample(PATIENCE).expect("a frame");
        }
        let (min, max) = latency(&playing);
        // Three pictures between references: at least one waits for its turn, and the
        // one that is being decoded counts too.
        assert!((FRAME * 2..=FRAME * 6).contains(&min), "{codec:?}: {min}");
        assert!(max > Some(min), "{codec:?}: {max:?}");
        source.end_of_stream().expect("it ends");
        while playing.next_sample().is_some() {}
        playing.stop().assert_eos();
    }
}

/// Live, it is the frame that is being decoded.
#[test]
fn live_input_has_the_latency_of_one_frame() {
    let _turn = exclusive();
    let encoder = "x264enc tune=zerolatency ! video/x-h264,profile=main";
    let samples = encoded(Codec::H264, encoder, 6);
    let (playing, source) = fed(Codec::H264, true, "");
    let sink = playing.app_sink("sink");
    for sample in &samples {
        source.push_sample(sample).expect("it takes samples");
        sink.try_pull_sample(PATIENCE).expect("a frame");
    }
    assert_eq!(latency(&playing).0, FRAME);
    playing.stop();
}
