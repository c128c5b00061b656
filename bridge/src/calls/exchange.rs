//! The program's exchange, and memory of workers: made once, never unmapped.

use super::worker::notice_forks;
use crate::shm::sealed_memfd;
use iotdec_heap::process::LEAST_EXCHANGE;
use iotdec_wire::exchange::{
    EXCHANGE_SIZE, Exchange, GUEST_HEAP, GUEST_MEMORY_SIZE, LANES, MAX_MESSAGE, Range,
};
use nix::libc;
use std::ffi::CStr;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock};

/// The exchange and its file.
#[derive(Debug)]
pub(crate) struct HostExchange {
    pub(crate) exchange: Exchange,
    pub(crate) file: OwnedFd,
    /// Lanes that nobody has.
    free: Mutex<Vec<usize>>,
}

static EXCHANGE: OnceLock<Result<HostExchange, String>> = OnceLock::new();

impl HostExchange {
    /// The program's exchange, made when first asked for.
    pub(crate) fn get() -> Result<&'static Self, String> {
        EXCHANGE
            .get_or_init(Self::new)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn new() -> Result<Self, String> {
        // Whoever makes the exchange does not complain.
        size_from("IOTDEC_EXCHANGE_SIZE", EXCHANGE_SIZE, LEAST_EXCHANGE)?;
        let (range, file) = super::heap::exchange()?;
        notice_forks();
        let base = NonNull::new(range.start as *mut u8).expect("mapped");
        // SAFETY: so many bytes are mapped, and stay so; what is before the heap is zero.
        let exchange = unsafe { Exchange::new(base, range.size as usize) };
        exchange.initialise();
        Ok(Self {
            exchange,
            file,
            free: Mutex::new((0..LANES).rev().collect()),
        })
    }

    /// A lane that nobody has, as new.
    pub(crate) fn take_lane(&self) -> Option<usize> {
        let number = self.free.lock().expect("nothing panics with it").pop()?;
        self.exchange.lane(number).reset();
        Some(number)
    }

    /// Gives it back, once no worker uses it any more.
    pub(crate) fn give_lane(&self, number: usize) {
        self.free
            .lock()
            .expect("nothing panics with it")
            .push(number);
    }

    /// Has everybody who waits for a worker look whether it is over.
    pub(crate) fn ring_all(&self) {
        for number in 0..LANES {
            self.exchange.lane(number).host_bell.0.ring();
        }
    }
}

/// A lane of more than one owner: given back when the last one has let go of it. Before, a
/// thread that is still leaving it would disturb those that have it next.
#[derive(Debug)]
pub(crate) struct SharedLane {
    exchange: &'static HostExchange,
    pub(crate) number: usize,
}

impl SharedLane {
    pub(crate) fn take(exchange: &'static HostExchange) -> Option<Arc<Self>> {
        let number = exchange.take_lane()?;
        Some(Arc::new(Self { exchange, number }))
    }
}

impl Drop for SharedLane {
    fn drop(&mut self) {
        self.exchange.give_lane(self.number);
    }
}

/// Shared memory at an address that a guest can have it too.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) range: Range,
    pub(crate) file: OwnedFd,
}

impl Segment {
    /// New memory for a worker.
    pub(crate) fn guest_memory() -> Result<Self, String> {
        let least = GUEST_HEAP + MAX_MESSAGE + (1 << 20);
        let size = size_from("IOTDEC_GUEST_MEMORY", GUEST_MEMORY_SIZE, least)?;
        let segment = Self::new(c"iotdec-guest", size)
            .map_err(|error| format!("no {size} bytes of memory for the library: {error}"))?;
        GUEST_MEMORY
            .lock()
            .expect("nothing panics with it")
            .push(segment.range);
        Ok(segment)
    }

    fn new(name: &CStr, size: usize) -> io::Result<Self> {
        let file = sealed_memfd(name, size as u64)?;
        // SAFETY: without MAP_FIXED no existing mapping changes.
        let start = unsafe {
            libc::mmap(
                somewhere() as *mut libc::c_void,
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            range: Range {
                start: start as u64,
                size: size as u64,
            },
            file,
        })
    }
}

/// Gives memory back that no program has seen.
pub(crate) fn release(range: Range) {
    // SAFETY: a segment's, and nobody has an address in it.
    unsafe { libc::munmap(range.start as *mut libc::c_void, range.size as usize) };
}

/// Memory of all workers that there are and were.
static GUEST_MEMORY: Mutex<Vec<Range>> = Mutex::new(Vec::new());

/// Whether an address is in memory of a worker, running or not.
pub(crate) fn is_guest_memory(address: u64) -> bool {
    let all = GUEST_MEMORY.lock().expect("nothing panics with it");
    all.iter().any(|range| range.contains(address, 1))
}

/// Memory of workers that are no more, by generation. Their addresses are not used
/// again, so that pointers to it are recognised; the last one's contents stay, too.
static ENDED: Mutex<Vec<Range>> = Mutex::new(Vec::new());

/// Remembers the memory of a worker that has ended.
pub(crate) fn end_memory(range: Range) {
    let mut ended = ENDED.lock().expect("nothing panics with it");
    if let Some(older) = ended.last() {
        // SAFETY: this module's mapping, which the program may still look at: it then
        // sees zeros, and costs nothing.
        unsafe {
            libc::mmap(
                older.start as *mut libc::c_void,
                older.size as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            );
        }
    }
    ended.push(range);
}

/// Whether an address is in memory of a worker that has ended.
pub(crate) fn is_of_ended(address: u64) -> bool {
    let ended = ENDED.lock().expect("nothing panics with it");
    ended.iter().any(|range| range.contains(address, 1))
}

/// An address where neither a program nor an emulator usually has anything: above what is
/// linked to fixed addresses, below 0x5500_0000_0000, where programs are loaded. A wish:
/// the kernel, or a checker like ThreadSanitizer, may have another.
fn somewhere() -> u64 {
    const STEP: u64 = 1 << 34;
    const FIRST: u64 = 0x1000_0000_0000;
    const LAST: u64 = 0x5000_0000_0000;
    let random = RandomState::new().hash_one(0u8);
    FIRST + random % ((LAST - FIRST) / STEP) * STEP
}

/// A size in MiB from the environment.
fn size_from(variable: &str, default: usize, least: usize) -> Result<usize, String> {
    let Some(value) = std::env::var_os(variable) else {
        return Ok(default);
    };
    let size = value.to_str().and_then(|text| text.parse::<usize>().ok());
    let size = size.and_then(|size| size.checked_mul(1 << 20));
    size.filter(|size| (least..1 << 44).contains(size))
        .ok_or_else(|| {
            let least = least.div_ceil(1 << 20);
            format!("{variable} is {value:?}; it must be a number of MiB, at least {least}")
        })
}
