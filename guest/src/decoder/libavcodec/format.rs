//! Pixel formats by name: names are the same in all versions, numbers are not.

use iotdec_wire::picture::PixelFormat;

/// How a frame of the library becomes a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// As it is.
    Same(PixelFormat),
    /// As it is, with samples in the full range, which the name says.
    Full(PixelFormat),
    /// 8-bit indices into a palette of 256 colours.
    Palette,
}

impl Pixels {
    /// What pictures are in.
    pub fn format(self) -> PixelFormat {
        match self {
            Self::Same(format) | Self::Full(format) => format,
            Self::Palette => PixelFormat::Bgra,
        }
    }

    /// By the name that `av_get_pix_fmt_name` gives.
    pub fn of_name(name: &str) -> Option<Self> {
        if name == "pal8" {
            return Some(Self::Palette);
        }
        let named = |name: &str| {
            let entry = FORMATS.iter().find(|(known, _)| *known == name);
            entry.map(|(_, format)| *format)
        };
        match name.strip_prefix("yuvj") {
            Some(rest) => named(&format!("yuv{rest}")).map(Self::Full),
            None => named(name).map(Self::Same),
        }
    }
}

const FORMATS: [(&str, PixelFormat); 38] = [
    ("gray", PixelFormat::Gray8),
    ("gray10le", PixelFormat::Gray10),
    ("gray12le", PixelFormat::Gray12),
    ("gray16le", PixelFormat::Gray16),
    ("yuv420p", PixelFormat::I420),
    ("yuv422p", PixelFormat::I422),
    ("yuv444p", PixelFormat::I444),
    ("yuv411p", PixelFormat::I411),
    ("yuv410p", PixelFormat::I410),
    ("yuva420p", PixelFormat::I420A),
    ("yuv420p10le", PixelFormat::I420P10),
    ("yuv422p10le", PixelFormat::I422P10),
    ("yuv444p10le", PixelFormat::I444P10),
    ("yuv420p12le", PixelFormat::I420P12),
    ("yuv422p12le", PixelFormat::I422P12),
    ("yuv444p12le", PixelFormat::I444P12),
    ("yuv444p16le", PixelFormat::I444P16),
    ("gbrp", PixelFormat::Gbr8),
    ("gbrp10le", PixelFormat::GbrP10),
    ("gbrp12le", PixelFormat::GbrP12),
    ("gbrap", PixelFormat::Gbra8),
    ("nv12", PixelFormat::Nv12),
    ("nv21", PixelFormat::Nv21),
    ("p010le", PixelFormat::P010),
    ("yuyv422", PixelFormat::Yuy2),
    ("uyvy422", PixelFormat::Uyvy),
    ("rgb24", PixelFormat::Rgb),
    ("bgr24", PixelFormat::Bgr),
    ("rgba", PixelFormat::Rgba),
    ("bgra", PixelFormat::Bgra),
    ("argb", PixelFormat::Argb),
    ("abgr", PixelFormat::Abgr),
    ("rgb0", PixelFormat::Rgbx),
    ("bgr0", PixelFormat::Bgrx),
    ("0rgb", PixelFormat::Xrgb),
    ("0bgr", PixelFormat::Xbgr),
    ("rgb565le", PixelFormat::Rgb16),
    ("rgb555le", PixelFormat::Rgb15),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_formats() {
        let named = Pixels::of_name;
        assert_eq!(named("yuv420p"), Some(Pixels::Same(PixelFormat::I420)));
        assert_eq!(named("yuvj422p"), Some(Pixels::Full(PixelFormat::I422)));
        assert_eq!(named("pal8").map(Pixels::format), Some(PixelFormat::Bgra));
        assert_eq!(named("bayer_rggb8"), None);
    }
}
