//! Counts and distributions of one worker, or of a whole run after merging.
//!
//! Every planned request ends in exactly one call of [`Recorder::ended`] or [`Recorder::withheld`], or is a
//! captured retry that was not needed, or is left by a user whose time was over; a request that was sent had exactly one call
//! of [`Recorder::sent`] before. So planned = done + failures without an answer + withheld + retries not needed + left, which
//! [`super::gates`] checks on every run.

use std::collections::BTreeMap;

use kingtide_common::exchange::ServerTiming;
use kingtide_common::latency::LatencyRecorder;

use super::achieved::Sends;
use super::attainment::Attainment;
use super::attempts::Attempts;
use super::clients::Handshakes;
use super::created::Created;
use super::distinct::Distinct;
use super::distributions::{LagRecorders, StageRecorders};
use super::held::HeldCounts;
use super::http::HttpCounts;
use super::kept::Kept;
use super::run::BindingCounts;
use super::sample::{ErrorClass, Failure, Outcome, Sample, Side, Traffic, Upload};
use super::series::{End, Series};

/// A send later than this is late enough to change what the target sees.
pub const LATE_NS: u64 = 10_000_000;
/// A wait for a value or a turn longer than this counts as delayed by dependency.
pub const DEPENDENCY_DELAY_NS: u64 = 1_000_000;

/// Counts of one route.
#[derive(Debug, Clone, Default)]
pub struct RouteCounts {
    pub ended: u64,
    pub sent: u64,
    pub done: u64,
    pub failed: u64,
    /// Those that their users had no time for: planned only for the case of quick answers.
    pub left: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// Without a complete answer.
    pub errors: BTreeMap<ErrorClass, u64>,
    /// Answers worse than the captured ones.
    pub worse: BTreeMap<u16, u64>,
    pub upload: Upload,
    pub traffic: Traffic,
    /// Answers from intended, and the ages of what hung.
    pub latency: LatencyRecorder,
    pub service: LatencyRecorder,
    pub stages: StageRecorders,
}

/// How the request was prepared; counted when it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preparation {
    pub bindings: BindingCounts,
    /// Its body is not in the capture: same size, other bytes.
    pub is_approximated: bool,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    pub routes: Vec<RouteCounts>,
    pub lag: LagRecorders,
    pub held: HeldCounts,
    pub sends: Sends,
    pub failures: BTreeMap<Failure, u64>,
    pub series: Series,
    /// Against the service level of a capacity search.
    pub attainment: Attainment,
    /// Whole samples, where somebody asks for them.
    pub kept: Kept,
    /// Ids of what was created, where somebody asks for them.
    pub created: Created,
    pub bindings: BindingCounts,
    /// Sends later than [`LATE_NS`].
    pub late: u64,
    pub dependency_delayed: u64,
    /// The longest that a worker did not get to run.
    pub stall_ns_max: u64,
    /// Bodies of the right size only.
    pub approximated: u64,
    /// Kept connections that the target had closed and that were opened again.
    pub reconnects: u64,
    pub attempts: Attempts,
    /// Planned requests that were not released because the user stopped the run.
    pub withheld: u64,
    /// Longest age among the unfinished.
    pub unfinished_oldest_ns: Option<u64>,
    /// Longest age among all that got no answer: unfinished or timed out.
    pub hung_oldest_ns: Option<u64>,
    pub distinct: Distinct,
    pub handshakes: Handshakes,
    pub http: HttpCounts,
}

impl Recorder {
    /// For routes numbered from 0.
    pub fn new(routes: usize) -> Self {
        Self { routes: vec![RouteCounts::default(); routes], ..Self::default() }
    }

    /// The first byte of a request was handed to the socket.
    pub fn sent(&mut self, at_ns: u64) {
        self.series.sent(at_ns);
    }

    pub fn prepared(&mut self, preparation: Preparation) {
        self.bindings.resolved += preparation.bindings.resolved;
        self.bindings.unresolved += preparation.bindings.unresolved;
        self.approximated += u64::from(preparation.is_approximated);
    }

