//! Finished pictures on their way out of dav1d.

use super::Dav1d;
use super::api::{FrameHeader, KEY_FRAME, MasteringDisplay, Picture, SequenceHeader, layout};
use super::memory::Memory;
use crate::decoder::copy::Foreign;
use crate::decoder::shape::pixel_shape;
use crate::decoder::{Frame, Output};
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, Light, MAX_PLANES, PictureRecord};
use std::sync::atomic::Ordering;

impl Dav1d {
    /// Gives one picture, which is dav1d's until its reference is given back, to
    /// `output`.
    pub fn show(&mut self, picture: &Picture, output: &mut dyn Output) {
        // SAFETY: all pictures got their memory in `memory::alloc`, and keep it
        // while somebody refers to them.
        let memory = unsafe { &*picture.allocator_data.cast::<Memory>() };
        // SAFETY: headers live as long as the picture that carries them.
        let frame = unsafe { picture.frame.as_ref() };
        // Everything that was lost is replaced.
        self.damaged &= frame.is_none_or(|frame| frame.frame_type != KEY_FRAME);
        let mut flags = 0;
        if self.damaged {
            flags |= frame_flags::CORRUPT;
        }
        let number = picture.props.timestamp as u64;
        let mut record = memory.record;
        describe(&mut record, picture, frame);
        if !memory.shown.swap(true, Ordering::Relaxed) {
            let frame = Frame {
                number,
                flags,
                picture: record,
            };
            output.picture(&frame, &memory.lease);
            return;
        }
        // `show_existing_frame` of a picture that was shown before.
        let start = memory.lease.start().as_ptr().cast_const();
        let foreign = Foreign {
            format: memory.format,
            width: record.width,
            height: record.height,
            planes: std::array::from_fn::<_, MAX_PLANES, _>(|plane| {
                // SAFETY: `memory::place` found the offsets inside the slot.
                unsafe { start.add(record.offset[plane] as usize) }
            }),
            stride: record.stride.map(|stride| stride as usize),
            colour: record.colour,
        };
        // SAFETY: the slot is held by `memory`, dav1d has finished the picture, and
        // downstream does not write to what the decoder still holds.
        let Some((copied, lease)) = (unsafe { foreign.copy(&self.allocator.slots) }) else {
            return;
        };
        let frame = Frame {
            number,
            flags: flags | frame_flags::COPIED,
            picture: PictureRecord {
                offset: copied.offset,
                stride: copied.stride,
                ..record
            },
        };
        output.picture(&frame, &lease);
    }
}

/// Adds what the stream says of how to show a picture.
fn describe(record: &mut PictureRecord, picture: &Picture, frame: Option<&FrameHeader>) {
    // SAFETY: as all headers of the picture, valid while it lives, or null.
    let (sequence, content, display) = unsafe {
        (
            picture.sequence.as_ref(),
            picture.content_light.as_ref(),
            picture.mastering_display.as_ref(),
        )
    };
    if let Some(sequence) = sequence {
        record.colour = colour(sequence);
        record.chroma_site = match (picture.parameters.layout, sequence.chroma_position) {
            // Beside the left luma samples, between two rows: type 0 of H.273.
            (layout::I420, 1) => 1,
            // At the upper left luma sample: type 2.
            (layout::I420, 2) => 3,
            _ => 0,
        };
    }
    if let Some(frame) = frame {
        let to_show = frame.render_size.map(|size| size as u32);
        record.par = pixel_shape((record.width, record.height), (to_show[0], to_show[1]));
    }
    if let Some(display) = display {
        record.light = mastering(display);
    }
    if let Some(content) = content {
        let limited = |value: i32| u16::try_from(value).unwrap_or(u16::MAX);
        record.light.max_content = limited(content.max_content);
        record.light.max_average = limited(content.max_average);
    }
}

fn colour(sequence: &SequenceHeader) -> Colour {
    let code = |code: i32| u8::try_from(code).unwrap_or(0);
    Colour {
        primaries: code(sequence.primaries),
        transfer: code(sequence.transfer),
        matrix_plus_1: code(sequence.matrix + 1),
        range: if sequence.full_range != 0 { 2 } else { 1 },
    }
}

/// From AV1's fixed-point numbers (6.7.4) to the units of H.265.
fn mastering(display: &MasteringDisplay) -> Light {
    let scaled = |value: u32, from: u64, to: u64| (u64::from(value) * to + from / 2) / from;
    let coordinate = |value: u16| scaled(value.into(), 1 << 16, 50_000) as u16;
    let [red, green, blue] = display.primaries;
    let luminance = |value, from| u32::try_from(scaled(value, from, 10_000)).unwrap_or(u32::MAX);
    Light {
        primaries: [red, green, blue, display.white_point].map(|point| point.map(coordinate)),
        max_luminance: luminance(display.max_luminance, 1 << 8),
        min_luminance: luminance(display.min_luminance, 1 << 14),
        max_content: 0,
        max_average: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_is_converted() {
        let light = mastering(&MasteringDisplay {
            primaries: [[44564, 19005], [11141, 55050], [8847, 3932]],
            white_point: [20493, 21561],
            max_luminance: 1000 << 8,
            min_luminance: 164,
        });
        assert_eq!(light.primaries[0], [34000, 14500]);
        assert_eq!(light.primaries[3], [15635, 16450]);
        assert_eq!(light.max_luminance, 10_000_000);
        assert_eq!(light.min_luminance, 100);
    }
}
