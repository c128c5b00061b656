//! Shared memory that a peer can neither shrink nor grow.

use iotdec_wire::layout::{Control, RingSizes};
use memmap2::MmapRaw;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

/// A memfd of `size` zero bytes. It is sealed: without F_SEAL_SHRINK a hostile
/// worker could cut it short and the host's next access would be a SIGBUS.
pub(crate) fn sealed_memfd(name: &std::ffi::CStr, size: u64) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let file = File::from(fd);
    file.set_len(size)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// The control block, mapped on the host.
#[derive(Debug)]
pub(crate) struct ControlBlock {
    map: MmapRaw,
    pub(crate) sizes: RingSizes,
}

impl ControlBlock {
    /// Makes a block that announces rings of these sizes, and its memfd.
    pub(crate) fn create(sizes: RingSizes) -> io::Result<(Self, OwnedFd)> {
        let fd = sealed_memfd(c"iotdec-control", sizes.block_size() as u64)?;
        let map = MmapRaw::map_raw(&fd)?;
        let block = Self { map, sizes };
        // SAFETY: nobody else has the memfd yet, so the write cannot race; the
        // block is large enough and page-aligned.
        unsafe {
            (&raw mut (*block.base().as_ptr()).identity.0).write(sizes.identity());
        }
        Ok((block, fd))
    }

    /// The block's first byte; `sizes.block_size()` bytes are mapped behind it.
    pub(crate) fn base(&self) -> NonNull<Control> {
        NonNull::new(self.map.as_mut_ptr().cast()).expect("mmap never returns null")
    }

    /// The fixed part. Everything in it that changes is atomic.
    pub(crate) fn control(&self) -> &Control {
        // SAFETY: mapped for as long as `self` lives, zero or written by `create`,
        // and shared only through atomics; the host never reads `identity` again.
        unsafe { self.base().as_ref() }
    }
}
