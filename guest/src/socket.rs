//! The control socket: whole messages, some with a file descriptor attached.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// One end of a `SOCK_SEQPACKET` pair.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

/// What was on the socket.
#[derive(Debug)]
pub enum Received {
    /// A message of that many bytes, and the descriptor that came with it.
    Message(usize, Option<OwnedFd>),
    /// No message yet.
    Nothing,
    /// The other end is closed.
    Closed,
}

/// Room for one descriptor's control message, aligned as the kernel's header.
#[repr(C, align(8))]
struct ControlSpace([u8; 64]);

impl Socket {
    /// Takes over an open socket.
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Sends one message.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        // SAFETY: the kernel reads `message` during the call only.
        let sent = unsafe {
            libc::send(
                self.fd.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Sends duplicates of a few descriptors in one message, of one byte.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
    pub fn send_descriptors(&self, descriptors: &[RawFd]) -> io::Result<()> {
        let size = size_of_val(descriptors) as libc::c_uint;
        // SAFETY: computes a number.
        let needed = unsafe { libc::CMSG_SPACE(size) } as usize;
        let mut space = vec![0u64; needed.div_ceil(size_of::<u64>())];
        let mut byte = [0u8];
        let mut part = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: byte.len(),
        };
        // SAFETY: as in `receive`. There is room for one control message with so many
        // descriptors, which the header then describes, and all of it outlives the call.
        let sent = unsafe {
            let mut header: libc::msghdr = MaybeUninit::zeroed().assume_init();
            header.msg_iov = &mut part;
            header.msg_iovlen = 1;
            header.msg_control = space.as_mut_ptr().cast();
            header.msg_controllen = needed as _;
            let control = libc::CMSG_FIRSTHDR(&header);
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SCM_RIGHTS;
            (*control).cmsg_len = libc::CMSG_LEN(size) as _;
            let data = libc::CMSG_DATA(control).cast::<RawFd>();
            for (index, descriptor) in descriptors.iter().enumerate() {
                data.add(index).write_unaligned(*descriptor);
            }
            libc::sendmsg(
                self.fd.as_raw_fd(),
                &header,
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        };
        match sent {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Receives one message if there is one.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut space = ControlSpace([0; 64]);
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: all-zero is a valid msghdr (its padding differs between libcs,
        // so it can't be written as a literal).
        let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = space.0.as_mut_ptr().cast();
        header.msg_controllen = space.0.len() as _;
        // SAFETY: the header points to memory that outlives the call.
        let len = unsafe {
            libc::recvmsg(
                self.fd.as_raw_fd(),
                &mut header,
                libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC,
            )
        };
        let len = match len {
            0 => return Ok(Received::Closed),
            len if len > 0 => len as usize,
            _ => {
                let error = io::Error::last_os_error();
                return match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Received::Nothing),
                    io::ErrorKind::ConnectionReset => Ok(Received::Closed),
                    _ => Err(error),
                };
            }
        };
        Ok(Received::Message(len, attached(&header)))
    }

    /// Waits until there is something to receive.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.poll(libc::POLLIN, timeout) & libc::POLLIN != 0
    }

    /// Whether the other end is gone.
    pub fn hung_up(&self) -> bool {
        self.poll(0, Duration::ZERO) & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }

    fn poll(&self, events: libc::c_short, timeout: Duration) -> libc::c_short {
        let mut entry = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events,
            revents: 0,
        };
        // SAFETY: one entry, on our stack.
        let ready = unsafe { libc::poll(&mut entry, 1, timeout.as_millis() as libc::c_int) };
        if ready > 0 { entry.revents } else { 0 }
    }
}

/// The descriptor in a received header's control message.
fn attached(header: &libc::msghdr) -> Option<OwnedFd> {
    // SAFETY: the kernel filled the control space that the header still points to.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    if first.is_null() {
        return None;
    }
    // SAFETY: not null, so a whole header inside the control space.
    let message = unsafe { &*first };
    if message.cmsg_level != libc::SOL_SOCKET || message.cmsg_type != libc::SCM_RIGHTS {
        return None;
    }
    // SAFETY: SCM_RIGHTS carries at least one descriptor, which is ours now; the
    // space for data may be unaligned for an int.
    unsafe {
        let fd: libc::c_int = libc::CMSG_DATA(first)
            .cast::<libc::c_int>()
            .read_unaligned();
        Some(OwnedFd::from_raw_fd(fd))
    }
}
