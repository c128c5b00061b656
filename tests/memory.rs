//! Frame slots grow and shrink with what is needed; nothing piles up.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{exclusive, native, process};
use std::path::{Path, PathBuf};
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
