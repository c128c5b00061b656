//! Every sink shows the frames, and how often their pixels are written again on the
//! way is what docs/sinks.md says.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::copies::{self, Arrivals, Copies};
use iotdec_tests::display::{Display, Screen, Weston};
use iotdec_tests::environment;
use iotdec_tests::exclusive;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::pixels::Pixels;
use iotdec_tests::table::assert_documented;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: usize = 12;
/// In dB; above it two pictures are the same one, converted from YUV by different code.
const ALIKE: f64 = 26.0;
/// Colours everywhere, and another picture with each frame.
const COLOURS: &str = "pattern=smpte horizontal-speed=8";
/// A size that decoders need no padding for.
const ROUND: (u32, u32) = (320, 192);

/// A clip, and how its ends look on a screen.
struct Clip {
    _directory: tempfile::TempDir,
    file: PathBuf,
    decoder: &'static str,
    size: (u32, u32),
    first: Pixels,
    last: Pixels,
}

impl Clip {
    fn new(codec: Codec, size: (u32, u32)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = clips::encode_picture(directory.path(), codec, COLOURS, size, FRAMES as u32, 10);
        let (first, last) = ends_of(&format!("filesrc location=\"{}\" ! iotdec", file.display()));
        assert!(
            first.psnr(&first.blank()) < 20.0,
            "an empty screen is alike"
        );
        assert!(first.psnr(&last) < 20.0, "the picture does not change");
        Self {
            _directory: directory,
            file,
            decoder: codec.decoder().trim_start_matches("iotdec_"),
            size,
            first,
            last,
        }
    }

    fn round() -> Self {
        Self::new(Codec::H265, ROUND)
    }

    /// `filesrc ! iotdec ! SINK`, not yet started. The element that gets the frames is
    /// called `screen`.
    fn prepare(&self, sink: &str) -> Playing {
        let description = format!(
            "filesrc location=\"{}\" ! iotdec name=decoder decoder={} ! {sink}",
            self.file.display(),
            self.decoder
        );
        Playing::prepare(&description, LIMIT)
    }
}

/// The first and the last frame, converted as a compositor does, which is not told of
/// another matrix than BT.601's.
fn ends_of(source: &str) -> (Pixels, Pixels) {
    let description = format!(
        "{source} ! capssetter caps=video/x-raw,colorimetry=bt601 ! videoconvert \
         ! video/x-raw,format=BGRx ! appsink name=sink sync=false max-buffers=2"
    );
    let mut playing = Playing::start(&description, LIMIT);
    let first = Pixels::of(&playing.next_sample().expect("a frame"));
    let mut last = None;
    while let Some(sample) = playing.next_sample() {
        last = Some(sample);
    }
    playing.stop().assert_eos();
    (first, Pixels::of(&last.expect("more frames")))
}

/// Waits until the screen shows that picture.
#[track_caller]
fn assert_seen(screen: &impl Screen, expected: &Pixels, what: &str) {
    let seen = screen.until(LIMIT, |screen| {
        (screen.psnr(expected) > ALIKE).then_some(())
    });
    if seen.is_some() {
        return;
    }
    let shown = screen.screenshot();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sinks.png");
    shown.save(&path);
    panic!(
        "{what} is not on the screen; {:.1} dB, kept in {}",
        shown.psnr(expected),
        path.display()
    );
}

/// The first frame is on the screen while the pipeline waits.
#[track_caller]
fn shows_first(screen: &impl Screen, clip: &Clip, playing: &Playing) {
    let paused = playing.pipeline().set_state(gst::State::Paused);
    paused.expect("it can be paused");
    assert_seen(screen, &clip.first, "the first frame");
}

/// And the last one when it has gone on to that.
#[track_caller]
fn shows(screen: &impl Screen, clip: &Clip, playing: &Playing) {
    shows_first(screen, clip, playing);
    let frames = gst::format::Buffers::from_u64(FRAMES as u64 - 1);
    let step = gst::event::Step::new(frames, 1.0, true, false);
    assert!(playing.element("screen").send_event(step), "it can step");
    assert_seen(screen, &clip.last, "the last frame");
    playing.set_state_within(gst::State::Ready, LIMIT);
}

/// What happened to the frames of a clip.
#[derive(Debug)]
struct Measured {
    stats: gst::Structure,
    in_slots: usize,
    copies: Copies,
}

/// Plays to the end.
#[track_caller]
fn measure(mut playing: Playing) -> Measured {
    let arrivals = Arrivals::at(&playing.element("screen"));
    copies::restart();
    playing.play();
    playing.wait_for_end();
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert_eq!(arrivals.frames(), FRAMES, "frames that reached the sink");
    Measured {
        stats,
        in_slots: arrivals.in_slots(),
        copies: copies::so_far(),
    }
}

