//! The memory that is shared with the host, at the addresses that the host has it.

use crate::args::Args;
use iotdec_wire::exchange::{Exchange, GUEST_HEAP, HEAP, MAX_MESSAGE, Range};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Exit status that asks to be started again with other addresses.
const OTHER_ADDRESSES: i32 = 75;

/// What the host said at the start.
#[derive(Debug)]
pub struct Shared {
    /// The program's memory.
    pub exchange: Exchange,
    /// Ours.
    pub memory: Range,
    /// Number of the lane over which the host asks.
    pub control: usize,
    /// Number of the lane over which we ask.
    pub reverse: usize,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

/// What is shared with the host.
///
/// # Panics
/// Before [`map`].
pub fn shared() -> &'static Shared {
    SHARED.get().expect("mapped before anything is served")
}

/// Maps both segments.
pub fn map(args: &Args) -> Result<(), String> {
    let number = |key| {
        let value: Option<u64> = args.number(key)?;
        value.ok_or_else(|| format!("--{key} is missing"))
    };
    let range = |start, size| {
        Ok::<_, String>(Range {
            start: number(start)?,
            size: number(size)?,
        })
    };
    let place = range("exchange", "exchange-size")?;
    if place.size < (HEAP + MAX_MESSAGE) as u64 {
        return Err(format!("an exchange of {} bytes is too small", place.size));
    }
    let base = map_at(place, number("exchange-fd")? as libc::c_int);
    // SAFETY: so many bytes of the host's file are mapped, for good.
    let exchange = unsafe { Exchange::new(base, place.size as usize) };
    if !exchange.is_known() {
        return Err("the host's exchange is of another version; install matching ones".to_owned());
    }
    let memory = range("memory", "memory-size")?;
    if memory.size < (GUEST_HEAP + MAX_MESSAGE) as u64 {
        return Err(format!(
            "guest memory of {} bytes is too small",
            memory.size
        ));
    }
    map_at(memory, number("memory-fd")? as libc::c_int);
    let shared = Shared {
        exchange,
        memory,
        control: number("control")? as usize,
        reverse: number("reverse")? as usize,
    };
    SHARED.set(shared).map_err(|_| "mapped twice".to_owned())
}

/// Maps a file where it must be, or exits. The descriptor is closed.
fn map_at(range: Range, fd: libc::c_int) -> NonNull<u8> {
    // SAFETY: without MAP_FIXED, no existing memory changes; the host gave the
    // descriptor for this purpose alone.
    let start = unsafe {
        let start = libc::mmap(
            range.start as *mut libc::c_void,
            range.size as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE,
            fd,
            0,
        );
        libc::close(fd);
        start
    };
    // QEMU 7.2 takes the flag for a wish.
    if start as u64 != range.start {
        eprintln!(
            "{:#x} and {} bytes from there are not free",
            range.start, range.size
        );
        std::process::exit(OTHER_ADDRESSES);
    }
    NonNull::new(start.cast()).expect("the host maps nothing at 0")
}
