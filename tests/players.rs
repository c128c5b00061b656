//! Players that know nothing of iotdec show the video with it, because of its rank.

use iotdec_tests::copies::{self, Copies};
use iotdec_tests::display::{Display, Screen};
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::pixels::Pixels;
use iotdec_tests::process::{self, Running};
use iotdec_tests::table::assert_documented;
use iotdec_tests::{environment, exclusive};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: usize = 50;
/// Of the clip, in pixels.
const SIZE: (usize, usize) = (320, 192);
/// Players scale: pictures are compared in so many pixels.
const THUMBNAIL: (usize, usize) = (32, 12);
/// In dB; above it two pictures show the same.
const ALIKE: f64 = 22.0;

/// Two seconds in an MP4: coloured to the edges, and no two frames alike.
struct Clip {
    directory: tempfile::TempDir,
    file: PathBuf,
    frames: Vec<Pixels>,
}

impl Clip {
    fn new() -> Self {
        environment::prepare();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("clip.mp4");
        let (width, height) = SIZE;
        let description = format!(
            "videotestsrc num-buffers={FRAMES} pattern=chroma-zone-plate kx2=4 ky2=4 kt=4 \
             ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
             ! x265enc speed-preset=ultrafast key-int-max=25 ! h265parse ! mp4mux \
             ! filesink location=\"{}\"",
            file.display()
        );
        let mut encoding = Playing::start(&description, LIMIT);
        encoding.wait_for_end();
        encoding.stop().assert_eos();
        let frames = thumbnails(&file);
        assert_eq!(frames.len(), FRAMES);
        let [first, .., last] = &frames[..] else {
            panic!("two frames");
        };
        assert!(first.psnr(last) < ALIKE, "the picture does not change");
        Self {
            directory,
            file,
            frames,
        }
    }

    /// Which of its frames is to be seen, if one is.
    fn seen_on(&self, screen: &Pixels) -> Option<usize> {
        let (index, alike) = thumbnail(screen)?.most_alike(&self.frames);
        (alike > ALIKE).then_some(index)
    }

    /// What a player wrote to its log.
    fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn uri(&self) -> String {
        format!("uri=file://{}", self.file.display())
    }

    fn location(&self) -> String {
        format!("location={}", self.file.display())
    }
}

/// The video in a player's window, but for the lower third: there are buttons.
fn thumbnail(window: &Pixels) -> Option<Pixels> {
    let (width, height) = THUMBNAIL;
    let video = window.coloured_part()?;
    let rows = video.width() * SIZE.1 / SIZE.0 * 2 / 3;
    let is_whole = video.width() >= width && video.height() >= rows && rows >= height;
    is_whole.then(|| video.upper(rows).thumbnail(width, height))
}

fn thumbnails(file: &Path) -> Vec<Pixels> {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec decoder=de265 ! videoconvert \
         ! video/x-raw,format=BGRx ! appsink name=sink sync=false max-buffers=2",
        file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(thumbnail(&Pixels::of(&sample)).expect("colours"));
    }
    playing.stop().assert_eos();
    frames
}

/// What a program has said of its decoder when it let go of it.
fn final_stats(log: &str) -> Option<gst::Structure> {
    let line = log.lines().find(|line| line.contains(" iotdec-stats, "))?;
    let at = line.find("iotdec-stats, ").expect("just found");
    line[at..].parse().ok()
}

/// The display that a player has for itself.
fn display() -> Display {
    Display::start(1024, 768)
}