    /// The plan wants a request sent then, with a body that takes so long by its pacing.
    pub fn scheduled(&mut self, at_ns: u64, upload_ns: u64) {
        self.series.planned(at_ns);
        self.sends.scheduled(at_ns, upload_ns);
    }

    /// A planned request that the user's stop kept back.
    pub fn withheld(&mut self, requests: u64) {
        self.withheld += requests;
    }

    /// A request of a user whose time was over.
    pub fn left(&mut self, route: usize) {
        self.routes[route].left += 1;
    }

    /// A planned request ended; returns what the live counters need of it.
    pub fn ended(&mut self, sample: &Sample) -> End {
        let end = end_of(sample);
        self.series.ended(&end);
        self.count_schedule(sample);
        self.attainment.ended(sample);
        self.held.add(sample);
        self.sends.ended(sample);
        if let Outcome::Failed(failure) = sample.outcome {
            self.count_failure(failure, sample.latency_ns());
        }
        self.routes[sample.route].count(sample, &end);
        end
    }

    /// Chooses among whole samples; beside [`Self::ended`].
    pub fn keep(&mut self, sample: &Sample, server: impl FnOnce() -> Vec<ServerTiming>) {
        self.kept.add(sample, server);
    }

    /// Adds everything of another recorder, exactly.
    pub fn merge(&mut self, other: &Self) {
        let routes = self.routes.len().max(other.routes.len());
        self.routes.resize_with(routes, RouteCounts::default);
        self.routes.iter_mut().zip(&other.routes).for_each(|(route, more)| route.merge(more));
        self.lag.merge(&other.lag);
        self.held.merge(other.held);
        self.sends.merge(&other.sends);
        other.failures.iter().for_each(|(failure, more)| *self.failures.entry(*failure).or_default() += more);
        self.series.merge(&other.series);
        self.attainment.merge(&other.attainment);
        self.kept.merge(&other.kept);
        self.created.merge(&other.created);
        self.bindings.resolved += other.bindings.resolved;
        self.bindings.unresolved += other.bindings.unresolved;
        self.late += other.late;
        self.dependency_delayed += other.dependency_delayed;
        self.stall_ns_max = self.stall_ns_max.max(other.stall_ns_max);
        self.approximated += other.approximated;
        self.reconnects += other.reconnects;
        self.attempts.merge(&other.attempts);
        self.withheld += other.withheld;
        self.unfinished_oldest_ns = self.unfinished_oldest_ns.max(other.unfinished_oldest_ns);
        self.hung_oldest_ns = self.hung_oldest_ns.max(other.hung_oldest_ns);
        self.distinct.merge(&other.distinct);
        self.handshakes.merge(other.handshakes);
        self.http.merge(&other.http);
    }

    /// Sum over the routes.
    pub fn total(&self) -> RouteCounts {
        let mut total = RouteCounts::default();
        self.routes.iter().for_each(|route| total.merge(route));
        total
    }

    /// What a request that no plan holds (a login for a new token) took on the wire.
    pub fn beside_the_plan(&mut self, route: usize, traffic: Traffic) {
        self.routes[route].traffic.add(traffic);
    }

    /// Planned requests accounted for.
    pub fn planned(&self) -> u64 {
        self.routes.iter().map(|route| route.ended + route.left).sum::<u64>()
            + self.withheld
            + self.attempts.retry_not_needed
    }

    /// What users had no time for.
    pub fn left_by_all(&self) -> u64 {
        self.routes.iter().map(|route| route.left).sum()
    }

    /// Failures of one class, whatever their stage.
    pub fn errors(&self, class: ErrorClass) -> u64 {
        self.count_where(|failure| failure.class == class)
    }

    pub fn unfinished(&self) -> u64 {
        self.count_where(|failure| failure.class.is_unfinished())
    }

    /// Requests that the target left without an answer.
    pub fn hung(&self) -> u64 {
        self.count_where(|failure| failure.class.is_hang())
    }

    /// Requests that this machine could not send.
    pub fn generator_failed(&self) -> u64 {
        self.count_where(|failure| failure.class.side() == Side::Generator)
    }

