//! Frame slots grow and shrink with what is needed; nothing piles up.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{environment, exclusive, native, process};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn play(file: &Path, decoder: &str, sink: &str) -> Playing {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder {decoder} ! {sink}",
        file.display()
    );
    Playing::start(&description, LIMIT)
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// One raw stream after the other in one file.
fn joined(directory: &Path, files: &[PathBuf]) -> PathBuf {
    let parts = files
        .iter()
        .map(|file| std::fs::read(file).expect("just made"));
    let joined = directory.join("joined.265");
    std::fs::write(&joined, parts.collect::<Vec<_>>().concat()).expect("a writable directory");
    joined
}

/// Bytes that lie in the frame slots which this process has open.
fn slot_bytes() -> u64 {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let slots = entries.flatten().filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let is_slot = target.to_string_lossy().contains("iotdec-frame");
        let metadata = std::fs::metadata(entry.path()).ok().filter(|_| is_slot)?;
        use std::os::unix::fs::MetadataExt;
        Some((metadata.ino(), 512 * metadata.blocks()))
    });
    slots
        .collect::<std::collections::HashMap<_, _>>()
        .values()
        .sum()
}

/// After a burst in which downstream kept many frames their slots are given up.
#[test]
fn slots_of_a_burst_are_given_up() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 360, 60);
    let mut playing = play(
        &file,
        "max-slots=60",
        "appsink name=sink sync=false max-buffers=1",
    );
    let mut frames = Vec::new();
    let mut kept = Vec::new();
    while kept.len() < 40 {
        kept.push(playing.next_sample().expect("there are more"));
    }
    let peak = (count(&playing.stats(), "slots"), slot_bytes());
    assert!(peak.0 > 40, "the burst needed {} slots", peak.0);
    frames.extend(kept.drain(..).map(|sample| Frame::of(&sample, None)));
    let mut after = peak;
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
        after = (count(&playing.stats(), "slots"), slot_bytes());
    }
    let [worker] = process::workers()[..] else {
        panic!("not one worker: {:?}", process::children());
    };
    let mapped = process::mapped_memfds(worker, "iotdec-frame").len();
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert!(after.0 < 25, "{} of {} slots are left", after.0, peak.0);
    assert!(after.1 < peak.1 / 2, "{after:?} bytes after {peak:?}");
    assert!(mapped < 25, "the worker has {mapped} slots mapped");
    assert_eq!(count(&stats, "frames-copied"), 0);
    native::assert_equal(&file, Codec::H265, &frames);
}

/// Small pictures do not go on lying in slots for large ones.
#[test]
fn slots_shrink_with_the_pictures() {
    let _turn = exclusive();
    let directory = directory();
    let large = clips::encode_sized(directory.path(), Codec::H265, (1280, 720), 10, 10);
    let small = clips::encode(directory.path(), Codec::H265, 300, 60);
    let file = joined(directory.path(), &[large, small]);
    let mut playing = play(&file, "", "appsink name=sink sync=false max-buffers=1");
    let (mut frames, mut peak, mut last) = (Vec::new(), 0, 0);
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
        last = slot_bytes();
        peak = last.max(peak);
    }
    playing.stop().assert_eos();
    assert!(peak > 5 * 1280 * 720 * 3 / 2, "{peak} bytes at most");
    assert!(last < 25 * 320 * 192 * 2, "{last} bytes are left of {peak}");
    native::assert_equal(&file, Codec::H265, &frames);
}

/// Digests what passes a pad, and sends each digest.
fn watch(pad: &gst::Pad) -> mpsc::Receiver<Frame> {
    let (sender, frames) = mpsc::channel();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let caps = pad.current_caps().expect("buffers come after caps");
        let buffer = info.buffer().expect("a probe for buffers");
        let sample = gst::Sample::builder().buffer(buffer).caps(&caps).build();
        // Nobody listens any more when the test is over.
        let _ = sender.send(Frame::of(&sample, None));
        gst::PadProbeReturn::Ok
    });
    frames
}

