//! malloc and its family for a process, over one heap or, one after the other, two.
//!
//! A program starts with a heap that is made at the first call, however early that comes: in the exchange, or (in a
//! guest, which is told only in `main` what it shares) in private memory. The guest's second heap takes over as soon as
//! it is there; what the first gave out is still freed to it.

mod interface;

use crate::fork;
use crate::slot::{Area, Slot};
use crate::{Backing, Fault, File, Heap, Segment, os};
use core::ffi::{CStr, c_int, c_void};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering::*};
pub use interface::{Foreign, Interface, PRELOADED, VERSION, preloaded};
use iotdec_wire::exchange::{EXCHANGE_SIZE, MAX_MESSAGE};

/// What malloc promises of every address.
const ALIGN: usize = 16;

/// What the heap leaves at the exchange's beginning: what lanes have.
const BEFORE: usize = iotdec_wire::exchange::HEAP;
/// And at its end, so that a message has room wherever one may begin.
const BEHIND: usize = MAX_MESSAGE;

/// The least that an exchange can be made of, in bytes.
pub const LEAST_EXCHANGE: usize = BEFORE + (1 << 20) + BEHIND;

/// The size of a private first heap; less if the system refuses.
const PRIVATE: usize = 1 << 30;

/// Where the first heap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In the exchange, a new shared segment: of as many MiB as `IOTDEC_EXCHANGE_SIZE` says, unless that is no number or
    /// too small. If the system refuses (`ulimit -v`), half of it, a quarter, and so on; if it gives none, in private
    /// memory.
    Exchange,
    /// In private memory.
    Private,
}

