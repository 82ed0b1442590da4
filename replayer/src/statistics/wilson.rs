//! Wilson's score interval of a share (Wilson 1927).
//!
//! Wilson's interval stays inside 0 to 1 and is right for small shares, where the textbook p ± z·√(p(1−p)/n) is empty at
//! p = 0.

/// Two-sided 95 %.
pub(crate) const Z_95: f64 = 1.959_963_985;

/// Lower and upper limit of `share` seen in `n` independent observations; 0 to 1 when there are none.
pub(crate) fn interval(share: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let z2 = z * z;
    let middle = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // At the ends the interval is closed, whatever rounding leaves.
    let low = if share <= 0.0 { 0.0 } else { ((middle - half) / scale).max(0.0) };
    let high = if share >= 1.0 { 1.0 } else { ((middle + half) / scale).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        let table = [
            (81.0, 263.0, 0.2553, 0.3662),
            (15.0, 148.0, 0.0624, 0.1605),
            (0.0, 20.0, 0.0, 0.1611),
            (1.0, 29.0, 0.0061, 0.1718),
        ];
        for (bad, n, low, high) in table {
            let (lower, upper) = interval(bad / n, n, Z_95);
            assert!((lower - low).abs() < 1e-4 && (upper - high).abs() < 1e-4, "{bad}/{n}: {lower} {upper}");
        }
        assert_eq!(interval(0.5, 0.0, Z_95), (0.0, 1.0));
        assert_eq!((interval(0.0, 1183.0, Z_95).0, interval(1.0, 1183.0, Z_95).1), (0.0, 1.0));
    }
}
