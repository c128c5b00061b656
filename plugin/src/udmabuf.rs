//! Memory as dmabufs, by the kernel's udmabuf driver: what a GPU or a display imports.
//!
//! The driver makes a dmabuf of the pages of a memfd that is sealed against shrinking
//! (Linux, drivers/dma-buf/udmabuf.c and include/uapi/linux/udmabuf.h). On amd64 caches
//! are coherent with devices, so the guest's writes need no announcement.

use nix::libc::c_int;
use nix::sys::memfd::{MFdFlags, memfd_create};
use once_cell::sync::Lazy;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The driver's device.
const DEVICE: &str = "/dev/udmabuf";
/// Offsets and sizes are multiples of it.
const PAGE: u64 = 4096;

/// `struct udmabuf_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

/// `UDMABUF_FLAGS_CLOEXEC`.
const CLOEXEC: u32 = 1;

nix::ioctl_write_ptr!(
    /// `UDMABUF_CREATE`; returns the dmabuf's descriptor.
    udmabuf_create,
    b'u',
    0x42,
    Create
);

/// The open device.
#[derive(Debug)]
pub(crate) struct Udmabuf {
    device: File,
}

/// Why there are no dmabufs.
#[derive(Debug)]
pub(crate) struct Missing {
    path: PathBuf,
    error: io::Error,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        write!(f, "cannot open {path}: {}; ", self.error)?;
        match self.error.kind() {
            io::ErrorKind::PermissionDenied => write!(f, "the user must be allowed to"),
            _ => write!(f, "load the kernel module udmabuf"),
        }
    }
}

impl Udmabuf {
    /// The system's device.
    pub(crate) fn system() -> Result<&'static Self, &'static Missing> {
        static SYSTEM: Lazy<Result<Udmabuf, Missing>> =
            Lazy::new(|| Udmabuf::open(Path::new(DEVICE)));
        SYSTEM.as_ref()
    }

    fn open(path: &Path) -> Result<Self, Missing> {
        let device = File::options().read(true).write(true).open(path);
        let missing = |error| Missing {
            path: path.into(),
            error,
        };
        Ok(Self {
            device: device.map_err(missing)?,
        })
    }

    /// A dmabuf of the first `size` bytes of a memfd, both of whole pages.
    pub(crate) fn wrap(&self, memfd: BorrowedFd<'_>, size: u64) -> io::Result<OwnedFd> {
        let create = request(memfd, size)?;
        // SAFETY: the driver reads the struct, which it and we define alike, during the
        // call; descriptors that are of another kind it refuses.
        let fd: c_int = unsafe { udmabuf_create(self.device.as_raw_fd(), &create) }?;
        // SAFETY: the driver made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// A dmabuf of at least `size` bytes that stands for itself.
    pub(crate) fn allocate(&self, size: u64) -> io::Result<OwnedFd> {
        use nix::fcntl::{FcntlArg, SealFlag, fcntl};
        let size = size.next_multiple_of(PAGE);
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"iotdec-copy", flags)?);
        file.set_len(size)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
        self.wrap(std::os::fd::AsFd::as_fd(&file), size)
    }
}

fn request(memfd: BorrowedFd<'_>, size: u64) -> io::Result<Create> {
    if size == 0 || !size.is_multiple_of(PAGE) {
        let text = format!("{size} bytes are no whole pages");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(Create {
        memfd: memfd.as_raw_fd() as u32,
        flags: CLOEXEC,
        offset: 0,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_request_is_the_kernels() {
        // _IOW('u', 0x42, struct udmabuf_create) on amd64.
        let code = nix::request_code_write!(b'u', 0x42, size_of::<Create>());
        assert_eq!(code, 0x4018_7542);
        let offsets = [
            std::mem::offset_of!(Create, memfd),
            std::mem::offset_of!(Create, flags),
            std::mem::offset_of!(Create, offset),
            std::mem::offset_of!(Create, size),
        ];
        assert_eq!(offsets, [0, 4, 8, 16]);
        let file = File::open("/dev/null").unwrap();
        let create = request(file.as_fd(), 8192).unwrap();
        assert_eq!(create.memfd, file.as_raw_fd() as u32);
        assert_eq!((create.flags, create.offset, create.size), (1, 0, 8192));
        assert!(request(file.as_fd(), 8191).is_err());
        assert!(request(file.as_fd(), 0).is_err());
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let missing = Udmabuf::open(Path::new("/nonexistent/udmabuf")).unwrap_err();
        let text = missing.to_string();
        assert!(text.contains("/nonexistent/udmabuf"), "{text}");
        assert!(text.contains("module udmabuf"), "{text}");
    }

    #[test]
    fn a_device_that_is_another_refuses() {
        let other = Udmabuf::open(Path::new("/dev/null")).unwrap();
        let error = other.allocate(5000).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTTY));
    }
}