/// The kernel's, in bytes.
pub fn page_size() -> usize {
    // SAFETY: asks for a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// The malloc family of a process. There is one, a `static`.
pub struct Process {
    start: Start,
    name: &'static str,
    pub(crate) first: Slot,
    pub(crate) second: Slot,
    foreign: AtomicPtr<Foreign>,
}

impl Process {
    /// Makes nothing yet. `name` begins the messages about invalid pointers.
    pub const fn new(start: Start, name: &'static str) -> Self {
        Self {
            start,
            name,
            first: Slot::new(),
            second: Slot::new(),
            foreign: AtomicPtr::new(null_mut()),
        }
    }

    /// The segment of the first heap, made if need be; none if there is no memory for it, or if it is private.
    pub fn exchange(&'static self) -> Option<&'static Segment> {
        self.heap()?;
        self.first.get()?.segment.as_ref()
    }

    /// Writes address and size of the exchange, and returns its memfd; -1 if the program has closed it, or if there is
    /// no exchange, which has the size 0.
    ///
    /// # Safety
    /// Both may be written to.
    pub unsafe fn tell_exchange(&'static self, start: *mut *mut c_void, size: *mut usize) -> c_int {
        let segment = self.exchange();
        let (address, len) =
            segment.map_or((null_mut(), 0), |it| (it.start().as_ptr().cast(), it.len()));
        // SAFETY: promised by the caller.
        unsafe {
            start.write(address);
            size.write(len);
        }
        segment.and_then(Segment::fd).unwrap_or(-1)
    }

    /// From now on, memory comes from this heap. A fork does not copy it if it is shared; so the process must not fork,
    /// or not go on in the child. False if there is a second heap already.
    pub fn take_over(&'static self, heap: Heap) -> bool {
        self.heap();
        self.second.fill(|| {
            Some(Area {
                heap,
                segment: None,
                copy: AtomicI32::new(-1),
            })
        })
    }

    /// Sets who frees what is not of these heaps.
    pub fn set_foreign(&self, foreign: &'static Foreign) {
        self.foreign
            .store(core::ptr::from_ref(foreign).cast_mut(), Release);
    }

    /// As in C.
    #[inline]
    pub fn malloc(&'static self, size: usize) -> *mut c_void {
        self.allocate(size, ALIGN)
    }

    /// As in C.
    pub fn calloc(&'static self, count: usize, size: usize) -> *mut c_void {
        let zeroed = count
            .checked_mul(size)
            .and_then(|size| self.retry(|heap| heap.allocate_zeroed(size, ALIGN)));
        or_no_memory(zeroed)
    }

    /// As in C: NULL if `align` is no power of two.
    pub fn memalign(&'static self, align: usize, size: usize) -> *mut c_void {
        if !align.is_power_of_two() {
            os::set_errno(libc::EINVAL);
            return null_mut();
        }
        self.allocate(size, align.max(ALIGN))
    }

    /// As in POSIX; errno stays as it is.
    ///
    /// # Safety
    /// `memory` may be written to.
    pub unsafe fn posix_memalign(
        &'static self,
        memory: *mut *mut c_void,
        align: usize,
        size: usize,
    ) -> c_int {
        if !align.is_power_of_two() || align < size_of::<usize>() {
            return libc::EINVAL;
        }
        let Some(new) = self.retry(|heap| heap.allocate(size, align.max(ALIGN))) else {
            return libc::ENOMEM;
        };
        // SAFETY: promised by the caller.
        unsafe { memory.write(new.as_ptr().cast()) };
        0
    }

    /// As in C; a size of 0 frees, as in glibc.
    ///
    /// # Safety
    /// As in C; a pointer that is none of malloc's ends the process.
    pub unsafe fn realloc(&'static self, pointer: *mut c_void, size: usize) -> *mut c_void {
        let Some(old) = NonNull::new(pointer.cast::<u8>()) else {
            return self.malloc(size);
        };
        if size == 0 {
            // SAFETY: promised by the caller.
            unsafe { self.free(pointer) };
            return null_mut();
        }
        let owner = self.owner(pointer);
        if let Some(area) = owner
            && self
                .second
                .get()
                .is_none_or(|second| core::ptr::eq(area, second))
        {
            // SAFETY: promised by the caller.
            match self.retry(|_| unsafe { area.heap.resize(old, size) }.transpose()) {
                Some(Err(fault)) => self.die("realloc", pointer, fault),
                resized => return or_no_memory(resized.and_then(Result::ok)),
            }
        }
        // Of another heap: what is new comes from this one.
        // SAFETY: promised by the caller.
        let now = unsafe { self.usable_size(pointer) };
        if now == 0 {
            // Others may be gone, or say anything: no reason to end this process.
            if self.foreign().is_some_and(|it| (it.owns)(pointer)) {
                return or_no_memory(None);
            }
            self.die("realloc", pointer, Fault::Outside);
        }
        let moved = self.malloc(size);
        if let Some(moved) = NonNull::new(moved.cast::<u8>()) {
            // SAFETY: two allocations of at least so many bytes.
            unsafe {
                moved.copy_from_nonoverlapping(old, now.min(size));
                self.free(pointer);
            }
        }
        moved
    }

    /// As in C.
    ///
    /// # Safety
    /// As in C; a pointer that is none of malloc's ends the process.
    #[inline]
    pub unsafe fn free(&'static self, pointer: *mut c_void) {
        if pointer.is_null() {
            return;
        }
        let fault = match self.owner(pointer) {
            Some(area) => match area.heap.free(pointer.cast()) {
                Ok(()) => return,
                Err(fault) => fault,
            },
            None => Fault::Outside,
        };
        if fault == Fault::Outside
            && let Some(foreign) = self.foreign()
        {
            // As POSIX has it: free leaves errno alone.
            let errno = os::errno();
            // SAFETY: promised by the caller.
            let freed = unsafe { (foreign.free)(pointer) };
            os::set_errno(errno);
            if freed {
                return;
            }
        }
        self.die("free", pointer, fault);
    }

    /// Frees for somebody who is not trusted: an error instead of an end. Nothing foreign.
    pub fn try_free(&'static self, pointer: *mut c_void) -> Result<(), Fault> {
        self.owner(pointer)
            .ok_or(Fault::Outside)?
            .heap
            .free(pointer.cast())
    }

    /// How many bytes an allocation has; 0 for NULL and for what is not allocated.
    ///
    /// # Safety
    /// As in C.
    pub unsafe fn usable_size(&'static self, pointer: *mut c_void) -> usize {
        match self.owner(pointer) {
            Some(area) => area.heap.usable_size(pointer.cast()).unwrap_or(0),
            // SAFETY: promised by the caller.
            None => self
                .foreign()
                .map_or(0, |foreign| unsafe { (foreign.usable_size)(pointer) }),
        }
    }

    /// The heap in use.
    #[inline]
    pub fn heap(&'static self) -> Option<&'static Heap> {
        if let Some(area) = self.second.get().or_else(|| self.first.get()) {
            return Some(&area.heap);
        }
        self.make();
        self.first.get().map(|area| &area.heap)
    }

    #[inline]
    fn allocate(&'static self, size: usize, align: usize) -> *mut c_void {
        or_no_memory(self.retry(|heap| heap.allocate(size, align)))
    }

    /// Takes from the heap, if need be again when all has come back that is free.
    #[inline]
    fn retry<T>(&'static self, take: impl Fn(&'static Heap) -> Option<T>) -> Option<T> {
        let heap = self.heap()?;
        take(heap).or_else(|| {
            (self.foreign()?.reclaim)();
            take(heap)
        })
    }

    #[inline]
    fn owner(&self, pointer: *mut c_void) -> Option<&Area> {
        let areas = [self.second.get(), self.first.get()];
        areas
            .into_iter()
            .flatten()
            .find(|area| area.heap.contains(pointer.cast()))
    }

    fn foreign(&self) -> Option<&'static Foreign> {
        // SAFETY: null, or from `set_foreign`.
        unsafe { self.foreign.load(Acquire).as_ref() }
    }

    #[cold]
    fn make(&'static self) {
        let errno = os::errno();
        let made = self.first.fill(|| match self.start {
            Start::Exchange => exchange(
                mebibytes(c"IOTDEC_EXCHANGE_SIZE")
                    .filter(|size| *size >= LEAST_EXCHANGE)
                    .unwrap_or(EXCHANGE_SIZE),
            )
            // The program runs all the same; what calls libraries says what is missing.
            .or_else(private),
            Start::Private => private(),
        });
        if made {
            // Registering may allocate, so only now that it can.
            fork::register(self);
        }
        os::set_errno(errno);
    }

    #[cold]
    fn die(&self, function: &str, pointer: *mut c_void, fault: Fault) -> ! {
        let mut address = *b"0x0000000000000000";
        for (i, digit) in address[2..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(pointer as usize >> (60 - 4 * i)) & 15];
        }
        let parts: [&[u8]; 8] = [
            self.name.as_bytes(),
            b": ",
            function.as_bytes(),
            b"(",
            &address,
            b"): ",
            fault.text().as_bytes(),
            b"\n",
        ];
        abort(&parts)
    }
}

