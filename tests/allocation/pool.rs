//! Frames in downstream's own pool.

use super::{Outcome, directory, inode, play_to};
use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::downstream::{self, Answer, Making};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{exclusive, native, process};
use std::path::Path;
use std::time::Duration;

/// Plays to a sink that offers such a pool.
fn play_into_pool(file: &Path, making: Making) -> (Playing, gst::BufferPool) {
    let pool = downstream::memfd_pool(making);
    let answer = Answer {
        video_meta: true,
        pool: Some((pool.clone(), 2)),
        ..Answer::default()
    };
    (play_to(answer, file, ""), pool)
}

/// Where frames of a clip of this size lie, when downstream offers such a pool.
fn decode_into_pool(making: Making, size: (u32, u32)) -> (Outcome, gst::BufferPool) {
    let directory = directory();
    let file = clips::encode_sized(directory.path(), Codec::H265, size, 120, 30);
    let (mut playing, pool) = play_into_pool(&file, making);
    let outcome = Outcome::of(&mut playing);
    playing.stop().assert_eos();
    native::assert_equal(&file, Codec::H265, &outcome.frames);
    process::assert_no_children();
    (outcome, pool)
}

/// Fails if the pool's buffers are not freed when the pipeline is, which takes a moment.
#[track_caller]
fn assert_given_back() {
    let limit = Duration::from_secs(5);
    let gone = process::until(limit, || (downstream::buffers() == 0).then_some(()));
    let left = downstream::buffers();
    assert!(gone.is_some(), "{left} buffers were not given back");
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
    // For as long as the decoder may refer to what is in them, not for one picture.
    let acquired = downstream::acquired(pool);
    assert!(acquired < 30, "buffers were acquired {acquired} times");
    assert_eq!(outcome.count("frames-copied"), 0);
    assert_given_back();
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
        assert_given_back();
    }
}

/// Whoever writes to frames in its own pool gets copies while the decoder needs them.
#[test]
fn writing_into_the_pool_spoils_no_later_frame() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 120, 60);
    let (mut playing, pool) = play_into_pool(&file, Making::default());
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
    assert_given_back();
}

/// Frames in downstream's memory outlive the decoder.
#[test]
fn frames_in_the_pool_outlive_the_pipeline() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 120, 60);
    let (mut playing, _) = play_into_pool(&file, Making::default());
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
    assert_given_back();
}

/// The worker that replaces a lost one decodes into downstream's memory, too.
#[test]
fn a_new_worker_gets_the_pool() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 300, 30);
    let (mut playing, pool) = play_into_pool(&file, Making::default());
    let mut inodes = Vec::new();
    while let Some(sample) = playing.next_sample() {
        inodes.push(inode(sample.buffer().expect("samples have buffers")));
        if inodes.len() == 100 {
            let worker = process::workers()[0];
            let pid = nix::unistd::Pid::from_raw(worker);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
        }
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    assert_eq!(count(&stats, "worker-restarts"), 1, "{stats}");
    assert_eq!(count(&stats, "frames-copied"), 0, "{stats}");
    let theirs = downstream::inodes(&pool);
    assert!(inodes.len() > 200, "{} frames", inodes.len());
    let last = &inodes[inodes.len() - 50..];
    assert!(last.iter().all(|inode| theirs.contains(inode)));
    assert_given_back();
}
