//! What a user types shows the video, on a screen.

use gst::prelude::*;
use iotdec_tests::display::{Display, Screen};
use iotdec_tests::environment::{self, sample};
use iotdec_tests::exclusive;
use iotdec_tests::pipeline::Playing;
use iotdec_tests::pixels::Pixels;
use iotdec_tests::process::{self, Running};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
/// In dB; above it two pictures look the same.
const ALIKE: f64 = 30.0;
/// Frames that have to be seen where none is dropped for being late: it moves.
const MOVING: usize = 5;

/// The frames as they should look on a screen, without the screen.
fn expected(file: &Path) -> Vec<Pixels> {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder ! videoconvert \
         ! video/x-raw,format=BGRx ! appsink name=sink sync=false max-buffers=2",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Pixels::of(&sample));
    }
    playing.stop().assert_eos();
    frames
}

/// A display as large as the video, so that the window covers it all: without a
/// window manager it appears in the corner.
fn display_for(frames: &[Pixels]) -> Display {
    let first = frames.first().expect("a video with frames");
    assert!(
        first.psnr(&first.blank()) < 20.0,
        "a frame that an empty screen could be taken for"
    );
    Display::start(first.width() as u32, first.height() as u32)
}

/// Says what the screen shows instead, and keeps a picture of it.
fn fail(display: &Display, frames: &[Pixels], name: &str, what: &str) -> ! {
    let screenshot = display.screenshot();
    let (index, alike) = screenshot.most_alike(frames);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
    screenshot.save(&path);
    panic!(
        "{what}; the screen is most like frame {index}, {alike:.1} dB; it is kept in {}",
        path.display()
    );
}

/// `gst-launch-1.0 filesrc location=FILE ! iotdec ! SINK` shows at least so many
/// frames of the video, in sequence, and ends well.
#[track_caller]
fn plays(clip: &str, sink: &str, at_least: usize) {
    let _turn = exclusive();
    let file = sample(clip);
    let frames = expected(&file);
    let display = display_for(&frames);
    let name = format!("{clip}-{}", sink.replace(' ', "-"));
    let location = format!("location={}", file.display());
    let player = Command::new("timeout")
        .args(["--kill-after=5", "60", "gst-launch-1.0", "-q", "filesrc"])
        .args([&location, "!", "iotdec", "!"])
        .args(sink.split(' '))
        .env("DISPLAY", display.name())
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .spawn()
        .expect("coreutils are installed");
    let mut player = Running::new(player);

    let mut seen: Vec<usize> = Vec::new();
    let status = display.until(LIMIT, |screen| {
        let (index, alike) = screen.most_alike(&frames);
        // Nothing yet or nothing any more, or the moment between two frames.
        if alike > ALIKE && seen.last() != Some(&index) {
            seen.push(index);
        }
        player.end()
    });
    let Some(status) = status else {
        fail(&display, &frames, &name, "the player does not end");
    };
    assert!(status.success(), "the player ended with {status}");
    if seen.len() < at_least {
        let what = format!("only these frames were seen: {seen:?}");
        fail(&display, &frames, &name, &what);
    }
    assert!(seen.is_sorted(), "frames out of sequence: {seen:?}");
    drop(player);
    drop(display);
    process::assert_no_children();
}

// A machine that is busy with something else shows few frames in time.

#[test]
fn h264_in_mp4_on_ximagesink() {
    plays("yard-h264.mp4", "ximagesink", 1);
}

#[test]
fn h265_in_mp4_on_ximagesink() {
    plays("yard-h265.mp4", "ximagesink", 1);
}

#[test]
fn h265_on_autovideosink() {
    plays("yard-h265.265", "autovideosink", 1);
}

#[test]
fn h265_that_need_not_be_in_time() {
    plays("yard-h265.265", "ximagesink sync=false", MOVING);
}

/// A paused pipeline shows the first frame, and that stays.
#[test]
fn a_paused_pipeline_shows_its_first_frame() {
    let _turn = exclusive();
    let file = sample("yard-h264.264");
    let frames = expected(&file);
    let display = display_for(&frames);
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder ! ximagesink display={}",
        file.display(),
        display.name()
    );
    let playing = Playing::prepare(&description, LIMIT);
    playing
        .pipeline()
        .set_state(gst::State::Paused)
        .expect("it can be paused");
    let shown = display.until(LIMIT, |screen| {
        let (index, alike) = screen.most_alike(&frames);
        (index == 0 && alike > ALIKE).then_some(())
    });
    if shown.is_none() {
        fail(&display, &frames, "paused", "the first frame is not shown");
    }
    let end = playing.stop();
    assert!(end.errors.is_empty(), "{:?}", end.errors);
    drop(display);
    process::assert_no_children();
}

/// The display and the comparison themselves: a picture that no decoder made.
#[test]
fn a_test_picture_is_told_from_another() {
    let _turn = exclusive();
    environment::prepare();
    let display = Display::start(320, 240);
    let picture = |pattern: &str, sink: &str| {
        let description = format!(
            "videotestsrc num-buffers=1 pattern={pattern} \
             ! video/x-raw,format=BGRx,width=320,height=240 ! {sink}"
        );
        Playing::start(&description, LIMIT)
    };
    let pixels = |pattern: &str| {
        let mut playing = picture(pattern, "appsink name=sink");
        let sample = playing.next_sample().expect("a frame");
        playing.wait_for_end();
        playing.stop().assert_eos();
        Pixels::of(&sample)
    };
    let candidates = [pixels("smpte"), pixels("ball")];
    let mut shown = picture("smpte", &format!("ximagesink display={}", display.name()));
    let (index, alike) = display
        .until(LIMIT, |screen| {
            let (index, alike) = screen.most_alike(&candidates);
            (alike > ALIKE).then_some((index, alike))
        })
        .expect("one of the two is shown");
    assert_eq!((index, alike), (0, f64::INFINITY), "not the same pixels");
    shown.wait_for_end();
    shown.stop().assert_eos();
}
