//! The contender `turnflag`: the simplest use of shared memory. One packet is
//! copied in, one picture copied out, and while one side works the other waits
//! ([`iotdec_wire::bench`] is the block's layout).

use super::contender::Measure;
use super::packets::Packet;
use super::subject::Subject;
use super::worker::Worker;
use crate::failure::Failure;
use crate::interrupt;
use crate::meter::Meter;
use crate::pipeline;
use bytemuck::Zeroable;
use gst::prelude::*;
use iotdec_wire::bench::{
    Exchange, GUEST, HOST, PACKET_CAPACITY, PACKET_OFFSET, PICTURE_OFFSET, TurnFlag, request,
};
use memmap2::MmapRaw;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::process::Stdio;
use std::sync::Arc;

/// Room for a picture that is larger than its visible part.
const MARGIN: usize = 4;

/// Looks at the flag between two looks at the worker and at signals.
const PATIENCE: u32 = 1024;

/// Decodes once.
pub fn run(subject: &Subject) -> Result<Measure, Failure> {
    let mut outlet = Outlet::open(subject)?;
    let size = PICTURE_OFFSET + MARGIN * subject.format.size();
    let (memory, block) = shared_memory(size)
        .map_err(|error| Failure::Error(format!("cannot share memory: {error}")))?;
    let mut command = subject.emulated("turnflag");
    command
        .args(["--memory-fd", "0"])
        .stdin(Stdio::from(memory));
    let mut host = Host {
        worker: Worker::start(&mut command)?,
        block,
    };
    // The answer to a question without consequence: the library is loaded.
    host.ask(request::MORE, &[])?;
    outlet.meter.begin();
    for packet in &subject.packets {
        host.decode(packet, &mut outlet)?;
    }
    let drained = host.ask(request::DRAIN, &[])?;
    host.take_pictures(drained, &mut outlet)?;
    outlet.close();
    let meter = &outlet.meter;
    let measure = (
        meter.frames(),
        meter.elapsed().unwrap_or_default(),
        meter.cpu(),
    );
    Ok(measure)
}

fn shared_memory(size: usize) -> io::Result<(File, MmapRaw)> {
    let file = File::from(memfd_create(c"iotdec-turnflag", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(size as u64)?;
    let block = MmapRaw::map_raw(&file)?;
    Ok((file, block))
}

/// Our side of the block.
struct Host {
    worker: Worker,
    block: MmapRaw,
}

impl Host {
    fn decode(&mut self, packet: &Packet, outlet: &mut Outlet) -> Result<(), Failure> {
        if packet.data.len() > PACKET_CAPACITY {
            return Err(Failure::Error(format!(
                "a packet of {} bytes does not fit into turnflag's block",
                packet.data.len()
            )));
        }
        let answer = self.ask(request::DECODE, &packet.data)?;
        self.take_pictures(answer, outlet)
    }

    /// Passes on the picture that came with an answer, and all that wait behind it.
    fn take_pictures(&mut self, mut answer: Exchange, outlet: &mut Outlet) -> Result<(), Failure> {
        while answer.has_picture != 0 {
            let room = self.block.len() - PICTURE_OFFSET;
            let len = (answer.picture_len as usize).min(room);
            // SAFETY: inside the mapping. It is our turn, and the guest, which is our
            // own program, leaves the block alone in it.
            let picture =
                unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(PICTURE_OFFSET), len) };
            outlet.push(picture)?;
            if answer.ready == 0 {
                break;
            }
            answer = self.ask(request::MORE, &[])?;
        }
        Ok(())
    }

    /// One exchange: a request with a packet, and the guest's answer. Whenever it
    /// is not running, it is our turn.
    fn ask(&mut self, request: u32, packet: &[u8]) -> Result<Exchange, Failure> {
        // SAFETY: the block is page-aligned and larger than the flag, zero at first,
        // and mapped until `self` is dropped.
        let flag = unsafe { &*self.block.as_ptr().cast::<TurnFlag>() };
        let order = Exchange {
            request,
            packet_len: packet.len() as u32,
            ..Exchange::zeroed()
        };
        // SAFETY: it is our turn, so nobody else touches the packet or the exchange;
        // `decode` made sure that the packet fits.
        unsafe {
            let target = self.block.as_mut_ptr().add(PACKET_OFFSET);
            std::ptr::copy_nonoverlapping(packet.as_ptr(), target, packet.len());
            flag.end_turn(order, GUEST);
        }
        let mut looks = 0u32;
        let worker = &mut self.worker;
        let answered = flag.wait(HOST, || {
            looks = looks.wrapping_add(1);
            !looks.is_multiple_of(PATIENCE) || interrupt::check().is_ok() && worker.is_running()
        });
        if !answered {
            interrupt::check()?;
            return Err(self.worker.failure());
        }
        // SAFETY: our turn came.
        Ok(unsafe { flag.exchange() })
    }
}

