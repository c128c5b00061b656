//! Calls without iotdec: this side of `peer.c`.

use super::contender::{BYTES, Calls};
use super::made::Made;
use super::sample::tick;
use crate::bench::worker::Worker;
use crate::failure::Failure;
use crate::interrupt;
use memmap2::MmapRaw;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a message gets to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By pipes.
    Pipe,
    /// By a socket.
    Socket,
    /// By shared memory and eventfds.
    EventFd,
    /// By shared memory, in turns.
    TurnFlag,
}

/// What a message is, as `peer.c` numbers it.
#[derive(Clone, Copy)]
#[repr(u32)]
enum What {
    Empty,
    Two,
    Block,
    Bytes,
    Back,
    Question,
    Answer,
    Callback,
}

const HOST: u32 = 0;
const GUEST: u32 = 1;
/// Bytes of a message before its data.
const HEAD: usize = 8;
/// Where the message is in shared memory.
const OFFSET: usize = 8;
/// Looks at the turn between two looks at the peer and at signals: some seconds.
const PATIENCE: u32 = 1 << 24;

/// `struct message`
#[repr(C)]
struct Message {
    what: u32,
    size: u32,
    data: [u8; BYTES],
}

/// A message's place, and what wakes the other side.
enum Link {
    Stream {
        message: Box<Message>,
        to: File,
        from: File,
    },
    Events {
        block: MmapRaw,
        to: File,
        from: File,
    },
    Turns(MmapRaw),
}

/// The other side.
pub struct Peer {
    worker: Worker,
    link: Link,
}

impl Peer {
    /// Starts it.
    pub fn start(made: &Made, way: Way) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Error(format!("cannot start a peer: {error}"));
        Self::try_start(made, way).map_err(failed)?
    }

    fn try_start(made: &Made, way: Way) -> std::io::Result<Result<Self, Failure>> {
        let mut command = made.peer();
        let none = || Ok::<_, std::io::Error>(None);
        let (link, theirs) = match way {
            Way::Pipe => {
                let (in_, to) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
                let (from, out) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
                (stream(to, from), Some([in_, out]))
            }
            Way::Socket => {
                let (ours, theirs) = UnixStream::pair()?;
                let other = OwnedFd::from(ours.try_clone()?);
                let both = [theirs.try_clone()?.into(), theirs.into()];
                (stream(ours.into(), other), Some(both))
            }
            Way::EventFd => {
                let (to, from) = (event()?, event()?);
                let both = [to.try_clone()?, from.try_clone()?];
                let (memory, block) = shared_memory()?;
                command.stdin(Stdio::from(memory));
                let (to, from) = (to.into(), from.into());
                (Link::Events { block, to, from }, Some(both))
            }
            Way::TurnFlag => {
                let (memory, block) = shared_memory()?;
                command.stdin(Stdio::from(memory));
                (Link::Turns(block), none()?)
            }
        };
        command.arg(way.name());
        for index in 0..2 {
            let fd = theirs.as_ref().map_or(-1, |both| both[index].as_raw_fd());
            if let Some(both) = &theirs {
                // Closed here once the peer has it; nobody else is started meanwhile.
                fcntl(&both[index], FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            command.arg(fd.to_string());
        }
        Ok(Worker::start(&mut command).map(|worker| Self { worker, link }))
    }

    /// One call with what goes there; what comes back takes its place.
    fn call(&mut self, what: What, data: &mut [u8]) -> Result<(), Failure> {
        self.put(what, data);
        loop {
            self.exchange()?;
            let message = self.message();
            // SAFETY: the message is ours until the next exchange. `read_volatile`: of memory
            // that is shared, whatever it is.
            let answer = unsafe { (&raw const (*message).what).read_volatile() };
            if answer != What::Callback as u32 {
                break;
            }
            let mut argument = [0; 4];
            self.get(&mut argument);
            let result = tick(i32::from_ne_bytes(argument));
            self.put(What::Answer, &result.to_ne_bytes());
        }
        self.get(data);
        Ok(())
    }

    fn message(&mut self) -> *mut Message {
        match &mut self.link {
            Link::Stream { message, .. } => &raw mut **message,
            // Inside the block.
            Link::Events { block, .. } | Link::Turns(block) => {
                block.as_mut_ptr().wrapping_add(OFFSET).cast()
            }
        }
    }

    fn put(&mut self, what: What, data: &[u8]) {
        let message = self.message();
        let size = data.len().min(BYTES);
        // SAFETY: mapped or boxed, and ours to write now; the size is no more than there is.
        unsafe {
            (*message).what = what as u32;
            (*message).size = size as u32;
            let to = (&raw mut (*message).data).cast();
            std::ptr::copy_nonoverlapping(data.as_ptr(), to, size);
        }
    }

    fn get(&mut self, data: &mut [u8]) {
        let message = self.message();
        let size = data.len().min(BYTES);
        // SAFETY: as for `put`; any bytes are valid.
        unsafe {
            let from = (&raw const (*message).data).cast();
            std::ptr::copy_nonoverlapping(from, data.as_mut_ptr(), size);
        }
    }

    /// Hands the message over and waits for what comes back.
    fn exchange(&mut self) -> Result<(), Failure> {
        let moved = match &mut self.link {
            Link::Stream { message, to, from } => {
                // SAFETY: plain bytes, without padding.
                let bytes = unsafe {
                    let start = (&raw mut **message).cast::<u8>();
                    std::slice::from_raw_parts_mut(start, size_of::<Message>())
                };
                exchange_bytes(bytes, to, from)
            }
            Link::Events { to, from, .. } => to
                .write_all(&1u64.to_ne_bytes())
                .and_then(|()| from.read_exact(&mut [0; 8])),
            Link::Turns(block) => {
                // SAFETY: the block begins with it, and is mapped as long as `self` is there.
                let turn = unsafe { &*block.as_ptr().cast::<AtomicU32>() };
                turn.store(GUEST, Ordering::Release);
                let mut looks = 0u32;
                while turn.load(Ordering::Acquire) != HOST {
                    looks = looks.wrapping_add(1);
                    if looks.is_multiple_of(PATIENCE) {
                        interrupt::check()?;
                        if !self.worker.is_running() {
                            return Err(self.worker.failure());
                        }
                    }
                }
                Ok(())
            }
        };
        moved.map_err(|_| self.worker.failure())
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::EventFd => "eventfd",
            Self::TurnFlag => "turnflag",
        }
    }
}