    fn count_where(&self, wanted: impl Fn(&Failure) -> bool) -> u64 {
        self.failures.iter().filter(|(failure, _)| wanted(failure)).map(|(_, count)| count).sum()
    }

    fn count_schedule(&mut self, sample: &Sample) {
        let Some(parts) = sample.lag_parts() else { return };
        self.lag.count(parts);
        self.late += u64::from(parts.pacer_ns > LATE_NS);
        self.dependency_delayed += u64::from(parts.dependency_ns > DEPENDENCY_DELAY_NS);
    }

    fn count_failure(&mut self, failure: Failure, age_ns: u64) {
        *self.failures.entry(failure).or_default() += 1;
        if failure.class.is_unfinished() {
            self.unfinished_oldest_ns = self.unfinished_oldest_ns.max(Some(age_ns));
        }
        if failure.class.is_hang() {
            self.hung_oldest_ns = self.hung_oldest_ns.max(Some(age_ns));
        }
    }
}

impl RouteCounts {
    fn count(&mut self, sample: &Sample, end: &End) {
        self.ended += 1;
        self.sent += u64::from(end.was_sent);
        self.done += u64::from(end.is_done);
        self.failed += u64::from(end.is_failed);
        match sample.outcome {
            Outcome::Answered { status, worse } => {
                *self.statuses.entry(status).or_default() += 1;
                if worse {
                    *self.worse.entry(status).or_default() += 1;
                }
            }
            Outcome::Failed(failure) => *self.errors.entry(failure.class).or_default() += 1,
        }
        if sample.body_done_ns.is_some() {
            self.upload.add(sample.upload);
        }
        self.traffic.add(sample.traffic);
        self.stages.count(sample);
        if let Some(latency_ns) = end.latency_ns {
            self.latency.record_ns(latency_ns);
            sample.service_ns().into_iter().for_each(|ns| self.service.record_ns(ns));
        }
    }

    /// Adds everything of another, exactly.
    pub fn merge(&mut self, other: &Self) {
        self.ended += other.ended;
        self.sent += other.sent;
        self.done += other.done;
        self.failed += other.failed;
        self.left += other.left;
        other.statuses.iter().for_each(|(status, more)| *self.statuses.entry(*status).or_default() += more);
        other.errors.iter().for_each(|(class, more)| *self.errors.entry(*class).or_default() += more);
        other.worse.iter().for_each(|(status, more)| *self.worse.entry(*status).or_default() += more);
        self.upload.add(other.upload);
        self.traffic.add(other.traffic);
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.stages.merge(&other.stages);
    }
}

