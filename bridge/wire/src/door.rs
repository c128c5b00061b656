//! The door: how guest code calls the accelerator, a plugin inside the same QEMU
//! process, without a system call.
//!
//! The guest executes [`KNOCK`], a hint that no program uses followed by a store of
//! the service's number to a [`Call`] in its own memory. The plugin recognises the two
//! when QEMU translates them, and asks to be told the address of that store. It answers
//! in the same [`Call`] before the next instruction runs. Without the plugin the hint
//! does nothing, the store changes [`Call::service`] alone, and [`Call::status`] stays
//! [`Status::Unanswered`].

use crate::codes::wire_enum;
use bytemuck::{Pod, Zeroable};

/// `hint #0x72` and `str w1, [x0]`: x0 is the address of a [`Call`], w1 a [`Service`].
/// The hint is in the space that executes as NOP (Arm ARM, C6.2.93). Both are in one page.
pub const KNOCK: [u32; 2] = [0xd503_2e5f, 0xb900_0001];
/// [`Call::magic`] of a call that is meant.
pub const MAGIC: u32 = u32::from_le_bytes(*b"door");
/// Counted up whenever a service, a status or a struct in this module changes.
pub const VERSION: u64 = 2;

wire_enum! {
    /// What the accelerator does for the guest.
    Service {
        /// Arguments: [`VERSION`] of the caller. Result: [`VERSION`] of the accelerator,
        /// then bits of [`features`].
        Hello = 1,
        /// Runs the [`Context`] at the call's own address until it [`Exit`]s. Arguments:
        /// the address whose execution means that the function has returned.
        Run = 2,
        /// Arguments: address of [`Counters`] to fill in.
        Count = 3,
        /// Arguments: start, length. Translations of code in this range are forgotten.
        Forget = 4,
        /// Arguments: start, length. This range may be executed; told once of what no
        /// system call of the program has mapped.
        Executable = 5,
        /// Makes a library of the host known, of which the guest has a generated
        /// counterpart. Arguments: [`VERSION`] of the caller, address and length of the
        /// library's name ([`is_library_name`]), the fingerprint that both parts were
        /// generated with. Result: a handle for [`Service::Invoke`], calls so far.
        Open = 8,
        /// Calls a function of such a library. Arguments: handle, the function's number,
        /// address of the words that it takes and in the first of which it returns.
        /// Result: `errno`, or 0 if the function did not set it.
        Invoke = 9,
        /// `memmove(to, from, length)`, which `memcpy` is too.
        Move = 16,
        /// `memset(to, byte, length)`.
        Set = 17,
        /// `memcmp(a, b, length)`. Result: its sign, sign-extended.
        Compare = 18,
        /// `memchr(at, byte, length)`. Result: the address or 0.
        Find = 19,
        /// `strlen(at)`.
        Length = 20,
        /// `strcmp(a, b)`. Result: its sign, sign-extended.
        CompareText = 21,
        /// `strncmp(a, b, length)`. Result: its sign, sign-extended.
        ComparePrefix = 22,
        /// `strchr(at, byte)`. Result: the address or 0.
        FindText = 23,
        /// A function of the math library, with every mode of floating point at its
        /// default. Arguments: a [`Function`], then the bits of its arguments. Result:
        /// the bits of its result. [`Status::Declined`] if the host's library is not
        /// [`TESTED_GLIBC`] on a processor with FMA.
        Math = 24,
    }
}

/// The version of the GNU C library whose math functions were compared, aarch64 against
/// x86-64: `docs/native.md` has the counts. Others may round otherwise.
pub const TESTED_GLIBC: &str = "2.36";

wire_enum! {
    /// Functions of the math library that gave the same bits on both architectures for
    /// every input that was tried; `F` stands for single precision.
    Function {
        /// `exp(x)`
        Exp = 1,
        /// `log(x)`
        Log = 2,
        /// `log2(x)`
        Log2 = 3,
        /// `log10(x)`
        Log10 = 4,
        /// `pow(x, y)`
        Pow = 5,
        /// `sin(x)`
        Sin = 6,
        /// `cos(x)`
        Cos = 7,
        /// `tan(x)`
        Tan = 8,
        /// `asin(x)`
        Asin = 9,
        /// `acos(x)`
        Acos = 10,
        /// `atan(x)`
        Atan = 11,
        /// `atan2(y, x)`
        Atan2 = 12,
        /// `fmod(x, y)`
        Fmod = 13,
        /// `expf(x)`
        ExpF = 32,
        /// `exp2f(x)`
        Exp2F = 33,
        /// `logf(x)`
        LogF = 34,
        /// `log2f(x)`
        Log2F = 35,
        /// `log10f(x)`
        Log10F = 36,
        /// `powf(x, y)`
        PowF = 37,
        /// `sinf(x)`
        SinF = 38,
        /// `cosf(x)`
        CosF = 39,
        /// `fmodf(x, y)`
        FmodF = 40,
    }
}

