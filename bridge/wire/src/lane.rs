//! Lanes: how a call crosses, and its result comes back.
//!
//! Each calling thread has a lane, and the thread that serves it on the other side. Only
//! one of the two runs at any time: the host calls, the guest calls back, the host calls
//! from within the callback, and so on in strict alternation. So each direction needs
//! no queue, only a [`Post`] whose number counts up, and a [`Doorbell`].
//!
//! Arguments and results are in messages, structs that generated code of both sides lays out
//! alike. A post carries a message that is small, and the address of another.
//!
//! **Levels.** The guest's serving loops nest as callbacks do: loop 0 is the thread's
//! own, loop n waits for the end of the n-th callback within one another. A post to the
//! guest says which loop it is for. If that is an outer one, native code has left the
//! callbacks in between by longjmp or an exception, and the guest abandons its frames
//! up to that loop.

mod patience;
mod post;

pub use post::{Post, SMALL_WORDS, small_words};

use crate::codes::wire_enum;
use crate::doorbell::Doorbell;
use crate::ring::Line;
use core::time::Duration;
use patience::{Patience, relax};

wire_enum! {
    /// What a post is about.
    Kind {
        /// To the guest: function [`Mail::index`] of part [`Mail::part`], with a message.
        Call = 1,
        /// To the guest: the function at [`Mail::target`], of signature `index` of `part`.
        CallPointer = 2,
        /// To the guest: the callback is done. To the host: the call is.
        Return = 3,
        /// To the host: the native function at [`Mail::target`], of signature `index` of `part`.
        Callback = 4,
        /// To the guest: the thread has ended. To the host, on a lane that the guest opened:
        /// the library's thread has.
        Close = 5,
        /// On control lanes: a [`Request`], number [`Mail::index`].
        Request = 6,
        /// The answer to a request that could not be fulfilled: text at the message, of
        /// [`Mail::target`] bytes.
        Refused = 7,
    }
}

wire_enum! {
    /// What is asked for over a control lane; answered by [`Kind::Return`] with the result
    /// in [`Mail::target`], or [`Kind::Refused`].
    Request {
        /// Guest to host, unasked, once both segments are mapped. `part` is what is on of the
        /// accelerator, the message text of `target` bytes: why not more.
        Ready = 1,
        /// To the guest: serve lane `target`.
        Open = 2,
        /// To the guest: load a wrapper's library and guest part. The message is text of
        /// `target` bytes: the two paths, separated by a zero. Without a guest part it is the
        /// worker's own, of [`registers`](crate::registers). Result: the part's number,
        /// which is the one in `part`. The message is then a [`Loaded`].
        Load = 3,
        /// To the guest: find a variable of a part's library, whose name the message is, of
        /// `target` bytes. Result: its address.
        Symbol = 4,
        /// The same for a function.
        Function = 5,
        /// To the guest: make the native function at `target` callable, with signature
        /// number `message` of `part`. Result: the address at which it is.
        Stub = 6,
        /// To the guest: what there is of [`Image`](crate::exchange::Image)s since the last
        /// time. Result: how many; they are at the message, for `target` bytes of which there
        /// is room.
        Images = 32,
        /// To the guest: run exit handlers and exit.
        Exit = 7,
        /// To the host: a thread of the library's calls back and has no lane yet. Result:
        /// the lane's number.
        Adopt = 8,
        /// To the side whose heap it is in: free what is in its [`Queue`](crate::freed::Queue),
        /// which is full, and the allocation at `target`. Result: 1, or 0 if there is none.
        Free = 9,
        /// The same: how many bytes the allocation has; 0 if there is none.
        UsableSize = 10,
        /// To the guest: take the file descriptor that comes over its socket. Result: its number
        /// there.
        Descriptor = 11,
        /// To the guest: what is on of the accelerator. Result: an
        /// [`Acceleration`](crate::msg::Acceleration).
        Accelerator = 12,
        /// To the guest: how many times turbo's code was entered, first or again.
        Entries = 13,
        /// To the guest: send the library's file descriptors at the message, [`Descriptor`]s in
        /// `target` bytes, over its socket in one message, and close those that are not lent.
        GiveDescriptors = 14,
        /// The same without sending any.
        CloseDescriptors = 15,
    }
}

