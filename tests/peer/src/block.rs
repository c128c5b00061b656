//! The control block as both sides map it: smallest rings, so that they wrap often.

use iotdec_wire::layout::{Control, Identity, RingSizes};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// The smallest rings a block may have.
pub const RINGS: RingSizes = RingSizes {
    commands: 4096,
    events: 4096,
};

/// The block, mapped for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub struct Block(NonNull<Control>);

impl Block {
    /// Maps the block behind a file descriptor.
    pub fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: without MAP_FIXED the kernel picks an unused range, so no
        // existing memory changes.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                RINGS.block_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at 0 by itself");
        Ok(Self(start))
    }

    /// Its address; [`RINGS`]' block size is mapped behind it.
    pub fn start(self) -> NonNull<Control> {
        self.0
    }

    /// What it says of itself. Nobody writes that while the test runs.
    pub fn identity(self) -> Identity {
        // SAFETY: mapped for good, and page-aligned.
        unsafe { (&raw const (*self.0.as_ptr()).identity.0).read() }
    }
}