wire_enum! {
    /// What became of a call.
    Status {
        /// Nobody was at the door.
        Unanswered = 0,
        /// Done; the result is in [`Call::values`].
        Done = 1,
        /// No such service, or not in this build.
        NoService = 2,
        /// The arguments cannot be right: an unaligned or impossible address.
        BadArguments = 3,
        /// The accelerator cannot do it on this QEMU.
        Declined = 4,
    }
}

/// Whether [`Service::Open`] takes this for a library's name. It becomes part of a
/// file's name, so it must not lead anywhere else.
pub fn is_library_name(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
    (1..=64).contains(&name.len()) && name[0] != b'.' && name.iter().all(is_plain)
}

/// A call and its answer. Aligned to its own size, so that it never crosses a page:
/// where the door's store went, all of it can be read and written.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Call {
    /// A [`Service`]; the door's own store writes it.
    pub service: u32,
    /// [`MAGIC`].
    pub magic: u32,
    /// A [`Status`], by the accelerator; [`Status::Unanswered`] before.
    pub status: u32,
    /// Zero.
    pub reserved: u32,
    /// Arguments, then results, from the first.
    pub values: [u64; 6],
}

/// Bits of the second result of [`Service::Hello`].
pub mod features {
    /// [`super::Service::Run`] works.
    pub const TURBO: u64 = 1;
}

wire_enum! {
    /// Why [`Service::Run`] came back.
    Exit {
        /// The function returned.
        Returned = 1,
        /// `svc #0` was executed; [`Context::pc`] is behind it.
        Syscall = 2,
        /// [`Context::detail`] instructions from [`Context::pc`] on are unknown to the
        /// translator. QEMU is to execute them and to advance the program counter.
        Unknown = 3,
        /// QEMU is to go on from this context by itself, with the instruction at
        /// [`Context::pc`].
        Leave = 4,
        /// Nothing happened: QEMU may want to look for signals.
        Pause = 5,
    }
}

/// The processor's state, of which the second translator takes over and gives back all
/// that a program without privileges can see.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Context {
    /// The call by which the accelerator gets it.
    pub call: Call,
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer.
    pub sp: u64,
    /// The next instruction's address.
    pub pc: u64,
    /// TPIDR_EL0: the C library's thread pointer.
    pub tpidr: u64,
    /// N, Z, C and V, in bits 31 to 28.
    pub nzcv: u32,
    /// Modes of floating point.
    pub fpcr: u32,
    /// Cumulative flags of floating point.
    pub fpsr: u32,
    /// An [`Exit`].
    pub exit: u32,
    /// What the exit says.
    pub detail: u64,
    /// Where the code was that last accessed memory it may not: the start of a piece of
    /// straight-line code. 0 if it never did.
    pub fault: u64,
    /// The guest's own: its stack pointer while it executes an unknown instruction.
    pub own_sp: u64,
    /// The guest's own: unknown instructions executed since it was last set to 0.
    pub stepped: u64,
    /// v0 to v31, low half first.
    pub v: [[u64; 2]; 32],
}

/// What the accelerator counted since the process started.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Counters {
    /// Times that translated code was entered, first or again.
    pub entries: u64,
    /// Exits for a system call.
    pub syscalls: u64,
    /// Exits for instructions that the translator does not know.
    pub unknown: u64,
    /// Exits for good: the rest of the call ran in QEMU.
    pub leaves: u64,
    /// Exits to let QEMU look for signals.
    pub pauses: u64,
    /// Pieces of code that were translated.
    pub blocks: u64,
    /// Bytes of translated code there are, of all threads.
    pub code_bytes: u64,
    /// Calls of native functions.
    pub native_calls: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Call>() == 64);
    assert!(offset_of!(Call, service) == 0);
    assert!(offset_of!(Context, x) == 64);
    assert!(offset_of!(Context, v) % 16 == 0);
    assert!(size_of::<Context>() == 64 + 31 * 8 + 3 * 8 + 16 + 8 + 8 + 16 + 512);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_librarys_name_leads_nowhere() {
        assert!(is_library_name(b"libz.so.1"));
        assert!(is_library_name(b"libstdc++.so.6"));
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../libz.so.1",
            "a b",
            "a\0",
        ] {
            assert!(!is_library_name(bad.as_bytes()), "{bad:?}");
        }
        assert!(!is_library_name(&[b'a'; 65]));
    }
}
