//! From the bridge's pictures to GStreamer's video formats and buffers.

use gst_video::prelude::*;
use gst_video::{
    VideoBufferFlags, VideoChromaSite, VideoContentLightLevel, VideoFieldOrder, VideoFrameFlags,
    VideoInterlaceMode, VideoMasteringDisplayInfo, VideoMasteringDisplayInfoCoordinate,
};
use gst_video::{VideoFormat, VideoInfo};
use iotdec_bridge::{Colour, Light, Picture, PixelFormat, scan};

const FORMATS: [(PixelFormat, VideoFormat); 36] = [
    (PixelFormat::Gray8, VideoFormat::Gray8),
    (PixelFormat::I420, VideoFormat::I420),
    (PixelFormat::I422, VideoFormat::Y42b),
    (PixelFormat::I444, VideoFormat::Y444),
    (PixelFormat::I420P10, VideoFormat::I42010le),
    (PixelFormat::I422P10, VideoFormat::I42210le),
    (PixelFormat::I444P10, VideoFormat::Y44410le),
    (PixelFormat::I420P12, VideoFormat::I42012le),
    (PixelFormat::I422P12, VideoFormat::I42212le),
    (PixelFormat::I444P12, VideoFormat::Y44412le),
    (PixelFormat::Gbr8, VideoFormat::Gbr),
    (PixelFormat::GbrP10, VideoFormat::Gbr10le),
    (PixelFormat::GbrP12, VideoFormat::Gbr12le),
    (PixelFormat::Gbra8, VideoFormat::Gbra),
    (PixelFormat::Nv12, VideoFormat::Nv12),
    (PixelFormat::Nv21, VideoFormat::Nv21),
    (PixelFormat::P010, VideoFormat::P01010le),
    (PixelFormat::I411, VideoFormat::Y41b),
    (PixelFormat::I410, VideoFormat::Yuv9),
    (PixelFormat::I420A, VideoFormat::A420),
    (PixelFormat::Gray16, VideoFormat::Gray16Le),
    (PixelFormat::I444P16, VideoFormat::Y44416le),
    (PixelFormat::Yuy2, VideoFormat::Yuy2),
    (PixelFormat::Uyvy, VideoFormat::Uyvy),
    (PixelFormat::Rgb, VideoFormat::Rgb),
    (PixelFormat::Bgr, VideoFormat::Bgr),
    (PixelFormat::Rgba, VideoFormat::Rgba),
    (PixelFormat::Bgra, VideoFormat::Bgra),
    (PixelFormat::Argb, VideoFormat::Argb),
    (PixelFormat::Abgr, VideoFormat::Abgr),
    (PixelFormat::Rgbx, VideoFormat::Rgbx),
    (PixelFormat::Bgrx, VideoFormat::Bgrx),
    (PixelFormat::Xrgb, VideoFormat::Xrgb),
    (PixelFormat::Xbgr, VideoFormat::Xbgr),
    (PixelFormat::Rgb16, VideoFormat::Rgb16),
    (PixelFormat::Rgb15, VideoFormat::Rgb15),
];

/// GStreamer's name for a sample format, if it has one: 1.22 has none for luma of
/// 10 or 12 bits alone.
pub(crate) fn video_format(format: PixelFormat) -> Option<VideoFormat> {
    let entry = FORMATS.iter().find(|(ours, _)| *ours == format);
    entry.map(|(_, theirs)| *theirs)
}

/// Everything the decoders can put out.
pub(crate) fn raw_caps() -> gst::Caps {
    let formats = || FORMATS.map(|(_, format)| format);
    let builder = gst_video::VideoCapsBuilder::new;
    let mut caps = builder().format_list(formats()).build();
    let dmabuf = builder().features([gst_allocators::CAPS_FEATURE_MEMORY_DMABUF]);
    caps.merge(dmabuf.format_list(formats()).build());
    caps
}

/// What makes two pictures need different caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) format: PixelFormat,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colour: Colour,
    pub(crate) chroma_site: u32,
    pub(crate) par: Option<(u32, u32)>,
    pub(crate) interlacing: Interlacing,
    pub(crate) light: Light,
}

/// How the pictures of a stream are scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interlacing {
    Progressive,
    /// All of them are interlaced, the top field first or not.
    Interleaved {
        top_first: bool,
    },
    /// Some are; buffers say which.
    Mixed,
}

