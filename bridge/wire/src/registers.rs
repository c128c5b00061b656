//! A call as the processor sees it: registers and a stack, for functions of which no
//! generated code knows.
//!
//! The host decides what goes where, as the procedure call standard of aarch64 says; the
//! guest loads it, calls, and stores what comes back. The same struct carries a callback:
//! then the guest has stored what a function of the library's called with.

/// The function of a worker's built-in part that makes a call. Its message is [`Registers`].
pub const CALL: u32 = 0;
/// The signature of the built-in part under which all native functions are given. The message
/// of a callback is [`Registers`].
pub const ANY: u32 = 0;
/// Functions of the built-in part.
pub const FUNCTIONS: u32 = 1;
/// Its signatures.
pub const SIGNATURES: u32 = 1;
/// What it has for a fingerprint: "register".
pub const FINGERPRINT: u64 = u64::from_le_bytes(*b"register");

/// What a function is called with, and then what it returned.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Registers {
    /// The function's address.
    pub target: u64,
    /// x8: where a result goes that fits into no registers.
    pub indirect: u64,
    /// x0 to x7. Back come the first two.
    pub general: [u64; 8],
    /// v0 to v7, low half first. Back come the first four.
    pub vector: [[u64; 2]; 8],
    /// Of a call: how many bytes, a multiple of 16, follow this struct and go onto the stack.
    /// Of a callback: the address of what is on the stack.
    pub stack: u64,
    /// Zero.
    pub reserved: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    // The worker's assembly has these numbers.
    assert!(offset_of!(Registers, target) == 0);
    assert!(offset_of!(Registers, indirect) == 8);
    assert!(offset_of!(Registers, general) == 16);
    assert!(offset_of!(Registers, vector) == 80);
    assert!(offset_of!(Registers, stack) == 208);
    assert!(size_of::<Registers>() == 224);
};
