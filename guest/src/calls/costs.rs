//! What the guest's share of a call takes, measured on one thread that is both sides.

use super::lane::{GuestLane, serve_next};
use super::parts;
use crate::accel;
use crate::args::Args;
use crate::costs::{OPERATIONS, batches, print};
use iotdec_wire::exchange::{MAX_MESSAGE, Range};
use iotdec_wire::lane::{End, Kind, Lane, Mail};
use std::ffi::c_void;
use std::ops::ControlFlow;
use std::time::Duration;

/// Runs the command `--costs FUNCTION --library PATH --guest-part PATH [--accel turbo]`: the
/// function of that number, whose message is one word, is called. Prints nanoseconds, batch by
/// batch.
pub fn run(args: &Args) -> Result<(), String> {
    let wanted = args.accelerator()?;
    let accelerator = accel::open(wanted);
    if accelerator.mode != wanted {
        return Err(accelerator.reason);
    }
    let index = args.number("costs")?.ok_or("--costs needs a number")?;
    let (number, _) = parts::load(args.require("library")?, args.require("guest-part")?)?;
    let part = parts::part(number).ok_or("the part was not loaded")?;
    let function = part.function(index).ok_or("no such function")?;
    let shared: &'static Lane = Box::leak(Box::default());
    let messages = Box::leak(vec![0u128; MAX_MESSAGE / 16].into_boxed_slice());
    let message = messages.as_mut_ptr();
    let stack = Range {
        start: message as u64,
        size: MAX_MESSAGE as u64,
    };
    let mut lane = GuestLane::on(shared, stack);
    let lane: *mut GuestLane = &mut *lane;
    let mut host = End::default();
    let call = Mail {
        kind: Kind::Call.code(),
        part: number,
        index,
        ..Mail::default()
    };
    let mut round_trip = |guest: fn(*mut GuestLane)| {
        for _ in 0..OPERATIONS {
            host.post_small(&shared.to_guest, &shared.guest_bell.0, &call, &[0]);
            guest(lane);
            let nap = || Some(Duration::from_secs(1));
            host.wait(&shared.to_host, &shared.host_bell.0, || false, nap);
        }
    };
    // As the thread of a lane is.
    let [posts, calls, functions] = accel::run(|| {
        [
            batches(|| round_trip(answer)),
            batches(|| round_trip(serve_once)),
            batches(|| {
                for _ in 0..OPERATIONS {
                    // SAFETY: a generated function, and a message that is larger than any.
                    unsafe { function(message.cast::<c_void>(), std::ptr::null_mut()) };
                }
            }),
        ]
    });
    print(vec![
        ("posts", posts),
        ("call", calls),
        ("function", functions),
    ]);
    Ok(())
}

/// Takes the next post and answers it.
fn answer(lane: *mut GuestLane) {
    // SAFETY: this thread's, which `run` borrows nowhere.
    let lane = unsafe { &mut *lane };
    lane.wait();
    let mail = Mail {
        kind: Kind::Return.code(),
        ..Mail::default()
    };
    lane.post_small(&mail, &[0]);
}

/// Serves the next post.
fn serve_once(lane: *mut GuestLane) {
    // SAFETY: this thread's lane, in its outermost loop.
    let served = unsafe { serve_next(lane, 0) };
    debug_assert_eq!(served, ControlFlow::Continue(()));
}
