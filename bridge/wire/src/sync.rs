//! Atomics from `core`, or loom's when the wake-up protocol is being modelled.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A sequentially consistent fence.
#[inline]
pub(crate) fn full_fence() {
    // What `fence` makes of it, mfence, takes three times as long as any locked instruction,
    // which orders memory that is written back just as well (Intel SDM, 9.2.3.9).
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: changes nothing but flags, below the red zone's top of our own stack.
    unsafe {
        core::arch::asm!("lock or dword ptr [rsp - 8], 0", options(nostack));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    fence(Ordering::SeqCst);
}

/// What a release store needs before it.
#[cfg(not(loom))]
#[inline]
pub(crate) fn release_fence() {
    // The same order as of `fence`, which also orders stores before later loads of others:
    // under emulation that costs, these two do not.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: barriers (Arm ARM, B2.3.9): loads before stores, stores before stores.
    unsafe {
        core::arch::asm!("dmb ishld", "dmb ishst", options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "aarch64", not(miri))))]
    fence(Ordering::Release);
}
