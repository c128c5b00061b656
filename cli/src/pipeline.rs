//! GStreamer pipelines that run to their end, or to an error worth reading.

use crate::args::DecoderArgs;
use crate::failure::Failure;
use crate::interrupt;
use gst::MessageView;
use gst::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// How long a pipeline is left alone between two looks at what else there is to do.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// What to do when GStreamer does not find the plugin.
pub const PLUGIN_REMEDY: &str = "Install iotdec, or set GST_PLUGIN_PATH to the directory of \
     libgstiotdec.so; in the source tree, run this command with setup/devenv.";

/// Starts GStreamer.
pub fn init() -> Result<(), Failure> {
    gst::init().map_err(|error| {
        Failure::new(
            format_args!("cannot start GStreamer: {error}"),
            "Check that GStreamer 1.22 or newer is installed completely.",
        )
    })
}

/// Whether GStreamer finds the plugin.
pub fn has_plugin() -> bool {
    gst::ElementFactory::find("iotdec").is_some()
}

/// Makes an element, or tells where it comes from.
pub fn make(factory: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(factory).build().map_err(|_| {
        let remedy = match factory {
            "iotdec" => PLUGIN_REMEDY.to_owned(),
            "autovideosink" | "pngenc" => "Install gstreamer1.0-plugins-good.".to_owned(),
            _ => "Install gstreamer1.0-plugins-base.".to_owned(),
        };
        Failure::new(format_args!("GStreamer has no element {factory}"), remedy)
    })
}

/// Puts elements into a new pipeline, one behind the other.
pub fn chain(elements: &[&gst::Element]) -> Result<gst::Pipeline, Failure> {
    let pipeline = gst::Pipeline::new();
    pipeline
        .add_many(elements)
        .and_then(|()| gst::Element::link_many(elements))
        .map_err(|error| Failure::Error(format!("cannot build the pipeline: {error}")))?;
    Ok(pipeline)
}

/// `filesrc ! iotdec ! sink`, which is all that a player needs; and its `iotdec`.
pub fn decoding(
    file: &Path,
    decoder: &DecoderArgs,
    sink: &gst::Element,
) -> Result<(gst::Pipeline, gst::Element), Failure> {
    let source = make("filesrc")?;
    source.set_property("location", file);
    let iotdec = make("iotdec")?;
    iotdec.set_property("decoder", decoder.decoder.as_deref());
    let library = decoder.library.as_ref();
    iotdec.set_property("library", library.map(|path| path.display().to_string()));
    if let Some(accel) = decoder.accel {
        iotdec.set_property_from_str("accel", accel.nick());
    }
    let pipeline = chain(&[&source, &iotdec, sink])?;
    Ok((pipeline, iotdec))
}

/// The counters of an `iotdec`, under the names it gives them.
pub fn stats(iotdec: &gst::Element) -> BTreeMap<String, u64> {
    let stats: Option<gst::Structure> = iotdec.property("stats");
    let fields = stats.iter().flat_map(|stats| stats.iter());
    let numbers = fields.filter_map(|(name, value)| Some((name.to_string(), number(value)?)));
    numbers.collect()
}

/// What is on of an `iotdec`'s accelerator, and why not more, if there is a reason.
pub fn accelerator(iotdec: &gst::Element) -> Option<(String, Option<String>)> {
    let stats: gst::Structure = iotdec.property::<Option<gst::Structure>>("stats")?;
    let text = |name| stats.get::<String>(name).ok();
    let reason = text("accel-reason").filter(|reason| !reason.is_empty());
    Some((text("accel")?, reason))
}

fn number(value: &gst::glib::SendValue) -> Option<u64> {
    let narrow = || value.get::<u32>().ok().map(u64::from);
    value.get::<u64>().ok().or_else(narrow)
}

/// A sink for frames that nobody looks at; at the stream's own pace, or at once.
pub fn nowhere(paced: bool) -> Result<gst::Element, Failure> {
    let sink = make("fakesink")?;
    sink.set_property("sync", paced);
    Ok(sink)
}

