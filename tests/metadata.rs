//! What is known of a picture besides its samples reaches the sink.

use gst::prelude::*;
use iotdec_tests::exclusive;
use iotdec_tests::pipeline::Playing;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The caps of what comes out of a description that ends in a decoder.
fn output_caps(description: &str) -> gst::Caps {
    let description = format!("{description} ! appsink name=sink sync=false");
    let mut playing = Playing::start(&description, LIMIT);
    let sample = playing.next_sample().expect("a frame");
    while playing.next_sample().is_some() {}
    playing.stop().assert_eos();
    sample.caps_owned().expect("raw video has caps")
}

#[track_caller]
fn assert_field(caps: &gst::Caps, field: &str, expected: &str) {
    let structure = caps.structure(0).expect("a structure");
    let value = structure.value(field);
    let value = value.unwrap_or_else(|_| panic!("no {field} in {caps}"));
    let text = value.serialize().expect("a value as text");
    assert_eq!(text.trim_matches('"'), expected, "{field} in {caps}");
}

/// HDR in H.265: 10 bits, BT.2020 with PQ, the mastering display, light levels.
#[test]
fn hdr_reaches_the_caps() {
    let _turn = exclusive();
    let caps = output_caps(
        "videotestsrc num-buffers=3 \
         ! video/x-raw,format=I420_10LE,width=320,height=192,framerate=25/1,\
         colorimetry=bt2100-pq,chroma-site=v-cosited+h-cosited \
         ! x265enc speed-preset=ultrafast option-string=\"hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)\
         :max-cll=1000,400\" ! h265parse ! iotdec_de265 name=decoder",
    );
    assert_field(&caps, "format", "I420_10LE");
    assert_field(&caps, "colorimetry", "bt2100-pq");
    assert_field(
        &caps,
        "mastering-display-info",
        "34000:16000:13250:34500:7500:3000:15635:16450:10000000:1",
    );
    assert_field(&caps, "content-light-level", "1000:400");
}

#[test]
fn pixels_that_are_not_square_reach_the_caps() {
    let _turn = exclusive();
    for (encoder, decoder) in [
        ("x264enc ! h264parse", "iotdec_openh264"),
        ("x265enc ! h265parse", "iotdec_de265"),
    ] {
        let caps = output_caps(&format!(
            "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=320,height=192,\
             framerate=25/1,pixel-aspect-ratio=4/3,colorimetry=bt601 \
             ! {encoder} ! {decoder} name=decoder"
        ));
        assert_field(&caps, "pixel-aspect-ratio", "4/3");
        assert_field(&caps, "colorimetry", "bt601");
    }
}

/// Every depth and subsampling that x265 can write.
#[test]
fn depth_and_subsampling_are_those_of_the_stream() {
    let _turn = exclusive();
    for format in [
        "I420",
        "Y42B",
        "Y444",
        "I420_10LE",
        "I422_10LE",
        "Y444_10LE",
        "I420_12LE",
        "I422_12LE",
        "Y444_12LE",
    ] {
        let caps = output_caps(&format!(
            "videotestsrc num-buffers=2 ! video/x-raw,format={format},width=320,height=180,\
             framerate=25/1 ! x265enc speed-preset=ultrafast ! h265parse \
             ! iotdec_de265 name=decoder"
        ));
        assert_field(&caps, "format", format);
        // Coded in blocks, shown as it was made.
        assert_field(&caps, "height", "180");
    }
}
