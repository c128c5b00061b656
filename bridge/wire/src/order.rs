//! The order of numbers that wrap: epochs, packets, frames.

/// Whether a count was `earlier` before it was `later`, which is less than half of all
/// numbers ahead.
pub fn is_before(earlier: u32, later: u32) -> bool {
    (later.wrapping_sub(earlier) as i32) > 0
}

#[cfg(test)]
mod tests {
    use super::is_before;

    #[test]
    fn numbers_wrap() {
        assert!(is_before(0, 1) && is_before(5, 1 << 31));
        assert!(is_before(u32::MAX, 0));
        assert!(!is_before(1, 1));
        assert!(!is_before(2, 1) && !is_before(0, u32::MAX));
    }
}
