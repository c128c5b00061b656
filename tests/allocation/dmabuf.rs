//! Frames in dmabufs, where the kernel makes them.

use super::{directory, prepare};
use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::downstream::Answer;
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Playing, count};
use iotdec_tests::{environment, exclusive, native};
use std::path::Path;

/// Whether the kernel makes dmabufs here; says what is skipped if it is not as wished.
fn has_udmabuf(wanted: bool, what: &str) -> bool {
    let there = Path::new("/dev/udmabuf").exists();
    if there != wanted {
        let state = if there { "there" } else { "missing" };
        environment::skipped(what, format!("/dev/udmabuf is {state}"));
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
