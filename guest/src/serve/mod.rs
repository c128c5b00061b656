//! Decoding for the host: greeting, then commands in and events out.

use crate::accel;
use crate::args::Args;
use crate::decoder::{self, DecodeError, Decoded, Decoder, Frame, Options, Output, Packet, Stream};
use crate::packets::Assembler;
use crate::session::{Commands, Gone, PATIENCE, Session};
use crate::slots::Lease;
use crate::slots::shared::SharedSlots;
use crate::socket::{Received, Socket};
use iotdec_wire::layout::{MAGIC, VERSION};
use iotdec_wire::msg::{
    Command, Drain, Event, FrameRecord, Greeting, GreetingHead, Hello, MAX_GREETING, PacketDone,
    PacketHead, Refusal, StreamHead, done_flags, frame_flags, packet_flags,
};
use iotdec_wire::order::is_before;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the host may take to greet.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command, on the socket that is file descriptor 0.
pub fn run(args: &Args, accelerator: &accel::Report) -> Result<(), String> {
    // SAFETY: the host passes the socket as descriptor 0; nothing reads stdin.
    let socket = Socket::new(unsafe { OwnedFd::from_raw_fd(0) });
    let (session, commands) = greet(socket)?;
    let mode = accelerator.mode.code();
    let accelerator = message(Greeting::Accelerator, mode, &accelerator.reason);
    if session.socket().send(&accelerator).is_err() {
        return Ok(());
    }
    let options = Options::parse(args.all("option"))?.with_threads(args.number("threads")?);
    let slots = SharedSlots::new(session.clone());
    let adapter = args.require("adapter")?;
    let decoder = match decoder::open(adapter, args.require("library")?, slots, &options) {
        Ok(decoder) => decoder,
        Err(error) => {
            refuse(session.socket(), error.refusal, &error.text);
            return Err(format!("{:?}: {}", error.refusal, error.text));
        }
    };
    let ready = message(Greeting::Ready, 0, &decoder.version());
    if session.socket().send(&ready).is_err() {
        return Ok(());
    }
    match serve(&session, commands, decoder) {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Fault(text)) => {
            let _ = session.post(Event::Fault, &[text.as_bytes()]);
            Err(text)
        }
    }
}

/// Takes the host's greeting and maps the control block that comes with it.
fn greet(socket: Socket) -> Result<(Arc<Session>, Commands), String> {
    let mut buffer = [0; MAX_GREETING];
    socket.wait(GREETING_PATIENCE);
    let (len, memory) = match socket.receive(&mut buffer) {
        Ok(Received::Message(len, memory)) => (len, memory),
        Ok(_) => return Err("no greeting from the host".to_owned()),
        Err(error) => return Err(format!("control socket: {error}")),
    };
    let hello = bytemuck::try_pod_read_unaligned::<Hello>(&buffer[..len]).ok();
    let memory = hello
        .filter(|hello| hello.magic == MAGIC && hello.kind == Greeting::Hello.code())
        .filter(|hello| hello.version == VERSION)
        .and(memory);
    let Some(memory) = memory else {
        let text = format!("worker speaks version {VERSION}, host {hello:?}");
        refuse(&socket, Refusal::Protocol, &text);
        return Err(text);
    };
    let (session, commands) = Session::new(memory, socket).map_err(|(text, socket)| {
        refuse(&socket, Refusal::Protocol, &text);
        text
    })?;
    let welcome = Hello {
        magic: MAGIC,
        kind: Greeting::Welcome.code(),
        version: VERSION,
        features: 0,
        reserved: 0,
    };
    session
        .socket()
        .send(bytemuck::bytes_of(&welcome))
        .map_err(|error| format!("control socket: {error}"))?;
    Ok((session, commands))
}

fn refuse(socket: &Socket, refusal: Refusal, text: &str) {
    // Whoever does not listen any more does not need to know.
    let _ = socket.send(&message(Greeting::Refused, refusal.code(), text));
}

fn message(kind: Greeting, detail: u32, text: &str) -> Vec<u8> {
    let head = GreetingHead {
        kind: kind.code(),
        detail,
    };
    let mut message = bytemuck::bytes_of(&head).to_vec();
    message.extend_from_slice(text.as_bytes());
    message.truncate(MAX_GREETING);
    message
}

/// Why serving ended otherwise than by order.
enum Stop {
    /// Nobody to serve.
    Gone,
    /// The decoder or the protocol is broken.
    Fault(String),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Obeys commands until told to stop.
fn serve(session: &Session, mut commands: Commands, decoder: Box<dyn Decoder>) -> Result<(), Stop> {
    let mut server = Server { session, decoder };
    let mut assembler = Assembler::default();
    loop {
        if !commands.wait_for_data(PATIENCE, || false) {
            if session.host_is_gone() {
                return Err(Stop::Gone);
            }
            continue;
        }
        let record = commands
            .next()
            .map_err(|error| Stop::Fault(error.to_string()))?;
        let Some(record) = record else { continue };
        // SAFETY: the host does not write to records it has published: that is the
        // contract which spares the guest a copy.
        let payload = unsafe { record.as_slice() };
        match Command::from_code(record.kind()) {
            Some(Command::Packet) => {
                let packet = assembler
                    .add(payload)
                    .map_err(|bad| Stop::Fault(bad.0.to_owned()))?;
                if let Some((head, data)) = packet {
                    server.packet(&head, data)?;
                }
            }
            Some(Command::Drain) => {
                let drain = bytemuck::try_pod_read_unaligned(payload)
                    .map_err(|error| Stop::Fault(format!("drain: {error}")))?;
                server.drain(drain)?;
            }
            Some(Command::Stream) => server.stream(payload)?,
            Some(Command::Stop) => return Ok(()),
            None => return Err(Stop::Fault(format!("unknown command {}", record.kind()))),
        }
        record.release();
    }
}

struct Server<'a> {
    session: &'a Session,
    decoder: Box<dyn Decoder>,
}

