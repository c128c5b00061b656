//! The memory of one frame slot: the session's own, or lent by somebody else.

use crate::shm;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::stat::fstat;
use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a user of a slot keeps with its memory.
type Keepsake = Box<dyn Any + Send>;

/// The memory of a slot, with what its user keeps between two pictures in it: both
/// go when the slot is given up and nobody holds a picture in it any more.
pub struct SlotMemory {
    id: u64,
    fd: OwnedFd,
    size: u64,
    is_own: bool,
    keepsake: Mutex<Option<Keepsake>>,
}

/// Why memory of somebody else cannot be a slot.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The worker could cut it short, and whoever reads it next would get a SIGBUS.
    #[error("it is no memfd that is sealed against shrinking")]
    Unsealed,
    /// It holds less than it should, or other things besides.
    #[error("its file has {file} bytes instead of {wanted}")]
    Size {
        /// Bytes of the file.
        file: u64,
        /// Bytes of the slot.
        wanted: u64,
    },
    /// The system does not tell.
    #[error("{0}")]
    System(#[from] nix::Error),
}

impl SlotMemory {
    /// Zeroed memory of the session's own.
    pub(crate) fn create(size: u64) -> io::Result<Self> {
        let fd = shm::sealed_memfd(c"iotdec-frame", size)?;
        Ok(Self::new(fd, size, true, None))
    }

    /// Memory of somebody else, who keeps it for this slot alone until `keepsake` is
    /// dropped. The worker gets the whole file, so it must hold nothing else.
    pub fn adopt(fd: OwnedFd, size: u64, keepsake: impl Any + Send) -> Result<Self, Unfit> {
        const PAGE: u64 = 4096;
        let seals = fcntl(&fd, FcntlArg::F_GET_SEALS).map_err(|_| Unfit::Unsealed)?;
        if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK) {
            return Err(Unfit::Unsealed);
        }
        let file = fstat(&fd)?.st_size as u64;
        if file < size || file >= size.next_multiple_of(PAGE) + PAGE {
            return Err(Unfit::Size { file, wanted: size });
        }
        Ok(Self::new(fd, size, false, Some(Box::new(keepsake))))
    }

    fn new(fd: OwnedFd, size: u64, is_own: bool, keepsake: Option<Keepsake>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            fd,
            size,
            is_own,
            keepsake: Mutex::new(keepsake),
        }
    }

    /// Identifies the memory within this process, unlike an index or a descriptor.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its file, the picture at offset 0.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Bytes there are at least, for as long as the file exists.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the session made it, as opposed to [`adopt`](Self::adopt).
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Keeps something until it is taken again, or the slot is given up.
    pub fn keep(&self, keepsake: impl Any + Send) {
        let old = self.keepsake().replace(Box::new(keepsake));
        drop(old);
    }

    /// Takes what was kept, if it is a `T`.
    pub fn take<T: Any>(&self) -> Option<T> {
        let mut keepsake = self.keepsake();
        match keepsake.take()?.downcast() {
            Ok(kept) => Some(*kept),
            Err(other) => {
                *keepsake = Some(other);
                None
            }
        }
    }

    /// Gives its pages back to the system, if it is the session's own: what lay there
    /// nobody wants any more.
    pub(crate) fn discard(&self) {
        if self.is_own {
            let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            // It fails only where there is nothing to give back.
            let _ = fallocate(&self.fd, how, 0, self.size as nix::libc::off_t);
        }
    }

    fn keepsake(&self) -> std::sync::MutexGuard<'_, Option<Keepsake>> {
        self.keepsake.lock().expect("no panic while it is held")
    }
}

impl fmt::Debug for SlotMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, size, fd, .. } = self;
        write!(f, "SlotMemory({id}, {size} bytes, {fd:?})")
    }
}

impl Drop for SlotMemory {
    /// The guest may have it mapped until it next takes a slot, or for ever if it
    /// means ill; its pages are given back now.
    fn drop(&mut self) {
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    fn memfd(size: u64, seals: SealFlag) -> OwnedFd {
        let fd = memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        let file = File::from(fd);
        file.set_len(size).unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        file.into()
    }

    #[test]
    fn what_could_be_cut_short_or_holds_other_things_is_declined() {
        let sealed = SealFlag::F_SEAL_SHRINK;
        assert!(SlotMemory::adopt(memfd(5000, sealed), 5000, ()).is_ok());
        assert!(SlotMemory::adopt(memfd(8192, sealed), 5000, ()).is_ok());
        let unsealed = SlotMemory::adopt(memfd(5000, SealFlag::empty()), 5000, ());
        assert!(matches!(unsealed, Err(Unfit::Unsealed)));
        let short = SlotMemory::adopt(memfd(4999, sealed), 5000, ());
        assert!(matches!(short, Err(Unfit::Size { file: 4999, .. })));
        let shared = SlotMemory::adopt(memfd(16384, sealed), 5000, ());
        assert!(matches!(shared, Err(Unfit::Size { .. })));
        let file = tempfile::tempfile().unwrap();
        file.set_len(5000).unwrap();
        let no_memfd = SlotMemory::adopt(file.into(), 5000, ());
        assert!(matches!(no_memfd, Err(Unfit::Unsealed)));
    }

    #[test]
    fn what_is_kept_goes_with_the_slot() {
        let token = Arc::new(());
        let memory = SlotMemory::create(4096).unwrap();
        memory.keep(token.clone());
        assert!(memory.take::<u32>().is_none(), "not of that type");
        assert!(memory.take::<Arc<()>>().is_some());
        assert!(memory.take::<Arc<()>>().is_none(), "taken already");
        memory.keep(token.clone());
        drop(memory);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn pages_go_although_the_file_is_still_open_elsewhere() {
        let memory = SlotMemory::create(1 << 20).unwrap();
        let elsewhere = File::from(memory.fd().try_clone_to_owned().unwrap());
        std::os::unix::fs::FileExt::write_all_at(&elsewhere, &[1; 1 << 20], 0).unwrap();
        assert!(elsewhere.metadata().unwrap().blocks() > 0);
        drop(memory);
        assert_eq!(elsewhere.metadata().unwrap().blocks(), 0);
        assert_eq!(elsewhere.metadata().unwrap().len(), 1 << 20);
    }
}
