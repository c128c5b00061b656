//! Serving a host that lives in the same process, with a decoder that only copies.

use super::*;
use crate::decoder::{Decoder, Frame, Output, Packet};
use crate::mapping::Mapping;
use crate::session::PATIENCE;
use crate::slots::{Lease, SlotPool};
use iotdec_wire::layout::{Control, RingSizes};
use iotdec_wire::msg::{PacketHead, SlotGrant, SlotsNeeded};
use iotdec_wire::picture::{PictureRecord, PixelFormat};
use iotdec_wire::ring::{Consumer, Producer};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

const SIZES: RingSizes = RingSizes {
    commands: 4096,
    events: 4096,
};

fn memfd(len: usize) -> OwnedFd {
    // SAFETY: a C string; the descriptor is ours.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0)) };
    // SAFETY: an open descriptor.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) }, 0);
    fd
}

fn socketpair() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are ours then.
    unsafe {
        let kind = libc::SOCK_SEQPACKET;
        assert_eq!(
            libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()),
            0
        );
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// Sends a message with a descriptor attached.
fn send_fd(socket: &OwnedFd, message: &[u8], fd: BorrowedFd<'_>) {
    #[repr(align(8))]
    struct Space([u8; 64]);
    let mut space = Space([0; 64]);
    let mut part = libc::iovec {
        iov_base: message.as_ptr().cast_mut().cast(),
        iov_len: message.len(),
    };
    // SAFETY: as in `Socket::receive`; the control space has room for one int.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = space.0.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as _;
        let control = libc::CMSG_FIRSTHDR(&header);
        (*control).cmsg_level = libc::SOL_SOCKET;
        (*control).cmsg_type = libc::SCM_RIGHTS;
        (*control).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(control)
            .cast::<i32>()
            .write_unaligned(fd.as_raw_fd());
        let sent = libc::sendmsg(socket.as_raw_fd(), &header, 0);
        assert_eq!(sent, message.len() as isize);
    }
}

/// The other side.
struct Host {
    socket: OwnedFd,
    block: Arc<Mapping>,
    commands: Producer<Arc<Mapping>>,
    events: Consumer<Arc<Mapping>>,
    worker: Option<JoinHandle<Result<(), Stop>>>,
}

impl Host {
    /// A host with a worker in another thread; `make` makes its decoder.
    fn new(make: impl FnOnce(Arc<SharedSlots>) -> Box<dyn Decoder> + Send + 'static) -> Self {
        let (socket, guest) = socketpair();
        let memory = memfd(SIZES.block_size());
        let block = Arc::new(Mapping::shared(memory.as_fd(), SIZES.block_size()).unwrap());
        let control = block.start().cast::<Control>();
        // SAFETY: mapped, page-aligned and nobody else's yet.
        let (commands, events) = unsafe {
            (*control.as_ptr()).identity.0 = SIZES.identity();
            SIZES.host_ends(control, block.clone())
        };
        let hello = Hello {
            magic: MAGIC,
            kind: Greeting::Hello.code(),
            version: VERSION,
            features: 0,
            reserved: 0,
        };
        send_fd(&socket, bytemuck::bytes_of(&hello), memory.as_fd());
        let worker = std::thread::spawn(move || {
            let (session, commands) = greet(Socket::new(guest)).map_err(Stop::Fault)?;
            let slots = SharedSlots::new(session.clone());
            serve(&session, commands, make(slots))
        });
        Self {
            socket,
            block,
            commands,
            events,
            worker: Some(worker),
        }
    }

    fn control(&self) -> &Control {
        // SAFETY: mapped as long as `self`; the worker treats it likewise.
        unsafe { self.block.start().cast::<Control>().as_ref() }
    }

    fn grant(&self, index: u32, size: u64) -> Mapping {
        let memory = memfd(size as usize);
        let mapping = Mapping::shared(memory.as_fd(), size as usize).unwrap();
        let kind = Greeting::Slot.code();
        let grant = SlotGrant { kind, index, size };
        send_fd(&self.socket, bytemuck::bytes_of(&grant), memory.as_fd());
        self.control().slots.0[index as usize].announce(size);
        self.control().slot_bell.0.ring();
        mapping
    }

    fn packet(&mut self, number: u64, epoch: u32, data: &[u8]) {
        for (part, offset) in data.chunks(1000).zip((0..).step_by(1000)) {
            let head = PacketHead {
                number,
                epoch,
                flags: 0,
                total: data.len() as u32,
                offset,
            };
            self.command(Command::Packet, &[bytemuck::bytes_of(&head), part]);
        }
    }

