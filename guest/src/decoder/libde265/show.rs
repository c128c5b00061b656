//! Finished pictures on their way out of libde265.

use super::De265;
use super::api::Image;
use super::memory::Picture;
use crate::decoder::copy::Foreign;
use crate::decoder::{Frame, Output};
use crate::slots::Lease;
use iotdec_wire::msg::frame_flags;
use iotdec_wire::picture::{Colour, MAX_PLANES, PictureRecord, PixelFormat};
use std::ffi::c_int;

impl De265 {
    /// Gives every picture that is ready to `output`.
    pub fn give_out(&mut self, output: &mut dyn Output) {
        loop {
            // SAFETY: as in `run`.
            let image = unsafe { (self.api.de265_peek_next_picture)(self.context) };
            if image.is_null() {
                return;
            }
            self.give_out_one(image, output);
            // SAFETY: as in `run`; it is still the one peeked.
            unsafe { (self.api.de265_release_next_picture)(self.context) };
        }
    }

    fn give_out_one(&mut self, image: *const Image, output: &mut dyn Output) {
        // SAFETY: the image is valid until it is released, below our caller.
        let number = unsafe { (self.api.de265_get_image_PTS)(image) } as u64;
        let mut flags = 0;
        if self.damage.is_damaged(number) {
            flags |= frame_flags::CORRUPT;
        }
        // SAFETY: as above; all images got their memory in `get_buffer`.
        let picture = unsafe {
            (self.api.de265_get_image_plane_user_data)(image, 0)
                .cast::<Picture>()
                .as_ref()
        };
        if let Some(Picture::Slot(lease, record)) = picture {
            let picture = PictureRecord {
                colour: self.colour(image),
                ..*record
            };
            output.picture(
                &Frame {
                    number,
                    flags,
                    picture,
                },
                lease,
            );
        } else if let Some((picture, lease)) = self.copy(image) {
            let flags = flags | frame_flags::COPIED;
            output.picture(
                &Frame {
                    number,
                    flags,
                    picture,
                },
                &lease,
            );
        }
    }

    /// A copy, in a slot, of a picture that is not in one.
    fn copy(&self, image: *const Image) -> Option<(PictureRecord, Lease)> {
        let api = &self.api;
        // SAFETY: the image is valid, see `give_out_one`.
        let (chroma, depth, width, height) = unsafe {
            (
                (api.de265_get_chroma_format)(image),
                (api.de265_get_bits_per_pixel)(image, 0) as u32,
                (api.de265_get_image_width)(image, 0) as u32,
                (api.de265_get_image_height)(image, 0) as u32,
            )
        };
        let (shift_x, shift_y) = ((chroma == 1 || chroma == 2) as u32, (chroma == 1) as u32);
        let Some(format) = PixelFormat::planar(chroma == 0, shift_x, shift_y, depth) else {
            eprintln!("libde265: pictures of {depth} bits can't be shown");
            return None;
        };
        let mut planes = [std::ptr::null(); MAX_PLANES];
        let mut stride = [0; MAX_PLANES];
        for plane in 0..format.planes().len() {
            let mut step = 0;
            // SAFETY: as above.
            planes[plane] =
                unsafe { (api.de265_get_image_plane)(image, plane as c_int, &mut step) };
            stride[plane] = step as usize;
        }
        let foreign = Foreign {
            format,
            width,
            height,
            planes,
            stride,
            colour: self.colour(image),
        };
        // SAFETY: libde265's planes have the visible size that it told.
        unsafe { foreign.copy(&self.hooks.slots) }
    }

    fn colour(&self, image: *const Image) -> Colour {
        // 2 is "unspecified" in H.273: then the container may know.
        let code = |function: Option<unsafe extern "C" fn(*const Image) -> c_int>| {
            // SAFETY: the image is valid, see `give_out_one`.
            let code = function.map_or(2, |function| unsafe { function(image) });
            u8::try_from(code).ok().filter(|code| *code != 2)
        };
        let primaries = code(self.api.de265_get_image_colour_primaries);
        let transfer = code(self.api.de265_get_image_transfer_characteristics);
        let matrix = code(self.api.de265_get_image_matrix_coefficients);
        let full = code(self.api.de265_get_image_full_range_flag);
        // Without a description the flag is 0 too, so limited range is believed
        // only beside one.
        let described = primaries.or(transfer).or(matrix).is_some();
        Colour {
            primaries: primaries.unwrap_or(0),
            transfer: transfer.unwrap_or(0),
            matrix_plus_1: matrix.and_then(|code| code.checked_add(1)).unwrap_or(0),
            range: match full {
                Some(1) => 2,
                Some(0) if described => 1,
                _ => 0,
            },
        }
    }
}
