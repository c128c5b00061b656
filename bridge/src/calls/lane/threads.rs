//! Which lane is which thread's.

use super::HostLane;
use super::serve::{Answer, answer};
use crate::calls::ending::close_with_thread;
use crate::calls::error::{Kind, Record};
use crate::calls::process::SETTINGS;
use crate::calls::worker::{Worker, is_forked};
use crate::calls::wrapper::Wrapper;
use iotdec_wire::lane::{Kind as MailKind, Mail, Request};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a guest's thread may take to see that ours has ended.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// The lanes of a thread, by setting, and those of workers that ended while it used them.
struct Lanes {
    current: [Cell<*mut HostLane>; SETTINGS],
    /// The last one, which knows the one before.
    retired: Cell<*mut HostLane>,
}

// Without a destructor, so that it is there for whatever runs at the end of the thread or
// of the program.
thread_local! {
    static LANES: Lanes = const {
        Lanes {
            current: [const { Cell::new(null_mut()) }; SETTINGS],
            retired: Cell::new(null_mut()),
        }
    };
}
const _: () = assert!(!std::mem::needs_drop::<Lanes>());

/// Closes the calling thread's lanes, in none of which a call runs.
fn close_all() {
    LANES.with(|lanes| {
        for place in lanes.current.iter().chain([&lanes.retired]) {
            let mut lane = place.replace(null_mut());
            while !lane.is_null() {
                // SAFETY: made by `Box`; the thread, whose it is, is ending.
                let closing = unsafe { Box::from_raw(lane) };
                lane = closing.retired_before;
                closing.close();
            }
        }
    });
}

/// The calling thread's lane for a wrapper, which is loaded in its worker.
#[inline]
pub(crate) fn lane_for(wrapper: &Wrapper) -> Result<*mut HostLane, Box<Record>> {
    if let Some(state) = wrapper.known() {
        let lane = LANES.with(|lanes| lanes.current[state.setting.index].get());
        // SAFETY: null, or this thread's lane.
        if let Some(lane) = unsafe { lane.as_ref() }
            && state.generation.load(Ordering::Acquire) == lane.worker.generation
            && !lane.worker.is_over()
            && !is_forked()
        {
            return Ok(lane as *const _ as *mut _);
        }
    }
    find_lane(wrapper)
}

/// Gives back what the calling thread has of a worker that is over, if none of its calls is
/// still running there: as long as it is kept, so are that worker's lanes and memory.
fn forget_ended(index: usize) {
    LANES.with(|lanes| {
        let place = &lanes.current[index];
        // SAFETY: null, or this thread's lane, which nobody borrows now.
        let is_idle = unsafe { place.get().as_ref() }
            .is_some_and(|lane| lane.worker.is_over() && lane.base == 0 && lane.frames.is_empty());
        if is_idle {
            // SAFETY: made by `Box`; no call refers to it, and it is not the thread's any more.
            let lane = unsafe { Box::from_raw(place.replace(null_mut())) };
            lane.worker.release_lane(lane.number);
        }
    });
}

#[cold]
fn find_lane(wrapper: &Wrapper) -> Result<*mut HostLane, Box<Record>> {
    if is_forked() {
        let text = "calls of foreign libraries do not go on in the child of a fork; \
                    it must exec a program first";
        return Err(Record::new(Kind::Forked, text));
    }
    let state = wrapper.state()?;
    let index = state.setting.index;
    forget_ended(index);
    let worker = state
        .setting
        .worker()
        .map_err(|text| Record::new(Kind::NotStarted, &format!("{}: {text}", state.name)))?;
    state.load(&worker)?;
    wrapper.set_reach(&worker);
    let lane = LANES.with(|lanes| lanes.current[index].get());
    // SAFETY: null, or this thread's lane.
    if let Some(known) = unsafe { lane.as_ref() }
        && known.worker.generation == worker.generation
    {
        return Ok(lane);
    }
    let full = || {
        let text = "more threads call foreign libraries than there are lanes for";
        Record::new(Kind::NoMemory, text).of(worker.generation)
    };
    let number = worker.take_lane().ok_or_else(full)?;
    if let Err(why) = worker.ask_number(Request::Open, 0, number as u64, 0) {
        // Of a worker that is over, they are given back when its process is gone.
        if !worker.is_over() {
            worker.release_lane(number);
        }
        return Err(why);
    }
    let new = Box::into_raw(Box::new(HostLane::new(worker, number, 0)));
    LANES.with(|lanes| {
        let former = lanes.current[index].replace(new);
        // Its calls, if any run, find out by themselves.
        // SAFETY: null, or this thread's lane, which nobody borrows now.
        if let Some(former) = unsafe { former.as_mut() } {
            former.retired_before = lanes.retired.replace(former);
        }
    });
    close_with_thread(close_all);
    Ok(new)
}

impl HostLane {
    /// The native thread of one of the library's.
    pub(crate) fn serve_adopted(worker: Arc<Worker>, number: usize) {
        let index = worker.setting_index();
        let lane = Box::into_raw(Box::new(Self::new(worker, number, 1)));
        LANES.with(|lanes| lanes.current[index].set(lane));
        close_with_thread(close_all);
        // SAFETY: this thread's lane.
        let answer = unsafe { answer(lane, 0) };
        // A callback that made calls when the worker was over has another lane since, and this one
        // is closed with the thread, as it is without an end.
        let is_current = LANES.with(|lanes| lanes.current[index].get() == lane);
        if matches!(answer, Answer::Closed) && is_current {
            // SAFETY: as above; it is not to be closed again.
            unsafe {
                LANES.with(|lanes| lanes.current[index].set(null_mut()));
                let lane = Box::from_raw(lane);
                lane.worker.release_lane(lane.number);
            }
        }
    }

    /// Ends the guest's thread of a thread that ends.
    fn close(mut self) {
        if self.base != 0 || self.worker.is_over() || is_forked() {
            return;
        }
        self.post(&Mail {
            kind: MailKind::Close.code(),
            ..Mail::default()
        });
        let lane = self.shared;
        let start = Instant::now();
        let nap = || CLOSE_PATIENCE.checked_sub(start.elapsed());
        let worker = &self.worker;
        let answer = self
            .end
            .wait(&lane.to_host, &lane.host_bell.0, || worker.is_over(), nap);
        if answer.is_some_and(|mail| mail.kind == MailKind::Return.code()) {
            self.worker.release_lane(self.number);
        }
    }
}

impl Worker {
    /// A lane for a thread.
    pub(crate) fn take_lane(&self) -> Option<usize> {
        let number = self.exchange.take_lane()?;
        self.lanes
            .lock()
            .expect("nothing panics with it")
            .push(number);
        Some(number)
    }

    /// Gives one back that the worker does not use any more.
    pub(crate) fn release_lane(&self, number: usize) {
        let mut lanes = self.lanes.lock().expect("nothing panics with it");
        if let Some(index) = lanes.iter().position(|lane| *lane == number) {
            lanes.swap_remove(index);
            self.exchange.give_lane(number);
        }
    }
}

/// The calling thread's lane that serves a callback of this wrapper.
pub(crate) fn serving(wrapper: &Wrapper) -> *mut HostLane {
    let Some(state) = wrapper.known() else {
        return null_mut();
    };
    LANES.with(|lanes| lanes.current[state.setting.index].get())
}
