//! Where in their memory frames are, for downstream that knows of that and that does not.

use super::{directory, play_to};
use gst_video::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::downstream::{self, Answer};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::count;
use iotdec_tests::{exclusive, native};

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
