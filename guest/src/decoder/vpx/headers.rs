//! What a packet holds, as far as its headers say without decoding: VP8 data format
//! (RFC 6386), 9.1; VP9 bitstream specification, 7.2 and annex B.

/// Frames of a packet together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// There is a key frame, which needs no other.
    pub key: bool,
    /// Decoding goes on unharmed without them.
    pub dispensable: bool,
}

/// The first fields of a VP9 frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    key: bool,
    /// No state but references goes from frame to frame.
    resilient: bool,
    /// A later frame may refer to it.
    referred: bool,
}

/// Follows the frame headers of a VP9 stream.
#[derive(Debug, Default)]
pub struct Vp9 {
    /// All frames since the last key frame are resilient.
    resilient: bool,
}

impl Vp9 {
    /// Looks at a packet that is going to be decoded or skipped.
    ///
    /// That no later frame refers to a frame does not make it dispensable: VP9 hands
    /// probabilities and motion vectors on from frame to frame, unless the encoder
    /// was told to make the stream resilient to losses.
    pub fn read(&mut self, packet: &[u8]) -> Contents {
        let mut contents = Contents {
            key: false,
            dispensable: true,
        };
        for frame in frames(packet) {
            let Some(frame) = Frame::read(frame) else {
                contents.dispensable = false;
                continue;
            };
            self.resilient = frame.resilient && (frame.key || self.resilient);
            contents.key |= frame.key;
            contents.dispensable &= self.resilient && !frame.referred;
        }
        contents
    }
}

/// The frames of a superframe, or the packet as the only one.
fn frames(packet: &[u8]) -> Vec<&[u8]> {
    index(packet).unwrap_or_else(|| vec![packet])
}

/// Cuts a packet along the superframe index at its end, if there is one.
fn index(packet: &[u8]) -> Option<Vec<&[u8]>> {
    let marker = *packet.last()?;
    if marker >> 5 != 0b110 {
        return None;
    }
    let bytes = usize::from(marker >> 3 & 3) + 1;
    let count = usize::from(marker & 7) + 1;
    let start = packet.len().checked_sub(2 + bytes * count)?;
    let (mut rest, index) = packet.split_at(start);
    if index[0] != marker {
        return None;
    }
    let sizes = index[1..].chunks_exact(bytes).take(count);
    let size = |size: &[u8]| {
        size.iter()
            .rev()
            .fold(0, |sum, b| sum << 8 | usize::from(*b))
    };
    sizes
        .map(|bytes| {
            let frame;
            (frame, rest) = rest.split_at_checked(size(bytes))?;
            Some(frame)
        })
        .collect()
}

impl Frame {
    /// `uncompressed_header()` as far as `refresh_frame_flags`; `None` for those of
    /// which that is not to be had so cheaply.
    fn read(data: &[u8]) -> Option<Self> {
        let mut at = 0;
        let mut bits = |count: usize| {
            (0..count).try_fold(0u32, |value, _| {
                let bit = data.get(at / 8)? >> (7 - at % 8) & 1;
                at += 1;
                Some(value << 1 | u32::from(bit))
            })
        };
        let _marker = bits(2)?;
        let profile = bits(1)? | bits(1)? << 1;
        if profile == 3 {
            bits(1)?;
        }
        let show_existing = bits(1)? == 1;
        if show_existing {
            return None;
        }
        let key = bits(1)? == 0;
        let shown = bits(1)? == 1;
        let resilient = bits(1)? == 1;
        if key {
            return Some(Self {
                key,
                resilient,
                referred: true,
            });
        }
        let intra_only = !shown && bits(1)? == 1;
        if intra_only {
            return None;
        }
        if !resilient {
            bits(2)?;
        }
        Some(Self {
            key,
            resilient,
            referred: bits(8)? != 0,
        })
    }
}

/// The same of a VP8 frame; which references it replaces is not to be had cheaply.
pub fn vp8(packet: &[u8]) -> Contents {
    Contents {
        key: packet.first().is_some_and(|byte| byte & 1 == 0),
        dispensable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Profile 0: marker, profile, show_existing_frame, frame_type, show_frame,
    /// error_resilient_mode, then refresh_frame_flags where it is resilient.
    const KEY: [u8; 1] = [0b1000_0011];
    const UNUSED: [u8; 2] = [0b1000_0111, 0];
    const USED: [u8; 2] = [0b1000_0111, 1];
    /// Not resilient: reset_frame_context comes before refresh_frame_flags.
    const FRAGILE: [u8; 3] = [0b1000_0110, 0, 0];

    #[test]
    fn frames_of_resilient_streams_may_be_dispensable() {
        let contents = |key, dispensable| Contents { key, dispensable };
        let mut stream = Vp9::default();
        assert_eq!(stream.read(&UNUSED), contents(false, false), "no key frame");
        assert_eq!(stream.read(&KEY), contents(true, false));
        assert_eq!(stream.read(&UNUSED), contents(false, true));
        assert_eq!(stream.read(&USED), contents(false, false));
        assert_eq!(stream.read(&FRAGILE), contents(false, false));
        assert_eq!(stream.read(&UNUSED), contents(false, false));
        assert_eq!(
            stream.read(&[0b1000_1000]),
            contents(false, false),
            "existing"
        );
    }

    #[test]
    fn superframes_are_cut_at_their_index() {
        let two = [1, 2, 3, 4, 5, 0b1100_0001, 2, 3, 0b1100_0001];
        assert_eq!(frames(&two), [&[1, 2][..], &[3, 4, 5]]);
        let beyond = [1, 2, 0b1100_0000, 9, 0b1100_0000];
        assert_eq!(frames(&beyond), [&beyond[..]]);
        assert_eq!(frames(&[0b1100_0111]), [&[0b1100_0111]]);
        let mut stream = Vp9::default();
        let superframe = [KEY[0], UNUSED[0], UNUSED[1], 0xc1, 1, 2, 0xc1];
        let contents = stream.read(&superframe);
        assert!(contents.key && !contents.dispensable);
    }

    #[test]
    fn vp8_key_frames_are_told() {
        assert!(vp8(&[0x10]).key);
        assert!(!vp8(&[0x11]).key);
        assert!(!vp8(&[]).key);
    }
}