/// Runs a player. Frames are seen in sequence, and the player has used iotdec's decoder
/// although others could have been had. Returns when it has let go of that, as at the end
/// of the video; it still needs the display to end well.
#[track_caller]
fn plays(row: &str, clip: &Clip, display: &Display, program: &str, arguments: &[&str]) -> Running {
    let home = clip.directory.path();
    let player = Command::new("timeout")
        .args(["--kill-after=5", "60", program])
        .args(arguments)
        .env("DISPLAY", display.name())
        .env_remove("WAYLAND_DISPLAY")
        .env("GST_PLUGIN_FEATURE_RANK", "iotdec_de265:MAX")
        .env("GST_DEBUG", format!("iotdec:4,{}", copies::CATEGORIES))
        .env("GST_DEBUG_NO_COLOR", "1")
        .env("GST_DEBUG_FILE", clip.log_file())
        // A user who has never used it, without a session.
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("NO_AT_BRIDGE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("coreutils are installed");
    let mut player = Running::new(player);
    let mut seen: Vec<usize> = Vec::new();
    let stats = display.until(LIMIT, |screen| {
        if let Some(index) = clip.seen_on(screen)
            && seen.last() != Some(&index)
        {
            seen.push(index);
        }
        let ended = player.end().is_some();
        final_stats(&clip.log()).or(ended.then(|| gst::Structure::new_empty("nothing")))
    });
    let log = clip.log();
    let Some(stats) = stats.filter(|stats| stats.name() == "iotdec-stats") else {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("players.png");
        display.screenshot().save(&path);
        panic!("{row}: not played with iotdec: {log}");
    };
    assert!(log.contains("libde265"), "{row}: another decoder: {log}");
    assert!(!seen.is_empty(), "{row}: no frame was seen; {stats}");
    assert!(seen.is_sorted(), "{row}: out of sequence: {seen:?}");
    let (out, skipped) = (count(&stats, "frames-out"), count(&stats, "frames-skipped"));
    assert_eq!(out + skipped, FRAMES as u64, "{row}: {stats}");
    assert_eq!(count(&stats, "frames-copied"), 0, "{row}: {stats}");
    println!("{row}: saw frames {seen:?}; {stats}");
    let reaches = match Copies::of_log(&log).conversions {
        0 => "slot",
        _ => "other memory",
    };
    assert_documented(row, reaches, &copies::per_frame_of_log(&log));
    player
}

/// The same of one that ends with the video.
#[track_caller]
fn plays_to_the_end(row: &str, clip: &Clip, program: &str, arguments: &[&str]) {
    let display = display();
    let mut player = plays(row, clip, &display, program, arguments);
    let status = process::until(LIMIT, || player.end());
    let status = status.unwrap_or_else(|| panic!("{row}: it does not end"));
    assert!(status.success(), "{row}: {status}: {}", clip.log());
    drop((player, display));
    process::assert_no_children();
}

#[test]
fn playbin_and_playbin3() {
    let _turn = exclusive();
    for player in ["playbin", "playbin3"] {
        let clip = Clip::new();
        let arguments = ["-q", player, &clip.uri()];
        plays_to_the_end(player, &clip, "gst-launch-1.0", &arguments);
    }
}

#[test]
fn gst_play() {
    let _turn = exclusive();
    let clip = Clip::new();
    let file = clip.file.to_string_lossy();
    plays_to_the_end("gst-play-1.0", &clip, "gst-play-1.0", &["-q", &file]);
}

#[test]
fn decodebin3_into_autovideosink() {
    let _turn = exclusive();
    let clip = Clip::new();
    let arguments = ["-q", "filesrc", &clip.location(), "!", "decodebin3", "!"];
    let arguments = [&arguments[..], &["autovideosink"]].concat();
    plays_to_the_end(
        "decodebin3 ! autovideosink",
        &clip,
        "gst-launch-1.0",
        &arguments,
    );
}

#[test]
fn sinks_that_need_a_display_in_the_environment() {
    let _turn = exclusive();
    for sink in ["glimagesink", "gtksink"] {
        let clip = Clip::new();
        let arguments = ["-q", "filesrc", &clip.location(), "!", "iotdec", "!", sink];
        plays_to_the_end(sink, &clip, "gst-launch-1.0", &arguments);
    }
}

/// Xfce's player: GTK around playbin. It stays when the video is over.
#[test]
fn parole() {
    let _turn = exclusive();
    let clip = Clip::new();
    let file = clip.file.to_string_lossy();
    let display = display();
    let arguments = ["--", "parole", &file];
    let player = plays("parole", &clip, &display, "dbus-run-session", &arguments);
    drop((player, display));
    process::assert_no_children();
}

/// Mean of every 16th sample of every 16th row, as examples/appsink.py takes it.
fn brightness(sample: &gst::Sample) -> f64 {
    use gst_video::prelude::*;
    let info = gst_video::VideoInfo::from_caps(sample.caps().expect("caps")).expect("video");
    let buffer = sample.buffer().expect("a buffer");
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
    let frame = frame.expect("it can be read");
    let (data, stride) = (frame.plane_data(0).expect("luma"), frame.plane_stride()[0]);
    let rows = data.chunks(stride as usize).take(info.height() as usize);
    let luma = rows
        .step_by(16)
        .flat_map(|row| row[..info.width() as usize].iter().step_by(16));
    let luma: Vec<_> = luma.map(|sample| f64::from(*sample)).collect();
    luma.iter().sum::<f64>() / luma.len() as f64
}

#[test]
fn a_python_program_gets_the_frames() {
    let _turn = exclusive();
    let clip = Clip::new();
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60"])
        .arg(environment::root().join("examples/appsink.py"))
        .arg(&clip.file)
        .stdin(Stdio::null())
        .output()
        .expect("coreutils are installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let description = format!(
        "filesrc location=\"{}\" ! iotdec ! appsink name=sink sync=false max-buffers=2",
        clip.file.display()
    );
    let mut playing = Playing::start(&description, LIMIT);
    let mut expected = String::new();
    while let Some(sample) = playing.next_sample() {
        let pts = sample
            .buffer()
            .and_then(|buffer| buffer.pts())
            .expect("a time");
        let time = pts.nseconds() as f64 / 1e9;
        expected += &format!("{time:.3} s  {:.1}\n", brightness(&sample));
    }
    playing.stop().assert_eos();
    assert_eq!(text, format!("{expected}{FRAMES} frames\n"), "{errors}");
}
