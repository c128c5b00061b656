//! HDR metadata, which frames carry as side data.

use super::api::{Api, AvFrame};
use super::layout::kind_of;
use iotdec_wire::picture::Light;
use std::ffi::c_int;

/// `AVMasteringDisplayMetadata`, which never changed: fractions, and which are known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Mastering {
    /// x and y of red, green, blue and white.
    primaries: [[[c_int; 2]; 2]; 4],
    min_luminance: [c_int; 2],
    max_luminance: [c_int; 2],
    has_primaries: c_int,
    has_luminance: c_int,
}

/// `AVContentLightMetadata`, which never changed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ContentLight {
    max_content: u32,
    max_average: u32,
}

/// What the library counts the two kinds of side data as.
#[derive(Debug)]
pub struct LightKinds {
    mastering: Option<c_int>,
    content: Option<c_int>,
}

impl LightKinds {
    /// Asks the library.
    pub fn find(api: &Api) -> Self {
        let kind = |name| kind_of(name, api.av_frame_side_data_name);
        Self {
            mastering: kind(c"Mastering display metadata"),
            content: kind(c"Content light level metadata"),
        }
    }

    /// What a frame says of the light it was made for.
    pub fn of(&self, api: &Api, frame: *const AvFrame) -> Light {
        let mut light = Light::default();
        if let Some(told) = side_data::<Mastering>(api, frame, self.mastering)
            && told.has_primaries != 0
            && told.has_luminance != 0
        {
            let chromaticity = |part| scaled(part, 50_000).try_into().unwrap_or(0);
            light.primaries = told.primaries.map(|point| point.map(chromaticity));
            light.max_luminance = scaled(told.max_luminance, 10_000);
            light.min_luminance = scaled(told.min_luminance, 10_000);
        }
        if let Some(told) = side_data::<ContentLight>(api, frame, self.content) {
            light.max_content = told.max_content.try_into().unwrap_or(0);
            light.max_average = told.max_average.try_into().unwrap_or(0);
        }
        light
    }
}

fn side_data<T: Copy>(api: &Api, frame: *const AvFrame, kind: Option<c_int>) -> Option<T> {
    // SAFETY: a frame that the library filled; its side data lives as long.
    unsafe {
        let side_data = (api.av_frame_get_side_data)(frame, kind?).as_ref()?;
        (side_data.size >= size_of::<T>()).then(|| side_data.data.cast::<T>().read_unaligned())
    }
}

/// A fraction in units of 1 / `scale`; 0 if it is none.
fn scaled([numerator, denominator]: [c_int; 2], scale: i64) -> u32 {
    let value = (i64::from(numerator) * scale).checked_div(denominator.into());
    value.and_then(|value| value.try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn fractions_are_scaled_or_nothing() {
        assert_eq!(scaled([34_000, 50_000], 50_000), 34_000);
        assert_eq!(scaled([1000, 1], 10_000), 10_000_000);
        assert_eq!(scaled([1, 0], 10_000), 0);
        assert_eq!(scaled([-1, 1], 10_000), 0);
    }
}