fn stream(to: OwnedFd, from: OwnedFd) -> Link {
    Link::Stream {
        message: Box::new(Message {
            what: 0,
            size: 0,
            data: [0; BYTES],
        }),
        to: to.into(),
        from: from.into(),
    }
}

fn event() -> std::io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    nix::errno::Errno::result(fd)?;
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn shared_memory() -> std::io::Result<(File, MmapRaw)> {
    let file = File::from(memfd_create(c"iotdec-peer", MFdFlags::MFD_CLOEXEC)?);
    file.set_len((OFFSET + size_of::<Message>()) as u64)?;
    let block = MmapRaw::map_raw(&file)?;
    Ok((file, block))
}

/// Writes a message, and reads another in its place.
fn exchange_bytes(bytes: &mut [u8], to: &mut File, from: &mut File) -> std::io::Result<()> {
    let size = |bytes: &[u8]| {
        let size = u32::from_ne_bytes(bytes[4..HEAD].try_into().expect("four"));
        HEAD + (size as usize).min(BYTES)
    };
    to.write_all(&bytes[..size(bytes)])?;
    let mut have = 0;
    while have < HEAD || have < size(bytes) {
        match from.read(&mut bytes[have..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => have += count,
        }
    }
    Ok(())
}

impl Calls for Peer {
    fn empty(&mut self) -> Result<(), Failure> {
        self.call(What::Empty, &mut [])
    }

    fn two(&mut self, a: i32, b: i32) -> Result<i32, Failure> {
        let mut numbers = [a, b];
        self.call(What::Two, bytemuck::cast_slice_mut(&mut numbers))?;
        Ok(numbers[0])
    }

    fn block(&mut self, mut block: [u64; 8]) -> Result<[u64; 8], Failure> {
        self.call(What::Block, bytemuck::cast_slice_mut(&mut block))?;
        Ok(block)
    }

    fn bytes(&mut self, data: &mut [u8; BYTES]) -> Result<(), Failure> {
        self.call(What::Bytes, data)
    }

    fn back(&mut self, count: i32) -> Result<i32, Failure> {
        let mut number = count.to_ne_bytes();
        self.call(What::Back, &mut number)?;
        Ok(i32::from_ne_bytes(number))
    }

    fn question(&mut self, numbers: &mut [u32; 2]) -> Result<u32, Failure> {
        let mut words = [numbers[0], numbers[1], 0];
        self.call(What::Question, bytemuck::cast_slice_mut(&mut words))?;
        *numbers = [words[0], words[1]];
        Ok(words[2])
    }
}
