//! Shared memory: a sealed memfd and its mapping in this process.

use crate::{Error, os};
use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Where segments go if nothing is there: 128 GiB and on. Neither native programs (0x55…, 0x7f…) nor guests of
/// qemu-aarch64 (0x40_…, 0x55_…) nor QEMU itself have anything below 256 GiB, so that other processes can map a segment
/// at the same address whatever their kernel's dice say.
const PLACES: core::ops::Range<usize> = 0x20_0000_0000..0x3c_0000_0000;

/// Sealed shared memory, sparse, mapped readable and writable for as long as this lives.
pub struct Segment {
    start: NonNull<u8>,
    len: usize,
    fd: AtomicI32,
    /// The memfd's device and inode: programs close descriptors that are not theirs.
    identity: (u64, u64),
}

// SAFETY: a mapping may be used from any thread; the descriptor is a number.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// `len` zero bytes, a multiple of the page size, that nobody can shrink or grow.
    pub fn create(name: &CStr, len: usize) -> Result<Self, Error> {
        let fd = memfd(name, len).map_err(Error::Kernel)?;
        match map_somewhere(fd, len).and_then(|start| Ok((start, identity(fd)?))) {
            Ok((start, identity)) => Ok(Self {
                start,
                len,
                fd: AtomicI32::new(fd),
                identity,
            }),
            Err(number) => {
                close(fd);
                Err(Error::Kernel(number))
            }
        }
    }

    /// The segment behind a descriptor that somebody else made, who has mapped it at `start`.
    ///
    /// # Safety
    /// `len` bytes of `fd` are mapped at `start`, readable, writable and shared, for as long as this lives; both
    /// belong to it from now on.
    pub unsafe fn adopt(start: NonNull<u8>, len: usize, fd: i32) -> Result<Self, Error> {
        let identity = identity(fd).map_err(Error::Kernel)?;
        Ok(Self {
            start,
            len,
            fd: AtomicI32::new(fd),
            identity,
        })
    }

    /// Its first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The memfd; none if the program has closed it.
    pub fn fd(&self) -> Option<i32> {
        let fd = self.fd.load(Relaxed);
        (identity(fd) == Ok(self.identity)).then_some(fd)
    }

    /// A new memfd with the same contents, of which `used` bytes from the start count. A child shall go on with it,
    /// because a fork does not copy what is shared.
    pub(crate) fn copy(&self, used: usize) -> Result<i32, i32> {
        let copy = memfd(c"iotdec-exchange", self.len)?;
        let (source, mut at) = (self.fd(), 0);
        while let Some((from, to)) = next_data(source, at, used) {
            // SAFETY: the range is in the mapping; what others write there meanwhile is copied or not.
            if let Err(number) = unsafe { write_all(copy, self.start.as_ptr(), from, to) } {
                close(copy);
                return Err(number);
            }
            at = to;
        }
        Ok(copy)
    }

    /// In the child: goes on with the copy, at the same address and under the same descriptor number.
    pub(crate) fn replace(&mut self, copy: i32) -> Result<(), i32> {
        map(
            copy,
            self.len,
            self.start.as_ptr() as usize,
            libc::MAP_FIXED,
        )?;
        let fd = match self.fd() {
            // SAFETY: replaces our own descriptor.
            Some(old) if unsafe { libc::dup3(copy, old, libc::O_CLOEXEC) } == old => {
                close(copy);
                old
            }
            _ => copy,
        };
        self.identity = identity(fd)?;
        self.fd.store(fd, Relaxed);
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(fd) = self.fd() {
            close(fd);
        }
        // SAFETY: the mapping is this one's; who made it promised that nobody uses it longer.
        unsafe { os::unmap(self.start, self.len) };
    }
}

