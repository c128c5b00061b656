//! A worker that dies takes nothing with it: the stream goes on at the next key
//! frame, and nothing of the dead stays behind.

use iotdec_tests::clips::{self, Codec};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count, decode};
use iotdec_tests::{crafted, exclusive, native, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
const KILLS: usize = 20;
/// Between key frames of the clip.
const DISTANCE: u32 = 10;
/// Frames from a worker before it is killed vary between the first and this.
const LIVES: usize = 9;

/// A directory for a test's files, and the working directory, in which QEMU drops
/// its core dumps.
struct Scene {
    directory: tempfile::TempDir,
    working_directory: PathBuf,
    dumps: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        process::allow_core_dumps();
        let working_directory = std::env::current_dir().expect("a working directory");
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            dumps: process::core_dumps(&working_directory),
            working_directory,
        }
    }

    #[track_caller]
    fn assert_no_core_dumps(&self) {
        let mut left = process::core_dumps(&self.working_directory);
        left.retain(|name| !self.dumps.contains(name));
        for name in &left {
            // Not ours to leave behind either.
            let _ = std::fs::remove_file(self.working_directory.join(name));
        }
        assert!(
            left.is_empty(),
            "core dumps in the working directory: {left:?}"
        );
    }
}

fn play(file: &Path, properties: &str) -> Playing {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder {properties} \
         ! appsink name=sink sync=false max-buffers=1",
        file.display()
    );
    Playing::start(&description, LIMIT)
}

/// The frames that come out although every few frames the worker is killed, and
/// how often it was.
fn frames_despite_kills(file: &Path) -> (Vec<Frame>, usize) {
    let mut playing = play(file, "");
    let mut frames = Vec::new();
    let (mut killed, mut kills, mut since) = (0, 0, 0);
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
        let worker = process::workers().first().copied();
        let Some(worker) = worker.filter(|worker| *worker != killed) else {
            continue;
        };
        since += 1;
        // Two frames of the last worker may still have been under way, one in the sink
        // and one that was waiting for room there; the third is from this one, so it
        // has started.
        if kills < KILLS && since > 2 + kills % LIVES {
            let signal = [Signal::SIGKILL, Signal::SIGSEGV][kills % 2];
            kill(Pid::from_raw(worker), signal).expect("the worker runs");
            (killed, since) = (worker, 0);
            kills += 1;
        }
    }
    let stats = playing.stats();
    let end = playing.stop();
    end.assert_eos();
    assert_eq!(count(&stats, "worker-restarts"), kills as u64, "{stats}");
    (frames, kills)
}

fn survive_kills(codec: Codec) {
    let scene = Scene::new();
    let total = 600;
    let file = clips::encode(scene.directory.path(), codec, total, DISTANCE);
    let expected = decode(&file, "iotdec name=decoder", LIMIT);
    expected.end.assert_eos();
    native::assert_equal(&file, codec, &expected.frames);
    process::assert_no_children();
    let descriptors = process::kinds_of_descriptors();

    let (frames, kills) = frames_despite_kills(&file);

    process::assert_no_children();
    process::assert_kinds_of_descriptors(&descriptors);
    scene.assert_no_core_dumps();
    assert_eq!(kills, KILLS, "the clip is too short for so many kills");
    let by_time: HashMap<_, _> = expected.frames.iter().map(|f| (f.pts, f)).collect();
    assert_eq!(
        by_time.len(),
        expected.frames.len(),
        "two frames of one time"
    );
    for (index, frame) in frames.iter().enumerate() {
        let same = by_time[&frame.pts];
        assert_eq!(
            frame.planes, same.planes,
            "frame {index} at {:?}",
            frame.pts
        );
        assert!(
            !frame.corrupted,
            "frame {index} is right but said to be corrupt"
        );
    }
    assert!(
        frames.is_sorted_by_key(|frame| frame.pts),
        "out of sequence"
    );
    // What was inside the worker is lost, and what comes before the next key frame.
    let lost = expected.frames.len() - frames.len();
    let bearable = KILLS * (2 * DISTANCE as usize);
    assert!(lost <= bearable, "{lost} frames lost by {KILLS} kills");
}

#[test]
fn a_killed_h265_worker_is_replaced() {
    let _turn = exclusive();
    survive_kills(Codec::H265);
}

#[test]
fn a_killed_h264_worker_is_replaced() {
    let _turn = exclusive();
    survive_kills(Codec::H264);
}

/// Plays an H.265 clip with a broken library: there must be one error, which names
/// the library, and no process left. Returns the error's text.
#[track_caller]
fn error_with(bodies: &[(&str, &str)], extra: &str) -> String {
    error_of(bodies, extra, "")
}