impl Measured {
    /// Fails unless it is what the row of docs/sinks.md says.
    #[track_caller]
    fn assert_row(&self, row: &str) {
        let reaches = match self.in_slots {
            FRAMES => "slot",
            0 => "other memory",
            _ => panic!("only some frames in their slots: {self:?}"),
        };
        assert_documented(row, reaches, &self.copies.per_frame(FRAMES));
    }

    fn count(&self, field: &str) -> usize {
        count(&self.stats, field) as usize
    }
}

#[test]
fn ximagesink_shows_it() {
    let _turn = exclusive();
    let clip = Clip::round();
    let display = Display::start(clip.size.0, clip.size.1);
    let sink = format!(
        "ximagesink name=screen display={} sync=false",
        display.name()
    );
    let playing = clip.prepare(&sink);
    shows(&display, &clip, &playing);
    measure(playing).assert_row("ximagesink");
}

#[test]
fn xvimagesink_shows_it() {
    let _turn = exclusive();
    let clip = Clip::round();
    let display = Display::with_xvideo(clip.size.0, clip.size.1);
    let sink = format!(
        "xvimagesink name=screen display={} sync=false",
        display.name()
    );
    let playing = clip.prepare(&sink);
    shows(&display, &clip, &playing);
    measure(playing).assert_row("xvimagesink");
}

/// fpsdisplaysink on a display with XVideo.
fn with_frame_rate(display: &Display, clip: &Clip, text_overlay: bool) -> Playing {
    let sink = gst::ElementFactory::make("xvimagesink")
        .name("screen")
        .property("display", display.name())
        .build()
        .expect("gstreamer1.0-x is installed");
    let playing = clip.prepare("fpsdisplaysink name=fps sync=false fps-update-interval=50");
    let fps = playing.element("fps");
    fps.set_property("text-overlay", text_overlay);
    fps.set_property("video-sink", &sink);
    playing
}

#[test]
fn fpsdisplaysink_shows_it() {
    let _turn = exclusive();
    let clip = Clip::round();
    let display = Display::with_xvideo(clip.size.0, clip.size.1);
    let playing = with_frame_rate(&display, &clip, false);
    shows(&display, &clip, &playing);
    let fps = playing.element("fps");
    measure(playing).assert_row("fpsdisplaysink text-overlay=false");
    // The frame that it waits with counts twice.
    let shown: u32 = fps.property("frames-rendered");
    assert_eq!(shown as usize, FRAMES + 1, "fpsdisplaysink counts");
}

/// The numbers are drawn into the picture, and what the decoder may still refer to is
/// not the one that they are drawn into.
#[test]
fn fpsdisplaysink_draws_into_a_copy() {
    let _turn = exclusive();
    let clip = Clip::round();
    let display = Display::with_xvideo(clip.size.0, clip.size.1);
    let playing = with_frame_rate(&display, &clip, true);
    shows_first(&display, &clip, &playing);
    playing.set_state_within(gst::State::Ready, LIMIT);
    let measured = measure(playing);
    let drawn = FRAMES - measured.in_slots;
    assert!(drawn > 0, "no text: {measured:?}");
    let mut by_sink = measured.copies;
    by_sink.copies -= drawn;
    assert_eq!(by_sink.per_frame(FRAMES), "1 copy", "{measured:?}");
    let copied = "1 copy, 2 copies once there is text";
    assert_documented(
        "fpsdisplaysink text-overlay=true",
        "slot until there is text",
        copied,
    );
}

/// Frames that lie as wl_shm needs them go to the compositor as file descriptors.
#[track_caller]
fn on_wayland(row: &str, clip: &Clip) -> Measured {
    let weston = Weston::start(clip.size.0, clip.size.1);
    let sink = format!(
        "waylandsink name=screen display={} fullscreen=true sync=false",
        weston.name().display()
    );
    let playing = clip.prepare(&sink);
    shows(&weston, clip, &playing);
    let measured = measure(playing);
    assert!(measured.copies.imports > 0, "{measured:?}");
    measured.assert_row(row);
    measured
}

#[test]
fn waylandsink_shows_720p_of_libde265_where_it_lies() {
    let _turn = exclusive();
    let clip = Clip::new(Codec::H265, (1280, 720));
    let measured = on_wayland("waylandsink, H.265 1280x720", &clip);
    assert_eq!(measured.count("frames-copied"), 0);
    assert_eq!(measured.count("frames-copied-by-guest"), 0);
}

/// Heights that are not a whole number of macroblocks: 360 of 368 lines, 1080 of 1088.
fn padded_sizes() -> Vec<(u32, u32)> {
    let large = environment::is_full().then_some((1920, 1080));
    [(640, 360)].into_iter().chain(large).collect()
}

