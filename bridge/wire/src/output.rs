//! What a library writes to the standard streams of its C library.
//!
//! The program's own streams write it, so that it comes where the program and the library, in
//! one process with one buffer, would have it: a callback, with
//!
//! * [`Mail::part`](crate::lane::Mail::part) = [`PART`],
//! * [`Mail::index`](crate::lane::Mail::index) = a [`Stream`],
//! * [`Mail::target`](crate::lane::Mail::target) = how many bytes, at most [`MOST`]; none, if what the
//!   stream has in its buffer is to be written out.
//!
//! The message is these bytes, and then, as an `i64` in their place, what `fwrite` or `fflush`
//! returned.

use crate::codes::wire_enum;

/// In the place of a wrapper's number.
pub const PART: u32 = u32::MAX;
/// Bytes of one message: a stack of messages has room for more besides.
pub const MOST: usize = 16 << 10;

const _: () = assert!(MOST <= crate::exchange::MAX_MESSAGE);

wire_enum! {
    /// A stream of the program's.
    Stream {
        /// All that it writes to: for flushing alone.
        All = 0,
        /// `stdout`
        Out = 1,
        /// `stderr`
        Error = 2,
    }
}
