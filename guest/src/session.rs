//! What the worker shares with its host while it serves: the control block, the
//! event ring and the socket.

use crate::mapping::Mapping;
use crate::socket::Socket;
use iotdec_wire::layout::{Control, Identity, RingSizes};
use iotdec_wire::msg::Event;
use iotdec_wire::order::is_before;
use iotdec_wire::ring::{Consumer, Producer, PushError};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long any wait sleeps before it looks whether the host is still there.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The host is gone, or does not keep to the protocol: nothing can be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Commands from the host.
pub type Commands = Consumer<Arc<Mapping>>;

/// The guest's side of one control block.
#[derive(Debug)]
pub struct Session {
    block: Arc<Mapping>,
    socket: Socket,
    events: Mutex<Producer<Arc<Mapping>>>,
    /// The flush whose packets are being decoded.
    epoch: AtomicU32,
    /// Time spent waiting for the host since the start, in ns.
    waited: AtomicU64,
}

impl Session {
    /// Maps a control block and takes the guest's ends of its rings; the reason
    /// if it is none, or one of another version.
    pub fn new(memory: OwnedFd, socket: Socket) -> Result<(Arc<Self>, Commands), (String, Socket)> {
        match Self::map(memory) {
            Ok((block, commands, events)) => {
                let session = Self {
                    block,
                    socket,
                    events: Mutex::new(events),
                    epoch: AtomicU32::new(0),
                    waited: AtomicU64::new(0),
                };
                Ok((Arc::new(session), commands))
            }
            Err(text) => Err((text, socket)),
        }
    }

    #[allow(clippy::type_complexity)]
    fn map(memory: OwnedFd) -> Result<(Arc<Mapping>, Commands, Producer<Arc<Mapping>>), String> {
        let len = std::fs::File::from(memory.try_clone().map_err(|e| e.to_string())?)
            .metadata()
            .map_err(|error| format!("control block: {error}"))?
            .len() as usize;
        if len < size_of::<Control>() {
            return Err(format!("control block of only {len} bytes"));
        }
        let block = Mapping::shared(memory.as_fd(), len)
            .map_err(|error| format!("control block: {error}"))?;
        let control = block.start().cast::<Control>();
        // SAFETY: at least `size_of::<Control>()` page-aligned bytes are mapped; the
        // host wrote the identity before it sent the block.
        let identity: Identity =
            unsafe { (&raw const (*control.as_ptr()).identity.0).read_volatile() };
        let sizes = RingSizes::from_identity(identity, len)
            .ok_or_else(|| format!("control block {identity:?} of {len} bytes"))?;
        let block = Arc::new(block);
        // SAFETY: `from_identity` found the rings inside `len` mapped bytes, which
        // the `Arc` keeps mapped; a worker maps its block once.
        let (commands, events) = unsafe { sizes.guest_ends(control, block.clone()) };
        Ok((block, commands, events))
    }

    /// The fixed part of the control block.
    pub fn control(&self) -> &Control {
        // SAFETY: `map` found it whole, and `block` keeps it mapped. Everything that
        // the host still changes in it is atomic.
        unsafe { self.block.start().cast::<Control>().as_ref() }
    }

    /// The socket to the host.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The flush whose packets are being decoded.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Begins decoding packets of a later flush.
    pub fn enter_epoch(&self, epoch: u32) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Whether the host has flushed since `epoch`.
    pub fn is_stale(&self, epoch: u32) -> bool {
        is_before(epoch, self.control().epoch.0.load(Ordering::Acquire))
    }

    /// Whether nobody is left to decode for.
    pub fn host_is_gone(&self) -> bool {
        self.socket.hung_up()
    }

    /// Runs something that waits for the host, and keeps its time apart from the
    /// decoder's.
    pub fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = wait();
        let nanos = start.elapsed().as_nanos() as u64;
        self.waited.fetch_add(nanos, Ordering::Relaxed);
        result
    }

    /// Time spent waiting for the host since the start.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    /// Writes one event, waiting for room as long as the host lives.
    pub fn post(&self, event: Event, parts: &[&[u8]]) -> Result<(), Gone> {
        let mut events = self.events.lock().expect("no panic is survived");
        loop {
            match events.push(event.code(), parts) {
                Ok(()) => return Ok(()),
                Err(PushError::Full) => {
                    let len = parts.iter().map(|part| part.len()).sum();
                    self.waiting(|| events.wait_for_room(len, PATIENCE, || false));
                    if self.host_is_gone() {
                        return Err(Gone);
                    }
                }
                Err(PushError::TooLong | PushError::Corrupt(_)) => return Err(Gone),
            }
        }
    }
}
