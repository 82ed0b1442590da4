//! How much load there is at any instant: phases, each of which goes to a level and holds it.
//!
//! Users are counted from the bottom: the k-th is there while the level is above k − 1. So the last to come are the first to go,
//! and at a constant rate the k-th comes (k − 1) / rate after the first. Who comes again after a dip is a new user.

use std::time::Duration;

use crate::model::Stay;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub phases: Vec<Phase>,
}

/// From the level before (0 at first) evenly to its own, and then that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    pub level: f64,
    pub over: Duration,
    pub hold: Duration,
}

/// A corner of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    pub at: Duration,
    pub level: f64,
}

impl Shape {
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.over + phase.hold).sum()
    }

    pub fn peak(&self) -> f64 {
        self.phases.iter().map(|phase| phase.level).fold(0.0, f64::max)
    }

    /// The curve, from 0 at the zero; a leap has two corners at one instant.
    pub fn corners(&self) -> Vec<Corner> {
        let mut at = Duration::ZERO;
        let mut corners = vec![Corner { at, level: 0.0 }];
        for phase in &self.phases {
            for span in [phase.over, phase.hold] {
                at += span;
                corners.push(Corner { at, level: phase.level });
            }
        }
        corners
    }

    /// After a leap, where one is.
    pub fn level_at(&self, at: Duration) -> f64 {
        let corners = self.corners();
        let reached = corners.partition_point(|corner| corner.at <= at);
        match (corners.get(reached.wrapping_sub(1)), corners.get(reached)) {
            (Some(from), Some(to)) => {
                let share = ratio(at.saturating_sub(from.at), to.at.saturating_sub(from.at));
                from.level + (to.level - from.level) * share
            }
            _ => 0.0,
        }
    }

    /// From when to when the level is at its peak, the longest such time.
    pub fn held(&self) -> (Duration, Duration) {
        let peak = self.peak();
        let mut begins = Duration::ZERO;
        let mut longest = (Duration::ZERO, Duration::ZERO);
        for phase in &self.phases {
            let (from, to) = (begins + phase.over, begins + phase.over + phase.hold);
            if phase.level >= peak && phase.hold > longest.1.saturating_sub(longest.0) {
                longest = (from, to);
            }
            begins = to;
        }
        longest
    }

    /// When each user comes and leaves, in order of their coming.
    pub fn stays(&self) -> Vec<Stay> {
        let corners = self.corners();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a peak is a number of users
        let users = self.peak().ceil() as usize;
        let mut stays: Vec<Stay> = (0..users).flat_map(|below| stays_above(&corners, below as f64)).collect();
        stays.sort();
        stays
    }

    /// The same with another peak.
    #[must_use]
    pub fn with_peak(&self, peak: f64) -> Self {
        let times = peak / self.peak();
        let phase = |phase: &Phase| Phase { level: phase.level * times, ..*phase };
        Self { phases: self.phases.iter().map(phase).collect() }
    }

    /// The same in another time: what is held becomes shorter or longer, what rises or falls only where there is no time for
    /// it within half of the whole.
    #[must_use]
    pub fn lasting(&self, duration: Duration) -> Self {
        let overs: Duration = self.phases.iter().map(|phase| phase.over).sum();
        let holds: Duration = self.phases.iter().map(|phase| phase.hold).sum();
        // Without any hold the whole is squeezed.
        let new_overs = if holds.is_zero() { duration } else { overs.min(duration / 2) };
        let by_over = ratio(new_overs, overs);
        let by_hold = ratio(duration.saturating_sub(new_overs), holds);
        let phase = |phase: &Phase| Phase {
            over: phase.over.mul_f64(by_over),
            hold: phase.hold.mul_f64(by_hold),
            ..*phase
        };
        Self { phases: self.phases.iter().map(phase).collect() }
    }
}

fn ratio(new: Duration, old: Duration) -> f64 {
    if old.is_zero() { 1.0 } else { new.as_secs_f64() / old.as_secs_f64() }
}

