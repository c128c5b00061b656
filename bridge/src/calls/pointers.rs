//! Data that pointers point to: copied if it is not shared, looked at when it comes back.

use super::call::Call;
use super::errno;
use super::error::{Kind, Record};
use super::exchange::{HostExchange, is_of_ended};
use super::lane::HostLane;
use super::process::workers;
use super::wrapper::State;
use iotdec_wire::lane::Descriptor;
use std::borrow::Cow;
use std::ptr::{copy_nonoverlapping, null_mut, write_bytes};

impl Call {
    /// `iotdec_take`
    #[inline]
    pub fn take_memory(&mut self, size: usize) -> *mut u8 {
        self.take(size)
    }

    /// Whether the library has so many bytes at the same address.
    pub(crate) fn shares(&mut self, address: *const u8, size: usize) -> bool {
        let worker = self.lane().map(|lane| &lane.worker);
        worker.is_some_and(|worker| worker.shares(address as u64, size as u64))
    }

    /// Whether memory crosses as it is: where it begins decides. If it goes on beyond what is
    /// shared, the size is not the memory's, and the library may think of it what it likes.
    pub fn is_there(&mut self, address: *const u8, size: usize) -> bool {
        self.shares(address, size.min(1))
    }

    /// `iotdec_in`
    ///
    /// # Safety
    /// `memory` is null or `size` bytes can be read from it.
    pub unsafe fn copy_in(&mut self, memory: *const u8, size: usize) -> *mut u8 {
        if memory.is_null() || self.is_there(memory, size) {
            return memory.cast_mut();
        }
        let copy = self.take(size);
        // SAFETY: the caller's promise; `take` gave so many bytes.
        unsafe { copy_nonoverlapping(memory, copy, size) };
        copy
    }

    /// `iotdec_out`
    ///
    /// # Safety
    /// `memory` is null or an address of the program's.
    pub unsafe fn room_for(&mut self, memory: *mut u8, size: usize) -> *mut u8 {
        if memory.is_null() || self.is_there(memory, size) {
            return memory;
        }
        let copy = self.take(size);
        // SAFETY: `take` gave so many bytes.
        unsafe { write_bytes(copy, 0, size) };
        copy
    }

    /// `iotdec_back`
    ///
    /// # Safety
    /// `copy` is what was given for `memory`, which has room for `size` bytes.
    pub unsafe fn copy_back(&mut self, memory: *mut u8, copy: *const u8, size: usize) {
        if !memory.is_null() && !std::ptr::eq(memory, copy) && !self.has_failed() {
            // SAFETY: the caller's promise.
            unsafe { copy_nonoverlapping(copy, memory, size) };
        }
    }

    /// `iotdec_give_function`
    #[inline]
    pub fn give_function(&mut self, function: u64, signature: u32) -> u64 {
        self.cross_function(|lane, state| lane.give_function(state, function, signature))
    }

    /// `iotdec_take_function`
    #[inline]
    pub fn take_function(&mut self, function: u64, signature: u32) -> u64 {
        self.cross_function(|lane, state| lane.take_function(state, function, signature))
    }

    /// A function's address on the other side, or null with an error.
    #[inline]
    fn cross_function(
        &mut self,
        address: impl FnOnce(&HostLane, &State) -> Result<u64, Box<Record>>,
    ) -> u64 {
        let Some((lane, state)) = self.parties() else {
            return 0;
        };
        let there = errno::keep(|| address(lane, state));
        there.unwrap_or_else(|record| {
            self.fail(record);
            0
        })
    }

    /// `iotdec_meet_function`
    pub fn meet_function(&mut self, function: u64, signature: u32) -> u64 {
        match self.parties() {
            Some((lane, state)) => errno::keep(|| lane.meet_function(state, function, signature)),
            None => function,
        }
    }

    /// `iotdec_check`
    pub fn check(&mut self, pointer: u64, size: usize) -> *mut u8 {
        self.check_or(pointer, size.max(1), || {
            "the library returned a pointer to memory that is not shared".into()
        })
    }

    /// `iotdec_check_or`
    #[inline]
    pub fn check_or<'a>(
        &mut self,
        pointer: u64,
        size: usize,
        text: impl FnOnce() -> Cow<'a, str>,
    ) -> *mut u8 {
        let address = pointer as *mut u8;
        if pointer == 0 || size == 0 || self.shares(address, size) {
            return address;
        }
        if !self.has_failed() {
            self.fail(Record::new(Kind::BadPointer, &text()).at(pointer));
        }
        null_mut()
    }

    /// `iotdec_check_string`
    pub fn check_string(&mut self, pointer: u64) -> *mut u8 {
        const STEP: u64 = 64;
        let start = self.check(pointer, 1);
        if start.is_null() {
            return start;
        }
        let mut at = pointer;
        while self.shares(at as *const u8, 1) {
            let end = (at / STEP + 1) * STEP;
            // SAFETY: shared, and so are all addresses up to a multiple of 64: segments are
            // made of pages.
            if (at..end).any(|at| unsafe { (at as *const u8).read_volatile() } == 0) {
                return start;
            }
            at = end;
        }
        let text = "the library returned text without an end";
        self.fail(Record::new(Kind::BadPointer, text).at(pointer));
        null_mut()
    }

    /// `iotdec_handle`
    pub fn check_handle(&mut self, handle: u64) -> u64 {
        if let Some(lane) = self.lane()
            && let Err(record) = errno::keep(|| lane.check_handle(handle))
        {
            self.fail(record);
        }
        handle
    }

    /// `iotdec_give_descriptor`
    pub fn give_descriptor(&mut self, descriptor: i32) -> i32 {
        let given = match self.lane() {
            Some(lane) => errno::keep(|| lane.worker.give_descriptor(descriptor)),
            None => return -1,
        };
        given.unwrap_or_else(|record| {
            self.fail(record);
            -1
        })
    }

    /// `iotdec_take_descriptors`
    pub fn take_descriptors(&mut self, descriptors: &mut [Descriptor]) {
        let Some(worker) = self.returned() else {
            return;
        };
        if self.has_failed() {
            return errno::keep(|| worker.close_descriptors(descriptors));
        }
        if let Err(record) = errno::keep(|| worker.take_descriptors(descriptors)) {
            self.fail(record);
        }
    }

    /// `iotdec_shared`
    pub fn check_shared(&mut self, pointer: u64, parameter: &str) -> u64 {
        if pointer == 0 || self.has_failed() || self.shares(pointer as *const u8, 1) {
            return pointer;
        }
        let record = if is_of_ended(pointer) {
            let text =
                format!("{parameter} points to memory of a library's process that has ended");
            Record::new(Kind::Stale, &text)
        } else {
            let text = format!(
                "{parameter} points to memory that the library cannot reach; allocate it with \
                 iotdec_malloc, or run the program with LD_PRELOAD=libiotdec-malloc.so"
            );
            Record::new(Kind::BadPointer, &text)
        };
        self.fail(record.at(pointer));
        pointer
    }
}

/// `iotdec_is_shared`
pub fn is_shared(address: u64, size: usize) -> bool {
    let size = size as u64;
    let of_worker = || {
        let mut workers = workers().into_iter();
        workers.any(|worker| !worker.is_over() && worker.shares(address, size))
    };
    errno::keep(|| {
        HostExchange::get().is_ok_and(|it| it.exchange.range().contains(address, size))
            || of_worker()
    })
}