/// Descriptors that one call can return.
pub const MAX_DESCRIPTORS: usize = 16;

/// `struct iotdec_descriptor`: a file descriptor that a library returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Descriptor {
    /// Its number; negative if there is none.
    pub number: i32,
    /// Not 0 if it stays open in the library, and is the library's to close.
    pub is_lent: u32,
}

/// What the guest says of a guest part.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Loaded {
    /// `iotdec_guest.version`
    pub version: u32,
    /// `iotdec_guest.functions`
    pub functions: u32,
    /// `iotdec_guest.signatures`
    pub signatures: u32,
    /// Zero.
    pub reserved: u32,
    /// `iotdec_guest.fingerprint`
    pub fingerprint: u64,
}

/// What a post carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// A [`Kind`].
    pub kind: u32,
    /// The guest's serving loop it is for.
    pub level: u32,
    /// The wrapper's number in this worker.
    pub part: u32,
    /// A function's or signature's number.
    pub index: u32,
    /// The C library's `errno` of the thread that posts; equal numbers on both architectures.
    pub errno: i32,
    /// Words of a message that lies in the post; said by who posts with [`End::post_small`].
    pub words: u32,
    /// An address or number, as the kind says.
    pub target: u64,
    /// The message's address, if it does not lie in the post.
    pub message: u64,
}

/// A lane's shared part. All-zero is its initial state.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Lane {
    /// Written by the host.
    pub to_guest: Post,
    /// Where the guest sleeps.
    pub guest_bell: Line<Doorbell>,
    /// Written by the guest.
    pub to_host: Post,
    /// Where the host sleeps.
    pub host_bell: Line<Doorbell>,
}

impl Lane {
    /// Prepares a lane for other threads than it had. By the host, while nobody uses it.
    pub fn reset(&self) {
        self.to_guest.reset();
        self.to_host.reset();
    }
}

/// One side's end of a lane: its private knowledge of which numbers come next.
#[derive(Debug, Default)]
pub struct End {
    sent: u32,
    received: u32,
    patience: Patience,
}

impl End {
    /// Publishes the next post, and wakes who waits for it.
    #[inline]
    pub fn post(&mut self, post: &Post, bell: &Doorbell, mail: &Mail) {
        self.post_small(post, bell, mail, &[]);
    }

    /// The same with a small message, as of [`Post::publish`].
    #[inline]
    pub fn post_small(&mut self, post: &Post, bell: &Doorbell, mail: &Mail, small: &[u64]) {
        self.sent = self.sent.wrapping_add(1);
        post.publish(self.sent, mail, small);
        bell.ring();
    }

    /// Whether the peer's next post is there.
    #[inline]
    pub fn has_next(&self, post: &Post) -> bool {
        post.has(self.received.wrapping_add(1))
    }

    /// Waits for the peer's next post; `None` once `over` says that there will be none.
    /// `over` is asked often; who makes it true rings the bell. Before each sleep, `nap`
    /// is asked how long it may last.
    #[inline]
    pub fn wait(
        &mut self,
        post: &Post,
        bell: &Doorbell,
        mut over: impl FnMut() -> bool,
        nap: impl FnMut() -> Option<Duration>,
    ) -> Option<Mail> {
        let next = self.received.wrapping_add(1);
        for spin in 0..self.patience.spins {
            if post.has(next) {
                self.patience.hit();
                self.received = next;
                return Some(post.read());
            }
            if spin >= Patience::TIGHT {
                relax();
            }
        }
        if over() {
            return None;
        }
        self.patience.miss();
        if !sleep_until(post, next, bell, over, nap) {
            return None;
        }
        self.received = next;
        Some(post.read())
    }
}