/// A stopped decoder keeps its worker, but no frame slots.
#[test]
fn a_stopped_decoder_gives_its_slots_up() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 60, 30);
    let description = format!(
        "filesrc location=\"{}\" ! h265parse ! iotdec_de265 name=decoder \
         ! fakesink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    let pad = playing
        .element("sink")
        .static_pad("sink")
        .expect("sinks have one");
    let frames = watch(&pad);
    playing.play();
    for _ in 0..20 {
        frames.recv_timeout(LIMIT).expect("there are more");
    }
    let before = slot_bytes();
    let [worker] = process::workers()[..] else {
        panic!("not one worker: {:?}", process::children());
    };
    playing.set_state_within(gst::State::Ready, LIMIT);
    // The decoder finishes the packet that it is at, and touches a few pictures for it.
    let left = slot_bytes();
    frames.try_iter().for_each(drop);
    playing.play();
    playing.wait_for_end();
    assert_eq!(process::workers(), [worker], "the worker was kept warm");
    playing.stop().assert_eos();
    let again: Vec<_> = frames.try_iter().collect();
    native::assert_equal(&file, Codec::H265, &again);
    assert!(
        left < before / 2,
        "{left} bytes of {before} are kept in READY"
    );
}

/// Pictures of the size before may be held for ever while those of the next size
/// need slots, too.
#[test]
fn a_change_of_size_finds_slots_while_all_are_held() {
    let _turn = exclusive();
    let directory = directory();
    let sizes = [(320, 192), (640, 384), (160, 96), (640, 192)];
    let clip = |size| clips::encode_sized(directory.path(), Codec::H265, size, 60, 30);
    let file = joined(directory.path(), &sizes.map(clip));
    let mut playing = play(&file, "max-slots=64", "appsink name=sink sync=false");
    let mut kept = Vec::new();
    while let Some(sample) = playing.next_sample() {
        kept.push(sample);
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    let frames: Vec<_> = kept.iter().map(|sample| Frame::of(sample, None)).collect();
    native::assert_equal(&file, Codec::H265, &frames);
    assert!(count(&stats, "frames-copied") > 0, "{stats}");
    assert_eq!(frames.len(), 240);
}

/// Pictures of 3840 x 2160 are handled like others.
#[test]
fn slots_take_4k_pictures() {
    let _turn = exclusive();
    let directory = directory();
    for codec in [Codec::H265, Codec::H264] {
        let file = clips::encode_sized(directory.path(), codec, (3840, 2160), 4, 4);
        let mut playing = play(&file, "", "appsink name=sink sync=false max-buffers=1");
        let mut frames = Vec::new();
        while let Some(sample) = playing.next_sample() {
            frames.push(Frame::of(&sample, None));
        }
        playing.stop().assert_eos();
        native::assert_equal(&file, codec, &frames);
        assert_eq!(
            (frames.len(), frames[0].width, frames[0].height),
            (4, 3840, 2160)
        );
    }
}

/// Memory that stays allocated although nothing needs it, in KiB.
const TOLERANCE: u64 = 4096;

/// Resident memory of this process and its worker, in KiB.
fn resident() -> (u64, u64) {
    let [worker] = process::workers()[..] else {
        panic!("not one worker: {:?}", process::children());
    };
    let of = |pid| process::status_kib(pid, "VmRSS").expect("it runs");
    (of(std::process::id() as i32), of(worker))
}

/// Fails if either process has grown since it was warm, a quarter into the test.
fn assert_flat(samples: &[(u64, u64)], what: &str) {
    let quarter = samples.len() / 4;
    let most = |part: &[(u64, u64)]| {
        let (player, worker): (Vec<_>, Vec<_>) = part.iter().copied().unzip();
        (player.into_iter().max(), worker.into_iter().max())
    };
    let (early, late) = (
        most(&samples[quarter..2 * quarter]),
        most(&samples[3 * quarter..]),
    );
    println!("{what}: player and worker {early:?} KiB early, {late:?} late");
    let grown =
        |early: Option<u64>, late: Option<u64>| late.zip(early).map(|(l, e)| l.saturating_sub(e));
    assert!(
        grown(early.0, late.0) < Some(TOLERANCE),
        "the player grows: {samples:?}"
    );
    assert!(
        grown(early.1, late.1) < Some(TOLERANCE),
        "the worker grows: {samples:?}"
    );
}

/// 10,000 frames in the long form.
#[test]
fn memory_stays_flat_over_many_frames() {
    let _turn = exclusive();
    let directory = directory();
    let rounds = if environment::is_full() { 40 } else { 8 };
    for codec in [Codec::H265, Codec::H264] {
        let clip = clips::encode_sized(directory.path(), codec, (160, 96), 250, 50);
        let file = joined(directory.path(), &vec![clip; rounds]);
        let description = format!(
            "filesrc location=\"{}\" ! {} ! {} name=decoder ! fakesink name=sink sync=false",
            file.display(),
            codec.parser(),
            codec.decoder(),
        );
        let mut playing = Playing::prepare(&description, 5 * LIMIT);
        let pad = playing
            .element("sink")
            .static_pad("sink")
            .expect("sinks have one");
        let (sender, samples) = mpsc::channel();
        let passed = AtomicU32::new(0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if passed.fetch_add(1, Ordering::Relaxed).is_multiple_of(50) {
                // Nobody listens any more when the test is over.
                let _ = sender.send(resident());
            }
            gst::PadProbeReturn::Ok
        });
        playing.play();
        playing.wait_for_end();
        let stats = playing.stats();
        playing.stop().assert_eos();
        assert_eq!(count(&stats, "frames-out"), 250 * rounds as u64);
        let samples: Vec<_> = samples.try_iter().collect();
        assert_flat(&samples, &format!("{codec:?}, {} frames", 250 * rounds));
    }
}

