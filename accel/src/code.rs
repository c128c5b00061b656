//! Which of the guest's memory is code: what may be executed, as far as the guest's
//! system calls tell, and what was translated.

use std::collections::{BTreeMap, BTreeSet};

/// The size of a page, of the guest as of the host.
pub const PAGE: u64 = 4096;

/// The guest's memory, page by page.
#[derive(Debug)]
pub struct Code {
    /// Ranges that may be executed, by their start; they neither overlap nor touch.
    executable: BTreeMap<u64, u64>,
    /// Pages of which something was translated.
    translated: BTreeSet<u64>,
}

/// The pages that a range of the guest's memory touches: from, to.
fn pages(start: u64, length: u64) -> (u64, u64) {
    let end = start.saturating_add(length);
    (start & !(PAGE - 1), end.div_ceil(PAGE).saturating_mul(PAGE))
}

impl Code {
    /// Memory without code.
    pub const fn new() -> Self {
        Self {
            executable: BTreeMap::new(),
            translated: BTreeSet::new(),
        }
    }

    /// Notes whether a range may be executed from now on.
    pub fn set_executable(&mut self, start: u64, length: u64, is_executable: bool) {
        let (mut start, mut end) = pages(start, length);
        if start >= end {
            return;
        }
        // What touches or overlaps the range goes; what is outside of it comes back.
        let around: Vec<(u64, u64)> = self
            .executable
            .range(..=end)
            .rev()
            .map(|(from, to)| (*from, *to))
            .take_while(|(_, to)| *to >= start)
            .collect();
        for (from, to) in around {
            self.executable.remove(&from);
            if is_executable {
                (start, end) = (start.min(from), end.max(to));
                continue;
            }
            for (from, to) in [(from, to.min(start)), (from.max(end), to)] {
                if from < to {
                    self.executable.insert(from, to);
                }
            }
        }
        if is_executable {
            self.executable.insert(start, end);
        }
    }

    /// Whether this address may be executed.
    pub fn is_executable(&self, address: u64) -> bool {
        let before = self.executable.range(..=address).next_back();
        before.is_some_and(|(_, end)| address < *end)
    }

    /// Notes that something on this page is about to be translated.
    pub fn translate(&mut self, page: u64) {
        self.translated.insert(page);
    }

    /// The pages of a range of which something was translated; they are forgotten.
    pub fn forget(&mut self, start: u64, length: u64) -> Vec<u64> {
        let (start, end) = pages(start, length);
        let pages: Vec<u64> = self.translated.range(start..end).copied().collect();
        for page in &pages {
            self.translated.remove(page);
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_split() {
        let mut code = Code::new();
        let page = |number: u64| number * PAGE;
        // Against a plain set of pages.
        let mut plain = [false; 64];
        let mut random = 1u64;
        for _ in 0..2000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            let start = (random >> 40) % 64;
            let length = (random >> 50) % (64 - start + 1);
            let is_executable = random >> 63 == 0;
            code.set_executable(page(start), page(length), is_executable);
            plain[start as usize..(start + length) as usize].fill(is_executable);
            for (number, wanted) in (0..).zip(plain) {
                assert_eq!(code.is_executable(page(number)), wanted);
                assert_eq!(code.is_executable(page(number) + PAGE - 4), wanted);
            }
            let pairs: Vec<_> = code.executable.iter().collect();
            assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }

    #[test]
    fn translated_pages_are_told_once() {
        let mut code = Code::new();
        code.translate(PAGE);
        code.translate(3 * PAGE);
        assert_eq!(code.forget(PAGE + 8, 8), [PAGE]);
        assert_eq!(code.forget(0, u64::MAX), [3 * PAGE]);
        assert_eq!(code.forget(0, u64::MAX), [0; 0]);
    }
}
