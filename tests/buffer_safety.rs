//! Elements that write to frames in place never change what the decoder refers to.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::downstream::Answer;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::Playing;
use iotdec_tests::{exclusive, native};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const FRAMES: u32 = 90;
const CODECS: [Codec; 3] = [Codec::H264, Codec::H265, Codec::Av1];

/// A clip with one key frame, so that whatever is spoilt stays so to the end.
fn clip(directory: &tempfile::TempDir, codec: Codec) -> PathBuf {
    clips::encode(directory.path(), codec, FRAMES, FRAMES)
}

/// Decoded frames after `filter`; `copied` before it, if so wished.
fn filtered(file: &Path, filter: &str, copied: bool) -> Vec<Frame> {
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder ! identity name=door ! {filter} \
         ! appsink name=sink sync=false max-buffers=2",
        file.display()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    if copied {
        let door = playing.element("door").static_pad("src").expect("a source");
        door.add_probe(gst::PadProbeType::BUFFER, |_, info| {
            if let Some(buffer) = info.buffer_mut() {
                *buffer = buffer.copy_deep().expect("memory for a copy");
            }
            gst::PadProbeReturn::Ok
        });
    }
    playing.play();
    let mut frames = Vec::new();
    while let Some(sample) = playing.next_sample() {
        frames.push(Frame::of(&sample, None));
    }
    playing.stop().assert_eos();
    assert_eq!(frames.len(), FRAMES as usize);
    frames
}

/// Each filter makes of frames in slots what it makes of copies.
fn assert_harmless(filter: &str) {
    let _turn = exclusive();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for codec in CODECS {
        let file = clip(&directory, codec);
        let plain = filtered(&file, "identity", false);
        native::assert_equal(&file, codec, &plain);
        let expected = filtered(&file, filter, true);
        assert_ne!(plain, expected, "{filter} changes nothing");
        let frames = filtered(&file, filter, false);
        for (index, (frame, expected)) in frames.iter().zip(&expected).enumerate() {
            assert_eq!(frame, expected, "{codec:?}, frame {index} after {filter}");
        }
    }
}

#[test]
fn videobalance_spoils_no_later_frame() {
    assert_harmless("videobalance contrast=0.4 hue=0.5");
}

#[test]
fn gamma_spoils_no_later_frame() {
    assert_harmless("gamma gamma=2.5");
}

#[test]
fn textoverlay_spoils_no_later_frame() {
    assert_harmless("textoverlay text=overlay valignment=center shaded-background=true");
}

#[test]
fn a_chain_of_filters_spoils_no_later_frame() {
    assert_harmless("videobalance brightness=0.3 ! gamma gamma=0.5 ! videoflip method=rotate-180");
}

/// What was written to.
#[derive(Debug, Default)]
struct Overwritten {
    frames: Vec<Frame>,
    in_place: u32,
    in_copy: u32,
}

impl Overwritten {
    /// Overwrites a frame whole as soon as it was looked at.
    fn overwrite(&mut self, buffer: &mut gst::BufferRef, caps: &gst::Caps) {
        let memory = |buffer: &gst::BufferRef| buffer.peek_memory(0).as_ptr();
        let before = memory(buffer);
        let flags = buffer.peek_memory(0).flags();
        let is_protected = flags.contains(gst::MemoryFlags::READONLY);
        let look = gst::Sample::builder()
            .buffer(&buffer.to_owned())
            .caps(caps)
            .build();
        self.frames.push(Frame::of(&look, None));
        drop(look);
        let mut map = buffer.map_writable().expect("a copy if need be");
        map.fill(0x55);
        drop(map);
        let is_same = memory(buffer) == before;
        assert_eq!(is_same, !is_protected, "frame {}", self.frames.len());
        self.in_place += u32::from(is_same);
        self.in_copy += u32::from(!is_same);
    }
}

/// How many frames were written to where they lay, and how many in a copy.
fn overwrite(codec: Codec) -> (u32, u32) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = clip(&directory, codec);
    let description = format!(
        "filesrc location=\"{}\" ! iotdec name=decoder ! fakesink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::prepare(&description, LIMIT);
    let pad = playing
        .element("sink")
        .static_pad("sink")
        .expect("sinks have one");
    Answer::video_meta().give_at(&pad);
    let overwritten = Arc::new(Mutex::new(Overwritten::default()));
    let seen = overwritten.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let caps = pad.current_caps().expect("buffers come after caps");
        let buffer = info.buffer_mut().expect("a probe for buffers");
        let buffer = buffer.get_mut().expect("nobody else has it");
        seen.lock().expect("not poisoned").overwrite(buffer, &caps);
        gst::PadProbeReturn::Ok
    });
    playing.play();
    playing.wait_for_end();
    playing.stop().assert_eos();
    let overwritten = std::mem::take(&mut *overwritten.lock().expect("not poisoned"));
    native::assert_equal(&file, codec, &overwritten.frames);
    (overwritten.in_place, overwritten.in_copy)
}

/// What the decoder let go may be written to as it lies; what it may still read is
/// copied by whoever writes.
#[test]
fn frames_are_protected_while_the_decoder_may_read_them() {
    let _turn = exclusive();
    // OpenH264 has its own pictures, and does not care for the copies of them.
    assert_eq!(overwrite(Codec::H264), (FRAMES, 0));
    for codec in [Codec::H265, Codec::Av1] {
        let (in_place, in_copy) = overwrite(codec);
        assert!(
            in_copy > FRAMES / 2,
            "{codec:?}: {in_place} of {FRAMES} unprotected"
        );
    }
}
