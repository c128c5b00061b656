//! Start codes: what a packet consists of, and whether all of a picture is there.

use super::geometry::Geometry;

/// Start codes (ISO 13818-2, table 6-1).
mod code {
    pub const PICTURE: u8 = 0x00;
    pub const FIRST_SLICE: u8 = 0x01;
    pub const LAST_SLICE: u8 = 0xaf;
    pub const SEQUENCE: u8 = 0xb3;
    pub const EXTENSION: u8 = 0xb5;
    pub const GOP: u8 = 0xb8;
}

/// `picture_structure` of a frame.
const FRAME: u8 = 3;

/// What a packet consists of.
#[derive(Debug, Default)]
pub struct Contents<'a> {
    /// From the first start code on.
    pub data: &'a [u8],
    /// The sequence header with its extensions, if there is one.
    pub sequence: Option<&'a [u8]>,
    /// Its pictures.
    pub pictures: Pictures,
}

/// What there is of the pictures in a packet.
#[derive(Debug, Default)]
pub struct Pictures(Vec<Slices>);

/// The macroblock rows in which a picture has slices.
#[derive(Clone, Copy, Debug)]
struct Slices {
    structure: u8,
    rows: u128,
    more_rows: u128,
}

impl Slices {
    /// Most rows that can be told by the start code alone: above, it has an
    /// extension.
    const MOST_ROWS: u32 = code::LAST_SLICE as u32;

    fn note(&mut self, row: u8) {
        match row {
            0..128 => self.rows |= 1 << row,
            _ => self.more_rows |= 1 << (row - 128),
        }
    }

    fn count(self) -> u32 {
        self.rows.count_ones() + self.more_rows.count_ones()
    }
}

impl<'a> Contents<'a> {
    /// Looks at every start code of a packet.
    pub fn of(packet: &'a [u8]) -> Self {
        let mut contents = Self::default();
        let mut sequence = None;
        for start in start_codes(packet) {
            if contents.data.is_empty() {
                contents.data = &packet[start..];
            }
            let after = &packet[start + 4..];
            match packet[start + 3] {
                code::SEQUENCE => sequence = Some(start),
                code @ (code::GOP | code::PICTURE) => {
                    if let Some(from) = sequence.take() {
                        contents.sequence = Some(&packet[from..start]);
                    }
                    if code == code::PICTURE {
                        contents.pictures.0.push(Slices {
                            structure: FRAME,
                            rows: 0,
                            more_rows: 0,
                        });
                    }
                }
                // Picture coding extension (6.2.3.1): structure is in its third byte.
                code::EXTENSION if after.len() > 2 && after[0] >> 4 == 8 => {
                    if let Some(picture) = contents.pictures.0.last_mut() {
                        picture.structure = after[2] & 3;
                    }
                }
                slice @ code::FIRST_SLICE..=code::LAST_SLICE => {
                    if let Some(picture) = contents.pictures.0.last_mut() {
                        picture.note(slice - code::FIRST_SLICE);
                    }
                }
                _ => {}
            }
        }
        if let Some(from) = sequence {
            contents.sequence = Some(&packet[from..]);
        }
        contents
    }
}

impl Pictures {
    /// Whether one of them lacks slices. Only MPEG-2 requires one in each row of
    /// macroblocks (6.1.2); in MPEG-1 one may be all of the picture.
    pub fn lack_slices(&self, geometry: &Geometry) -> bool {
        let lacks = |picture: &Slices| {
            let rows = match picture.structure {
                FRAME => geometry.rows,
                _ => geometry.rows / 2,
            };
            let countable = geometry.is_mpeg2 && rows <= Slices::MOST_ROWS;
            picture.count() < if countable { rows } else { 1 }
        };
        self.0.iter().any(lacks)
    }
}

/// Where each 00 00 01 begins that has a byte behind it.
fn start_codes(data: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + iotdec_nal::annexb::start_code(&data[from..])?;
        from = start + 3;
        (from < data.len()).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Geometry;
    use super::Contents;

    fn geometry(rows: u32, is_mpeg2: bool) -> Geometry {
        let mut geometry = Geometry::default();
        (geometry.rows, geometry.is_mpeg2) = (rows, is_mpeg2);
        geometry
    }

    #[test]
    fn packets_are_taken_apart() {
        let packet = [
            &[9, 9][..],
            &[0, 0, 1, 0xb3, 1, 2, 0, 0, 1, 0xb5, 0x10],
            &[0, 0, 1, 0xb8, 7],
            &[0, 0, 1, 0, 3, 0, 0, 1, 1, 5, 0, 0, 1, 2, 5],
        ]
        .concat();
        let contents = Contents::of(&packet);
        assert_eq!(contents.data, &packet[2..]);
        assert_eq!(contents.sequence, Some(&packet[2..13]));
        assert!(!contents.pictures.lack_slices(&geometry(2, true)));
        assert!(contents.pictures.lack_slices(&geometry(3, true)));
        assert!(!contents.pictures.lack_slices(&geometry(3, false)));
    }

    #[test]
    fn fields_have_half_the_rows() {
        let field = [0, 0, 1, 0, 3, 0, 0, 1, 0xb5, 0x80, 0, 1, 0, 0, 1, 1, 5];
        assert!(
            !Contents::of(&field)
                .pictures
                .lack_slices(&geometry(2, true))
        );
        assert!(
            Contents::of(&field)
                .pictures
                .lack_slices(&geometry(4, true))
        );
        let both = [field, field].concat();
        assert!(!Contents::of(&both).pictures.lack_slices(&geometry(2, true)));
        let second_lost = [&field[..], &field[..12]].concat();
        assert!(
            Contents::of(&second_lost)
                .pictures
                .lack_slices(&geometry(2, true))
        );
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let contents = Contents::of(&[0, 0, 1]);
        assert!(contents.data.is_empty() && contents.sequence.is_none());
        assert!(!contents.pictures.lack_slices(&geometry(2, true)));
    }
}
