//! MPEG-2 streams made bit by bit: I pictures of one brightness each, in structures
//! and chroma formats that encoders seldom make. Facts: ISO 13818-2, 6.2.

/// `chroma_format`.
#[derive(Clone, Copy, Debug)]
pub enum Chroma {
    C420 = 1,
    C422 = 2,
    C444 = 3,
}

/// `picture_structure`.
pub const TOP_FIELD: u32 = 1;
/// The same.
pub const BOTTOM_FIELD: u32 = 2;
/// The same.
pub const FRAME: u32 = 3;

const WIDTH: u32 = 64;
const HEIGHT: u32 = 64;

/// Bits, the highest of a byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("just pushed");
            *last |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }

    fn start_code(&mut self, code: u8) {
        self.used = self.used.next_multiple_of(8) + 32;
        self.bytes.extend([0, 0, 1, code]);
    }
}

/// A sequence of pictures of these structures, interlaced.
pub fn stream(chroma: Chroma, structures: &[u32]) -> Vec<u8> {
    let mut bits = Bits::default();
    sequence(&mut bits, chroma);
    let mut time = 0;
    for (index, structure) in structures.iter().enumerate() {
        picture(&mut bits, time, *structure);
        let rows = match *structure {
            FRAME => HEIGHT / 16,
            _ => HEIGHT / 32,
        };
        for row in 0..rows {
            slice(&mut bits, chroma, row, *structure, index as u32 % 7);
        }
        time += u32::from(*structure != TOP_FIELD);
    }
    bits.start_code(0xb7);
    bits.bytes
}

fn sequence(bits: &mut Bits, chroma: Chroma) {
    bits.start_code(0xb3);
    bits.put(12, WIDTH);
    bits.put(12, HEIGHT);
    bits.put(4, 1); // square pixels
    bits.put(4, 3); // 25 frames per second
    bits.put(18, 10_000); // bit rate
    bits.put(1, 1); // marker
    bits.put(10, 100); // vbv buffer
    bits.put(3, 0); // not constrained, default matrices
    bits.start_code(0xb5);
    bits.put(4, 1);
    // High profile, which has all chroma formats, at main level.
    bits.put(8, 0x18);
    bits.put(1, 0); // interlaced
    bits.put(2, chroma as u32);
    bits.put(4 + 12, 0); // sizes and bit rate, high bits
    bits.put(1, 1); // marker
    bits.put(8 + 1 + 2 + 5, 0); // vbv buffer, no low delay, frame rate
    bits.start_code(0xb8);
    bits.put(12, 0);
    bits.put(1, 1); // marker in the time code
    bits.put(12, 0);
    bits.put(2, 0b10); // closed
}

fn picture(bits: &mut Bits, time: u32, structure: u32) {
    bits.start_code(0);
    bits.put(10, time);
    bits.put(3, 1); // I
    bits.put(16, 0xffff);
    bits.put(1, 0);
    bits.start_code(0xb5);
    bits.put(4, 8);
    bits.put(16, 0xffff); // no motion
    bits.put(2, 0); // DC of 8 bits
    bits.put(2, structure);
    bits.put(1, u32::from(structure == FRAME)); // top field first
    bits.put(1, u32::from(structure == FRAME)); // frame prediction and DCT
    bits.put(8, 0); // of the rest nothing
}

fn slice(bits: &mut Bits, chroma: Chroma, row: u32, structure: u32, shade: u32) {
    bits.start_code(1 + row as u8);
    bits.put(5, 8); // quantiser
    bits.put(1, 0);
    let blocks = [0, 2, 4, 8][chroma as usize];
    for column in 0..WIDTH / 16 {
        bits.put(1, 1); // next macroblock
        bits.put(1, 1); // intra
        for block in 0..4 {
            if column == 0 && block == 0 {
                // Six bits of difference (table B-12), brighter or darker.
                bits.put(5, 0b11110);
                let difference = 32 + 4 * shade;
                let sign = structure == BOTTOM_FIELD;
                bits.put(6, if sign { 63 - difference } else { difference });
            } else {
                bits.put(3, 0b100);
            }
            bits.put(2, 0b10); // end of block
        }
        for _ in 0..blocks {
            bits.put(2, 0b00);
            bits.put(2, 0b10);
        }
    }
}