/// The times in which the curve is above a level.
fn stays_above(corners: &[Corner], below: f64) -> Vec<Stay> {
    let mut stays = Vec::new();
    let mut comes = None;
    for pair in corners.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let crossing = || {
            let share = (below - from.level) / (to.level - from.level);
            from.at + to.at.saturating_sub(from.at).mul_f64(share)
        };
        if from.level <= below && to.level > below {
            comes = Some(crossing());
        } else if from.level > below && to.level <= below {
            stays.extend(comes.take().map(|comes| Stay { comes, leaves: crossing() }));
        }
    }
    let end = corners.last().map_or(Duration::ZERO, |corner| corner.at);
    stays.extend(comes.map(|comes| Stay { comes, leaves: end }));
    stays.retain(|stay| stay.comes < stay.leaves);
    stays
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn phase(level: f64, over_s: u64, hold_s: u64) -> Phase {
        Phase { level, over: s(over_s), hold: s(hold_s) }
    }

    fn shape(phases: &[Phase]) -> Shape {
        Shape { phases: phases.to_vec() }
    }

    fn seconds(stays: &[Stay]) -> Vec<(f64, f64)> {
        stays.iter().map(|stay| (stay.comes.as_secs_f64(), stay.leaves.as_secs_f64())).collect()
    }

    #[test]
    fn users_come_at_their_rate_and_stay_to_the_end() {
        let stays = shape(&[phase(4.0, 2, 8)]).stays();
        assert_eq!(seconds(&stays), [(0.0, 10.0), (0.5, 10.0), (1.0, 10.0), (1.5, 10.0)]);
        let at_once = shape(&[phase(3.0, 0, 8)]).stays();
        assert_eq!(seconds(&at_once), [(0.0, 8.0); 3]);
    }

    #[test]
    fn the_last_to_come_are_the_first_to_go() {
        let spike = shape(&[phase(1.0, 0, 10), phase(3.0, 2, 4), phase(1.0, 2, 10)]);
        assert_eq!(seconds(&spike.stays()), [(0.0, 28.0), (10.0, 18.0), (11.0, 17.0)]);
        let steps = shape(&[phase(2.0, 0, 5), phase(1.0, 0, 5), phase(2.0, 0, 5)]);
        assert_eq!(seconds(&steps.stays()), [(0.0, 5.0), (0.0, 15.0), (10.0, 15.0)]);
    }

    #[test]
    fn the_level_and_the_longest_peak_are_those_of_the_phases() {
        let shape = shape(&[phase(10.0, 10, 20), phase(50.0, 0, 30), phase(0.0, 10, 5)]);
        for (at_s, level) in [
            (0, 0.0),
            (5, 5.0),
            (10, 10.0),
            (29, 10.0),
            (30, 50.0),
            (59, 50.0),
            (65, 25.0),
            (72, 0.0),
            (75, 0.0),
        ] {
            assert!((shape.level_at(s(at_s)) - level).abs() < 1e-9, "at {at_s} s");
        }
        assert_eq!((shape.held(), shape.peak(), shape.duration()), ((s(30), s(60)), 50.0, s(75)));
    }

    #[test]
    fn a_shorter_one_keeps_its_ramps_while_there_is_time_for_them() {
        let shape = shape(&[phase(20.0, 10, 290)]);
        assert_eq!(shape.lasting(s(30)).phases, [phase(20.0, 10, 20)]);
        assert_eq!(shape.lasting(s(10)).phases, [phase(20.0, 5, 5)]);
        let steps = super::Shape { phases: vec![phase(10.0, 0, 100), phase(50.0, 0, 100)] };
        assert_eq!(steps.lasting(s(20)).phases, [phase(10.0, 0, 10), phase(50.0, 0, 10)]);
        let ramp = super::Shape { phases: vec![phase(10.0, 60, 0)] };
        assert_eq!(ramp.lasting(s(20)).phases, [phase(10.0, 20, 0)]);
    }

    fn phases() -> impl Strategy<Value = Vec<Phase>> {
        let any = (0..20_u32, 0..30_u64, 1..30_u64);
        let phase = |(level, over, hold)| phase(f64::from(level), over, hold);
        prop::collection::vec(any.prop_map(phase), 1..6)
    }

    proptest! {
        #[test]
        fn at_every_instant_there_are_as_many_users_as_the_curve_says(phases in phases(), at_ms in 0..300_000_u64) {
            let shape = Shape { phases };
            let at = Duration::from_millis(at_ms);
            let there = shape.stays().iter().filter(|stay| stay.comes <= at && at < stay.leaves).count();
            let level = shape.level_at(at);
            // Where the curve passes a whole number the instants are rounded to nanoseconds.
            prop_assert!((there as f64 - level.ceil()).abs() < 1.0 + 1e-6, "{} for {}", there, level);
        }

        #[test]
        fn another_time_is_that_time(phases in phases(), seconds in 1..600_u64) {
            let shape = Shape { phases };
            let off = shape.lasting(s(seconds)).duration().abs_diff(s(seconds));
            prop_assert!(off < Duration::from_millis(1), "{:?}", off);
        }
    }
}
