//! Makes a PNG of the first frame of any video that a foreign decoder decodes:
//!
//!     setup/devenv setup/cargo run --example thumbnail -- samples/yard-h265.mp4 yard.png

use gst::prelude::*;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, video, picture] = &arguments[..] else {
        return Err("usage: thumbnail VIDEO PICTURE.png".into());
    };
    gst::init()?;
    let pipeline = gst::parse::launch("filesrc name=file ! iotdec ! appsink name=sink")?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let file = pipeline.by_name("file").expect("named above");
    file.set_property("location", video);
    let sink = pipeline.by_name("sink").and_downcast::<gst_app::AppSink>();
    let sink = sink.expect("named above");

    pipeline.set_state(gst::State::Paused)?;
    let result = thumbnail(&pipeline, &sink);
    pipeline.set_state(gst::State::Null)?;
    std::fs::write(picture, result?)?;
    println!("{picture}");
    Ok(())
}

fn thumbnail(pipeline: &gst::Pipeline, sink: &gst_app::AppSink) -> Result<Vec<u8>, Box<dyn Error>> {
    // The frame that a paused pipeline waits with, or the error that kept it away.
    let bus = pipeline.bus().expect("pipelines have one");
    let wanted = [gst::MessageType::AsyncDone, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &wanted);
    if let Some(gst::MessageView::Error(error)) = message.as_ref().map(|message| message.view()) {
        return Err(error.error().into());
    }
    let sample = sink.pull_preroll()?;
    let png = gst::Caps::new_empty_simple("image/png");
    let timeout = Some(gst::ClockTime::from_seconds(10));
    let converted = gst_video::convert_sample(&sample, &png, timeout)?;
    let buffer = converted.buffer().ok_or("the picture is empty")?;
    Ok(buffer.map_readable()?.to_vec())
}
