//! Frames in the memory that downstream wants, and enough of it.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::downstream::Answer;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{exclusive, native, process};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

#[path = "allocation/dmabuf.rs"]
mod dmabuf;
#[path = "allocation/layout.rs"]
mod layout;
#[path = "allocation/pool.rs"]
mod pool;

const LIMIT: Duration = Duration::from_secs(120);

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A decoder without a converter behind it.
fn prepare(file: &Path, decoder: &str, sink: &str) -> Playing {
    let description = format!(
        "filesrc location=\"{}\" ! h265parse ! iotdec_de265 name=decoder {decoder} ! {sink}",
        file.display()
    );
    Playing::prepare(&description, LIMIT)
}

/// The same with an appsink that answers the ALLOCATION query so.
fn play_to(answer: Answer, file: &Path, decoder: &str) -> Playing {
    let playing = prepare(file, decoder, "appsink name=sink sync=false max-buffers=2");
    let pad = playing.element("sink").static_pad("sink");
    answer.give_at(&pad.expect("sinks have one"));
    playing.play();
    playing
}

fn inode(buffer: &gst::BufferRef) -> u64 {
    let memory = buffer.peek_memory(0);
    let Some(memory) = memory.downcast_memory_ref::<gst_allocators::FdMemory>() else {
        return 0;
    };
    // SAFETY: the memory owns the descriptor and is borrowed until after the call.
    let fd = unsafe { BorrowedFd::borrow_raw(memory.fd()) };
    let stat = nix::sys::stat::fstat(fd).expect("an open descriptor");
    stat.st_ino
}

/// What came out of a pipeline, frame by frame.
#[derive(Debug, Default)]
struct Outcome {
    frames: Vec<Frame>,
    inodes: Vec<u64>,
    stats: Option<gst::Structure>,
}

impl Outcome {
    fn of(playing: &mut Playing) -> Self {
        let mut outcome = Self::default();
        while let Some(sample) = playing.next_sample() {
            let buffer = sample.buffer().expect("samples have buffers");
            outcome.inodes.push(inode(buffer));
            outcome.frames.push(Frame::of(&sample, None));
        }
        outcome.stats = Some(playing.stats());
        outcome
    }

    fn count(&self, field: &str) -> u64 {
        count(self.stats.as_ref().expect("taken at the end"), field)
    }
}

/// What downstream needs comes on top of what the decoder needs.
#[test]
fn downstreams_need_is_added_to_the_decoders() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 30, 30);
    let slots = |need: u32| {
        let answer = Answer {
            pool: Some((gst_video::VideoBufferPool::new().upcast(), need)),
            ..Answer::video_meta()
        };
        let mut playing = play_to(answer, &file, "max-slots=64");
        let outcome = Outcome::of(&mut playing);
        playing.stop().assert_eos();
        outcome.count("slots")
    };
    let few = slots(1);
    assert_eq!(slots(13), few + 12);
}

fn plays_to_the_end(mut playing: Playing, frames: u64) -> gst::Structure {
    playing.play();
    playing.wait_for_end();
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert_eq!(count(&stats, "frames-out"), frames, "{stats}");
    process::assert_no_children();
    stats
}

/// Waits until a queue of 64 frames is full, while the sink behind it is paused.
fn fill(playing: &Playing, queue: &str) {
    let queue = playing.element(queue);
    let level = || queue.property::<u32>("current-level-buffers");
    let full = process::until(LIMIT, || (level() == 64).then_some(()));
    assert!(full.is_some(), "the queue stays at {} frames", level());
}

const LONG_QUEUE: &str = "queue max-size-buffers=64 max-size-bytes=0 max-size-time=0";

/// With slots that suffice for all of it, with the usual number, and with fewer than
/// the decoder itself needs.
const MAX_SLOTS: [u32; 3] = [64, 32, 4];

#[test]
fn a_long_queue_that_is_full_does_not_stop_the_decoder() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 150, 30);
    for max in MAX_SLOTS {
        let sink = format!("{LONG_QUEUE} name=queue ! fakesink enable-last-sample=true");
        let playing = prepare(&file, &format!("max-slots={max}"), &sink);
        playing.set_state_within(gst::State::Paused, LIMIT);
        fill(&playing, "queue");
        let slots = count(&playing.stats(), "slots");
        assert!(slots <= u64::from(max.max(20)), "{slots} slots of {max}");
        let stats = plays_to_the_end(playing, 150);
        assert!(count(&stats, "frames-copied") > 0, "{stats}");
    }
}

#[test]
fn branches_of_a_tee_that_hold_frames_do_not_stop_the_decoder() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 150, 30);
    for max in MAX_SLOTS {
        let sink = format!(
            "tee name=t t. ! {LONG_QUEUE} name=one ! fakesink enable-last-sample=true \
             t. ! {LONG_QUEUE} name=two ! fakesink enable-last-sample=true sync=false"
        );
        let playing = prepare(&file, &format!("max-slots={max}"), &sink);
        playing.set_state_within(gst::State::Paused, LIMIT);
        fill(&playing, "one");
        fill(&playing, "two");
        plays_to_the_end(playing, 150);
    }
}

#[test]
fn an_application_that_keeps_100_frames_does_not_stop_the_decoder() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 150, 30);
    for max in MAX_SLOTS {
        let sink = "appsink name=sink sync=false max-buffers=2";
        let mut playing = prepare(&file, &format!("max-slots={max}"), sink);
        playing.play();
        let mut kept = Vec::new();
        while kept.len() < 100 {
            kept.push(playing.next_sample().expect("there are more"));
        }
        let mut frames: Vec<_> = kept.iter().map(|kept| Frame::of(kept, None)).collect();
        drop(kept);
        while let Some(sample) = playing.next_sample() {
            frames.push(Frame::of(&sample, None));
        }
        playing.stop().assert_eos();
        native::assert_equal(&file, Codec::H265, &frames);
    }
}