    fn command(&mut self, command: Command, parts: &[&[u8]]) {
        let len = parts.iter().map(|part| part.len()).sum();
        while self.commands.push(command.code(), parts).is_err() {
            self.commands.wait_for_room(len, PATIENCE, || false);
        }
    }

    fn flush(&self, epoch: u32) {
        use std::sync::atomic::Ordering;
        self.control().epoch.0.store(epoch, Ordering::Release);
        self.control().slot_bell.0.ring();
    }

    /// The next event, which must be of this kind.
    fn event<T: bytemuck::AnyBitPattern>(&mut self, kind: Event) -> T {
        bytemuck::pod_read_unaligned(&self.record(kind))
    }

    fn record(&mut self, kind: Event) -> Vec<u8> {
        for _ in 0..20 {
            if self.events.wait_for_data(PATIENCE, || false) {
                let record = self.events.next().unwrap().unwrap();
                assert_eq!(Event::from_code(record.kind()), Some(kind));
                let mut bytes = vec![0; record.len()];
                record.copy_to(&mut bytes);
                record.release();
                return bytes;
            }
        }
        panic!("no event");
    }

    /// The next event, which must be a text.
    fn text(&mut self, kind: Event) -> String {
        let text = self.record(kind);
        String::from_utf8(text).unwrap()
    }

    fn end(mut self) -> Result<(), Stop> {
        self.command(Command::Stop, &[]);
        self.worker.take().unwrap().join().unwrap()
    }
}

/// Shows each packet as a gray line, one packet late, and holds the last slot.
struct Copier {
    slots: Arc<SharedSlots>,
    held: Option<(u64, Lease, PictureRecord)>,
}

impl Copier {
    fn boxed(slots: Arc<SharedSlots>) -> Box<dyn Decoder> {
        Box::new(Self { slots, held: None })
    }
}

impl Decoder for Copier {
    fn version(&self) -> String {
        "copier".to_owned()
    }

    fn decode(
        &mut self,
        packet: Packet<'_>,
        output: &mut dyn Output,
    ) -> Result<Decoded, DecodeError> {
        self.drain(output)?;
        let len = packet.data.len() as u32;
        let Some(mut lease) = self.slots.clone().acquire(len.into(), 2) else {
            return Ok(Decoded::Nothing);
        };
        lease.bytes_mut()[..packet.data.len()].copy_from_slice(packet.data);
        let picture = PictureRecord::new(PixelFormat::Gray8, (len, 1), [0; 4], [len; 4]);
        self.held = Some((packet.number, lease, picture));
        match packet.data[0] {
            0 => Ok(Decoded::Picture),
            code => Err(DecodeError {
                code: code.into(),
                text: "as ordered".to_owned(),
                fatal: code == 255,
            }),
        }
    }

