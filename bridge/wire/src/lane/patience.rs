//! How long to look before sleeping.

/// Between two looks. Under emulation nothing: a hint would leave the translated code.
#[inline]
pub(super) fn relax() {
    #[cfg(not(target_arch = "aarch64"))]
    core::hint::spin_loop();
}

/// How long a side spins before it sleeps.
///
/// A sleep and the wake-up that ends it cost 5 to 60 µs, mostly of the peer's time, so
/// spinning that long at most doubles the cost of any wait. If spinning does not pay,
/// because the peer is slow or the machine has more threads than cores, it gets shorter;
/// every now and then a long one finds out whether that has changed.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) spins: u32,
    misses: u32,
}

impl Patience {
    /// About 50 µs: looks with a pause in between on the host, without in the guest.
    const LONG: u32 = if cfg!(target_arch = "aarch64") {
        16384
    } else {
        Self::TIGHT + 1024
    };
    /// Looks before the first pause: a pause takes as long as half a call.
    pub(super) const TIGHT: u32 = 512;
    const SHORT: u32 = Self::TIGHT / 2;
    /// Of so many misses one had a long spin.
    const PROBE: u32 = 8;

    #[inline]
    pub(super) fn hit(&mut self) {
        if self.spins != Self::LONG {
            self.spins = Self::LONG.min(self.spins * 2);
        }
    }

    pub(super) fn miss(&mut self) {
        self.misses = self.misses.wrapping_add(1);
        self.spins = if self.misses.is_multiple_of(Self::PROBE) {
            Self::LONG
        } else {
            Self::SHORT.max(self.spins / 4)
        };
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            spins: Self::LONG,
            misses: 0,
        }
    }
}
