//! The decoder renders into the very memory that the sink receives.

use iotdec_tests::clips::{self, Codec};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{exclusive, native, process};
use std::collections::{HashSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: u32 = 120;
/// A decoder's pictures, those on their way, and some to spare; far from one a frame.
const FEW: usize = 24;

struct Clip {
    _directory: tempfile::TempDir,
    file: PathBuf,
}

fn clip(codec: Codec) -> Clip {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clips::encode(directory.path(), codec, FRAMES, 30);
    Clip {
        _directory: directory,
        file,
    }
}

fn play(file: &Path, sink: &str) -> Playing {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder ! {sink}",
        file.display()
    );
    let playing = Playing::prepare(&description, LIMIT);
    playing.understand_video_meta();
    playing.play();
    playing
}

/// The inode of the only memory of a buffer, which is a whole memfd.
#[track_caller]
fn inode_of(buffer: &gst::BufferRef) -> u64 {
    assert_eq!(buffer.n_memory(), 1, "planes in more than one memory");
    let memory = buffer.peek_memory(0);
    let (_, offset, _) = memory.sizes();
    assert_eq!(offset, 0, "the frame does not start where its memfd does");
    let memory = memory
        .downcast_memory_ref::<gst_allocators::FdMemory>()
        .expect("memory behind a file descriptor");
    // SAFETY: the memory owns the descriptor and is borrowed until after the call.
    let fd = unsafe { BorrowedFd::borrow_raw(memory.fd()) };
    nix::sys::stat::fstat(fd)
        .expect("an open descriptor")
        .st_ino
}

fn check_memory_of(codec: Codec) -> gst::Structure {
    let clip = clip(codec);
    let mut playing = play(&clip.file, "appsink name=sink sync=false max-buffers=2");
    let (mut frames, mut inodes, mut read_only) = (Vec::new(), HashSet::new(), 0);
    while let Some(sample) = playing.next_sample() {
        let [worker] = process::workers()[..] else {
            panic!("not one worker: {:?}", process::children());
        };
        let buffer = sample.buffer().expect("samples have buffers");
        let inode = inode_of(buffer);
        let mapped = process::mapped_memfds(worker, "iotdec-frame");
        assert!(
            mapped.contains(&inode),
            "frame {} lies in inode {inode}; the worker has mapped {mapped:?}",
            frames.len()
        );
        inodes.insert(inode);
        let flags = buffer.peek_memory(0).flags();
        read_only += u32::from(flags.contains(gst::MemoryFlags::READONLY));
        frames.push(Frame::of(&sample, None));
    }
    let stats = playing.stats();
    playing.stop().assert_eos();
    native::assert_equal(&clip.file, codec, &frames);
    assert!(
        inodes.len() <= FEW,
        "{} memfds for {} frames: slots are not used again",
        inodes.len(),
        frames.len()
    );
    match codec {
        // Nearly every picture is a reference when it comes out.
        Codec::H265 | Codec::Av1 | Codec::Vp9 => {
            assert!(read_only > 0, "no frame is protected from writers")
        }
        // The decoder has its own pictures, and does not care for the copies.
        _ => assert_eq!(read_only, 0, "frames that nobody refers to are protected"),
    }
    assert_eq!(count(&stats, "frames-copied"), 0);
    process::assert_no_children();
    stats
}

#[test]
fn libde265_renders_into_the_memory_that_the_sink_receives() {
    let _turn = exclusive();
    let stats = check_memory_of(Codec::H265);
    assert_eq!(count(&stats, "frames-copied-by-guest"), 0);
}

#[test]
fn dav1d_renders_into_the_memory_that_the_sink_receives() {
    let _turn = exclusive();
    let stats = check_memory_of(Codec::Av1);
    assert_eq!(count(&stats, "frames-copied-by-guest"), 0);
}

#[test]
fn libvpx_renders_vp9_into_the_memory_that_the_sink_receives() {
    let _turn = exclusive();
    let stats = check_memory_of(Codec::Vp9);
    assert_eq!(count(&stats, "frames-copied-by-guest"), 0);
}

#[track_caller]
fn copied_once_in_the_guest(codec: Codec) {
    let _turn = exclusive();
    let stats = check_memory_of(codec);
    assert_eq!(
        count(&stats, "frames-copied-by-guest"),
        count(&stats, "frames-out")
    );
}