impl Interlacing {
    fn of(scan: u32) -> Self {
        match scan {
            bits if bits & (scan::MIXED | scan::REPEAT_FIRST_FIELD | scan::ONE_FIELD) != 0 => {
                Self::Mixed
            }
            bits if bits & scan::INTERLACED != 0 => Self::Interleaved {
                top_first: bits & scan::TOP_FIELD_FIRST != 0,
            },
            _ => Self::Progressive,
        }
    }
}

impl From<&Picture> for Shape {
    fn from(picture: &Picture) -> Self {
        Self {
            format: picture.format,
            width: picture.crop.width,
            height: picture.crop.height,
            colour: picture.colour,
            chroma_site: picture.chroma_site,
            par: picture.par,
            interlacing: Interlacing::of(picture.scan),
            light: picture.light,
        }
    }
}

/// Completes what the base class made of the input caps: where they say nothing of
/// colour, shape of pixels or scan, the decoder's word counts.
pub(crate) fn complete_info(
    info: &VideoInfo,
    input: Option<&gst::CapsRef>,
    shape: &Shape,
    framerate: gst::Fraction,
) -> Result<VideoInfo, gst::glib::BoolError> {
    let mut builder = VideoInfo::builder(info.format(), info.width(), info.height())
        .par(info.par())
        .fps(info.fps())
        .interlace_mode(info.interlace_mode())
        .chroma_site(info.chroma_site())
        .flags(info.flags());
    if info.interlace_mode() == VideoInterlaceMode::Interleaved {
        builder = builder.field_order(info.field_order());
    }
    if let Some((numer, denom)) = shape.par
        && !has_field(input, "pixel-aspect-ratio")
        && let (Ok(numer), Ok(denom)) = (numer.try_into(), denom.try_into())
    {
        builder = builder.par(gst::Fraction::new(numer, denom));
    }
    if let Some(site) = chroma_site(shape.chroma_site)
        && !has_field(input, "chroma-site")
    {
        builder = builder.chroma_site(site);
    }
    if !has_field(input, "interlace-mode") {
        builder = match shape.interlacing {
            Interlacing::Progressive => builder,
            Interlacing::Mixed => builder.interlace_mode(VideoInterlaceMode::Mixed),
            Interlacing::Interleaved { top_first } => builder
                .interlace_mode(VideoInterlaceMode::Interleaved)
                .field_order(match top_first {
                    true => VideoFieldOrder::TopFieldFirst,
                    false => VideoFieldOrder::BottomFieldFirst,
                }),
        };
    }
    let colorimetry = match colorimetry(shape.colour) {
        Some(colorimetry) if !has_field(input, "colorimetry") => colorimetry,
        _ => info.colorimetry(),
    };
    builder = builder.colorimetry(&colorimetry);
    if info.fps().numer() == 0 && !has_field(input, "framerate") {
        builder = builder.fps(framerate);
    }
    builder.build()
}

/// Adds the decoder's HDR metadata to output caps; what the input caps have of it
/// the base class adds itself.
pub(crate) fn add_light(caps: &mut gst::CapsRef, input: Option<&gst::CapsRef>, light: &Light) {
    if light.max_luminance != 0 && !has_field(input, "mastering-display-info") {
        // The units of the bridge are GStreamer's, but its binding takes fractions, and
        // cuts off what is left of them.
        let coordinate = |value: u16| (f32::from(value) + 0.5) / 50_000.0;
        let point = |[x, y]: [u16; 2]| {
            VideoMasteringDisplayInfoCoordinate::new(coordinate(x), coordinate(y))
        };
        let [red, green, blue, white] = light.primaries.map(point);
        VideoMasteringDisplayInfo::new(
            [red, green, blue],
            white,
            light.max_luminance,
            light.min_luminance,
        )
        .add_to_caps(caps);
    }
    let has_levels = light.max_content != 0 || light.max_average != 0;
    if has_levels && !has_field(input, "content-light-level") {
        VideoContentLightLevel::new(light.max_content, light.max_average).add_to_caps(caps);
    }
}

/// ChromaSampleLocType (H.273) plus one as GStreamer's chroma site, which knows no
/// chroma below the luma rows.
fn chroma_site(code: u32) -> Option<VideoChromaSite> {
    match code {
        1 => Some(VideoChromaSite::MPEG2),
        2 => Some(VideoChromaSite::JPEG),
        3 => Some(VideoChromaSite::COSITED),
        4 => Some(VideoChromaSite::V_COSITED),
        _ => None,
    }
}

