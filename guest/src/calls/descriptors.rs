//! Descriptors that the program gives to a library, and the library to the program: over a
//! socket, for numbers mean nothing on the other side.

use super::memory::shared;
use crate::socket::{Received, Socket};
use iotdec_wire::lane::Descriptor;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

fn socket() -> ManuallyDrop<Socket> {
    // SAFETY: the host gave it to us for this, and it is not closed.
    let fd = unsafe { OwnedFd::from_raw_fd(shared().socket_fd) };
    ManuallyDrop::new(Socket::new(fd))
}

/// The number of the descriptor that the host has just sent.
pub fn take() -> Result<u64, String> {
    match socket().receive(&mut [0]) {
        Ok(Received::Message(_, Some(descriptor))) => Ok(descriptor.into_raw_fd() as u64),
        Ok(_) => Err("a file descriptor did not arrive: the library has too many open".to_owned()),
        Err(error) => Err(format!("a file descriptor did not arrive: {error}")),
    }
}

/// Sends the library's descriptors in one message. Those that are not lent are closed even if
/// that fails: nobody else would.
pub fn give(returned: &[Descriptor]) -> Result<u64, String> {
    let sent = send(returned);
    close(returned);
    sent
}

fn send(returned: &[Descriptor]) -> Result<u64, String> {
    let numbers: Vec<RawFd> = returned.iter().map(|it| it.number).collect();
    if let Some(wrong) = numbers.iter().find(|number| !is_open(**number)) {
        return Err(format!(
            "the library returned {wrong} as a file descriptor, and has none of that number open"
        ));
    }
    let sent = socket().send_descriptors(&numbers);
    sent.map(|()| 0).map_err(|error| {
        format!("a file descriptor that the library returned cannot be sent: {error}")
    })
}

/// Closes those that are not lent.
pub fn close(returned: &[Descriptor]) {
    for (index, it) in returned.iter().enumerate() {
        let is_first = returned[..index]
            .iter()
            .all(|other| other.number != it.number);
        if it.is_lent == 0 && is_first && is_open(it.number) {
            // SAFETY: the library has handed it over; nothing of ours is behind the number.
            unsafe { libc::close(it.number) };
        }
    }
}

/// Whether the library has it open. The socket is ours.
fn is_open(number: RawFd) -> bool {
    // SAFETY: takes any number.
    number != shared().socket_fd && unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0
}
