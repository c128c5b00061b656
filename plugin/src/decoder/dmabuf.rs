//! Whether frames go out as dmabufs: by the caps, as `memory:DMABuf`.

use super::imp::ForeignDecoder;
use crate::udmabuf::Udmabuf;
use gst::subclass::prelude::*;
use gst_allocators::{CAPS_FEATURE_MEMORY_DMABUF, CAPS_FEATURES_MEMORY_DMABUF};
use gst_video::prelude::*;

/// Whether caps are of dmabufs.
pub(super) fn is_dmabuf(caps: &gst::CapsRef) -> bool {
    let features = caps.features(0);
    features.is_some_and(|features| features.contains(CAPS_FEATURE_MEMORY_DMABUF))
}

/// Those of the `offered` caps that downstream takes most willingly and that can be
/// had. Downstream that takes anything gets what is offered first.
fn choose(taken: &gst::Caps, offered: &[gst::Caps; 2], has_dmabuf: bool) -> Option<gst::Caps> {
    let mut all = offered[0].clone();
    all.merge(offered[1].clone());
    let common = taken.intersect_with_mode(&all, gst::CapsIntersectMode::First);
    let mut kinds = common.iter_with_features().map(|(_, features)| {
        let is_dmabuf = features.contains(CAPS_FEATURE_MEMORY_DMABUF);
        &offered[usize::from(is_dmabuf)]
    });
    kinds.find(|caps| has_dmabuf || !is_dmabuf(caps)).cloned()
}

impl ForeignDecoder {
    /// Adds the kind of memory that downstream wants to caps of ordinary memory.
    pub(super) fn choose_memory(&self, caps: gst::Caps) -> Result<gst::Caps, gst::FlowError> {
        let mut dmabuf = caps.clone();
        let features = CAPS_FEATURES_MEMORY_DMABUF.clone();
        dmabuf.make_mut().set_features_simple(Some(features));
        let taken = self.obj().src_pad().peer_query_caps(None);
        let offered = [caps, dmabuf];
        let device = Udmabuf::system();
        if let Some(chosen) = choose(&taken, &offered, device.is_ok()) {
            return Ok(chosen);
        }
        let [caps, dmabuf] = offered;
        match device {
            Err(missing) if taken.can_intersect(&dmabuf) => {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Negotiation,
                    ("Downstream takes frames as dmabufs only, and there are none: {missing}")
                );
                Err(gst::FlowError::NotNegotiated)
            }
            // Negotiation fails as it does with any decoder.
            _ => Ok(caps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn choice(taken: &str, has_dmabuf: bool) -> Option<&'static str> {
        gst::init().unwrap();
        let caps = |text: &str| gst::Caps::from_str(text).unwrap();
        let system = caps("video/x-raw,format=I420,width=320,height=192");
        let dmabuf = caps("video/x-raw(memory:DMABuf),format=I420,width=320,height=192");
        let offered = [system, dmabuf];
        let chosen = choose(&caps(taken), &offered, has_dmabuf)?;
        Some(if is_dmabuf(&chosen) {
            "dmabuf"
        } else {
            "system"
        })
    }

    #[test]
    fn downstream_gets_dmabufs_where_it_wants_them_and_there_are_some() {
        let wants = "video/x-raw(memory:DMABuf)";
        assert_eq!(choice(wants, true), Some("dmabuf"));
        assert_eq!(choice(wants, false), None);
        let prefers = "video/x-raw(memory:DMABuf); video/x-raw";
        assert_eq!(choice(prefers, true), Some("dmabuf"));
        assert_eq!(choice(prefers, false), Some("system"));
        let takes = "video/x-raw; video/x-raw(memory:DMABuf)";
        assert_eq!(choice(takes, true), Some("system"));
        assert_eq!(choice("ANY", true), Some("system"));
        assert_eq!(choice("video/x-raw(ANY)", true), Some("system"));
        assert_eq!(choice("video/x-raw,format=NV12", true), None);
    }
}
