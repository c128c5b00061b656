//! File descriptors, which go over a socket: numbers mean nothing on the other side.
//!
//! The control lane's lock orders them. Who asks for some finds nothing on the socket before,
//! and just those after; whatever else the worker sends ends it.

use super::control::{About, Answer, Control, Question};
use super::{Worker, lent};
use crate::calls::error::{Kind, Record};
use iotdec_wire::lane::{Descriptor, MAX_DESCRIPTORS, Request};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

/// What was on the socket.
#[derive(Debug)]
struct Received {
    bytes: usize,
    descriptors: Vec<OwnedFd>,
    /// There were more than were taken.
    is_cut: bool,
}

/// Receives one message, if there is one. What is not kept of it is closed.
fn receive(socket: impl AsFd) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut parts, &mut attached, flags)?;
    let mut descriptors = Vec::new();
    for part in attached.drain() {
        if let RecvAncillaryMessage::ScmRights(all) = part {
            descriptors.extend(all);
        }
    }
    Ok(Received {
        bytes: message.bytes,
        descriptors,
        is_cut: message.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Why descriptors that were asked for are not there.
#[derive(Debug, PartialEq, Eq)]
enum Amiss {
    /// The program cannot have more.
    NoRoom,
    /// The worker sent something else.
    Other(String),
}

/// The descriptors of a message, if they are so many.
fn exactly(count: usize, received: io::Result<Received>) -> Result<Vec<OwnedFd>, Amiss> {
    let nothing = || {
        Amiss::Other(format!(
            "it sent nothing instead of {count} file descriptors"
        ))
    };
    let Received {
        descriptors,
        is_cut,
        ..
    } = received.map_err(|_| nothing())?;
    match descriptors.len() {
        // The kernel leaves out what there is no number for.
        fewer if fewer < count && is_cut => Err(Amiss::NoRoom),
        0 if count > 0 => Err(nothing()),
        same if same == count && !is_cut => Ok(descriptors),
        other => Err(Amiss::Other(format!(
            "it sent {other} file descriptors{} instead of {count}",
            if is_cut { " and more" } else { "" }
        ))),
    }
}

/// Of what the worker refuses on behalf of descriptors.
fn about_descriptors(mut record: Box<Record>) -> Box<Record> {
    if record.kind == Kind::NotStarted as i32 {
        record.kind = Kind::BadDescriptor as i32;
    }
    record
}

impl Worker {
    /// Gives the library a duplicate of a file descriptor: its number there. What is no open
    /// one, such as -1 or AT_FDCWD, is none there either.
    pub(crate) fn give_descriptor(&self, descriptor: i32) -> Result<i32, Box<Record>> {
        if descriptor < 0 {
            return Ok(descriptor);
        }
        let failed = |text: String| self.bad_descriptor(&text);
        let mut control = self.control.lock().expect("nothing panics with it");
        let sent = sendmsg::<()>(
            control.socket.as_raw_fd(),
            &[IoSlice::new(&[0])],
            &[ControlMessage::ScmRights(&[descriptor])],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        );
        match sent {
            Ok(_) => {}
            Err(Errno::EBADF) => return Ok(-1),
            Err(_) if self.is_over() => return Err(self.loss()),
            Err(error) => {
                let text =
                    format!("descriptor {descriptor} cannot be given to the library: {error}");
                return Err(failed(text));
            }
        }
        let given = self.ask_about(&mut control, Request::Descriptor, &[]);
        let (number, _) = given?;
        i32::try_from(number).map_err(|_| failed("the worker numbers descriptors in no way".into()))
    }

    /// Takes file descriptors that the library has returned: numbers of the program's instead of
    /// its own, of all or none.
    pub(crate) fn take_descriptors(&self, all: &mut [Descriptor]) -> Result<(), Box<Record>> {
        let returned: Vec<_> = all.iter().copied().filter(is_one).collect();
        if returned.is_empty() {
            return Ok(());
        }
        let received = self.receive_descriptors(&returned)?;
        let mut numbers = Vec::with_capacity(received.len());
        let mut own = Vec::new();
        for (it, received) in returned.iter().zip(received) {
            if it.is_lent == 0 {
                numbers.push(received.as_raw_fd());
                own.push(received);
            } else {
                let number = lent::stand_in((self.setting, self.generation), it.number, received);
                numbers.push(number.map_err(|text| self.bad_descriptor(&text))?);
            }
        }
        for it in own {
            // The program's to close.
            let _ = it.into_raw_fd();
        }
        for (it, number) in all.iter_mut().filter(|it| is_one(it)).zip(numbers) {
            it.number = number;
        }
        Ok(())
    }

    /// Closes, in the library, those of a call that failed: nobody else would.
    pub(crate) fn close_descriptors(&self, all: &[Descriptor]) {
        let returned: Vec<_> = all.iter().copied().filter(is_one).collect();
        if returned.iter().any(|it| it.is_lent == 0) {
            let mut control = self.control.lock().expect("nothing panics with it");
            // The call has failed already; a worker that does not do it is no worse than one
            // whose library leaks.
            let _ = self.ask_about(&mut control, Request::CloseDescriptors, &returned);
        }
    }

    fn receive_descriptors(&self, returned: &[Descriptor]) -> Result<Vec<OwnedFd>, Box<Record>> {
        let mut control = self.control.lock().expect("nothing panics with it");
        if let Ok(unasked) = receive(&control.socket)
            && (unasked.bytes > 0 || !unasked.descriptors.is_empty())
        {
            return Err(self.sent_wrong("it sent file descriptors that nobody asked for"));
        }
        self.ask_about(&mut control, Request::GiveDescriptors, returned)?;
        match exactly(returned.len(), receive(&control.socket)) {
            Ok(received) => Ok(received),
            Err(Amiss::NoRoom) => Err(self.bad_descriptor(
                "a file descriptor that the library returned is lost: the program has as many \
                 open as it may (ulimit -n)",
            )),
            Err(Amiss::Other(text)) => Err(self.sent_wrong(&text)),
        }
    }

    fn ask_about(
        &self,
        control: &mut Control,
        request: Request,
        returned: &[Descriptor],
    ) -> Result<Answer, Box<Record>> {
        let question = Question {
            request,
            part: 0,
            about: About::Bytes(bytemuck::cast_slice(returned)),
        };
        self.put_over(control, question).map_err(about_descriptors)
    }

    fn bad_descriptor(&self, text: &str) -> Box<Record> {
        Record::new(Kind::BadDescriptor, text).of(self.generation)
    }

    #[cold]
    fn sent_wrong(&self, text: &str) -> Box<Record> {
        let text = format!("the library's process was ended: {text}");
        self.condemn(Kind::Misbehaved, &text);
        self.loss()
    }
}

fn is_one(it: &Descriptor) -> bool {
    it.number >= 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::fs::File;
    use std::os::fd::RawFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("a pair")
    }

    fn send(socket: &OwnedFd, text: &[u8], descriptors: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let attached = if descriptors.is_empty() {
            &[][..]
        } else {
            &rights
        };
        let parts = [IoSlice::new(text)];
        sendmsg::<()>(
            socket.as_raw_fd(),
            &parts,
            attached,
            MsgFlags::empty(),
            None,
        )
        .expect("room on the socket");
    }

    /// What of a file that nobody else has open is open in this process.
    fn open_of(file: &File) -> usize {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let target = std::fs::read_link(path).expect("an open file");
        let all = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
        let targets = all.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
        targets.filter(|it| *it == target).count()
    }

    fn text(wrong: Result<Vec<OwnedFd>, Amiss>) -> String {
        match wrong {
            Err(Amiss::Other(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_so_many_descriptors_are_taken_and_others_closed() {
        let place = tempfile::tempdir().expect("a directory");
        let file = File::create(place.path().join("only here")).expect("room");
        let fd = file.as_raw_fd();
        let (ours, theirs) = pair();
        let taken = |count| exactly(count, receive(&ours));

        assert_eq!(
            text(taken(1)),
            "it sent nothing instead of 1 file descriptors"
        );
        send(&theirs, b"x", &[]);
        assert_eq!(
            text(taken(1)),
            "it sent nothing instead of 1 file descriptors"
        );
        send(&theirs, b"", &[fd]);
        assert_eq!(taken(1).expect("an empty message with one").len(), 1);
        for sent in [1, 2, 3, MAX_DESCRIPTORS] {
            send(&theirs, b"x", &vec![fd; sent]);
            let received = taken(sent).expect("so many");
            assert_eq!((received.len(), open_of(&file)), (sent, sent + 1));
            for it in &received {
                let flags = rustix::io::fcntl_getfd(it).expect("open");
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
            drop(received);
            for other in [sent - 1, sent + 1] {
                send(&theirs, b"x", &vec![fd; sent]);
                let expected = format!("it sent {sent} file descriptors instead of {other}");
                assert_eq!(text(taken(other)), expected);
                assert_eq!(open_of(&file), 1);
            }
        }
        send(&theirs, b"x", &[fd; MAX_DESCRIPTORS + 1]);
        assert!(text(taken(MAX_DESCRIPTORS)).ends_with("instead of 16"));
        send(&theirs, b"x", &[fd; 200]);
        assert!(text(taken(1)).contains("and more"));
        drop(theirs);
        assert!(taken(1).is_err());
        assert_eq!(open_of(&file), 1);
    }

    #[test]
    fn what_the_kernel_left_out_is_no_fault_of_the_worker() {
        let cut = |count| {
            let (ours, _) = pair();
            Ok(Received {
                bytes: 1,
                descriptors: std::iter::repeat_with(|| ours.try_clone().expect("room"))
                    .take(count)
                    .collect(),
                is_cut: true,
            })
        };
        assert_eq!(exactly(2, cut(1)).err(), Some(Amiss::NoRoom));
        assert_eq!(exactly(2, cut(0)).err(), Some(Amiss::NoRoom));
        assert!(text(exactly(2, cut(2))).contains("and more"));
    }
}
