//! What GStreamer's own tools tell of the elements, and what its tracers find.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, sample};
use iotdec_tests::pipeline::Playing;
use iotdec_tests::{exclusive, process};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_secs(30);

/// The factories of this plugin.
fn factories() -> Vec<gst::ElementFactory> {
    environment::prepare();
    let features = gst::Registry::get().features_by_plugin("iotdec");
    let factories = features
        .into_iter()
        .filter_map(|feature| feature.downcast().ok());
    factories.collect()
}

#[test]
fn elements_describe_themselves() {
    let factories = factories();
    assert!(factories.len() > 5, "{factories:?}");
    for factory in factories {
        let name = factory.name();
        let told = |key: &str| {
            let value = factory.metadata(key).unwrap_or_default();
            assert!(value.len() > 5, "{name}: {key} is {value:?}");
            value.to_string()
        };
        assert_eq!(told("klass"), "Codec/Decoder/Video");
        for key in ["long-name", "description", "author"] {
            told(key);
        }
        let templates = factory.static_pad_templates();
        assert_eq!(templates.len(), 2, "{name}");
        for template in templates {
            let is_source = template.direction() == gst::PadDirection::Src;
            let any = template.caps().is_any();
            assert_eq!(any, name == "iotdec" && !is_source, "{name}: {template:?}");
        }
    }
}

#[test]
fn properties_describe_themselves() {
    for factory in factories() {
        let element = factory.create().build().expect("it can be made");
        for property in element.list_properties() {
            let what = format!("{}.{}", factory.name(), property.name());
            let blurb = property.blurb().unwrap_or_default();
            assert!(
                blurb.len() > 10 || what.ends_with("name"),
                "{what}: {blurb:?}"
            );
            let is_writable = property.flags().contains(gst::glib::ParamFlags::WRITABLE);
            let is_ours = property.owner_type().name().contains("Iotdec");
            if is_ours && is_writable {
                // A default that can be set back.
                element.set_property_from_value(property.name(), property.default_value());
            }
        }
        for (property, largest) in [("threads", 64), ("max-slots", 64)] {
            let spec = element.find_property(property).expect("all have it");
            let spec = spec
                .downcast::<gst::glib::ParamSpecUInt>()
                .expect("a count");
            assert_eq!(spec.maximum(), largest);
        }
    }
}

/// Other plugins than GStreamer's own have versions of their own, and must be asked for
/// by them.
#[test]
fn it_exists() {
    environment::prepare();
    let exists = |arguments: &[&str]| {
        let mut command = Command::new("gst-inspect-1.0");
        let status = command.arg("--exists").args(arguments).status();
        status.expect("gst-inspect-1.0 is there").success()
    };
    assert!(exists(&["--atleast-version=0.1", "iotdec_de265"]));
    assert!(!exists(&["--atleast-version=0.1", "iotdec_nothing"]));
    assert!(!exists(&["--atleast-version=99.0", "iotdec_de265"]));
}

#[test]
fn categories_are_described() {
    let _turn = exclusive();
    environment::prepare();
    let decoder = gst::ElementFactory::make("iotdec_de265").build();
    let decoder = decoder.expect("built in");
    decoder.set_state(gst::State::Ready).expect("it can run");
    decoder.set_state(gst::State::Null).expect("it can stop");
    for name in ["iotdec", "iotdec-worker"] {
        let category = gst::DebugCategory::get(name);
        let category = category.unwrap_or_else(|| panic!("no category {name}"));
        assert!(category.description().is_some_and(|text| text.len() > 10));
    }
    process::assert_no_children();
}

/// Players choose by profile; who links by hand may try any.
#[test]
fn profiles_are_told_and_others_are_tried() {
    environment::prepare();
    let caps = |profile: &str| {
        gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .field("alignment", "au")
            .field("profile", profile)
            .build()
    };
    let factory = gst::ElementFactory::find("iotdec_openh264").expect("built in");
    assert!(factory.can_sink_all_caps(&caps("high")));
    assert!(!factory.can_sink_all_caps(&caps("high-4:2:2")));
    let decoder = factory.create().build().expect("it can be made");
    let pad = decoder.static_pad("sink").expect("decoders have one");
    assert!(pad.query_accept_caps(&caps("high")));
    assert!(pad.query_accept_caps(&caps("high-4:2:2")));
    let other = gst::Caps::builder("video/x-h265").build();
    assert!(!pad.query_accept_caps(&other));
    assert!(pad.query_caps(None).can_intersect(&caps("high-4:2:2")));
}

