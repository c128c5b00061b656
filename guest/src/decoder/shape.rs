//! The shape of pixels.

/// The shape of a pixel if a picture of one size is to be shown at another: 0 unless
/// it differs from a square by more than what whole pixels explain.
pub fn pixel_shape((width, height): (u32, u32), to_show: (u32, u32)) -> [u32; 2] {
    let across = u64::from(to_show.0) * u64::from(height);
    let down = u64::from(to_show.1) * u64::from(width);
    let rounding = u64::from(width.max(height));
    if across == 0 || down == 0 || across.abs_diff(down) <= rounding {
        return [0; 2];
    }
    let divisor = gcd(across, down);
    let reduced = |value: u64| u32::try_from(value / divisor).unwrap_or(0);
    [reduced(across), reduced(down)]
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::pixel_shape;

    #[test]
    fn pixels_are_square_unless_more_than_rounding_says_otherwise() {
        assert_eq!(pixel_shape((640, 360), (640, 360)), [0, 0]);
        assert_eq!(pixel_shape((426, 240), (852, 480)), [0, 0]);
        assert_eq!(pixel_shape((427, 240), (1280, 720)), [0, 0]);
        assert_eq!(pixel_shape((720, 576), (1024, 576)), [64, 45]);
        assert_eq!(pixel_shape((720, 576), (0, 0)), [0, 0]);
    }
}