/// The same with properties of the decoder.
#[track_caller]
fn error_of(bodies: &[(&str, &str)], extra: &str, properties: &str) -> String {
    let scene = Scene::new();
    let library = crafted::fake_de265(scene.directory.path(), bodies, extra);
    let file = clips::encode(scene.directory.path(), Codec::H265, 40, 5);
    let library = library.display();
    let middle = format!("iotdec name=decoder library=\"{library}\" {properties}");
    let decoded = decode(&file, &middle, LIMIT);
    process::assert_no_children();
    scene.assert_no_core_dumps();
    assert!(decoded.frames.is_empty(), "frames from a broken library");
    let error = decoded.end.only_error();
    assert!(
        error.text.contains("libfake265.so"),
        "does not name the library: {}",
        error.text
    );
    error.text.clone()
}

#[test]
fn a_library_that_crashes_on_every_packet_is_given_up() {
    let _turn = exclusive();
    let text = error_with(&[("de265_push_NAL", "abort();")], "");
    assert!(text.contains("SIGABRT"), "does not name the signal: {text}");
}

#[test]
fn a_library_that_crashes_in_a_null_pointer_is_given_up() {
    let _turn = exclusive();
    let text = error_with(
        &[("de265_push_NAL", "return (void *)(long)*(volatile int *)0;")],
        "",
    );
    assert!(text.contains("SIGSEGV"), "does not name the signal: {text}");
    // Whoever translates the library's code: the accelerator, if it is on, or QEMU.
    assert!(
        text.contains("at address 0x0 in libfake265.so+0x")
            && text.contains(" after de265_push_NAL"),
        "does not say where: {text}"
    );
}

#[test]
fn a_library_that_exits_on_every_packet_is_given_up() {
    let _turn = exclusive();
    let text = error_with(&[("de265_push_NAL", "_exit(3);")], "");
    assert!(
        text.contains("status 3"),
        "does not tell the status: {text}"
    );
}

#[test]
fn a_library_that_exits_while_loading_is_an_error() {
    let _turn = exclusive();
    let constructor = "__attribute__((constructor)) static void leave(void) { _exit(7); }";
    let text = error_with(&[], constructor);
    assert!(
        text.contains("status 7"),
        "does not tell the status: {text}"
    );
}

#[test]
fn a_library_that_hangs_while_loading_is_an_error_in_time() {
    let _turn = exclusive();
    let constructor = "__attribute__((constructor)) static void stay(void) { for (;;) pause(); }";
    let start = Instant::now();
    let text = error_with(&[], constructor);
    assert!(text.contains("not ready within"), "{text}");
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_library_that_hangs_on_every_packet_is_given_up() {
    let _turn = exclusive();
    for body in ["for (;;) pause();", "for (volatile int i = 0;; i++);"] {
        let start = Instant::now();
        let properties = "hang-timeout=1 restart-limit=1";
        let text = error_of(&[("de265_push_NAL", body)], "", properties);
        assert!(text.contains("at the same packet after 1s"), "{text}");
        assert!(text.contains("lost 2 times"), "{text}");
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(2), "{took:?}");
    }
}

/// A worker that stops is replaced as one that dies; one whose frames nobody takes is left
/// alone.
#[test]
fn a_worker_that_hangs_is_replaced() {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), Codec::H265, 200, DISTANCE);
    let mut playing = play(&file, "hang-timeout=1");
    let mut frames = 0;
    playing.next_sample().expect("a frame");
    let [worker] = process::workers()[..] else {
        panic!("not one worker: {:?}", process::workers());
    };
    // The sink is full, and soon everything before it.
    std::thread::sleep(Duration::from_secs(4));
    for _ in 0..50 {
        playing.next_sample().expect("a frame");
    }
    assert_eq!(process::workers(), [worker], "replaced for waiting");
    kill(Pid::from_raw(worker), Signal::SIGSTOP).expect("the worker runs");
    while playing.next_sample().is_some() {
        frames += 1;
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert_eq!(count(&stats, "worker-restarts"), 1, "{stats}");
    // What the worker had is lost, up to the next key frame.
    assert!(frames >= 100, "{frames} of 149 frames");
    process::assert_no_children();
}

#[test]
fn a_library_that_makes_no_decoder_is_an_error() {
    let _turn = exclusive();
    let text = error_with(&[("de265_new_decoder", "return 0;")], "");
    assert!(text.contains("de265_new_decoder"), "{text}");
}
