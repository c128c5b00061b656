//! Decodes an H.264 or H.265 byte stream with the bridge alone, without GStreamer:
//!
//!     setup/devenv setup/cargo run --example bridge -- openh264 samples/yard-h264.264
//!
//! It sends the file in pieces that each begin with a start code, and prints what
//! comes out. That is enough for streams with one slice to a picture; others need a
//! parser that finds whole access units, such as GStreamer's.

use iotdec_bridge::{Event, Launch, Overrides, Packet, SlotPolicy, manifest};
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, name, file] = &arguments[..] else {
        return Err("usage: bridge DECODER FILE".into());
    };
    let (manifests, _) = manifest::discover();
    let manifest = manifests.iter().find(|manifest| manifest.name == *name);
    let manifest = manifest.ok_or_else(|| format!("no decoder {name}; see iotdec list"))?;
    let launch = Launch::resolve(manifest, &Overrides::default())?;

    let log = Arc::new(|line: &str| eprintln!("worker: {line}"));
    let (worker, mut feeder, mut receiver) =
        iotdec_bridge::start(&launch, SlotPolicy::default(), log)?;
    println!("{} in process {}", worker.library_version(), worker.pid());

    // One thread feeds, another receives; here they are two.
    let stream = std::fs::read(file)?;
    let feeding = std::thread::spawn(move || {
        for (number, unit) in units(&stream).enumerate() {
            let packet = Packet {
                number: number as u64,
                flags: 0,
                parts: &[unit],
            };
            feeder.send(packet, &mut || false)?;
        }
        feeder.drain(1, &mut || false)
    });
    let mut frames = 0;
    while let Some(event) = receiver.next(&mut || false)? {
        match event {
            Event::Frame(frame) => {
                frames += 1;
                let picture = frame.picture;
                // `frame.lease` is the memory; dropping it lets the guest have it back.
                println!(
                    "unit {}: {}x{} {:?} in slot {}",
                    frame.number,
                    picture.crop.width,
                    picture.crop.height,
                    picture.format,
                    frame.lease.memory().id()
                );
            }
            Event::PacketDone(_) => {}
            Event::Complaint(text) => println!("{text}"),
            Event::Drained(_) => break,
        }
    }
    feeding.join().expect("the feeding thread does not panic")?;
    println!("{frames} frames");
    Ok(())
}

/// Cuts a byte stream before each 4-byte start code (H.264 and H.265, annex B).
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<_> = stream
        .windows(4)
        .enumerate()
        .filter_map(|(at, window)| (window == [0, 0, 0, 1]).then_some(at))
        .collect();
    let ends: Vec<_> = starts
        .iter()
        .skip(1)
        .copied()
        .chain([stream.len()])
        .collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|(start, end)| &stream[start..end])
}