fn has_field(caps: Option<&gst::CapsRef>, field: &str) -> bool {
    caps.and_then(|caps| caps.structure(0))
        .is_some_and(|structure| structure.has_field(field))
}

fn colorimetry(colour: Colour) -> Option<gst_video::VideoColorimetry> {
    use gst_video::{VideoColorMatrix, VideoColorPrimaries, VideoColorRange};
    use gst_video::{VideoColorimetry, VideoTransferFunction};
    const UNSPECIFIED: u8 = 2;
    let known = |code: &u8| *code != UNSPECIFIED;
    let nonzero = |code: u8| (code != 0).then_some(code).filter(known).map(u32::from);
    let matrix = colour.matrix_plus_1.checked_sub(1).filter(known);
    let matrix = matrix.map(|code| VideoColorMatrix::from_iso(code.into()));
    let transfer = nonzero(colour.transfer).map(VideoTransferFunction::from_iso);
    let primaries = nonzero(colour.primaries).map(VideoColorPrimaries::from_iso);
    if matrix.is_none() && transfer.is_none() && primaries.is_none() {
        return None;
    }
    let range = match colour.range {
        2 => VideoColorRange::Range0_255,
        _ => VideoColorRange::Range16_235,
    };
    Some(VideoColorimetry::new(
        range,
        matrix.unwrap_or(VideoColorMatrix::Unknown),
        transfer.unwrap_or(VideoTransferFunction::Unknown),
        primaries.unwrap_or(VideoColorPrimaries::Unknown),
    ))
}

/// Marks a buffer with the scan of its picture.
pub(super) fn set_scan(buffer: &mut gst::BufferRef, bits: u32) {
    let flags = [
        (scan::INTERLACED, VideoBufferFlags::INTERLACED),
        (scan::TOP_FIELD_FIRST, VideoBufferFlags::TFF),
        (scan::REPEAT_FIRST_FIELD, VideoBufferFlags::RFF),
        (scan::ONE_FIELD, VideoBufferFlags::ONEFIELD),
    ];
    for (_, flag) in flags.into_iter().filter(|(bit, _)| bits & bit != 0) {
        buffer.set_video_flags(flag);
    }
}

/// The same as [`set_scan`] for the buffer's GstVideoMeta.
pub(super) fn frame_flags(bits: u32) -> VideoFrameFlags {
    let flags = [
        (scan::INTERLACED, VideoFrameFlags::INTERLACED),
        (scan::TOP_FIELD_FIRST, VideoFrameFlags::TFF),
        (scan::REPEAT_FIRST_FIELD, VideoFrameFlags::RFF),
        (scan::ONE_FIELD, VideoFrameFlags::ONEFIELD),
    ];
    let set = flags.into_iter().filter(|(bit, _)| bits & bit != 0);
    set.map(|(_, flag)| flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(colour: Colour) -> Option<String> {
        colorimetry(colour).map(|colorimetry| colorimetry.to_string())
    }

    #[test]
    fn colour_code_points_become_names() {
        gst::init().unwrap();
        let bt709 = Colour {
            primaries: 1,
            transfer: 1,
            matrix_plus_1: 2,
            range: 1,
        };
        assert_eq!(described(bt709).as_deref(), Some("bt709"));
        assert_eq!(described(Colour::default()), None);
        let unspecified = Colour {
            primaries: 2,
            transfer: 2,
            matrix_plus_1: 3,
            range: 1,
        };
        assert_eq!(described(unspecified), None);
    }

    #[test]
    fn every_format_is_in_the_caps() {
        gst::init().unwrap();
        for (format, theirs) in FORMATS {
            assert_eq!(video_format(format), Some(theirs));
            let info = VideoInfo::builder(theirs, 64, 64).build().unwrap();
            assert_eq!(
                info.n_planes() as usize,
                format.planes().len(),
                "{theirs:?}"
            );
            let mut offset = 0;
            for plane in 0..format.planes().len() {
                let row = format.row_bytes(plane, 64) as usize;
                assert_eq!(info.stride()[plane] as usize, row, "{theirs:?}");
                assert_eq!(info.offset()[plane], offset, "{theirs:?}");
                offset += row * format.plane_size(plane, 64, 64).1 as usize;
            }
            assert!(info.to_caps().unwrap().can_intersect(&raw_caps()));
        }
    }
}
