//! How far apart two recorded distributions are: the Kolmogorov–Smirnov distance, from histograms.
//!
//! Exact but for the buckets: durations within one thousandth of each other may count as equal.
//!
//! Plain, the distance is blind to how far values moved: that every answer takes 20.3 ms instead of 20.0 makes it 1.
//! With a [`Slack`] it is the largest difference that remains when each duration may be off by that much either way:
//! in words, by what share the durations are apart by more than that.

use super::{HIGHEST_NS, LatencyRecorder, bucket_of, highest_ns};

/// By how much durations may differ and be alike all the same: the larger of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slack {
    pub ns: u64,
    /// Of the duration.
    pub share: f64,
}

impl Slack {
    pub const NONE: Self = Self { ns: 0, share: 0.0 };

    /// The longest duration that is like this one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most some hours")]
    fn longest_ns(self, ns: u64) -> u64 {
        ns.saturating_add(self.ns.max((ns as f64 * self.share) as u64))
    }
}

impl LatencyRecorder {
    /// See the module; 0 to 1, `None` when either holds nothing.
    pub fn distance(&self, other: &Self, slack: Slack) -> Option<f64> {
        let is_told = self.count > 0 && other.count > 0;
        is_told.then(|| self.shorter_by(other, slack).max(other.shorter_by(self, slack)))
    }

    /// The largest F(x) − G(x + slack). F rises only at its buckets and the rest falls, so it lies at one of them.
    fn shorter_by(&self, other: &Self, slack: Slack) -> f64 {
        let share = |count: u64, of: &Self| count as f64 / of.count as f64;
        let mut others = other.buckets.iter().peekable();
        let (mut largest, mut upto, mut others_upto) = (0.0_f64, 0, 0);
        for (bucket, count) in &self.buckets {
            upto += count;
            let reach = bucket_of(slack.longest_ns(highest_ns(*bucket)).min(HIGHEST_NS));
            while let Some((_, count)) = others.next_if(|(bucket, _)| *bucket <= reach) {
                others_upto += count;
            }
            largest = largest.max(share(upto, self) - share(others_upto, other));
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const TENTH: Slack = Slack { ns: 2 * MS, share: 0.1 };

    fn recorder(durations_ms: &[u64]) -> LatencyRecorder {
        let mut recorder = LatencyRecorder::default();
        for ms in durations_ms {
            recorder.record_ns(ms * MS);
        }
        recorder
    }

    #[test]
    fn it_is_the_largest_step_between_two_distributions() {
        let cases: [(&[u64], &[u64], f64, f64); 8] = [
            (&[1, 2, 3, 4], &[4, 3, 2, 1], 0.0, 0.0),
            (&[1, 2, 3, 4], &[3, 4, 5, 6], 0.5, 0.0),
            (&[20, 20, 20, 20], &[21, 21, 21, 21], 1.0, 0.0),
            (&[20, 20, 20, 20], &[40, 40, 40, 40], 1.0, 1.0),
            (&[40, 40, 40, 40], &[20, 20, 20, 20], 1.0, 1.0),
            (&[1000, 1000], &[1090, 1200], 1.0, 0.5),
            (&[5], &[5, 5, 5, 50], 0.25, 0.25),
            (&[0, 86_400_000], &[0, 172_800_000], 0.0, 0.0),
        ];
        for (one, other, plain, beyond) in cases {
            let (one, other) = (recorder(one), recorder(other));
            let told = [one.distance(&other, Slack::NONE), one.distance(&other, TENTH)];
            assert_eq!(told, [Some(plain), Some(beyond)], "{one:?} {other:?}");
        }
        assert_eq!(recorder(&[]).distance(&recorder(&[1]), Slack::NONE), None);
        assert_eq!(recorder(&[1]).distance(&recorder(&[]), Slack::NONE), None);
    }

    proptest! {
        #[test]
        fn without_slack_it_is_what_the_definition_gives(
            one in prop::collection::vec(0..20_u64, 1..30), other in prop::collection::vec(0..20_u64, 1..30),
        ) {
            let share = |sample: &[u64], at: u64| {
                sample.iter().filter(|value| **value <= at).count() as f64 / sample.len() as f64
            };
            let defined = (0..20).map(|at| (share(&one, at) - share(&other, at)).abs()).fold(0.0, f64::max);
            let (one, other) = (recorder(&one), recorder(&other));
            let told = one.distance(&other, Slack::NONE).unwrap();
            prop_assert!((told - defined).abs() < 1e-12, "{told} {defined}");
            prop_assert_eq!(one.distance(&other, TENTH), other.distance(&one, TENTH));
            prop_assert!(one.distance(&other, TENTH).unwrap() <= told);
        }
    }
}
