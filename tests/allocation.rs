//! Frames in the memory that downstream wants, and enough of it.

use gst::prelude::*;
use gst_video::prelude::*;
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
    assert_given_back();
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
    assert_given_back();
}

/// The visible part of a frame that says by GstVideoCropMeta which it is.
fn cropped(sample: &gst::Sample) -> gst::Sample {
    let caps = sample.caps().expect("raw video has caps");
    let info = gst_video::VideoInfo::from_caps(caps).expect("raw video caps");
    let buffer = sample.buffer().expect("samples have buffers");
    let crop = buffer.meta::<gst_video::VideoCropMeta>().expect("a crop");
    let (x, y, width, height) = crop.rect();
    assert_eq!((width, height), (info.width(), info.height()));
    let layout = buffer.meta::<gst_video::VideoMeta>().expect("a layout");
    assert!((layout.width(), layout.height()) > (x + width, y + height));
    let whole = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info);
    let whole = whole.expect("a buffer that maps as its metas say");
    assert_eq!(whole.width(), layout.width());
    let mut target = gst::Buffer::with_size(info.size()).expect("memory");
    let writable = target.get_mut().expect("nobody else's");
    let mut part = gst_video::VideoFrameRef::from_buffer_ref_writable(writable, &info)
        .expect("a buffer that maps as its caps say");
    for plane in 0..info.n_planes() {
        let shift = u32::from(plane > 0);
        let from = whole.plane_stride()[plane as usize] as usize;
        let to = part.plane_stride()[plane as usize] as usize;
        let len = (width >> shift) as usize;
        let source = whole.plane_data(plane).expect("a plane");
        let rows = source[(y >> shift) as usize * from..].chunks(from);
        let target = part.plane_data_mut(plane).expect("a plane").chunks_mut(to);
        for (row, target) in rows.zip(target).take((height >> shift) as usize) {
            target[..len].copy_from_slice(&row[(x >> shift) as usize..][..len]);
        }
    }
    drop(part);
    gst::Sample::builder()
        .buffer(&target)
        .caps(&caps.to_owned())
        .build()
}

#[test]
fn pictures_go_out_whole_to_who_knows_of_cropping() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode_sized(directory.path(), Codec::H265, (324, 196), 30, 30);
    let answer = Answer {
        crop_meta: true,
        ..Answer::video_meta()
    };
    let mut playing = play_to(answer, &file, "");
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&cropped(&sample), None));
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    native::assert_equal(&file, Codec::H265, &frames);
    assert_eq!(count(&stats, "frames-copied"), 0);
}

/// Who knows neither gets the visible part alone, and nothing around it.
#[test]
fn pictures_are_copied_for_who_knows_only_the_caps() {
    let _turn = exclusive();
    let directory = directory();
    // Decoded in the layout that the caps imply, and not.
    for (size, copied) in [((320, 192), 0), ((324, 196), 30)] {
        let file = clips::encode_sized(directory.path(), Codec::H265, size, 30, 30);
        let mut playing = play_to(Answer::default(), &file, "");
        let mut frames = Vec::new();
        while let Some(sample) = playing.next_sample() {
            let buffer = sample.buffer().expect("samples have buffers");
            let caps = sample.caps().expect("raw video has caps").to_owned();
            let info = gst_video::VideoInfo::from_caps(&caps);
            assert_eq!(buffer.size(), info.expect("raw video").size());
            let bytes = buffer.map_readable().expect("readable").to_vec();
            // By the caps alone.
            let plain = gst::Buffer::from_mut_slice(bytes);
            let builder = gst::Sample::builder().buffer(&plain);
            let plain = builder.caps(&caps).build();
            frames.push(Frame::of(&plain, None));
        }
        let stats = playing.stats();
        playing.stop().assert_eos();
        native::assert_equal(&file, Codec::H265, &frames);
        assert_eq!(count(&stats, "frames-copied"), copied, "{size:?}");
    }
}

