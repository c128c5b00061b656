//! Pictures as a screen shows them.

use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use std::path::Path;

/// A picture of four bytes a pixel: blue, green, red and one that means nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    width: usize,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} pixels", self.width, self.height())
    }
}

impl Pixels {
    /// A picture from its rows, which may be longer than it is wide.
    pub fn from_rows<'a>(width: usize, rows: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::new();
        for row in rows {
            bytes.extend_from_slice(&row[..4 * width]);
        }
        Self { width, bytes }
    }

    /// A black picture of the same size.
    pub fn blank(&self) -> Self {
        Self {
            width: self.width,
            bytes: vec![0; self.bytes.len()],
        }
    }

    /// A sample in format BGRx.
    pub fn of(sample: &gst::Sample) -> Self {
        let caps = sample.caps().expect("raw video has caps");
        let info = VideoInfo::from_caps(caps).expect("raw video caps");
        assert_eq!(info.format(), VideoFormat::Bgrx);
        let buffer = sample.buffer().expect("samples have buffers");
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info)
            .unwrap_or_else(|_| panic!("a buffer that does not map as {caps}"));
        let stride = frame.plane_stride()[0] as usize;
        let rows = frame.plane_data(0).expect("one plane").chunks(stride);
        Self::from_rows(info.width() as usize, rows.take(info.height() as usize))
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.bytes.len() / 4 / self.width
    }

    /// How alike two pictures of one size are, in dB: below 20 nothing alike, above
    /// 30 the same to the eye, infinite if equal.
    ///
    /// # Panics
    /// If they are not of one size.
    pub fn psnr(&self, other: &Self) -> f64 {
        self.psnr_of_every(1, other)
    }

    fn psnr_of_every(&self, step: usize, other: &Self) -> f64 {
        assert_eq!(
            (self.width, self.height()),
            (other.width, other.height()),
            "pictures of different sizes"
        );
        let (mut count, mut squares) = (0u64, 0u64);
        // Indices instead of iterators: unoptimised too it keeps up with a video.
        let mut at = 0;
        while at < self.bytes.len() {
            for colour in at..at + 3 {
                let difference = u64::from(self.bytes[colour].abs_diff(other.bytes[colour]));
                squares += difference * difference;
                count += 1;
            }
            at += 4 * step;
        }
        10.0 * (255.0f64.powi(2) * count as f64 / squares as f64).log10()
    }

    /// Which of the `candidates` it is most like, and how much.
    pub fn most_alike(&self, candidates: &[Self]) -> (usize, f64) {
        // A few thousand pixels tell which one it is.
        let alike = candidates.iter().map(|c| self.psnr_of_every(211, c));
        let (best, _) = alike
            .enumerate()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .expect("there are candidates");
        (best, self.psnr(&candidates[best]))
    }

    /// The smallest part that has all pixels of a colour, as opposed to black, grey and
    /// white: the video in a player's window.
    pub fn coloured_part(&self) -> Option<Self> {
        /// Between the strongest and the weakest of blue, green and red.
        const COLOURED: u8 = 48;
        let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
        for (index, pixel) in self.bytes.chunks_exact(4).enumerate() {
            let (low, high) = (
                pixel[0].min(pixel[1]).min(pixel[2]),
                pixel[0].max(pixel[1]).max(pixel[2]),
            );
            if high - low >= COLOURED {
                let (x, y) = (index % self.width, index / self.width);
                (left, right) = (left.min(x), right.max(x + 1));
                (top, bottom) = (top.min(y), bottom.max(y + 1));
            }
        }
        let rows = self.bytes.chunks(4 * self.width);
        let rows = rows.skip(top).take(bottom.saturating_sub(top));
        (left < right).then(|| Self::from_rows(right - left, rows.map(|row| &row[4 * left..])))
    }

    /// The uppermost rows.
    pub fn upper(&self, rows: usize) -> Self {
        Self::from_rows(self.width, self.bytes.chunks(4 * self.width).take(rows))
    }

    /// The same in fewer pixels: each is the average of those it stands for.
    ///
    /// # Panics
    /// If it is smaller than that.
    pub fn thumbnail(&self, width: usize, height: usize) -> Self {
        let mut bytes = Vec::with_capacity(4 * width * height);
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            let columns = x * self.width / width..(x + 1) * self.width / width;
            let rows = y * self.height() / height..(y + 1) * self.height() / height;
            let mut sums = [0usize; 4];
            for row in rows.clone() {
                let start = 4 * (row * self.width + columns.start);
                for pixel in self.bytes[start..][..4 * columns.len()].chunks_exact(4) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += usize::from(*value);
                    }
                }
            }
            let count = columns.len() * rows.len();
            assert!(count > 0, "{self:?} has fewer than {width}x{height} pixels");
            bytes.extend(sums.map(|sum| (sum / count) as u8));
        }
        Self { width, bytes }
    }

    /// Writes it as a PNG, for people.
    pub fn save(&self, path: &Path) {
        let info = VideoInfo::builder(VideoFormat::Bgrx, self.width as u32, self.height() as u32)
            .fps(gst::Fraction::new(1, 1))
            .build()
            .expect("a valid size");
        let buffer = gst::Buffer::from_slice(self.bytes.clone());
        let caps = info.to_caps().expect("valid caps");
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        let png = gst::Caps::new_empty_simple("image/png");
        let limit = Some(gst::ClockTime::from_seconds(10));
        let written = gst_video::convert_sample(&sample, &png, limit).map(|png| {
            let map = png.buffer().and_then(|buffer| buffer.map_readable().ok());
            std::fs::write(path, map.as_deref().unwrap_or_default())
        });
        println!("{}: {written:?}", path.display());
    }
}
