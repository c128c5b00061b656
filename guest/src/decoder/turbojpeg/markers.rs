//! What stands before a JPEG image's data (ITU-T T.81, annex B), and where it ends.

/// Marker codes (table B.1).
mod marker {
    pub const SOI: u8 = 0xd8;
    pub const EOI: u8 = 0xd9;
    pub const SOS: u8 = 0xda;
    pub const DHT: u8 = 0xc4;
    pub const APP0: u8 = 0xe0;
}

/// Which field an image is, as Motion JPEG in AVI says it ("JPEG DIB Format",
/// Microsoft 1993): the APP0 segment "AVI1" has a polarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Of odd lines, counted from one.
    Upper,
    /// Of even lines.
    Lower,
}

/// One image in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// From its first marker on, to the next image or the end of the packet.
    pub data: &'a [u8],
    /// It has Huffman tables of its own.
    pub has_tables: bool,
    /// It is one, by its own account.
    pub field: Option<Field>,
}

/// The images of a packet: one; or two fields. Bytes before and between them belong
/// to none.
pub fn images(packet: &[u8]) -> Vec<Image<'_>> {
    let Some(start) = find(packet, marker::SOI) else {
        return Vec::new();
    };
    let mut first = Image::of(&packet[start..]);
    // What looks like a second image otherwise may be a thumbnail, or garbage.
    if first.field.is_none() {
        return vec![first];
    }
    let end = find(&first.data[first.header_len()..], marker::EOI);
    let rest = end.and_then(|end| {
        let end = first.header_len() + end + 2;
        find(&first.data[end..], marker::SOI).map(|start| end + start)
    });
    match rest {
        Some(rest) => {
            let second = Image::of(&first.data[rest..]);
            first.data = &first.data[..rest];
            vec![first, second]
        }
        None => vec![first],
    }
}

/// Where a marker is.
fn find(data: &[u8], code: u8) -> Option<usize> {
    data.windows(2).position(|pair| pair == [0xff, code])
}

impl<'a> Image<'a> {
    fn of(data: &'a [u8]) -> Self {
        let mut image = Self {
            data,
            has_tables: false,
            field: None,
        };
        for (code, content) in segments(data) {
            match code {
                marker::DHT => image.has_tables = true,
                marker::APP0 => match content {
                    [b'A', b'V', b'I', b'1', 1, ..] => image.field = Some(Field::Upper),
                    [b'A', b'V', b'I', b'1', 2, ..] => image.field = Some(Field::Lower),
                    _ => {}
                },
                _ => {}
            }
        }
        image
    }

    /// Bytes before the entropy-coded data, in which alone every 0xff is a marker's.
    fn header_len(&self) -> usize {
        let last = segments(self.data).last();
        last.map_or(2, |(_, content)| {
            content.as_ptr_range().end.addr() - self.data.as_ptr().addr()
        })
    }
}

/// The segments of an image up to the start of its first scan: code and content.
fn segments(image: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = image.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        // Any number of 0xff may fill up before a marker.
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let (code, after) = rest.get(fill..)?.split_first()?;
        if fill == 0 || *code == marker::EOI {
            return None;
        }
        let len = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        let content = after.get(2..len.max(2))?;
        rest = match *code {
            marker::SOS => &[],
            _ => &after[len.max(2)..],
        };
        Some((*code, content))
    })
}

#[cfg(test)]
mod tests {
    use super::{Field, images};

    const SCAN: [u8; 8] = [0xff, 0xda, 0, 3, 1, 0x55, 0xff, 0];
    const END: [u8; 2] = [0xff, 0xd9];

    fn image(segment: &[u8]) -> Vec<u8> {
        [&[0xff, 0xd8], segment, &SCAN, &END].concat()
    }

    #[test]
    fn tables_are_seen() {
        let with = image(&[0xff, 0xff, 0xc4, 0, 4, 1, 2]);
        assert!(images(&with)[0].has_tables);
        // What looks like one in another segment is none.
        let without = image(&[0xff, 0xfe, 0, 6, 0xff, 0xc4, 0, 2]);
        assert!(!images(&without)[0].has_tables);
    }

    #[test]
    fn fields_are_told_apart() {
        let field = |polarity| image(&[0xff, 0xe0, 0, 8, b'A', b'V', b'I', b'1', polarity, 0]);
        let both = [field(2), vec![0; 3], field(1)].concat();
        let found = images(&both);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].field, Some(Field::Lower));
        assert_eq!(found[1].field, Some(Field::Upper));
        assert!(found[1].data.starts_with(&[0xff, 0xd8]));
        assert_eq!(images(&field(1)).len(), 1);
        let frames = [field(0), field(0)].concat();
        assert_eq!(images(&frames).len(), 1, "not interlaced");
    }

    #[test]
    fn garbage_is_no_image() {
        assert!(images(&[]).is_empty());
        assert!(images(&[1, 2, 3]).is_empty());
        for cut in 0..20 {
            let whole = image(&[0xff, 0xe0, 0, 8, b'A', b'V', b'I', b'1', 1, 0]);
            assert!(images(&whole[..cut.min(whole.len())]).len() <= 1);
        }
        let late = [&[7, 7][..], &image(&[])].concat();
        assert_eq!(images(&late)[0].data.len(), late.len() - 2);
    }
}
