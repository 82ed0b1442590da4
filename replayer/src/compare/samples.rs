//! The samples of a run by route and second.

use std::collections::BTreeMap;
use std::path::Path;

use super::estimate::Times;
use crate::measure::raw::read;
use crate::measure::{ClientStage, Sample};
use crate::statistics::ratio::Count;

/// More than that, 300 MB, are left out, which the comparison says.
const SAMPLES_MAX: usize = 5_000_000;
/// Longer runs are read this far.
const SECONDS_MAX: u64 = 7 * 24 * 3600;
const NS_PER_S: u64 = 1_000_000_000;

/// Of one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    pub(super) routes: BTreeMap<String, RouteSamples>,
    /// From the start to the last planned request.
    pub(super) seconds: usize,
    pub(super) count: usize,
}

/// Times in ms, each with the second that its request was planned for.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteSamples {
    failed: BTreeMap<u32, Count>,
    latency: Vec<(u32, f64)>,
    stages: BTreeMap<ClientStage, Vec<(u32, f64)>>,
}

impl Samples {
    pub(super) fn read(path: &Path) -> csv::Result<Self> {
        let mut samples = Self::default();
        read::each(path, |route, sample| samples.add(route, &sample))?;
        Ok(samples)
    }

    pub(super) fn add(&mut self, route: &str, sample: &Sample) {
        let second = sample.intended_ns / NS_PER_S;
        if self.count >= SAMPLES_MAX || second >= SECONDS_MAX {
            return;
        }
        let second = u32::try_from(second).expect("cut above");
        self.count += 1;
        self.seconds = self.seconds.max(second as usize + 1);
        if !self.routes.contains_key(route) {
            self.routes.insert(route.to_owned(), RouteSamples::default());
        }
        self.routes.get_mut(route).expect("it is there").add(second, sample);
    }

    /// Of all routes together.
    pub(super) fn all(&self) -> RouteSamples {
        let mut all = RouteSamples::default();
        self.routes.values().for_each(|route| all.merge(route));
        all
    }
}

impl RouteSamples {
    fn add(&mut self, second: u32, sample: &Sample) {
        let count = self.failed.entry(second).or_default();
        count.asked += 1.0;
        count.counted += f64::from(u8::from(sample.outcome.is_failed()));
        self.latency.extend(sample.counted_latency_ns().map(|ns| (second, ms(ns))));
        for stage in ClientStage::ALL {
            if let Some(ns) = sample.stage_ns(stage) {
                self.stages.entry(stage).or_default().push((second, ms(ns)));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (second, of_other) in &other.failed {
            let count = self.failed.entry(*second).or_default();
            count.asked += of_other.asked;
            count.counted += of_other.counted;
        }
        self.latency.extend_from_slice(&other.latency);
        for (stage, times) in &other.stages {
            self.stages.entry(*stage).or_default().extend_from_slice(times);
        }
    }

    /// By second.
    pub(super) fn failed(&self, seconds: usize) -> Vec<Count> {
        let second = |at| u32::try_from(at).ok().and_then(|at| self.failed.get(&at)).copied();
        (0..seconds).map(|at| second(at).unwrap_or_default()).collect()
    }

    pub(super) fn latency(&self, seconds: usize) -> Times {
        Times::of(self.latency.clone(), seconds)
    }

    pub(super) fn stage(&self, stage: ClientStage, seconds: usize) -> Times {
        Times::of(self.stages.get(&stage).cloned().unwrap_or_default(), seconds)
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