/// The guest leaves the padding out when it copies.
#[test]
fn waylandsink_shows_padded_pictures_of_openh264_where_the_guest_put_them() {
    let _turn = exclusive();
    for (width, height) in padded_sizes() {
        let clip = Clip::new(Codec::H264, (width, height));
        let measured = on_wayland(&format!("waylandsink, H.264 {width}x{height}"), &clip);
        assert_eq!(measured.count("frames-copied"), 0);
        assert_eq!(measured.count("frames-copied-by-guest"), FRAMES);
    }
}

/// libde265 and dav1d leave it between the planes, which wl_shm cannot describe, and on
/// which waylandsink 1.22 would fail.
#[test]
fn waylandsink_gets_padded_pictures_in_memory_of_its_own() {
    let _turn = exclusive();
    for (codec, name) in [(Codec::H265, "H.265"), (Codec::Av1, "AV1")] {
        for (width, height) in padded_sizes() {
            let clip = Clip::new(codec, (width, height));
            let row = format!("waylandsink, {name} {width}x{height} with padding");
            assert_eq!(on_wayland(&row, &clip).count("frames-copied"), FRAMES);
        }
    }
}

/// Two sinks read one frame.
#[test]
fn a_tee_shows_frames_on_two_screens() {
    let _turn = exclusive();
    let clip = Clip::round();
    let one = Display::with_xvideo(clip.size.0, clip.size.1);
    let other = Weston::start(clip.size.0, clip.size.1);
    let sinks = format!(
        "tee name=t  t. ! queue ! xvimagesink display={} sync=false \
         t. ! queue ! waylandsink name=screen display={} fullscreen=true sync=false",
        one.name(),
        other.name().display()
    );
    let playing = clip.prepare(&sinks);
    shows_first(&one, &clip, &playing);
    shows_first(&other, &clip, &playing);
    playing.set_state_within(gst::State::Ready, LIMIT);
    let measured = measure(playing);
    assert!(measured.copies.imports > 0, "{measured:?}");
    measured.assert_row("tee to xvimagesink and waylandsink");
}

/// An encoder behind it reads the frames where they lie; what it makes is decoded
/// again, by another decoder.
#[test]
fn what_is_encoded_again_can_be_decoded() {
    let _turn = exclusive();
    let clip = Clip::round();
    for (encoder, file, back) in [
        (
            "x264enc speed-preset=ultrafast tune=zerolatency qp-min=10 qp-max=20",
            "again.264",
            "h264parse ! avdec_h264",
        ),
        ("jpegenc quality=95", "again.mjpeg", "jpegparse ! jpegdec"),
    ] {
        let row = encoder.split(' ').next().expect("a name");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join(file);
        let playing = clip.prepare(&format!(
            "{encoder} name=screen ! filesink location=\"{}\"",
            file.display()
        ));
        measure(playing).assert_row(row);
        let again = format!("filesrc location=\"{}\" ! {back}", file.display());
        let (first, last) = ends_of(&again);
        for (again, original) in [(&first, &clip.first), (&last, &clip.last)] {
            let alike = again.psnr(original);
            assert!(alike > ALIKE, "{row}: {alike:.1} dB");
        }
    }
}

/// A sink that fails and says so only to who pushes, when there is nothing more to push.
#[test]
fn a_failure_on_the_last_frames_is_an_error() {
    let _turn = exclusive();
    let clip = Clip::round();
    let mut playing = clip.prepare("appsink name=screen sync=false");
    let fail = |_: &gst_app::AppSink| Err(gst::FlowError::Error);
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(fail);
    playing.app_sink("screen").set_callbacks(callbacks.build());
    playing.play();
    playing.wait_for_end();
    let end = playing.stop();
    assert_eq!(end.only_error().text, "Internal data stream error.");
}

/// Where a virtual device can be had: the real ones show what people look at.
#[test]
fn kmssink_shows_it_on_a_virtual_device() {
    let _turn = exclusive();
    let is_virtual = |card: &PathBuf| {
        let uevent = std::fs::read_to_string(card.join("device/uevent"));
        let driver = std::fs::read_link(card.join("device/driver"));
        uevent.is_ok_and(|text| text.contains("DRIVER=vkms"))
            || driver.is_ok_and(|driver| driver.ends_with("vkms"))
    };
    let cards = std::fs::read_dir("/sys/class/drm").into_iter().flatten();
    let cards = cards.flatten().map(|entry| entry.path());
    if !cards.into_iter().any(|card| is_virtual(&card)) {
        let why = "no virtual KMS device (modprobe vkms makes one)";
        environment::skipped("kmssink", why);
        return;
    }
    let clip = Clip::round();
    let sink = "kmssink name=screen driver-name=vkms sync=false";
    let measured = measure(clip.prepare(sink));
    assert_eq!(measured.count("frames-out"), FRAMES, "{measured:?}");
}
