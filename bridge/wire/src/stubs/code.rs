//! The instructions that stubs consist of.

pub(super) use here::*;

#[cfg(target_arch = "aarch64")]
mod here {
    /// Of a body: `ldr x18, .+16; ldr x17, .+20; br x17; udf #0` and two addresses.
    pub const BODY: usize = 32;
    pub const JUMP: usize = 4;
    pub const ALIGNMENT: u64 = 4;
    /// What `b` reaches.
    pub const REACH: u64 = 127 << 20;

    pub fn body(target: u64, entry: u64) -> [u8; BODY] {
        let words: [u32; 4] = [0x5800_0092, 0x5800_00b1, 0xd61f_0220, 0];
        let mut bytes = [0; BODY];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes[16..24].copy_from_slice(&target.to_le_bytes());
        bytes[24..].copy_from_slice(&entry.to_le_bytes());
        bytes
    }

    /// `b to`
    pub fn jump(from: u64, to: u64) -> [u8; JUMP] {
        let words = (to.wrapping_sub(from) as i64 >> 2) as u32;
        (0x1400_0000 | words & 0x03ff_ffff).to_le_bytes()
    }
}

#[cfg(not(target_arch = "aarch64"))]
mod here {
    /// Of a body: `mov r10, target; mov r11, entry; jmp r11` and fill.
    pub const BODY: usize = 32;
    pub const JUMP: usize = 5;
    pub const ALIGNMENT: u64 = 1;
    /// What `jmp rel32` reaches.
    pub const REACH: u64 = 2000 << 20;

    pub fn body(target: u64, entry: u64) -> [u8; BODY] {
        let mut bytes = [0xcc; BODY];
        bytes[..2].copy_from_slice(&[0x49, 0xba]);
        bytes[2..10].copy_from_slice(&target.to_le_bytes());
        bytes[10..12].copy_from_slice(&[0x49, 0xbb]);
        bytes[12..20].copy_from_slice(&entry.to_le_bytes());
        bytes[20..23].copy_from_slice(&[0x41, 0xff, 0xe3]);
        bytes
    }

    /// `jmp to`
    pub fn jump(from: u64, to: u64) -> [u8; JUMP] {
        let distance = to.wrapping_sub(from + JUMP as u64) as u32;
        let mut bytes = [0xe9; JUMP];
        bytes[1..].copy_from_slice(&distance.to_le_bytes());
        bytes
    }
}