    fn drain(&mut self, output: &mut dyn Output) -> Result<(), DecodeError> {
        if let Some((number, lease, picture)) = self.held.take() {
            let flags = 0;
            output.picture(
                &Frame {
                    number,
                    flags,
                    picture,
                },
                &lease,
            );
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.held = None;
    }
}

fn drain(host: &mut Host, epoch: u32) {
    let order = Drain { epoch, serial: 7 };
    host.command(Command::Drain, &[bytemuck::bytes_of(&order)]);
}

#[test]
fn packets_become_frames_in_granted_slots() {
    let mut host = Host::new(Copier::boxed);
    host.packet(10, 0, &[0, 1, 2]);
    let needed: SlotsNeeded = host.event(Event::SlotsNeeded);
    assert_eq!((needed.size, needed.depth, needed.epoch), (3, 2, 0));
    let first = host.grant(5, 4096);
    let done: PacketDone = host.event(Event::PacketDone);
    assert_eq!((done.number, done.error), (10, 0));
    drain(&mut host, 0);
    let frame: FrameRecord = host.event(Event::Frame);
    assert_eq!((frame.number, frame.slot), (10, 5));
    let state = host.control().slots.0[5].state();
    assert!(state.held_by_downstream());
    assert!(frame.picture.validate(4096).is_ok());
    // SAFETY: the worker is done with the slot.
    let bytes = unsafe { std::slice::from_raw_parts(first.start().as_ptr(), 3) };
    assert_eq!(bytes, [0, 1, 2]);
    let drained: Drain = host.event(Event::Drained);
    assert_eq!(drained.serial, 7);
    assert!(!host.control().slots.0[5].state().held_by_decoder());
    assert!(host.end().is_ok());
}

#[test]
fn long_packets_arrive_whole_and_errors_are_told() {
    let mut host = Host::new(Copier::boxed);
    let memory = host.grant(0, 65536);
    let data: Vec<u8> = (0..50_000u32).map(|index| (index % 251) as u8).collect();
    host.packet(1, 0, &data);
    let done: PacketDone = host.event(Event::PacketDone);
    assert_eq!(done.error, 0);
    // SAFETY: the worker waits for the next command.
    let bytes = unsafe { std::slice::from_raw_parts(memory.start().as_ptr(), data.len()) };
    assert!(bytes == data);
    host.grant(1, 65536);
    host.packet(2, 0, &[3]);
    host.event::<FrameRecord>(Event::Frame);
    assert_eq!(host.text(Event::Complaint), "as ordered");
    let done: PacketDone = host.event(Event::PacketDone);
    assert_eq!((done.number, done.error), (2, 3));
    assert!(host.end().is_ok());
}

#[test]
fn a_flush_ends_the_wait_for_a_slot_and_skips_what_is_stale() {
    let mut host = Host::new(Copier::boxed);
    host.packet(1, 0, &[0; 8]);
    host.packet(2, 0, &[0; 8]);
    host.event::<SlotsNeeded>(Event::SlotsNeeded);
    host.flush(1);
    host.packet(3, 1, &[0; 8]);
    let done: PacketDone = host.event(Event::PacketDone);
    assert_eq!((done.number, done.epoch), (1, 0), "given up, but answered");
    let needed: SlotsNeeded = host.event(Event::SlotsNeeded);
    assert_eq!(needed.epoch, 1, "the second packet was skipped");
    host.grant(0, 8);
    let done: PacketDone = host.event(Event::PacketDone);
    assert_eq!((done.number, done.epoch), (3, 1));
    assert!(host.end().is_ok());
}

#[test]
fn frames_of_a_flushed_epoch_leave_no_slot_behind() {
    let mut host = Host::new(Copier::boxed);
    host.grant(0, 64);
    host.packet(1, 0, &[0; 8]);
    host.event::<PacketDone>(Event::PacketDone);
    host.flush(1);
    host.packet(2, 1, &[0; 8]);
    let done: PacketDone = host.event(Event::PacketDone);
    assert_eq!(done.number, 2, "in the only slot there is");
    assert!(host.end().is_ok());
}

#[test]
fn slots_that_are_too_small_are_asked_about_again() {
    let mut host = Host::new(Copier::boxed);
    host.packet(1, 0, &[0; 100]);
    host.event::<SlotsNeeded>(Event::SlotsNeeded);
    host.grant(0, 50);
    let again: SlotsNeeded = host.event(Event::SlotsNeeded);
    assert_eq!(again.size, 100);
    host.grant(1, 100);
    host.event::<PacketDone>(Event::PacketDone);
    assert!(host.end().is_ok());
}

#[test]
fn an_entry_announced_anew_is_mapped_anew() {
    let mut host = Host::new(Copier::boxed);
    host.grant(0, 64);
    host.packet(1, 0, &[0, 1]);
    host.event::<PacketDone>(Event::PacketDone);
    drain(&mut host, 0);
    let frame: FrameRecord = host.event(Event::Frame);
    host.event::<Drain>(Event::Drained);
    let slot = &host.control().slots.0[0];
    slot.retire();
    assert!(slot.release_downstream(frame.generation));
    let second = host.grant(0, 64);
    host.packet(2, 0, &[0, 2]);
    host.event::<PacketDone>(Event::PacketDone);
    // SAFETY: the worker waits for the next command.
    let bytes = unsafe { std::slice::from_raw_parts(second.start().as_ptr(), 2) };
    assert_eq!(bytes, [0, 2]);
    assert!(host.end().is_ok());
}

#[test]
fn a_worker_whose_host_is_gone_leaves() {
    let mut host = Host::new(Copier::boxed);
    host.packet(1, 0, &[0; 8]);
    host.event::<SlotsNeeded>(Event::SlotsNeeded);
    let worker = host.worker.take().unwrap();
    let (nobody, _) = socketpair();
    drop(std::mem::replace(&mut host.socket, nobody));
    assert!(matches!(worker.join().unwrap(), Err(Stop::Gone)));
}

#[test]
fn a_fatal_error_ends_serving() {
    let mut host = Host::new(Copier::boxed);
    host.grant(0, 64);
    host.packet(1, 0, &[255]);
    let worker = host.worker.take().unwrap();
    match worker.join().unwrap() {
        Err(Stop::Fault(text)) => assert_eq!(text, "packet 1: as ordered (255)"),
        _ => panic!("it went on"),
    }
}