impl Server<'_> {
    fn stream(&mut self, payload: &[u8]) -> Result<(), Stop> {
        let (head, rest) = payload
            .split_at_checked(size_of::<StreamHead>())
            .ok_or_else(|| Stop::Fault("stream: cut short".to_owned()))?;
        let head: StreamHead = bytemuck::pod_read_unaligned(head);
        let codec_data = rest
            .get(..head.codec_data as usize)
            .ok_or_else(|| Stop::Fault("stream: codec data cut short".to_owned()))?;
        let begun = self.decoder.begin(&Stream { head, codec_data });
        begun.map_err(|error| Stop::Fault(format!("stream: {} ({})", error.text, error.code)))
    }

    fn packet(&mut self, head: &PacketHead, data: &[u8]) -> Result<(), Stop> {
        let PacketHead {
            number,
            epoch,
            flags,
            ..
        } = *head;
        if !self.enter(epoch) {
            return Ok(());
        }
        let mut poster = Poster::new(self.session, epoch);
        let waited = self.session.waited();
        let start = Instant::now();
        if flags & packet_flags::AFTER_GAP != 0 {
            // Complaints about pictures from before the gap help nobody.
            let _ = self.decoder.drain(&mut poster);
            self.decoder.flush();
        }
        let result = {
            let packet = Packet {
                number,
                flags,
                data,
            };
            self.decoder.decode(packet, &mut poster)
        };
        let waited = self.session.waited() - waited;
        let spent = start.elapsed().saturating_sub(waited);
        self.tell_counters();
        poster.result?;
        let done = PacketDone {
            number,
            epoch,
            decode_us: spent.as_micros().try_into().unwrap_or(u32::MAX),
            error: result.as_ref().err().map_or(0, |error| error.code),
            delay: self.decoder.delay(),
            flags: match result {
                Ok(Decoded::Nothing) => done_flags::NO_PICTURE,
                _ => 0,
            },
            reserved: 0,
        };
        if let Err(DecodeError { code, text, fatal }) = result {
            let whole = format!("packet {number}: {text} ({code})");
            if fatal {
                return Err(Stop::Fault(whole));
            }
            eprintln!("{whole}");
            self.session.post(Event::Complaint, &[text.as_bytes()])?;
        }
        Ok(self
            .session
            .post(Event::PacketDone, &[bytemuck::bytes_of(&done)])?)
    }

    fn drain(&mut self, drain: Drain) -> Result<(), Stop> {
        if !self.enter(drain.epoch) {
            return Ok(());
        }
        let mut poster = Poster::new(self.session, drain.epoch);
        let result = self.decoder.drain(&mut poster);
        self.tell_counters();
        poster.result?;
        if let Err(DecodeError { code, text, fatal }) = result {
            let text = format!("drain: {text} ({code})");
            if fatal {
                return Err(Stop::Fault(text));
            }
            eprintln!("{text}");
        }
        Ok(self
            .session
            .post(Event::Drained, &[bytemuck::bytes_of(&drain)])?)
    }

    /// Lets the host see what the accelerator did.
    fn tell_counters(&self) {
        if let Some(counters) = accel::counters() {
            self.session.control().tally.0.publish(&counters);
        }
    }

    /// Whether a command of `epoch` is still wanted; flushes the decoder if it is
    /// the first of a new one.
    fn enter(&mut self, epoch: u32) -> bool {
        if self.session.is_stale(epoch) {
            return false;
        }
        if is_before(self.session.epoch(), epoch) {
            self.decoder.flush();
            self.session.enter_epoch(epoch);
        }
        true
    }
}

/// Announces pictures to the host.
struct Poster<'a> {
    session: &'a Session,
    epoch: u32,
    result: Result<(), Gone>,
}

impl<'a> Poster<'a> {
    fn new(session: &'a Session, epoch: u32) -> Self {
        Self {
            session,
            epoch,
            result: Ok(()),
        }
    }
}

impl Output for Poster<'_> {
    fn picture(&mut self, frame: &Frame, lease: &Lease) {
        // What nobody waits for is not handed over: nobody would release it.
        if self.result.is_err() || self.session.is_stale(self.epoch) {
            return;
        }
        if !lease.hand_over() {
            eprintln!("packet {}: shown twice, once is left out", frame.number);
            return;
        }
        if frame.flags & frame_flags::COPIED != 0 {
            // The decoder has its own; before the host looks whether to protect it.
            lease.let_go();
        }
        let record = FrameRecord {
            number: frame.number,
            epoch: self.epoch,
            flags: frame.flags,
            slot: lease.index(),
            generation: lease.generation(),
            picture: frame.picture,
            reserved: 0,
        };
        self.result = self
            .session
            .post(Event::Frame, &[bytemuck::bytes_of(&record)]);
        if self.result.is_err() {
            lease.take_back();
        }
    }
}

#[cfg(test)]
mod tests;
