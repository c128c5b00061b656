//! Films: clips in MP4 of which every frame looks different, and how they look when
//! they are played from one end to the other.

use crate::clips::{Codec, demuxer};
use crate::environment::sample;
use crate::frames::Frame;
use crate::native;
use crate::pipeline::Playing;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// A clip whose frames can be told by what they show.
#[derive(Debug)]
pub struct Film {
    /// Where it lies.
    pub file: PathBuf,
    /// Its frames, in the order in which they are shown.
    pub frames: Vec<Frame>,
    /// When each is shown, in stream time.
    pub times: Vec<gst::ClockTime>,
    /// The frames with which decoding can begin.
    pub keys: Vec<usize>,
    _directory: Option<TempDir>,
}

impl Film {
    /// A sample, in 720p, with sound where it is H.264.
    pub fn sample(codec: Codec) -> Self {
        let file = sample(match codec {
            Codec::H264 => "yard-h264.mp4",
            Codec::H265 => "yard-h265.mp4",
            other => panic!("no sample of {other:?}"),
        });
        Self::of(file, codec, None)
    }

    /// A small clip, made on the spot: `frames` frames at 25 a second, every
    /// `distance`th of them a key frame; with three B-frames in a row where there are
    /// such.
    pub fn make(codec: Codec, frames: u32, distance: u32) -> Self {
        Self::make_sized(codec, (320, 192), frames, distance)
    }

    /// The same in another size.
    pub fn make_sized(
        codec: Codec,
        (width, height): (u32, u32),
        frames: u32,
        distance: u32,
    ) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        // Closed groups: all frames behind a key frame can be shown when decoding
        // starts there.
        let (encoder, muxer) = match codec {
            Codec::H264 => (
                format!(
                    "x264enc speed-preset=ultrafast key-int-max={distance} bframes=3 \
                     b-adapt=false option-string=scenecut=0"
                ),
                "mp4mux",
            ),
            Codec::H265 => (
                format!(
                    "x265enc speed-preset=ultrafast key-int-max={distance} \
                     option-string=bframes=3:b-adapt=0:scenecut=0:open-gop=0"
                ),
                "mp4mux",
            ),
            Codec::Av1 => (
                format!(
                    "av1enc usage-profile=realtime cpu-used=8 lag-in-frames=0 \
                     target-bitrate=256 keyframe-max-dist={distance}"
                ),
                "webmmux",
            ),
            Codec::Vp8 => (
                format!("vp8enc deadline=1 target-bitrate=512000 keyframe-max-dist={distance}"),
                "webmmux",
            ),
            Codec::Vp9 => (
                format!(
                    "vp9enc deadline=1 cpu-used=8 target-bitrate=512000 \
                     keyframe-max-dist={distance}"
                ),
                "webmmux",
            ),
            other => panic!("no film in {other:?}"),
        };
        let suffix = muxer.trim_end_matches("mux");
        let file = directory.path().join(format!("film.{suffix}"));
        let description = format!(
            "videotestsrc num-buffers={frames} pattern=ball \
             ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
             ! {encoder} ! {} ! {muxer} ! filesink location=\"{}\"",
            codec.parser(),
            file.display(),
        );
        let mut playing = Playing::start(&description, LIMIT);
        playing.wait_for_end();
        playing.stop().assert_eos();
        let film = Self::of(file, codec, Some(directory));
        assert_eq!(film.frames.len(), frames as usize);
        assert_eq!(film.keys.len(), frames.div_ceil(distance) as usize);
        film
    }

    fn of(file: PathBuf, codec: Codec, directory: Option<TempDir>) -> Self {
        let mut playing = Playing::start(&description(&file, "iotdec name=decoder"), LIMIT);
        let (mut frames, mut times) = (Vec::<Frame>::new(), Vec::new());
        while let Some(sample) = playing.next_sample() {
            let frame = Frame::of(&sample, None);
            let twin = frames.iter().position(|f| f.planes == frame.planes);
            assert_eq!(twin, None, "looks like frame {}", frames.len());
            frames.push(frame);
            times.push(stream_time(&sample));
        }
        playing.stop().assert_eos();
        native::assert_equal(&file, codec, &frames);
        let in_order = times.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(in_order, "frames out of order: {times:?}");
        let starts = key_times(&file, codec);
        let keys = starts.iter().map(|start| times.binary_search(start));
        let keys: Vec<_> = keys.map(|key| key.expect("key frames are shown")).collect();
        assert!(keys.len() > 1, "a film with too few key frames: {keys:?}");
        Self {
            file,
            frames,
            times,
            keys,
            _directory: directory,
        }
    }

    /// A pipeline that decodes it into an appsink, which holds two frames at most.
    pub fn pipeline(&self) -> String {
        description(&self.file, "iotdec name=decoder")
    }

    /// How many frames it has.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it has no frame: never.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The number of a frame, by what it shows.
    ///
    /// # Panics
    /// If it is none of this film, or carries the time of another.
    #[track_caller]
    pub fn index_of(&self, sample: &gst::Sample) -> usize {
        let frame = Frame::of(sample, None);
        let found = self.frames.iter().position(|f| f.planes == frame.planes);
        let index = found.unwrap_or_else(|| panic!("a frame that is not in the film: {frame:?}"));
        // Where the segment begins in the midst of a frame, only its rest is shown.
        let own = self.times[index].max(start_time(sample));
        assert_eq!(stream_time(sample), own, "time of {index}");
        index
    }

    /// The numbers of all frames until the end of the stream.
    #[track_caller]
    pub fn rest(&self, playing: &mut Playing) -> Vec<usize> {
        let mut rest = Vec::new();
        while let Some(sample) = playing.next_sample() {
            rest.push(self.index_of(&sample));
        }
        rest
    }

    /// The frame that is shown at a time.
    pub fn index_at(&self, time: gst::ClockTime) -> usize {
        let shown = self.times.partition_point(|start| *start <= time);
        shown.checked_sub(1).expect("the first is shown at 0")
    }

    /// The key frame with which decoding begins for a time.
    pub fn key_at(&self, time: gst::ClockTime) -> usize {
        let index = self.index_at(time);
        let key = self.keys.iter().rev().find(|key| **key <= index);
        *key.expect("a film begins with a key frame")
    }

    /// When the last frame is shown.
    pub fn last_time(&self) -> gst::ClockTime {
        *self.times.last().expect("a film has frames")
    }
}

