//! One direction of a lane.

use super::Mail;
use crate::sync::release_fence;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Cache lines of a post.
const LINES: usize = 2;
/// Words of the largest message that lies in its post: what the lines have left.
pub const SMALL_WORDS: usize = LINES * 8 - 4;

/// One direction of a lane, on cache lines of its own. All-zero is its initial state.
///
/// What a call costs is above all how many lines go from one processor to the other. So a
/// message that has room here lies here, and behind its address only if not.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Post {
    number: AtomicU32,
    /// A kind, and above it how many words of `body` are the message.
    kind: AtomicU32,
    level: AtomicU32,
    part: AtomicU32,
    index: AtomicU32,
    errno: AtomicU32,
    target: AtomicU64,
    /// The message, or, if that is not small, its address.
    body: [AtomicU64; SMALL_WORDS],
}

/// Where in `Post::kind` the number of words is.
const WORDS_SHIFT: u32 = 16;

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Post>() == 64 * LINES);
    assert!(offset_of!(Post, target) == 24);
    assert!(offset_of!(Post, body) == 32);
};

/// How many words a small message of so many bytes has; none if it is not small.
#[inline]
pub fn small_words(bytes: usize) -> usize {
    let words = bytes.div_ceil(8);
    if words > SMALL_WORDS { 0 } else { words }
}

impl Post {
    /// Publishes the post of that number, with these words of a small message; without any
    /// if the message is at [`Mail::message`].
    ///
    /// # Panics
    /// There are more than [`SMALL_WORDS`].
    #[inline]
    pub fn publish(&self, number: u32, mail: &Mail, small: &[u64]) {
        let kind = mail.kind | (small.len() as u32) << WORDS_SHIFT;
        self.kind.store(kind, Ordering::Relaxed);
        self.level.store(mail.level, Ordering::Relaxed);
        self.part.store(mail.part, Ordering::Relaxed);
        self.index.store(mail.index, Ordering::Relaxed);
        self.errno.store(mail.errno as u32, Ordering::Relaxed);
        self.target.store(mail.target, Ordering::Relaxed);
        if small.is_empty() {
            self.body[0].store(mail.message, Ordering::Relaxed);
        } else {
            for (to, word) in self.body[..small.len()].iter().zip(small) {
                to.store(*word, Ordering::Relaxed);
            }
        }
        release_fence();
        self.number.store(number, Ordering::Relaxed);
    }

    /// Whether the post of that number is there.
    #[inline]
    pub fn has(&self, number: u32) -> bool {
        // Ordered by the fence in `read`: a fence for each look would be a slow
        // instruction under emulation.
        self.number.load(Ordering::Relaxed) == number
    }

    /// Reads a post that is there. Each field once; none is to be trusted, but there are no
    /// more than [`SMALL_WORDS`].
    #[inline]
    pub fn read(&self) -> Mail {
        fence(Ordering::Acquire);
        let kind = self.kind.load(Ordering::Relaxed);
        let words = (kind >> WORDS_SHIFT).min(SMALL_WORDS as u32);
        Mail {
            kind: kind & ((1 << WORDS_SHIFT) - 1),
            level: self.level.load(Ordering::Relaxed),
            part: self.part.load(Ordering::Relaxed),
            index: self.index.load(Ordering::Relaxed),
            errno: self.errno.load(Ordering::Relaxed) as i32,
            words,
            target: self.target.load(Ordering::Relaxed),
            message: match words {
                0 => self.body[0].load(Ordering::Relaxed),
                _ => 0,
            },
        }
    }

    /// The words of the small message of a post that was read. They stay until the reader
    /// posts something.
    #[inline]
    pub fn small(&self, words: usize) -> impl Iterator<Item = u64> {
        let body = self.body.iter().take(words);
        body.map(|word| word.load(Ordering::Relaxed))
    }

    /// Takes the first line to this processor while the next post is being made: by the writer,
    /// once the reader has read the last one and does not look for a while.
    #[inline]
    pub fn claim(&self) {
        // What says whether there is a post stays as it is.
        self.kind.store(0, Ordering::Relaxed);
    }

    pub(super) fn reset(&self) {
        self.publish(0, &Mail::default(), &[]);
    }
}
