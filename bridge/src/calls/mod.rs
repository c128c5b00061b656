//! Calls of aarch64 libraries by native programs, and back.
//!
//! 1. Generated code begins a [`call`] of a [`wrapper`]. That finds the `worker`, started
//!    by `process` if there is none, and the calling thread's `lane`.
//! 2. The message lies in the `exchange`; the lane takes its address to the guest, or all of
//!    it if it is small, serves the callbacks that come instead of an answer, and the answer.
//! 3. `functions` keeps function pointers callable on both sides at one address,
//!    [`pointers`] copies data that is not shared and looks at pointers that come back.
//!    [`variables`] keeps exported variables the same on both sides.
//!    The program's [`heap`] in the exchange frees what either side allocated.
//! 4. Threads of the library's that call back get native threads from `adopt`.
//! 5. What the library prints, the program's own streams print (`output`).
//! 6. When the worker ends, every call in it fails with an [`error`], and the next call
//!    starts another, of the next generation. A thread's lanes are closed, and the library's
//!    exit handlers run, when that thread and the program end (`ending`).

mod accelerator;
mod adopt;
pub mod call;
mod confine;
mod ending;
pub(crate) mod errno;
pub mod error;
mod exchange;
mod functions;
pub mod heap;
mod images;
mod lane;
mod output;
pub mod pointers;
mod process;
pub mod variables;
mod worker;
pub mod wrapper;

pub use call::Call;
pub(crate) use call::{can_be_written, function, generation};
pub use error::{Kind as ErrorKind, Record};
pub use iotdec_wire::lane::Descriptor;
pub(crate) use lane::lane_for;
pub use lane::set_call_timeout;
pub(crate) use output::write_out;
pub(crate) use process::without_signals;
pub use wrapper::Wrapper;