/// A pipeline that plays. Dropping it ends it, and with it its worker.
#[derive(Debug)]
pub struct Running {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
}

impl Running {
    /// Makes a pipeline play.
    pub fn start(pipeline: gst::Pipeline) -> Result<Self, Failure> {
        let bus = pipeline.bus().expect("every pipeline has one");
        let running = Self { pipeline, bus };
        if running.pipeline.set_state(gst::State::Playing).is_ok() {
            return Ok(running);
        }
        // Whoever refused has said why on the bus.
        let message = running.bus.pop_filtered(&[gst::MessageType::Error]);
        match message.as_ref().map(|message| message.view()) {
            Some(MessageView::Error(error)) => Err(failure(error)),
            _ => Err(Failure::new(
                "the pipeline does not start",
                "GST_DEBUG=3 shows more.",
            )),
        }
    }

    /// The pipeline itself.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// Waits for the end of the stream; meanwhile calls `tick` ten times a second.
    pub fn wait(&self, mut tick: impl FnMut()) -> Result<(), Failure> {
        self.wait_unless(|| {
            tick();
            false
        })
    }

    /// The same, but not any longer once `is_enough`.
    pub fn wait_unless(&self, mut is_enough: impl FnMut() -> bool) -> Result<(), Failure> {
        use gst::MessageType::{Eos, Error};
        loop {
            interrupt::check()?;
            let message = self.bus.timed_pop_filtered(TICK, &[Eos, Error]);
            match message.as_ref().map(|message| message.view()) {
                Some(MessageView::Eos(_)) => return Ok(()),
                Some(MessageView::Error(error)) if is_closed_window(error) => return Ok(()),
                Some(MessageView::Error(error)) => return Err(failure(error)),
                _ if is_enough() => return Ok(()),
                _ => {}
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It succeeds or there is nothing to be done about it.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A video sink reports a window that its user closed as an error.
fn is_closed_window(error: &gst::message::Error) -> bool {
    error.error().matches(gst::ResourceError::NotFound)
        && error.error().message().contains("window was closed")
}

/// One line out of GStreamer's error and its debugging text.
fn failure(error: &gst::message::Error) -> Failure {
    let general = error.error().message().to_owned();
    let debug = error.debug().unwrap_or_default();
    match own_words(&debug) {
        // Its message names cause and remedy already.
        _ if is_from_iotdec(error) => Failure::Error(general),
        Some(own) => Failure::new(
            format_args!("{}: {own}", general.trim_end_matches('.')),
            remedy(&error.error()),
        ),
        None => Failure::new(general, remedy(&error.error())),
    }
}

/// Whether an `iotdec`, or something inside one, posted the error.
fn is_from_iotdec(error: &gst::message::Error) -> bool {
    let mut object = error.src().cloned();
    while let Some(this) = object {
        if this.type_().name().starts_with("GstIotdec") {
            return true;
        }
        object = this.parent();
    }
    false
}

/// What the element itself said; before it GStreamer puts its place in the source.
fn own_words(debug: &str) -> Option<&str> {
    let (_place, words) = debug.split_once(":\n")?;
    let words = words.trim();
    (!words.is_empty()).then_some(words)
}

fn remedy(error: &gst::glib::Error) -> &'static str {
    if error.matches(gst::StreamError::TypeNotFound) {
        "Check that it is a video; gst-typefind-1.0 tells what GStreamer takes it for."
    } else if error.matches(gst::StreamError::CodecNotFound)
        || error.matches(gst::CoreError::MissingPlugin)
    {
        "Install the GStreamer plugins for this format; gstreamer1.0-plugins-good and -bad have most."
    } else {
        "GST_DEBUG=3 shows more."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_the_source_is_left_out() {
        let debug = "gstfilesrc.c(557): gst_file_src_start (): /GstPipeline:p/GstFileSrc:f:\n\
                     No such file \"x\"";
        assert_eq!(own_words(debug), Some("No such file \"x\""));
        assert_eq!(own_words("gsttypefind.c(1): f (): /GstPipeline:p"), None);
        assert_eq!(own_words(""), None);
    }
}