#[cold]
#[inline(never)]
fn sleep_until(
    post: &Post,
    next: u32,
    bell: &Doorbell,
    mut over: impl FnMut() -> bool,
    mut nap: impl FnMut() -> Option<Duration>,
) -> bool {
    loop {
        let Some(nap) = nap() else { return false };
        bell.sleep(nap, || post.has(next) || over());
        if post.has(next) {
            return true;
        }
        if over() {
            return false;
        }
    }
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(offset_of!(Lane, guest_bell) == 128);
    assert!(size_of::<Lane>() == 512);
    assert!(size_of::<Loaded>() == 24);
    assert!(size_of::<Descriptor>() == 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_go_back_and_forth() {
        let lane = Lane::default();
        const TURNS: u64 = if cfg!(miri) { 20 } else { 20_000 };
        let nap = || Some(Duration::from_secs(10));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut end = End::default();
                for turn in 0..TURNS {
                    let mail = end.wait(&lane.to_guest, &lane.guest_bell.0, || false, nap);
                    let mail = mail.expect("never over");
                    assert_eq!((mail.message, mail.errno), (turn, -(turn as i32)));
                    end.post(
                        &lane.to_host,
                        &lane.host_bell.0,
                        &Mail {
                            target: turn * 3,
                            ..mail
                        },
                    );
                }
            });
            let mut end = End::default();
            for turn in 0..TURNS {
                let mail = Mail {
                    kind: Kind::Call.code(),
                    errno: -(turn as i32),
                    message: turn,
                    ..Mail::default()
                };
                end.post(&lane.to_guest, &lane.guest_bell.0, &mail);
                let back = end.wait(&lane.to_host, &lane.host_bell.0, || false, nap);
                assert_eq!(
                    back,
                    Some(Mail {
                        target: turn * 3,
                        ..mail
                    })
                );
            }
        });
    }

    #[test]
    fn small_messages_lie_in_the_post() {
        let lane = Lane::default();
        let (mut here, mut there) = (End::default(), End::default());
        let words: [u64; SMALL_WORDS] = core::array::from_fn(|index| index as u64 + 7);
        for count in 0..=SMALL_WORDS {
            let mail = Mail {
                kind: Kind::Return.code(),
                message: 5,
                ..Mail::default()
            };
            let bell = &lane.guest_bell.0;
            here.post_small(&lane.to_guest, bell, &mail, &words[..count]);
            let mail = there.wait(&lane.to_guest, bell, || false, || None);
            let mail = mail.expect("it is there");
            assert_eq!(mail.kind, Kind::Return.code());
            assert_eq!(mail.words as usize, count);
            assert_eq!(mail.message, if count == 0 { 5 } else { 0 });
            assert!(
                lane.to_guest
                    .small(count)
                    .eq(words[..count].iter().copied())
            );
        }
        assert_eq!(small_words(0), 0);
        assert_eq!(small_words(9), 2);
        assert_eq!(small_words(SMALL_WORDS * 8), SMALL_WORDS);
        assert_eq!(small_words(SMALL_WORDS * 8 + 1), 0);
    }

    #[test]
    fn a_wait_ends_when_it_is_over_or_nobody_wants_to_wait() {
        let lane = Lane::default();
        let mut end = End::default();
        let nap = || Some(Duration::from_secs(60));
        assert_eq!(
            end.wait(&lane.to_host, &lane.host_bell.0, || true, nap),
            None
        );
        assert_eq!(
            end.wait(&lane.to_host, &lane.host_bell.0, || false, || None),
            None
        );
        lane.to_host.publish(1, &Mail::default(), &[]);
        assert!(
            end.wait(&lane.to_host, &lane.host_bell.0, || false, nap)
                .is_some()
        );
    }
}
