//! What the accelerator counts.

use iotdec_wire::door::Counters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($name:ident),+) => {
        /// [`Counters`] that every thread counts up.
        #[derive(Debug)]
        pub struct Shared { $(#[allow(missing_docs)] pub $name: AtomicU64,)+ }

        /// Those of this process.
        pub static COUNTERS: Shared = Shared { $($name: AtomicU64::new(0),)+ };

        impl Shared {
            /// How things stand.
            pub fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counters!(
    entries,
    syscalls,
    unknown,
    leaves,
    pauses,
    blocks,
    code_bytes,
    native_calls
);
