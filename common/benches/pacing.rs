//! The arrival curve of an upload, noted piece by piece as the proxy reads it.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use kingtide_common::pacing::PacingCurve;

fn main() {
    divan::main();
}

/// What the pieces of an upload look like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A packet every 0.7 ms.
    Steady,
    /// The same at chance intervals.
    Jittered,
    /// Ten at once, then a pause.
    Bursts,
    /// Pauses and sizes of all scales: no curve draws it, and points come as fast as they can.
    Scattered,
}

const SHAPES: [Shape; 4] = [Shape::Steady, Shape::Jittered, Shape::Bursts, Shape::Scattered];

/// A 2 GB upload in packets would be five times as many; most have a few dozen.
#[divan::bench(args = SHAPES, consts = [4, 100, 300_000])]
fn notes<const COUNT: usize>(bencher: Bencher<'_, '_>, shape: Shape) {
    let arrivals = arrivals(shape, COUNT);
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        let mut curve = PacingCurve::default();
        for &(at_us, bytes) in &arrivals {
            curve.note(at_us, bytes);
        }
        black_box(curve.into_points())
    });
}

/// (µs, bytes so far) of each piece.
fn arrivals(shape: Shape, count: usize) -> Vec<(u64, u64)> {
    let (mut random, mut sum) = (1, (0, 0));
    let pieces = (0..count).map(|number| {
        let (pause_us, bytes) = piece(shape, number, next(&mut random));
        sum = (sum.0 + pause_us, sum.1 + bytes);
        sum
    });
    pieces.collect()
}

fn piece(shape: Shape, number: usize, random: u64) -> (u64, u64) {
    match shape {
        Shape::Steady => (700, 1_400),
        Shape::Jittered => (random % 1_400, 1 + random % 2_800),
        Shape::Bursts => (if number.is_multiple_of(10) { random % 200_000 } else { 0 }, 1_400),
        Shape::Scattered => (1 << (random % 20), 1 << (random / 32 % 16)),
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}