/// Writes the parts to standard error as they are, for everything else might allocate, and ends the process.
pub(crate) fn abort(parts: &[&[u8]]) -> ! {
    for part in parts {
        // SAFETY: bytes of a slice. If it fails, nobody can be told.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

fn or_no_memory(pointer: Option<NonNull<u8>>) -> *mut c_void {
    let Some(pointer) = pointer else {
        os::set_errno(libc::ENOMEM);
        return null_mut();
    };
    pointer.as_ptr().cast()
}

/// A number of MiB from the environment.
fn mebibytes(variable: &CStr) -> Option<usize> {
    // SAFETY: looks a name up. Before the C library has its environment, there is nothing to be found.
    let value = NonNull::new(unsafe { libc::getenv(variable.as_ptr()) })?;
    // SAFETY: the environment's strings are terminated.
    let value = unsafe { CStr::from_ptr(value.as_ptr()) };
    let number: usize = value.to_str().ok()?.parse().ok()?;
    number.checked_mul(1 << 20)
}

fn exchange(size: usize) -> Option<Area> {
    let sizes = (0..8)
        .map(|halvings| size >> halvings)
        .take_while(|size| *size > BEFORE + BEHIND);
    let segment = sizes
        .map(|size| Segment::create(c"iotdec-exchange", size))
        .find_map(Result::ok)?;
    // SAFETY: `BEFORE` is less than the length.
    let start = unsafe { segment.start().add(BEFORE) };
    // Elsewhere, the kernel may be an emulator.
    let backing = if cfg!(target_arch = "x86_64") {
        Backing::Shared
    } else {
        Backing::File(File::new(segment.fd()?, segment.start()).ok()?)
    };
    // SAFETY: the segment is new, and kept beside the heap; whoever uses its ends leaves the heap alone.
    let heap = unsafe { Heap::new(start, segment.len() - BEFORE - BEHIND, backing) }.ok()?;
    Some(Area {
        heap,
        segment: Some(segment),
        copy: AtomicI32::new(-1),
    })
}

fn private() -> Option<Area> {
    let sizes = (0..8).map(|halvings| PRIVATE >> halvings);
    let (start, size) = sizes
        .map(|size| os::map_private(size).map(|start| (start, size)))
        .find_map(Result::ok)?;
    // SAFETY: the memory is new and never unmapped.
    let heap = unsafe { Heap::new(start, size, Backing::Private) }.ok()?;
    Some(Area {
        heap,
        segment: None,
        copy: AtomicI32::new(-1),
    })
}
