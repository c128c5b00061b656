//! Around a fork: no other thread is inside of the heap, and the child gets a copy of what is shared.

use crate::process::{Process, abort};
use crate::slot::{Area, Slot};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::*};

/// Whose heaps are to survive forks: handlers of fork have no argument.
static REGISTERED: AtomicPtr<Process> = AtomicPtr::new(null_mut());

/// Has forks take care of the process's heaps. Of the first process that asks: there is only one.
pub(crate) fn register(process: &'static Process) {
    let process = core::ptr::from_ref(process).cast_mut();
    if REGISTERED
        .compare_exchange(null_mut(), process, AcqRel, Relaxed)
        .is_ok()
    {
        // As the first one registered, so that its turn is last before a fork, and first after it.
        // SAFETY: three functions of the right type that exist as long as the process: malloc is never unloaded.
        unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork),
                Some(after_fork_in_child),
            )
        };
    }
}

/// The areas of the registered process.
fn registered() -> impl Iterator<Item = (&'static Slot, &'static Area)> {
    // SAFETY: null, or a `static` from `register`.
    let process = unsafe { REGISTERED.load(Acquire).as_ref() };
    let slots = process
        .into_iter()
        .flat_map(|process| [&process.first, &process.second]);
    slots.filter_map(|slot| Some((slot, slot.get()?)))
}

extern "C" fn before_fork() {
    for (_, area) in registered() {
        area.heap.lock();
        if let Some(segment) = &area.segment {
            let copy = segment.copy(area.heap.end_of_used() - segment.start().as_ptr() as usize);
            area.copy
                .store(copy.unwrap_or_else(|number| -number), Relaxed);
        }
    }
}

extern "C" fn after_fork() {
    for (_, area) in registered() {
        let copy = area.copy.swap(-1, Relaxed);
        if copy >= 0 {
            // SAFETY: made by `before_fork`.
            unsafe { libc::close(copy) };
        }
        area.heap.unlock();
    }
}

extern "C" fn after_fork_in_child() {
    for (slot, area) in registered() {
        let copy = area.copy.swap(-1, Relaxed);
        if area.segment.is_some() {
            // SAFETY: the child of a fork has one thread, this one, and `area` is not used in this block.
            let area = unsafe { (*slot.area.get()).assume_init_mut() };
            let replaced = match &mut area.segment {
                Some(segment) if copy >= 0 => segment.replace(copy).is_ok(),
                _ => false,
            };
            if !replaced {
                // To go on would be to write into the parent's memory.
                abort(&[b"iotdec: no memory for the heap of a forked process; it ends\n"]);
            }
        }
        area.heap.unlock();
    }
}
