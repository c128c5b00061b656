//! Recognising AV1 without a container, which GStreamer 1.22 does not.

use gst::{TypeFind, TypeFindProbability, glib};

/// Registers the type finder for files of OBUs (AV1 bitstream specification, 5.2)
/// and of length-delimited ones (the same, annex B).
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let format = |name| {
        gst::Caps::builder("video/x-av1")
            .field("stream-format", name)
            .build()
    };
    let (obus, annexb) = (format("obu-stream"), format("annexb"));
    let any = gst::Caps::new_empty_simple("video/x-av1");
    TypeFind::register(
        Some(plugin),
        "iotdec-av1",
        gst::Rank::MARGINAL,
        Some("obu,av1"),
        Some(&any),
        move |found| {
            // Sizes of few bytes, and headers of one or two, fit into so many.
            let length = (8..=16).rev().find(|len| found.peek(0, *len).is_some());
            let start = length.and_then(|length| found.peek(0, length));
            match start.and_then(Start::of) {
                Some(Start::Obus) => found.suggest(TypeFindProbability::NearlyCertain, &obus),
                Some(Start::Delimited) => found.suggest(TypeFindProbability::Likely, &annexb),
                None => {}
            }
        },
    )
}

/// How a stream begins: with a temporal delimiter and a sequence header, as is
/// usual, in one of two forms.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// Each OBU tells its size.
    Obus,
    /// Sizes stand before temporal units, frames and OBUs.
    Delimited,
}

impl Start {
    fn of(bytes: &[u8]) -> Option<Self> {
        /// The header without the bits for an extension and a size, and the reserved
        /// one, which is 0: the forbidden bit and the type.
        const KIND: u8 = 0b1111_1001;
        const TEMPORAL_DELIMITER: u8 = 2 << 3;
        const SEQUENCE_HEADER: u8 = 1 << 3;
        const HAS_SIZE: u8 = 1 << 1;
        let is = |header: u8, kind| header & KIND == kind;
        if let [first, 0, second, ..] = *bytes
            && is(first, TEMPORAL_DELIMITER)
            && is(second, SEQUENCE_HEADER)
            && first & second & HAS_SIZE != 0
        {
            return Some(Self::Obus);
        }
        let mut rest = bytes;
        let unit = leb128(&mut rest)?;
        let frame = leb128(&mut rest)?;
        let (delimiter, length) = (leb128(&mut rest)?, rest.len());
        let header = *rest.first()?;
        rest = rest.get(delimiter as usize..)?;
        let sequence = leb128(&mut rest)?;
        let nested = frame < unit && delimiter + sequence < frame;
        let is_delimited = (1..=3).contains(&delimiter)
            && length > delimiter as usize
            && nested
            && is(header, TEMPORAL_DELIMITER)
            && is(*rest.first()?, SEQUENCE_HEADER);
        is_delimited.then_some(Self::Delimited)
    }
}

/// A size of at most four bytes.
fn leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..4 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Start;

    #[test]
    fn both_forms_of_av1_are_told_from_others() {
        let obus = [0x12, 0, 0x0a, 0x0b, 0, 0, 0, 0x24];
        assert_eq!(Start::of(&obus), Some(Start::Obus));
        // Unit of 300 bytes, frame of 297, delimiter of 1, sequence header of 11.
        let delimited = [0xac, 2, 0xa9, 2, 1, 0x10, 11, 0x08, 0, 0];
        assert_eq!(Start::of(&delimited), Some(Start::Delimited));
        assert_eq!(Start::of(&[0, 0, 0, 1, 0x67, 0x42, 0, 0x1e]), None);
        assert_eq!(Start::of(&[0x12, 0, 0x32, 0x0b, 0, 0, 0, 0]), None);
        assert_eq!(Start::of(&[0x47, 0x40, 0, 0x10, 0, 0, 0xb0, 0x0d]), None);
        assert_eq!(Start::of(&[0; 8]), None);
    }
}