/// 200 cycles in the long form, with a worker that stays warm.
#[test]
fn memory_stays_flat_over_many_state_changes() {
    let _turn = exclusive();
    let directory = directory();
    let cycles = if environment::is_full() { 200 } else { 16 };
    let file = clips::encode(directory.path(), Codec::H265, 12, 12);
    let description = format!(
        "filesrc location=\"{}\" ! h265parse ! iotdec_de265 name=decoder ! fakesink sync=false",
        file.display()
    );
    let playing = Playing::prepare(&description, 5 * LIMIT);
    let bus = playing.pipeline().bus().expect("pipelines have one");
    let mut samples = Vec::new();
    for _ in 0..cycles {
        playing.play();
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let limit = gst::ClockTime::from_seconds(LIMIT.as_secs());
        let message = bus.timed_pop_filtered(limit, &end).expect("an end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
        samples.push(resident());
        playing.set_state_within(gst::State::Ready, LIMIT);
    }
    assert_eq!(count(&playing.stats(), "frames-out"), 12 * cycles as u64);
    let end = playing.stop();
    assert!(end.errors.is_empty(), "{:?}", end.errors);
    assert_flat(&samples, &format!("{cycles} cycles"));
}

/// 200 cycles in the long form, each with a worker of its own.
#[test]
fn memory_stays_flat_over_many_workers() {
    let _turn = exclusive();
    let directory = directory();
    let cycles = if environment::is_full() { 200 } else { 16 };
    let file = clips::encode(directory.path(), Codec::H265, 12, 12);
    let descriptors = process::kinds_of_descriptors();
    let mut samples = Vec::new();
    for _ in 0..cycles {
        let mut playing = play(&file, "", "fakesink sync=false");
        playing.wait_for_end();
        samples.push(resident());
        playing.stop().assert_eos();
    }
    process::assert_no_children();
    process::assert_kinds_of_descriptors(&descriptors);
    assert_flat(&samples, &format!("{cycles} workers"));
}
