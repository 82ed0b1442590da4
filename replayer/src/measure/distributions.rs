//! Distributions that belong together: a route's by stage, the lateness of the sends by cause.

use kingtide_common::latency::LatencyRecorder;

use super::sample::{ClientStage, LagParts, Sample};

/// One for each of [`ClientStage::ALL`].
#[derive(Debug, Clone, Default)]
pub struct StageRecorders([LatencyRecorder; ClientStage::ALL.len()]);

/// Of [`LagParts`].
#[derive(Debug, Clone, Default)]
pub struct LagRecorders {
    /// What the generator caused: the lag that gates look at.
    pub pacer: LatencyRecorder,
    pub connect: LatencyRecorder,
    pub dependency: LatencyRecorder,
}

impl StageRecorders {
    pub fn of(&self, stage: ClientStage) -> &LatencyRecorder {
        &self.0[stage as usize]
    }

    pub(super) fn count(&mut self, sample: &Sample) {
        for stage in ClientStage::ALL {
            let duration_ns = sample.stage_ns(stage).into_iter();
            duration_ns.for_each(|ns| self.0[stage as usize].record_ns(ns));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(stage, more)| stage.merge(more));
    }
}

impl LagRecorders {
    pub(super) fn count(&mut self, parts: LagParts) {
        self.pacer.record_ns(parts.pacer_ns);
        self.connect.record_ns(parts.connect_ns);
        self.dependency.record_ns(parts.dependency_ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.pacer.merge(&other.pacer);
        self.connect.merge(&other.connect);
        self.dependency.merge(&other.dependency);
    }
}
