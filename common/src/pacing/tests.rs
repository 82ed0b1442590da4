use proptest::prelude::*;

use super::*;

/// (µs, bytes so far) of each piece.
type Arrivals = Vec<(u64, u64)>;

fn curve(arrivals: &[(u64, u64)]) -> Vec<PacingPoint> {
    let mut curve = PacingCurve::default();
    for &(at_us, bytes) in arrivals {
        curve.note(at_us, bytes);
    }
    curve.into_points()
}

/// Of pieces given by the pause before them and their size.
fn arrivals(pieces: impl IntoIterator<Item = (u64, u64)>) -> Arrivals {
    let sums = pieces.into_iter().scan((0, 0), |sum, (pause_us, bytes)| {
        *sum = (sum.0 + pause_us, sum.1 + bytes);
        Some(*sum)
    });
    sums.collect()
}

/// First and last byte of each piece with its instant. Within a piece all came at once and the curve only
/// grows, so that no byte of it is further off than one of these.
fn bytes(arrivals: &[(u64, u64)]) -> impl Iterator<Item = (u64, u64)> {
    let befores = std::iter::once(0).chain(arrivals.iter().map(|&(_, bytes)| bytes));
    befores.zip(arrivals).flat_map(|(before, &(at_us, bytes))| [(before + 1, at_us), (bytes, at_us)])
}

fn error_us(arrivals: &[(u64, u64)], points: &[PacingPoint]) -> u64 {
    bytes(arrivals).map(|(byte, at_us)| due_us(points, byte).abs_diff(at_us)).max().unwrap()
}

/// All that the module promises of a curve. `due_us` rounds to the microsecond.
fn assert_keeps_its_word(arrivals: &[(u64, u64)], points: &[PacingPoint]) {
    let bound_us = error_us_max(points);
    let (first, last) = (points[0], points[points.len() - 1]);
    assert!(points.len() <= POINTS_MAX, "{} points", points.len());
    assert_eq!((first.at_us, (last.at_us, last.bytes)), (arrivals[0].0, *arrivals.last().unwrap()));
    for pair in points.windows(2) {
        assert!(pair[0].at_us <= pair[1].at_us && pair[0].bytes < pair[1].bytes, "{pair:?}");
    }
    for point in points {
        assert!(bytes(arrivals).any(|byte| byte == (point.bytes, point.at_us)), "{point:?} did not come");
    }
    let error_us = error_us(arrivals, points);
    assert!(error_us <= bound_us + 1, "{error_us} µs off, {bound_us} are stated");
    for pair in arrivals.windows(2) {
        let (before, stall_us) = (pair[0].1, pair[1].0 - pair[0].0);
        let kept_us = due_us(points, before + 1) - due_us(points, before);
        assert!(kept_us.abs_diff(stall_us) <= 2 * (bound_us + 1), "a stall of {stall_us} µs is {kept_us}");
    }
}

#[test]
fn a_body_that_comes_with_its_headers_is_one_point() {
    assert_eq!(curve(&[(120, 433)]), [PacingPoint { at_us: 120, bytes: 433 }]);
    assert!(curve(&[]).is_empty());
    assert!(curve(&[(10, 0)]).is_empty());
}

#[test]
fn a_wait_before_the_first_byte_is_kept() {
    let points = curve(&[(5_000_000, 433)]);
    assert_eq!([1, 2, 433].map(|byte| due_us(&points, byte)), [5_000_000; 3]);
}

#[test]
fn a_steady_upload_is_a_straight_line() {
    let points = curve(&arrivals((0..10_000).map(|_| (700, 1_400))));
    assert_eq!(points.len(), 2, "{points:?}");
}

#[test]
fn a_byte_a_second_stays_one() {
    let points = curve(&arrivals((0..3_600).map(|_| (1_000_000, 1))));
    let instants = (1..=3_600).map(|byte| due_us(&points, byte));
    assert!(instants.eq((1..=3_600).map(|second| second * 1_000_000)), "{points:?}");
}

#[test]
fn a_stall_in_a_long_upload_keeps_its_length() {
    let stalled = (0..100_000_u64).map(|n| match n {
        50_000 => (61_000_000, 65_536),
        n => (n * 7_919 % 1_400, 1 + n * 104_729 % 2_800),
    });
    let arrivals = arrivals(stalled);
    let points = curve(&arrivals);
    let before = arrivals[49_999].1;
    assert_eq!(due_us(&points, before + 1) - due_us(&points, before), 61_000_000);
    assert_keeps_its_word(&arrivals, &points);
}

