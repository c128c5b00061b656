//! A decoder that is too slow leaves pictures out before decoding them, and so
//! stays in time.

use iotdec_tests::exclusive;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count, decode};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: u32 = 300;

/// Noise, which is dear to decode, at `rate` frames a second; two of three pictures
/// are no references, and every 24th is a key frame.
fn noise(directory: &Path, frames: u32, rate: u32) -> PathBuf {
    let file = directory.join("noise.mp4");
    let description = format!(
        "videotestsrc num-buffers={frames} pattern=snow \
         ! video/x-raw,format=I420,width=480,height=320,framerate={rate}/1 \
         ! x264enc bframes=2 b-adapt=false key-int-max=24 speed-preset=ultrafast pass=quant \
         quantizer=30 ! video/x-h264,profile=main ! h264parse ! qtmux \
         ! filesink location=\"{}\"",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

/// A clip, and for how long it plays.
struct Clip {
    file: PathBuf,
    length: Duration,
}

/// A clip that plays three times as fast as this machine decodes it at the moment.
fn demanding_clip(directory: &Path) -> Clip {
    let (_, speed) = decode_all(&noise(directory, 72, 25));
    let rate = (3.0 * speed) as u32;
    Clip {
        file: noise(directory, FRAMES, rate),
        length: Duration::from_secs_f64(f64::from(FRAMES) / f64::from(rate)),
    }
}

/// Every frame of a clip, and how many came a second.
fn decode_all(file: &Path) -> (Vec<Frame>, f64) {
    let middle = "qtdemux ! h264parse ! iotdec_openh264 name=decoder";
    let start = Instant::now();
    let decoded = decode(file, middle, LIMIT);
    decoded.end.assert_eos();
    let speed = decoded.frames.len() as f64 / start.elapsed().as_secs_f64();
    (decoded.frames, speed)
}

struct Shown {
    frames: Vec<Frame>,
    stats: gst::Structure,
    took: Duration,
}

/// Plays to a sink that waits for the clock and throws away what is late.
fn play_in_time(file: &Path, decoder: &str) -> Shown {
    let description = format!(
        "filesrc location=\"{}\" ! qtdemux ! h264parse ! {decoder} name=decoder \
         ! appsink name=sink sync=true qos=true max-lateness=20000000",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let start = Instant::now();
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
    }
    let (stats, took) = (playing.stats(), start.elapsed());
    playing.stop().assert_eos();
    Shown {
        frames,
        stats,
        took,
    }
}

#[test]
fn late_pictures_are_not_decoded_and_the_rest_is_in_time() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clip = demanding_clip(directory.path());
    let shown = play_in_time(&clip.file, "iotdec_openh264");
    let (all, _) = decode_all(&clip.file);
    assert_eq!(all.len(), FRAMES as usize);

    let stats = &shown.stats;
    assert!(shown.took < clip.length * 2, "{:?}: {stats}", shown.took);
    let (out, dropped) = (count(stats, "frames-out"), count(stats, "frames-dropped"));
    assert!(out + dropped <= u64::from(FRAMES), "{stats}");
    // What was left out cost nothing.
    let skipped = count(stats, "frames-skipped");
    assert!(skipped > u64::from(FRAMES) / 5, "{stats}");
    let by_time: HashMap<_, _> = all.iter().map(|f| (f.pts, f)).collect();
    for frame in &shown.frames {
        assert_eq!(frame, by_time[&frame.pts], "skipping damaged it");
    }
    // Not just at the beginning, before it was late.
    let third = clip.length.as_nanos() as u64 / 3;
    let times = shown.frames.iter().filter_map(|frame| frame.pts);
    let later = times.filter(|pts| pts.nseconds() > third).count();
    assert!(
        later > 4,
        "{later} frames after a third of the clip: {stats}"
    );
}

#[test]
fn without_qos_everything_is_decoded() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clip = demanding_clip(directory.path());
    let shown = play_in_time(&clip.file, "iotdec_openh264 qos=false");
    assert_eq!(count(&shown.stats, "frames-skipped"), 0, "{}", shown.stats);
    assert_eq!(count(&shown.stats, "frames-out"), u64::from(FRAMES));
    assert!(shown.took > clip.length * 3 / 2, "{:?}", shown.took);
}

/// Key-unit trick mode asks for key frames alone: no other is decoded.
#[test]
fn key_unit_mode_decodes_key_frames_alone() {
    use gst::prelude::*;
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = noise(directory.path(), FRAMES, 25);
    let description = format!(
        "filesrc location=\"{}\" ! qtdemux ! h264parse ! iotdec_openh264 name=decoder \
         ! appsink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    playing.set_state_within(gst::State::Paused, LIMIT);
    playing.preroll();
    let seek = gst::event::Seek::new(
        4.0,
        gst::SeekFlags::FLUSH | gst::SeekFlags::TRICKMODE_KEY_UNITS,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::End,
        gst::ClockTime::ZERO,
    );
    assert!(playing.pipeline().send_event(seek));
    let before = count(&playing.stats(), "frames-out");
    playing.play();
    let mut shown = 0;
    while playing.next_sample().is_some() {
        shown += 1;
    }
    let decoded = count(&playing.stats(), "frames-out") - before;
    playing.stop().assert_eos();
    // One every 24 frames, which the demuxer may or may not have picked itself.
    let keys = u64::from(FRAMES) / 24;
    assert!((keys..=keys + 2).contains(&shown), "{shown}");
    assert!(decoded <= shown + 1, "{decoded} for {shown}");
}