/// `filesrc ! middle ! appsink` with a short queue.
fn description(file: &Path, middle: &str) -> String {
    format!(
        "filesrc location=\"{}\" ! {middle} ! appsink name=sink sync=false max-buffers=2",
        file.display()
    )
}

/// When a sample is shown, in stream time.
///
/// # Panics
/// If it has no time: films do.
#[track_caller]
pub fn stream_time(sample: &gst::Sample) -> gst::ClockTime {
    let segment = sample.segment().expect("samples have segments");
    let segment = segment.downcast_ref::<gst::ClockTime>().expect("in time");
    let pts = sample.buffer().and_then(|buffer| buffer.pts());
    let time = segment.to_stream_time(pts);
    time.unwrap_or_else(|| panic!("{pts:?} is not in {segment:?}"))
}

/// When a sample's segment begins, in stream time.
pub fn start_time(sample: &gst::Sample) -> gst::ClockTime {
    let segment = sample.segment().expect("samples have segments");
    let segment = segment.downcast_ref::<gst::ClockTime>().expect("in time");
    let time = segment.to_stream_time(segment.start());
    time.expect("a segment begins within itself")
}

/// When the key frames of a file are shown.
fn key_times(file: &Path, codec: Codec) -> Vec<gst::ClockTime> {
    let middle = format!("{}{}", demuxer(file), codec.parser());
    let mut playing = Playing::start(&description(file, &middle), LIMIT);
    let mut keys = Vec::new();
    while let Some(sample) = playing.next_sample() {
        let buffer = sample.buffer().expect("samples have buffers");
        if !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            keys.push(stream_time(&sample));
        }
    }
    playing.stop().assert_eos();
    keys
}