impl Traffic {
    pub(super) fn add(&mut self, other: Self) {
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

impl Upload {
    fn add(&mut self, other: Self) {
        self.body_bytes += other.body_bytes;
        self.files += other.files;
        self.file_bytes += other.file_bytes;
    }
}

/// Answers have a latency, and what hung counts with its age. A refusal or a reset does not: it would
/// make a failing target look quick.
fn end_of(sample: &Sample) -> End {
    End {
        at_ns: sample.ended_ns,
        was_sent: sample.sent_ns.is_some(),
        is_done: matches!(sample.outcome, Outcome::Answered { .. }),
        is_failed: sample.outcome.is_failed(),
        is_given_up: matches!(sample.outcome, Outcome::Failed(failure) if failure.class.is_silence()),
        latency_ns: sample.counted_latency_ns(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::ClientStage;

    const MS: u64 = 1_000_000;

    pub(crate) fn answered(status: u16, worse: bool) -> Sample {
        Sample {
            route: 0,
            clone: 7,
            step: 2,
            intended_ns: 10 * MS,
            ready_ns: 12 * MS,
            dependency_ns: 2 * MS,
            connect_ns: None,
            sent_ns: Some(13 * MS),
            resent_ns: None,
            body_done_ns: Some(20 * MS),
            first_byte_ns: Some(50 * MS),
            ended_ns: 60 * MS,
            upload: Upload { body_bytes: 1_000, files: 1, file_bytes: 900 },
            traffic: Traffic { sent_bytes: 1_300, received_bytes: 250 },
            held_bytes: None,
            outcome: Outcome::Answered { status, worse },
        }
    }

    pub(in crate::measure) fn failed(class: ErrorClass) -> Sample {
        let failure = Failure { class, stage: Some(ClientStage::Wait) };
        Sample { outcome: Outcome::Failed(failure), body_done_ns: None, ..answered(0, false) }
    }

    #[test]
    fn latency_counts_from_intended_and_lag_only_what_the_generator_caused() {
        let mut recorder = Recorder::new(1);
        recorder.ended(&answered(201, false));
        let total = recorder.total();
        let p50 = |recorder: &LatencyRecorder| recorder.quantile_ms(0.5).unwrap().round();
        assert_eq!((p50(&total.latency), p50(&total.service)), (50.0, 47.0));
        assert_eq!((p50(&recorder.lag.pacer), recorder.dependency_delayed, recorder.late), (1.0, 1, 0));
        assert_eq!((p50(&recorder.lag.connect), p50(&recorder.lag.dependency)), (0.0, 2.0));
        let stages = ClientStage::ALL.map(|stage| total.stages.of(stage).quantile_ms(0.5).map(f64::round));
        assert_eq!(stages, [None, Some(7.0), Some(30.0), Some(10.0)]);
        assert_eq!(total.traffic, Traffic { sent_bytes: 1_300, received_bytes: 250 });
        assert_eq!(total.upload, Upload { body_bytes: 1_000, files: 1, file_bytes: 900 });
    }

    #[test]
    fn a_hang_counts_with_its_age_and_a_reset_does_not_look_quick() {
        let mut recorder = Recorder::new(1);
        recorder.ended(&Sample { ended_ns: 45_210 * MS, ..failed(ErrorClass::Unfinished) });
        recorder.ended(&Sample { ended_ns: 30_010 * MS, ..failed(ErrorClass::Timeout) });
        recorder.ended(&failed(ErrorClass::Reset));
        recorder.ended(&Sample { sent_ns: None, ..failed(ErrorClass::NotSent) });
        assert_eq!((recorder.unfinished(), recorder.hung()), (2, 3));
        assert_eq!(recorder.unfinished_oldest_ns, Some(45_200 * MS));
        let total = recorder.total();
        assert_eq!((total.ended, total.sent, total.done, total.failed), (4, 3, 0, 4));
        assert_eq!(total.latency.count(), 3);
        assert_eq!(total.upload, Upload::default());
    }

    #[test]
    fn what_a_user_has_no_time_for_is_accounted_for_and_neither_sent_nor_failed() {
        let mut recorder = Recorder::new(2);
        recorder.ended(&answered(200, false));
        recorder.left(1);
        recorder.left(1);
        let total = recorder.total();
        assert_eq!((recorder.planned(), recorder.left_by_all()), (3, 2));
        assert_eq!((total.ended, total.sent, total.failed, total.left), (1, 1, 0, 2));
    }

    #[test]
    fn merged_recorders_equal_one() {
        let (mut whole, mut left, mut right) = (Recorder::new(1), Recorder::new(1), Recorder::new(1));
        let samples = [answered(200, false), answered(500, true), failed(ErrorClass::Timeout)];
        for (index, sample) in samples.iter().enumerate() {
            whole.ended(sample);
            if index == 1 { &mut left } else { &mut right }.ended(sample);
        }
        left.merge(&right);
        let (merged, whole_total) = (left.total(), whole.total());
        assert_eq!(merged.statuses, whole_total.statuses);
        assert_eq!((merged.done, merged.failed, merged.upload), (2, 2, whole_total.upload));
        assert_eq!((merged.latency, merged.traffic), (whole_total.latency, whole_total.traffic));
        let wait = ClientStage::Wait;
        assert_eq!(merged.stages.of(wait), whole_total.stages.of(wait));
        assert_eq!((&left.lag.pacer, left.held), (&whole.lag.pacer, whole.held));
        assert_eq!(left.series, whole.series);
        assert_eq!(left.failures, whole.failures);
    }
}