/// The bin shows what it can of a stream that no decoder is made for.
#[test]
fn the_bin_tries_other_profiles() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let manifest = "name = \"narrow\"\nlong-name = \"Baseline only\"\nadapter = \"openh264\"\n\
                    library = \"libopenh264.so.7\"\n\
                    caps = \"video/x-h264, stream-format=byte-stream, alignment=au, \
                    profile=(string){ baseline, main }\"\n";
    std::fs::write(directory.path().join("narrow.toml"), manifest).expect("writable");
    let status = Command::new("gst-launch-1.0")
        .env("IOTDEC_DECODER_PATH", directory.path())
        .env("GST_REGISTRY", directory.path().join("registry.bin"))
        .args(["-q", "filesrc"])
        .arg(format!("location={}", sample("yard-h264.264").display()))
        .args(["!", "iotdec", "decoder=narrow", "!", "fakesink"])
        .status()
        .expect("gst-launch-1.0 is there");
    assert!(status.success(), "a stream of high profile was not tried");
}

/// The tracer sees each frame go in and come out, after a time that can be.
#[test]
fn the_latency_tracer_makes_sense() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), Codec::Mpeg2, 20, 10);
    let output = Command::new("gst-launch-1.0")
        .env("GST_TRACERS", "latency(flags=element)")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .args(["-q", "filesrc"])
        .arg(format!("location={}", file.display()))
        .args([
            "!",
            "mpegvideoparse",
            "!",
            "iotdec_mpeg2",
            "name=decoder",
            "!",
            "fakesink",
        ])
        .output()
        .expect("gst-launch-1.0 is there");
    let log = String::from_utf8_lossy(&output.stderr);
    let of_decoder =
        |line: &&str| line.contains("element-latency,") && line.contains("element=(string)decoder");
    let time = |line: &str| -> Option<u64> {
        let after = line.split("time=(guint64)").nth(1)?;
        after.split(',').next()?.parse().ok()
    };
    let times: Vec<_> = log.lines().filter(of_decoder).filter_map(time).collect();
    assert!(
        times.len() >= 8,
        "{} of 20 frames were traced:\n{log}",
        times.len()
    );
    let limit = gst::ClockTime::from_seconds(20).nseconds();
    assert!(
        times.iter().all(|time| (1..limit).contains(time)),
        "{times:?}"
    );
}

/// Plays, seeks, and goes through the states; a program of its own runs it.
#[test]
#[ignore = "run by nothing_leaks, with the tracer"]
fn leaks_scenario() {
    let file = sample("yard-h265.mp4");
    for middle in [
        "iotdec name=decoder",
        "qtdemux ! h265parse ! iotdec_de265 name=decoder",
    ] {
        let description = format!(
            "filesrc location=\"{}\" ! {middle} ! appsink name=sink sync=false max-buffers=2",
            file.display()
        );
        let mut playing = Playing::prepare(&description, LIMIT);
        playing.set_state_within(gst::State::Paused, STEP);
        playing.preroll();
        for second in [2, 0, 3] {
            let target = gst::ClockTime::from_seconds(second);
            let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
            playing
                .pipeline()
                .seek_simple(flags, target)
                .expect("an MP4 can be sought in");
            playing.preroll();
        }
        playing.set_state_within(gst::State::Playing, STEP);
        assert!(playing.next_sample().is_some());
        playing.set_state_within(gst::State::Ready, STEP);
        if middle.starts_with("iotdec") {
            playing.set_state_within(gst::State::Playing, STEP);
            assert!(playing.next_sample().is_some());
        }
        playing.stop();
    }
    process::assert_no_children();
    // SAFETY: the last thing this program does with GStreamer.
    unsafe { gst::deinit() };
}

#[test]
fn nothing_leaks() {
    let _turn = exclusive();
    let program = std::env::current_exe().expect("a program");
    let output = Command::new(program)
        .args(["leaks_scenario", "--exact", "--ignored", "--nocapture"])
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .output()
        .expect("it runs again");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let is_alive = |line: &&str| line.contains(":0:: object-alive,");
    let alive: Vec<_> = log.lines().filter(is_alive).collect();
    assert!(alive.is_empty(), "left behind:\n{}", alive.join("\n"));
    assert!(log.contains("object-alive.class"), "no tracer:\n{log}");
}
