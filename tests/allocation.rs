//! Frames in the memory that downstream wants, and enough of it.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::downstream::{self, Answer, Making};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{exclusive, native, process};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

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

/// Where frames of a clip of this size lie, when downstream offers such a pool.
fn decode_into_pool(making: Making, size: (u32, u32)) -> (Outcome, gst::BufferPool) {
    let directory = directory();
    let file = clips::encode_sized(directory.path(), Codec::H265, size, 120, 30);
    let pool = downstream::memfd_pool(making);
    let answer = Answer {
        video_meta: true,
        pool: Some((pool.clone(), 2)),
        ..Answer::default()
    };
    let mut playing = play_to(answer, &file, "");
    let outcome = Outcome::of(&mut playing);
    playing.stop().assert_eos();
    native::assert_equal(&file, Codec::H265, &outcome.frames);
    process::assert_no_children();
    (outcome, pool)
}

fn assert_in_pool(outcome: &Outcome, pool: &gst::BufferPool) {
    let theirs = downstream::inodes(pool);
    let inside = |inode: &u64| theirs.contains(inode);
    // The first were on their way when it was known what they look like.
    let first = outcome.inodes.iter().position(inside);
    let first = first.expect("no frame was decoded into the pool");
    assert!(first < 40, "only from frame {first} on");
    assert!(
        outcome.inodes[first + 20..].iter().all(inside),
        "not all after the first"
    );
    assert!(theirs.len() < 30, "{} buffers were taken", theirs.len());
    assert_eq!(outcome.count("frames-copied"), 0);
    assert_eq!(downstream::buffers(), 0, "buffers were not given back");
}

#[test]
fn pictures_are_decoded_into_downstreams_own_memory() {
    let _turn = exclusive();
    let (outcome, pool) = decode_into_pool(Making::default(), (320, 192));
    assert_in_pool(&outcome, &pool);
}

/// A picture that is larger than what is seen of it.
#[test]
fn a_pool_is_told_the_decoders_alignment() {
    let _turn = exclusive();
    let making = Making {
        alignable: true,
        ..Making::default()
    };
    let (outcome, pool) = decode_into_pool(making, (324, 196));
    assert_in_pool(&outcome, &pool);
}

#[test]
fn a_pool_that_does_not_fit_is_left_alone() {
    let _turn = exclusive();
    let unfit = [
        // Too few for a decoder's references.
        (
            Making {
                max: 8,
                ..Making::default()
            },
            (320, 192),
        ),
        // The worker could crash the player.
        (
            Making {
                unsealed: true,
                ..Making::default()
            },
            (320, 192),
        ),
        // It cannot lay rows out as the decoder does.
        (Making::default(), (324, 196)),
    ];
    for (making, size) in unfit {
        let (outcome, pool) = decode_into_pool(making, size);
        let theirs = downstream::inodes(&pool);
        let inside = |inode: &&u64| theirs.contains(inode);
        assert_eq!(
            outcome.inodes.iter().filter(inside).count(),
            0,
            "{making:?}"
        );
        assert_eq!(outcome.count("frames-copied"), 0, "{making:?}");
        drop(outcome);
        let _ = pool.set_active(false);
        assert_eq!(downstream::buffers(), 0, "{making:?}");
    }
}

/// Whoever writes to frames in its own pool gets copies while the decoder needs them.
#[test]
fn writing_into_the_pool_spoils_no_later_frame() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 120, 60);
    let pool = downstream::memfd_pool(Making::default());
    let answer = Answer {
        video_meta: true,
        pool: Some((pool.clone(), 2)),
        ..Answer::default()
    };
    let mut playing = play_to(answer, &file, "");
    let mut frames = Vec::new();
    let (mut inside, mut copied) = (0, 0);
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
        let mut buffer = sample.buffer_owned().expect("samples have buffers");
        let before = inode(&buffer);
        inside += u32::from(downstream::inodes(&pool).contains(&before));
        drop(sample);
        let writable = buffer.make_mut();
        let mut map = writable.map_writable().expect("a copy if need be");
        map.fill(0x55);
        drop(map);
        copied += u32::from(inode(writable) != before);
    }
    playing.stop().assert_eos();
    native::assert_equal(&file, Codec::H265, &frames);
    assert!(inside > 60, "{inside} frames in the pool");
    assert!(copied > 0, "nothing was protected");
    drop(pool.set_active(false));
    assert_eq!(downstream::buffers(), 0);
}

/// Frames in downstream's memory outlive the decoder.
#[test]
fn frames_in_the_pool_outlive_the_pipeline() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 120, 60);
    let pool = downstream::memfd_pool(Making::default());
    let answer = Answer {
        video_meta: true,
        pool: Some((pool.clone(), 2)),
        ..Answer::default()
    };
    let mut playing = play_to(answer, &file, "");
    let mut kept = Vec::new();
    while let Some(sample) = playing.next_sample() {
        kept.push(sample);
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    process::assert_no_children();
    let frames: Vec<_> = kept.iter().map(|sample| Frame::of(sample, None)).collect();
    native::assert_equal(&file, Codec::H265, &frames);
    assert!(count(&stats, "frames-copied") > 0, "{stats}");
    drop(kept);
    assert_eq!(downstream::buffers(), 0);
}
