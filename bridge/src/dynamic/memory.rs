//! Memory that the program and its libraries have at the same address.

use super::CallError;
use crate::calls::heap::heap;
use crate::calls::pointers::is_shared;
use bytemuck::Pod;
use std::ffi::{CString, c_void};
use std::marker::PhantomData;

/// So many `T` in shared memory, zero at first; freed when dropped.
///
/// The library may write there whenever it runs, so there are no references to what is
/// inside, only copies.
#[derive(Debug)]
pub struct Memory<T: Pod> {
    address: u64,
    count: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> Memory<T> {
    const ALIGNED: () = assert!(align_of::<T>() <= 16);

    pub(super) fn new(count: usize) -> Result<Self, CallError> {
        let () = Self::ALIGNED;
        let address = (heap().calloc)(count.max(1), size_of::<T>().max(1)) as u64;
        let memory = Self {
            address,
            count,
            kind: PhantomData,
        };
        // Without shared memory the heap is private, and the library cannot reach it.
        if address == 0 || !is_shared(address, memory.size()) {
            return Err(CallError::Memory(count.saturating_mul(size_of::<T>())));
        }
        Ok(memory)
    }

    fn size(&self) -> usize {
        self.count * size_of::<T>()
    }

    /// Where it is, on both sides.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What is there now.
    pub fn read(&self) -> Vec<T> {
        // SAFETY: allocated, so mapped, and it stays so.
        unsafe { copy_out(self.address, self.count) }
    }

    /// Writes values to its beginning.
    ///
    /// # Panics
    /// There are more than there is room for.
    pub fn write(&self, values: &[T]) {
        assert!(values.len() <= self.count, "more values than memory");
        let to = self.address as *mut T;
        // SAFETY: so many bytes are allocated; nobody has a reference to them.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len()) };
    }

    /// Leaves it to the library, which frees it.
    pub fn give(self) -> u64 {
        std::mem::ManuallyDrop::new(self).address
    }
}

impl<T: Pod> Drop for Memory<T> {
    fn drop(&mut self) {
        // The library may have freed it already, rightly or not.
        (heap().try_free)(self.address as *mut c_void);
    }
}

/// # Safety
/// So many are mapped at the address.
unsafe fn copy_out<T: Pod>(address: u64, count: usize) -> Vec<T> {
    let mut values = vec![T::zeroed(); count];
    let size = count * size_of::<T>();
    // SAFETY: the caller's promise; bytes, so of any alignment, and any are a value.
    unsafe {
        let to = values.as_mut_ptr().cast::<u8>();
        std::ptr::copy_nonoverlapping(address as *const u8, to, size);
    }
    values
}

/// Copies of what is anywhere in shared memory.
pub(super) fn read<T: Pod>(address: u64, count: usize) -> Result<Vec<T>, CallError> {
    let size = count.checked_mul(size_of::<T>());
    if !size.is_some_and(|size| is_shared(address, size)) {
        return Err(CallError::NotShared(address));
    }
    // SAFETY: shared memory stays mapped.
    Ok(unsafe { copy_out(address, count) })
}

/// A copy of a string anywhere in shared memory.
pub(super) fn read_string(address: u64) -> Result<CString, CallError> {
    // Memory is shared by pages, so never just a part of these bytes.
    const STEP: u64 = 64;
    let mut text = Vec::new();
    let mut from = address;
    loop {
        let until = (from / STEP + 1) * STEP;
        let piece =
            read::<u8>(from, (until - from) as usize).map_err(|_| CallError::NotShared(address))?;
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            text.extend(&piece[..end]);
            return Ok(CString::new(text).expect("without a zero"));
        }
        text.extend(piece);
        from = until;
    }
}
