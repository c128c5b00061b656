//! The records: sizes and contents follow from a record's number alone, so either
//! side can tell a lost, repeated, reordered or damaged one.

/// Records in each direction.
pub const COUNT: u32 = 1_000_000;
/// Bytes of the longest record: what a ring of 4096 bytes takes.
pub const LONGEST: usize = 2040;

/// Which way a record travels; the two ways carry different contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From host to guest.
    Command,
    /// From guest to host: the answer to the command of the same number.
    Event,
}

/// A number for each pair of numbers, without any visible pattern (splitmix64).
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd134_2543_de82_ef95);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of one record.
fn seed(way: Way, number: u32) -> u64 {
    mix(number.into(), 1 + way as u64)
}

/// Bytes of a record: any, most often few, at times none and at times the most.
pub fn length(way: Way, number: u32) -> usize {
    let seed = seed(way, number);
    // Every power of two is as likely an upper limit as every other.
    let limit = 1 << (seed % 12);
    ((seed >> 32) as usize % (limit + 1)).min(LONGEST)
}

/// The record, in the beginning of `buffer`.
pub fn fill(way: Way, number: u32, buffer: &mut [u8; LONGEST]) -> &[u8] {
    let seed = seed(way, number);
    let record = &mut buffer[..length(way, number)];
    for (index, word) in record.chunks_mut(8).enumerate() {
        word.copy_from_slice(&mix(seed, index as u64).to_le_bytes()[..word.len()]);
    }
    record
}

/// Compares what arrived with what was to arrive.
pub fn check(way: Way, number: u32, kind: u32, payload: &[u8]) -> Result<(), String> {
    if kind != number {
        return Err(format!("{way:?} {kind} arrived instead of {number}"));
    }
    if payload.len() != length(way, number) {
        let (is, should) = (payload.len(), length(way, number));
        return Err(format!(
            "{way:?} {number} has {is} bytes instead of {should}"
        ));
    }
    let seed = seed(way, number);
    for (index, word) in payload.chunks(8).enumerate() {
        if *word != mix(seed, index as u64).to_le_bytes()[..word.len()] {
            return Err(format!("{way:?} {number} is damaged in word {index}"));
        }
    }
    Ok(())
}
