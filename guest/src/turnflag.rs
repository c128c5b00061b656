//! The guest of the simple scheme (see [`iotdec_wire::bench`]): the same decoders,
//! but packets and pictures are copied and the two sides never work at once.

use crate::args::Args;
use crate::decoder::{self, Frame, Options, Output, Packet};
use crate::mapping::Mapping;
use crate::slots::local::LocalSlots;
use crate::slots::{Lease, SlotPool};
use bytemuck::Zeroable;
use iotdec_wire::bench::{
    Exchange, GUEST, HOST, PACKET_CAPACITY, PACKET_OFFSET, PICTURE_OFFSET, TurnFlag, request,
};
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, FromRawFd};
use std::sync::Arc;

/// Runs the command: answers requests until told to stop, or until orphaned.
pub fn run(args: &Args) -> Result<(), String> {
    let fd = args.number("memory-fd")?.ok_or("--memory-fd is missing")?;
    // SAFETY: whoever gave the number passed the descriptor for this purpose.
    let file = unsafe { File::from_raw_fd(fd) };
    let len = file.metadata().map_or(0, |metadata| metadata.len()) as usize;
    if len <= PICTURE_OFFSET {
        return Err(format!("memory of only {len} bytes"));
    }
    let block = Mapping::shared(file.as_fd(), len).map_err(|error| error.to_string())?;
    let slots = LocalSlots::new();
    let mut decoder = decoder::open(
        args.require("adapter")?,
        args.require("library")?,
        slots.clone(),
        &Options::parse(args.all("option"))?,
    )
    .map_err(|error| format!("{:?}: {}", error.refusal, error.text))?;
    let mut ready = Ready {
        slots,
        frames: VecDeque::new(),
    };
    let parent = std::os::unix::process::parent_id();
    // SAFETY: the block is page-aligned, long enough, and mapped to the end.
    let flag = unsafe { block.start().cast::<TurnFlag>().as_ref() };
    while flag.wait(GUEST, || std::os::unix::process::parent_id() == parent) {
        // SAFETY: our turn came.
        let order = unsafe { flag.exchange() };
        let result = match order.request {
            request::DECODE => {
                let len = (order.packet_len as usize).min(PACKET_CAPACITY);
                // SAFETY: inside the block, and the host leaves it alone in our turn.
                let data = unsafe {
                    std::slice::from_raw_parts(block.start().add(PACKET_OFFSET).as_ptr(), len)
                };
                decoder
                    .decode(Packet::new(order.packet, data), &mut ready)
                    .map(|_| ())
            }
            request::DRAIN => decoder.drain(&mut ready),
            request::MORE => Ok(()),
            _ => return Ok(()),
        };
        let mut answer = Exchange {
            error: result.err().map_or(0, |error| error.code),
            ..Exchange::zeroed()
        };
        if let Some((frame, held)) = ready.frames.pop_front() {
            // SAFETY: the rest of the block from there on; ours in our turn.
            let target = unsafe {
                std::slice::from_raw_parts_mut(
                    block.start().add(PICTURE_OFFSET).as_ptr(),
                    len - PICTURE_OFFSET,
                )
            };
            let bytes = ready.take(&frame, held, target)?;
            answer.has_picture = 1;
            answer.number = frame.number;
            answer.picture = frame.picture;
            answer.picture_len = bytes as u32;
        }
        answer.ready = ready.frames.len() as u32;
        // SAFETY: still our turn.
        unsafe { flag.end_turn(answer, HOST) };
    }
    Ok(())
}

/// A picture that waits, in its slot, to be copied out.
struct Held {
    start: *const u8,
    index: u32,
    generation: u32,
}

/// Pictures to be copied out, one a turn. They stay in their slots until then.
struct Ready {
    slots: Arc<LocalSlots>,
    frames: VecDeque<(Frame, Held)>,
}

impl Ready {
    /// Copies a picture out as it lies in its slot, and lets the slot go; how many
    /// bytes it has.
    fn take(&self, frame: &Frame, held: Held, target: &mut [u8]) -> Result<usize, String> {
        let end = end_of(frame);
        let target = target
            .get_mut(..end)
            .ok_or_else(|| format!("picture of {end} bytes does not fit"))?;
        // SAFETY: the adapter placed the picture inside its slot, which downstream
        // (that is us) holds, so it is neither unmapped nor written to.
        target.copy_from_slice(unsafe { std::slice::from_raw_parts(held.start, end) });
        self.slots
            .slot(held.index)
            .release_downstream(held.generation);
        Ok(end)
    }
}

impl Output for Ready {
    fn picture(&mut self, frame: &Frame, lease: &Lease) {
        if lease.hand_over() {
            let held = Held {
                start: lease.start().as_ptr(),
                index: lease.index(),
                generation: lease.generation(),
            };
            self.frames.push_back((*frame, held));
        }
    }
}

/// Where the last plane ends.
fn end_of(frame: &Frame) -> usize {
    let picture = frame
        .picture
        .validate(u64::from(u32::MAX))
        .expect("an adapter's picture");
    let ends = (0..picture.format.planes().len()).map(|plane| {
        let crop = picture.crop;
        let (_, rows) = picture.format.plane_size(plane, crop.width, crop.height);
        let last_row = picture.offset[plane] + picture.stride[plane] * (rows - 1);
        (last_row + picture.format.row_bytes(plane, crop.width)) as usize
    });
    ends.max().unwrap_or(0)
}