/// Where the frames go: a fakesink, without a pipeline or any thread around it.
struct Outlet {
    pad: gst::Pad,
    sink: gst::Element,
    pool: Option<gst::BufferPool>,
    caps: gst::Caps,
    meter: Arc<Meter>,
}

impl Outlet {
    fn open(subject: &Subject) -> Result<Self, Failure> {
        let broken = |error: gst::glib::BoolError| Failure::Error(error.to_string());
        let caps = subject.format.to_caps().map_err(broken)?;
        let sink = pipeline::nowhere(false)?;
        let meter = Arc::new(Meter::default());
        meter.watch_sink(&sink);
        let pad = gst::Pad::new(gst::PadDirection::Src);
        pad.set_active(true).map_err(broken)?;
        let entry = sink.static_pad("sink").expect("every sink has one");
        let linked = pad.link(&entry).is_ok() && sink.set_state(gst::State::Playing).is_ok();
        if !linked {
            return Err(Failure::Error("a fakesink does not start".into()));
        }
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        pad.push_event(gst::event::StreamStart::new("turnflag"));
        pad.push_event(gst::event::Caps::new(&caps));
        pad.push_event(gst::event::Segment::new(&segment));
        Ok(Self {
            pad,
            sink,
            pool: None,
            caps,
            meter,
        })
    }

    /// Copies a picture out and pushes it, as an element would.
    fn push(&mut self, picture: &[u8]) -> Result<(), Failure> {
        let failed = |_| Failure::Error("cannot allocate a frame".into());
        let pool = match self.pool.take() {
            Some(pool) => self.pool.insert(pool),
            None => {
                let pool = make_pool(&self.caps, picture.len()).map_err(failed)?;
                self.pool.insert(pool)
            }
        };
        let mut buffer = pool
            .acquire_buffer(None)
            .map_err(|_| Failure::Error("cannot allocate a frame".into()))?;
        let mut map = buffer.make_mut().map_writable().map_err(failed)?;
        let len = picture.len().min(map.len());
        map[..len].copy_from_slice(&picture[..len]);
        drop(map);
        self.pad
            .push(buffer)
            .map(|_| ())
            .map_err(|flow| Failure::Error(format!("a fakesink refused a frame: {flow}")))
    }

    fn close(&self) {
        self.pad.push_event(gst::event::Eos::new());
    }
}

/// Allocating each frame anew would be slower: its pages would be faulted in anew.
fn make_pool(caps: &gst::Caps, size: usize) -> Result<gst::BufferPool, gst::glib::BoolError> {
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(Some(caps), size as u32, 2, 0);
    pool.set_config(config)?;
    pool.set_active(true)?;
    Ok(pool)
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let _ = self.sink.set_state(gst::State::Null);
        let _ = self.pad.set_active(false);
        if let Some(pool) = &self.pool {
            let _ = pool.set_active(false);
        }
    }
}