/// Rows that begin elsewhere than downstream's pool says are copied into the pool.
#[test]
fn an_alignment_that_is_not_met_costs_a_copy() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 30, 30);
    // Chroma rows of 160 bytes.
    for (bytes, copied) in [(32, 0), (64, 30)] {
        let pool = downstream::aligned_pool(bytes, (320, 192));
        let answer = Answer {
            pool: Some((pool, 2)),
            ..Answer::video_meta()
        };
        let mut playing = play_to(answer, &file, "");
        let mut frames = Vec::new();
        while let Some(sample) = playing.next_sample() {
            let buffer = sample.buffer().expect("samples have buffers");
            let layout = buffer.meta::<gst_video::VideoMeta>().expect("a layout");
            let aligned = |stride: &i32| stride % bytes as i32 == 0;
            assert!(layout.stride().iter().all(aligned), "{:?}", layout.stride());
            frames.push(Frame::of(&sample, None));
        }
        let stats = playing.stats();
        playing.stop().assert_eos();
        native::assert_equal(&file, Codec::H265, &frames);
        assert_eq!(count(&stats, "frames-copied"), copied, "{bytes} bytes");
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

/// Whether the kernel makes dmabufs here; says what is skipped if it is not as wished.
fn has_udmabuf(wanted: bool, what: &str) -> bool {
    let there = Path::new("/dev/udmabuf").exists();
    if there != wanted {
        let state = if there { "there" } else { "missing" };
        println!("skipped: {what}: /dev/udmabuf is {state}");
    }
    there == wanted
}

fn play_to_caps(file: &Path, caps: &str) -> Playing {
    let sink = format!("capsfilter caps=\"{caps}\" ! appsink name=sink sync=false max-buffers=2");
    let playing = prepare(file, "", &sink);
    let pad = playing.element("sink").static_pad("sink");
    Answer::video_meta().give_at(&pad.expect("sinks have one"));
    playing.play();
    playing
}

#[test]
fn frames_go_out_as_dmabufs() {
    let _turn = exclusive();
    if !has_udmabuf(true, "frames as dmabufs") {
        return;
    }
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 90, 30);
    let mut playing = play_to_caps(&file, "video/x-raw(memory:DMABuf)");
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        let buffer = sample.buffer().expect("samples have buffers");
        let memory = buffer.peek_memory(0);
        assert!(memory.is_memory_type::<gst_allocators::DmaBufMemory>());
        frames.push(Frame::of(&sample, None));
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    native::assert_equal(&file, Codec::H265, &frames);
    assert_eq!(count(&stats, "frames-copied"), 0);
}

#[test]
fn who_takes_only_dmabufs_is_told_that_there_are_none() {
    let _turn = exclusive();
    if !has_udmabuf(false, "dmabufs on a machine without") {
        return;
    }
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 30, 30);
    let mut playing = play_to_caps(&file, "video/x-raw(memory:DMABuf)");
    assert!(playing.next_sample().is_none());
    let end = playing.stop();
    // The source adds that its stream has stopped.
    let error = end.errors.first().expect("an error");
    assert_eq!(error.source, "decoder");
    assert!(error.text.contains("/dev/udmabuf"), "{error}");
    assert!(error.text.contains("load the kernel module"), "{error}");
}

#[test]
fn who_takes_ordinary_memory_too_gets_that_without_dmabufs() {
    let _turn = exclusive();
    if !has_udmabuf(false, "ordinary memory on a machine without dmabufs") {
        return;
    }
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 30, 30);
    let mut playing = play_to_caps(&file, "video/x-raw(memory:DMABuf);video/x-raw");
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        let caps = sample.caps().expect("raw video has caps");
        let features = caps.features(0).expect("system memory if no other");
        assert!(features.is_equal(&gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY));
        frames.push(Frame::of(&sample, None));
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    native::assert_equal(&file, Codec::H265, &frames);
    assert_eq!(count(&stats, "frames-copied"), 0);
}

/// The worker that replaces a lost one decodes into downstream's memory, too.
#[test]
fn a_new_worker_gets_the_pool() {
    let _turn = exclusive();
    let directory = directory();
    let file = clips::encode(directory.path(), Codec::H265, 300, 30);
    let pool = downstream::memfd_pool(Making::default());
    let answer = Answer {
        video_meta: true,
        pool: Some((pool.clone(), 2)),
        ..Answer::default()
    };
    let mut playing = play_to(answer, &file, "");
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
