//! Decoded frames as digests of their visible samples, plane by plane: a few
//! bytes instead of megabytes, and still enough to say which plane differs.

use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};

/// MD5 of one plane's visible rows, one after the other.
pub type Digest = String;

/// A running checksum.
#[derive(Debug)]
pub struct Checksum(gst::glib::Checksum);

impl Checksum {
    /// MD5, nothing summed yet.
    pub fn md5() -> Self {
        Self::new(gst::glib::ChecksumType::Md5)
    }

    /// SHA-1, nothing summed yet.
    pub fn sha1() -> Self {
        Self::new(gst::glib::ChecksumType::Sha1)
    }

    fn new(kind: gst::glib::ChecksumType) -> Self {
        Self(gst::glib::Checksum::new(kind).expect("GLib knows both"))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum in hexadecimal.
    pub fn finish(self) -> String {
        self.0.string().expect("a sum is text")
    }
}

/// One decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it is to be shown.
    pub pts: Option<gst::ClockTime>,
    /// Its sample format.
    pub format: VideoFormat,
    /// Visible width in pixels.
    pub width: u32,
    /// Visible height in pixels.
    pub height: u32,
    /// Bytes of the visible part of each plane.
    pub sizes: Vec<usize>,
    /// Digest of each plane.
    pub planes: Vec<Digest>,
    /// The decoder says it is damaged.
    pub corrupted: bool,
}

impl Frame {
    /// Digests a sample; `also` is given the same bytes.
    pub fn of(sample: &gst::Sample, mut also: Option<&mut Checksum>) -> Self {
        let caps = sample.caps().expect("raw video has caps");
        let info = VideoInfo::from_caps(caps).expect("raw video caps");
        let buffer = sample.buffer().expect("samples have buffers");
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info)
            .unwrap_or_else(|_| panic!("a buffer that does not map as {caps}"));
        let (mut sizes, mut planes) = (Vec::new(), Vec::new());
        for plane in 0..info.n_planes() {
            let mut sum = Checksum::md5();
            let mut size = 0;
            for row in visible_rows(&frame, plane) {
                size += row.len();
                sum.update(row);
                if let Some(also) = also.as_mut() {
                    also.update(row);
                }
            }
            sizes.push(size);
            planes.push(sum.finish());
        }
        Self {
            pts: buffer.pts(),
            format: info.format(),
            width: info.width(),
            height: info.height(),
            sizes,
            planes,
            corrupted: buffer.flags().contains(gst::BufferFlags::CORRUPTED),
        }
    }
}

/// The rows of a plane of a planar format, without what lies between them.
fn visible_rows<'a, T>(
    frame: &'a VideoFrameRef<T>,
    plane: u32,
) -> impl Iterator<Item = &'a [u8]> + use<'a, T>
where
    VideoFrameRef<T>: VideoFrameExt,
    T: 'a,
{
    let data = frame.plane_data(plane).expect("the plane exists");
    let stride = frame.plane_stride()[plane as usize] as usize;
    let length = (frame.comp_width(plane) * frame.comp_pstride(plane) as u32) as usize;
    (0..frame.comp_height(plane) as usize).map(move |row| &data[row * stride..][..length])
}
