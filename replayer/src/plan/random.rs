//! Random numbers that are the same on every machine.
//!
//! ChaCha8 seeded byte by byte, and only additions, multiplications and comparisons on top: `ln` and `cos`
//! may differ in the last bit between platforms, and a plan must not.

use kingtide_common::units::Seed;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// No normal draw lies further from 0.
pub(super) const NORMAL_MAX: f64 = 6.0;

/// A sequence of draws.
#[derive(Debug)]
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// Sequences of one seed with different purposes are independent.
    pub(crate) fn new(seed: Seed, purpose: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// The sequence of one block of draws; independent of those of other blocks and of [`Self::new`].
    pub(super) fn of_block(seed: Seed, purpose: u64, block: usize) -> Self {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip([seed.0, purpose, block as u64, 1]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..count; the bias is below 2⁻³² for any count that fits in memory.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        let product = u128::from(self.0.next_u64()) * count as u128;
        usize::try_from(product >> 64).expect("the product's upper half is below count")
    }

    /// Standard normal to within what a shift of starts needs: the sum of 12 uniforms less 6 (Irwin–Hall),
    /// exact in mean and variance, cut at ±6.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - NORMAL_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_fixed() {
        let mut draws = Draws::new(Seed(7), 1);
        let first: Vec<usize> = (0..6).map(|_| draws.index(1000)).collect();
        assert_eq!(first, [869, 53, 1, 600, 442, 54]);
        assert_ne!(Draws::new(Seed(7), 2).unit().to_bits(), Draws::new(Seed(7), 1).unit().to_bits());
        assert_ne!(Draws::new(Seed(8), 1).unit().to_bits(), Draws::new(Seed(7), 1).unit().to_bits());
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut draws = Draws::new(Seed(1), 0);
        let values: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
    }

    #[test]
    fn indices_reach_every_place() {
        let mut draws = Draws::new(Seed(1), 0);
        let mut counts = [0_u32; 5];
        (0..5000).for_each(|_| counts[draws.index(5)] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
