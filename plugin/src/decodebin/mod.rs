//! `iotdec`: any file or stream in, its video out.

mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The bin that finds out what a stream is and which decoder fits.
    pub(crate) struct IotdecBin(ObjectSubclass<imp::IotdecBin>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

/// Registers the element. Not autoplugged: it takes everything, and would hide
/// what a player can do itself.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "iotdec",
        gst::Rank::NONE,
        IotdecBin::static_type(),
    )
}