#[test]
fn openh264_copies_once_in_the_guest() {
    copied_once_in_the_guest(Codec::H264);
}

#[test]
fn libvpx_copies_vp8_once_in_the_guest() {
    copied_once_in_the_guest(Codec::Vp8);
}

fn keep_everything(codec: Codec) {
    let clip = clip(codec);
    let mut playing = play(&clip.file, "appsink name=sink sync=false");
    let mut samples = Vec::new();
    while let Some(sample) = playing.next_sample() {
        samples.push(sample);
    }
    let stats = playing.stats();
    let frames: Vec<_> = samples.iter().map(|s| Frame::of(s, None)).collect();
    native::assert_equal(&clip.file, codec, &frames);
    assert!(frames.len() > 64, "too short a clip to run out of slots");
    assert!(count(&stats, "frames-copied") > 0, "{stats}");
    assert!(count(&stats, "slots") <= 64, "{stats}");
    playing.stop().assert_eos();
    // The last of them outlive the pipeline.
    let after: Vec<_> = samples.iter().map(|s| Frame::of(s, None)).collect();
    assert_eq!(
        frames, after,
        "frames changed after the pipeline had stopped"
    );
    process::assert_no_children();
}

/// Downstream may keep every frame: then they are copied, not waited for.
#[test]
fn a_sink_that_keeps_every_frame_gets_copies_of_h265() {
    let _turn = exclusive();
    keep_everything(Codec::H265);
}

#[test]
fn a_sink_that_keeps_every_frame_gets_copies_of_h264() {
    let _turn = exclusive();
    keep_everything(Codec::H264);
}

/// One that keeps the last 64, as a long queue does, gets its frames unchanged too.
#[test]
fn a_sink_that_is_64_frames_behind_does_not_starve_the_decoder() {
    let _turn = exclusive();
    let clip = clip(Codec::H265);
    let mut playing = play(&clip.file, "appsink name=sink sync=false max-buffers=1");
    let (mut behind, mut frames) = (VecDeque::new(), Vec::new());
    while let Some(sample) = playing.next_sample() {
        behind.push_back(sample);
        if behind.len() > 64 {
            frames.extend(behind.pop_front().map(|sample| Frame::of(&sample, None)));
        }
    }
    frames.extend(behind.iter().map(|sample| Frame::of(sample, None)));
    drop(behind);
    let stats = playing.stats();
    playing.stop().assert_eos();
    native::assert_equal(&clip.file, Codec::H265, &frames);
    assert!(count(&stats, "frames-copied") > 0, "{stats}");
}

/// An element that changes frames in place must not change what the decoder
/// refers to, nor what another branch shows.
fn write_in_place(codec: Codec, tee: bool) {
    let clip = clip(codec);
    let change = "videobalance brightness=0.2";
    let sink = if tee {
        format!(
            "tee name=t t. ! queue ! appsink name=sink sync=false max-buffers=2 \
             t. ! queue ! {change} ! fakesink name=other sync=false"
        )
    } else {
        // The decoder's later pictures build on those that are changed here.
        format!("{change} ! appsink name=sink sync=false max-buffers=2")
    };
    let mut playing = play(&clip.file, &sink);
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
    }
    playing.stop().assert_eos();
    if tee {
        native::assert_equal(&clip.file, codec, &frames);
        return;
    }
    // What comes out is changed, and the same as if copies had been changed.
    let after_copy = format!(
        "videoconvert ! video/x-raw,format=Y444 ! videoconvert ! video/x-raw,format=I420 \
         ! {change} ! appsink name=sink sync=false max-buffers=2"
    );
    let mut playing = play(&clip.file, &after_copy);
    let mut expected = Vec::new();
    while let Some(sample) = playing.next_sample() {
        expected.push(Frame::of(&sample, None));
    }
    playing.stop().assert_eos();
    assert_eq!(frames.len(), expected.len());
    for (index, (frame, expected)) in frames.iter().zip(&expected).enumerate() {
        // Only luma: chroma goes through the copy's conversions.
        assert_eq!(frame.planes[0], expected.planes[0], "frame {index}");
    }
}

#[test]
fn writing_in_place_leaves_the_other_branch_alone() {
    let _turn = exclusive();
    write_in_place(Codec::H265, true);
    write_in_place(Codec::H264, true);
}

#[test]
fn writing_in_place_leaves_later_frames_alone() {
    let _turn = exclusive();
    write_in_place(Codec::H265, false);
}
