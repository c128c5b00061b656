//! Somewhere to show video, if there is.

use crate::failure::Failure;
use crate::pipeline;
use gst::prelude::*;
use std::env;

/// A video sink that works here; none without a display, or without one that
/// lets us in.
pub fn open() -> Result<Option<gst::Element>, Failure> {
    let named = ["WAYLAND_DISPLAY", "DISPLAY"]
        .into_iter()
        .find(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    let Some(named) = named else {
        return Ok(None);
    };
    // Not a window system; and where it cannot start, it ends the process
    // (DirectFB 1.7 as Debian 12 has it).
    if let Some(directfb) = gst::ElementFactory::find("dfbvideosink") {
        directfb.set_rank(gst::Rank::NONE);
    }
    let sink = pipeline::make("autovideosink")?;
    let ready = sink.set_state(gst::State::Ready);
    if ready.is_ok() && !is_makeshift(&sink) {
        return Ok(Some(sink));
    }
    let _ = sink.set_state(gst::State::Null);
    eprintln!("iotdec: no video can be shown on the display that {named} names; going on without");
    Ok(None)
}

/// autovideosink takes a fakesink when nothing else works.
fn is_makeshift(sink: &gst::Element) -> bool {
    let bin = sink.downcast_ref::<gst::Bin>();
    let mut children = bin.map(|bin| bin.children()).into_iter().flatten();
    children.any(|child| {
        child
            .factory()
            .is_some_and(|factory| factory.name() == "fakesink")
    })
}
