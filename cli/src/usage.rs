//! Processor time, as the kernel accounts for it.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::time::Duration;

/// What this process has used, all threads together, without its children.
pub fn process_cpu() -> Duration {
    used(UsageWho::RUSAGE_SELF)
}

/// What children have used that were waited for; running ones do not show yet.
pub fn children_cpu() -> Duration {
    used(UsageWho::RUSAGE_CHILDREN)
}

fn used(who: UsageWho) -> Duration {
    // It fails for an unknown `who` only.
    getrusage(who).map_or(Duration::ZERO, |usage| {
        duration(usage.user_time()) + duration(usage.system_time())
    })
}

fn duration(time: TimeVal) -> Duration {
    Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_shows() {
        let before = process_cpu();
        while process_cpu() < before + Duration::from_millis(2) {
            std::hint::spin_loop();
        }
    }
}