#[test]
fn memory_is_bounded_however_long_the_upload() {
    // Powers of two by chance: no number of points would draw that.
    let mut curve = PacingCurve::default();
    let (mut random, mut sum) = (1_u64, (0, 0));
    for _ in 0..300_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sum = (sum.0 + (1 << (random >> 60)), sum.1 + (1 << (random >> 40 & 15)));
        curve.note(sum.0, sum.1);
        assert!(curve.points.len() < BUFFERED_MAX && curve.points.capacity() <= BUFFERED_MAX);
    }
    assert_eq!(curve.into_points().last(), Some(&PacingPoint { at_us: sum.0, bytes: sum.1 }));
}

#[test]
fn what_adds_nothing_is_no_arrival_and_time_does_not_run_back() {
    let points = curve(&[(2_000, 10), (9_000, 10), (5_000, 20), (4_000, 30)]);
    assert_eq!([10, 20, 30].map(|byte| due_us(&points, byte)), [2_000, 5_000, 5_000]);
}

fn pieces(
    pause_us: impl Strategy<Value = u64>,
    bytes: impl Strategy<Value = u64>,
) -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((pause_us, bytes), 1..600)
}

/// A power of two, each exponent as likely.
fn power(exponents: std::ops::Range<u32>) -> impl Strategy<Value = u64> {
    exponents.prop_flat_map(|exponent| (1_u64 << exponent)..(2 << exponent))
}

fn steady() -> impl Strategy<Value = Vec<(u64, u64)>> {
    pieces(0_u64..2_000, 1_000_u64..2_000)
}

fn bursts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    pieces(prop_oneof![9 => Just(0_u64), 1 => 1_000_u64..1_000_000], 1_u64..65_536)
}

fn stalls() -> impl Strategy<Value = Vec<(u64, u64)>> {
    pieces(prop_oneof![50 => 0_u64..3_000, 1 => 1_000_000_u64..90_000_000], 1_u64..3_000)
}

fn drips() -> impl Strategy<Value = Vec<(u64, u64)>> {
    pieces(900_000_u64..1_100_000, Just(1))
}

/// All scales at once, in time and bytes.
fn scattered() -> impl Strategy<Value = Vec<(u64, u64)>> {
    pieces(power(0..28), power(0..20))
}

/// Ever slower, or ever faster: the same error is ever less, or ever more, of what has been.
fn geometric() -> impl Strategy<Value = Vec<(u64, u64)>> {
    (101_u64..120, 60_usize..200, any::<bool>()).prop_map(|(percent, count, is_reversed)| {
        let grown = std::iter::successors(Some(100), |last| Some(last * percent / 100));
        let grown: Vec<u64> = grown.take(count).collect();
        let mut pieces: Vec<_> = grown.iter().copied().zip(grown.iter().rev().copied()).collect();
        if is_reversed {
            pieces.reverse();
        }
        pieces
    })
}

/// Stairs of one size: each chord that leaves one out is off by all of it.
fn stairs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    (20_usize..400, 1_001_u64..100_000, 2_u64..100_000)
        .prop_map(|(count, pause_us, bytes)| vec![(pause_us, bytes); count])
}

proptest! {
    #[test]
    fn every_curve_keeps_its_word(
        pieces in prop_oneof![steady(), bursts(), stalls(), drips(), scattered(), geometric(), stairs()],
        first_us in prop_oneof![Just(0_u64), 0_u64..100_000_000],
    ) {
        let arrivals: Arrivals =
            arrivals(pieces).into_iter().map(|(at_us, bytes)| (first_us + at_us, bytes)).collect();
        assert_keeps_its_word(&arrivals, &curve(&arrivals));
    }

    #[test]
    fn no_byte_is_further_off_than_the_ends_of_pieces(pieces in pieces(power(0..20), 1_u64..30)) {
        let arrivals = arrivals(pieces);
        let points = curve(&arrivals);
        let came_us = |byte: u64| arrivals[arrivals.partition_point(|arrival| arrival.1 < byte)].0;
        let all = 1..=arrivals.last().unwrap().1;
        let error_us = all.map(|byte| due_us(&points, byte).abs_diff(came_us(byte))).max().unwrap();
        prop_assert_eq!(error_us, super::tests::error_us(&arrivals, &points));
    }
}
