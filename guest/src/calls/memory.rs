//! The memory that is shared with the host, at the addresses that the host has it.

use super::heap;
use crate::args::Args;
use iotdec_wire::exchange::{Exchange, GUEST_HEAP, HEAP, Image, MAX_MESSAGE, Range};
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
    /// Its file.
    pub memory_fd: libc::c_int,
    /// Where descriptors come from.
    pub socket_fd: libc::c_int,
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

/// Our memory, once it is mapped.
pub fn own() -> Option<Range> {
    SHARED.get().map(|shared| shared.memory)
}

/// Maps both segments.
pub fn map(args: &Args) -> Result<(), String> {
    let number = |key| {
        let value: Option<u64> = args.number(key)?;
        value.ok_or_else(|| format!("--{key} is missing"))
    };
    keep_clear(args.number("clear")?.unwrap_or(0));
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
    let fd = number("exchange-fd")? as libc::c_int;
    let base = map_at(place, fd, 0, true);
    // SAFETY: so many bytes of the host's file are mapped, for good.
    let exchange = unsafe { Exchange::new(base, place.size as usize) };
    if !exchange.is_known() {
        return Err("the host's exchange is of another version; install matching ones".to_owned());
    }
    let control = number("control")? as usize;
    map_program(&exchange, control, number("program")? as usize, fd);
    // SAFETY: the host gave the descriptor for this purpose alone.
    unsafe { libc::close(fd) };
    let memory = range("memory", "memory-size")?;
    if memory.size < (GUEST_HEAP + MAX_MESSAGE) as u64 {
        return Err(format!(
            "guest memory of {} bytes is too small",
            memory.size
        ));
    }
    let fd = number("memory-fd")? as libc::c_int;
    map_at(memory, fd, 0, true);
    let socket_fd = number("socket-fd")? as libc::c_int;
    for fd in [fd, socket_fd] {
        // Kept, but not for programs that the library starts.
        // SAFETY: the host gave the descriptor to us.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    let shared = Shared {
        exchange,
        memory,
        memory_fd: fd,
        socket_fd,
        control,
        reverse: number("reverse")? as usize,
    };
    SHARED.set(shared).map_err(|_| "mapped twice")?;
    // SAFETY: just mapped; threads use what is before the heap.
    unsafe { heap::take_over(memory, fd) }
}

/// Has libraries be loaded so many bytes further up, where those of no other worker of the program
/// are: QEMU gives every process the same addresses.
fn keep_clear(size: usize) {
    if size > 0 {
        // SAFETY: new memory, which nobody uses. Without it, pointers to constants may be refused.
        unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
        }
    }
}

/// Maps what the program shares of its file, where the program has it.
fn map_program(exchange: &Exchange, lane: usize, count: usize, fd: libc::c_int) {
    let images = exchange.host_stack(lane).start as *const Image;
    for index in 0..count {
        // SAFETY: the host has written so many there.
        let image = unsafe { images.add(index).read() };
        map_at(image.range(), fd, image.offset, image.is_writable != 0);
    }
}

/// Maps a file where it must be, or exits.
fn map_at(range: Range, fd: libc::c_int, offset: u64, is_writable: bool) -> NonNull<u8> {
    let write = if is_writable { libc::PROT_WRITE } else { 0 };
    // SAFETY: without MAP_FIXED, no existing memory changes.
    let start = unsafe {
        libc::mmap(
            range.start as *mut libc::c_void,
            range.size as usize,
            libc::PROT_READ | write,
            libc::MAP_SHARED | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE,
            fd,
            offset as libc::off_t,
        )
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