fn memfd(name: &CStr, len: usize) -> Result<i32, i32> {
    // A file beyond the limit (`ulimit -f`) is a signal that ends the program.
    if limit(libc::RLIMIT_FSIZE).is_some_and(|most| most < len as u64) {
        return Err(libc::EFBIG);
    }
    // SAFETY: a C string and flags.
    let low =
        unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if low < 0 {
        return Err(os::errno());
    }
    let fd = out_of_the_way(low);
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: our own descriptor.
    let done = unsafe {
        libc::ftruncate(fd, len as libc::off_t) == 0
            && libc::fcntl(fd, libc::F_ADD_SEALS, seals) == 0
    };
    if !done {
        let number = os::errno();
        close(fd);
        return Err(number);
    }
    Ok(fd)
}

/// Moves a descriptor up: shells and scripts count on the low numbers.
fn out_of_the_way(fd: i32) -> i32 {
    let Some(limit) = limit(libc::RLIMIT_NOFILE) else {
        return fd;
    };
    let from = (limit.min(1 << 16) as i32 - 64).max(3);
    // SAFETY: our own descriptor.
    let high = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, from) };
    if high < 0 {
        return fd;
    }
    close(fd);
    high
}

/// The process's limit of a resource.
fn limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: fills the structure.
    let result = unsafe { libc::getrlimit(resource, &mut limit) };
    (result == 0).then_some(limit.rlim_cur)
}

fn close(fd: i32) {
    // SAFETY: only called for descriptors of this module's own.
    unsafe { libc::close(fd) };
}

/// Device and inode of a descriptor.
pub(crate) fn identity(fd: i32) -> Result<(u64, u64), i32> {
    // SAFETY: zeroes are valid for this structure of numbers.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: fills the structure.
    if unsafe { libc::fstat(fd, &mut status) } != 0 {
        return Err(os::errno());
    }
    Ok((status.st_dev, status.st_ino))
}

fn map_somewhere(fd: i32, len: usize) -> Result<NonNull<u8>, i32> {
    let mut at = PLACES.start;
    while at + len <= PLACES.end {
        match map(fd, len, at, libc::MAP_FIXED_NOREPLACE) {
            Err(libc::EEXIST) => at += len.next_multiple_of(1 << 30),
            Err(_) => break,
            Ok(start) if start.as_ptr() as usize == at => return Ok(start),
            // Kernels before 4.17 and QEMU take the address as a hint. Anywhere is good then.
            Ok(start) => return Ok(start),
        }
    }
    map(fd, len, 0, 0)
}

fn map(fd: i32, len: usize, at: usize, flags: i32) -> Result<NonNull<u8>, i32> {
    // SAFETY: replaces a mapping only with MAP_FIXED, which `replace` alone passes, for the segment's own.
    let address = unsafe {
        libc::mmap(
            at as *mut libc::c_void,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE | flags,
            fd,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        Err(os::errno())
    } else {
        NonNull::new(address.cast()).ok_or(libc::ENOMEM)
    }
}

/// The next bytes from `at` to `end` that are not a hole. Without a descriptor to ask, all of them.
fn next_data(fd: Option<i32>, at: usize, end: usize) -> Option<(usize, usize)> {
    if at >= end {
        return None;
    }
    let Some(fd) = fd else { return Some((at, end)) };
    // SAFETY: our own descriptor, whose offset nobody uses.
    let from = unsafe { libc::lseek(fd, at as libc::off_t, libc::SEEK_DATA) };
    // SAFETY: as above.
    let to = unsafe { libc::lseek(fd, from, libc::SEEK_HOLE) };
    if from < 0 || to < 0 || from as usize >= end {
        return None;
    }
    Some((from as usize, (to as usize).min(end)))
}

/// Writes bytes `from` to `to` behind `start` to the same place of a file.
///
/// # Safety
/// They are readable.
unsafe fn write_all(fd: i32, start: *const u8, mut from: usize, to: usize) -> Result<(), i32> {
    while from < to {
        // SAFETY: promised by the caller.
        let written =
            unsafe { libc::pwrite(fd, start.add(from).cast(), to - from, from as libc::off_t) };
        match written {
            0 => return Err(libc::EIO),
            1.. => from += written as usize,
            _ if os::errno() == libc::EINTR => {}
            _ => return Err(os::errno()),
        }
    }
    Ok(())
}
