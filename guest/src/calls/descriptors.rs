//! Descriptors that the program gives to a library: over a socket, for numbers mean nothing here.

use super::memory::shared;
use crate::socket::{Received, Socket};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// The number of the descriptor that the host has just sent.
pub fn take() -> Result<u64, String> {
    // SAFETY: the host gave it to us for this, and it is not closed.
    let fd = unsafe { OwnedFd::from_raw_fd(shared().socket_fd) };
    let socket = ManuallyDrop::new(Socket::new(fd));
    match socket.receive(&mut [0]) {
        Ok(Received::Message(_, Some(descriptor))) => Ok(descriptor.into_raw_fd() as u64),
        Ok(_) => Err("a file descriptor did not arrive: the library has too many open".to_owned()),
        Err(error) => Err(format!("a file descriptor did not arrive: {error}")),
    }
}
