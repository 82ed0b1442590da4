//! From what was measured to the report's contract.

use std::borrow::Cow;
use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use kingtide_common::latency::LatencyRecorder;

use super::achieved::{self, Achieved, Captured, Sides};
use super::distributions::{LagRecorders, StageRecorders};
use super::gates::{Gates, likeness, of_kind, share, validity};
use super::raw::SampleCounts;
use super::recorder::{Recorder, RouteCounts};
use super::run::{
    CurvePoint, FailureCount, GateKind, LagPartsReport, Percentiles, Quantiles, RouteReport, RunReport,
};
use super::series::SECONDS_MAX;
use super::verdict::{Evidence, judge};
use super::{ClientStage, ErrorClass, in_flight};
use crate::drive::{Clock, Measured, Uplink, planned_requests};
use crate::guard::abort::Aborted;
use crate::headroom::Headroom;
use crate::plan::Plan;
use crate::plan::dispersion::label;
use crate::plan::fidelity::{DispersionCheck, Fidelity};
use crate::preflight::Preflight;
use crate::report::format::counted;
use crate::sessions::Outlines;

/// What the report says beside the measurements.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The capture's name, as the user wrote it.
    pub capture: &'a str,
    /// The target's origin.
    pub target: &'a str,
    pub clock: Clock,
    pub uplink: Uplink,
    pub plan: &'a Plan,
    pub sessions: &'a Outlines,
    /// What was captured of what is measured.
    pub captured: &'a Captured,
    /// Share of the planned requests that may fail, 0 to 1.
    pub max_failed_share: f64,
    /// Somebody's traffic, not a model's.
    pub is_recorded: bool,
    /// How like the capture the plan is.
    pub fidelity: &'a Fidelity,
    pub preflight: &'a Preflight,
    /// When it was asked for.
    pub headroom: Option<&'a Headroom>,
    /// What else a reader must know: damage and gaps of the capture, as sentences.
    pub cautions: &'a [String],
    /// The file of raw samples.
    pub samples: Option<SampleCounts>,
    /// Why the run was ended before its time, if not by its user.
    pub aborted: Option<&'a Aborted>,
    /// What was created was asked for.
    pub lists_created: bool,
}

/// The report of a run, with its verdict.
pub fn report(context: &Context<'_>, measured: &Measured) -> RunReport {
    let recorder = &measured.recorder;
    let total = recorder.total();
    let whole = planned_requests(context.plan, context.sessions);
    // What users had no time for is no part of what was planned.
    let planned = whole.saturating_sub(total.left);
    let judged = judged(context, measured);
    let called_off = recorder.withheld - judged.withheld;
    let let_go = planned.saturating_sub(called_off);
    let mut valid = validity(&judged, whole.saturating_sub(called_off));
    valid.insert(in_flight::GATE.to_owned(), measured.in_flight.gate());
    let has_stays = context.plan.has_stays();
    let like = if has_stays { Gates::new() } else { likeness(context.fidelity) };
    let achieved = achieved(context, measured);
    let (paced, sent_like) = achieved_gates(context, &achieved, total.sent);
    let valid = valid.into_iter().chain(paced).collect();
    let evidence = Evidence {
        planned: let_go,
        failed: total.failed,
        hung: recorder.hung(),
        hung_oldest_s: recorder.hung_oldest_ns.map(seconds),
        errors: &errors(recorder),
        worse_statuses: total.failed - recorder.failures.values().sum::<u64>(),
        interrupted: context.aborted.is_none() && is_cut_short(measured),
        aborted: context.aborted,
        mode: context.plan.mode,
    };
    let distinct = recorder.distinct.report();
    let judgement = judge(&evidence, &valid, &like, context.max_failed_share);
    let missing_samples = context.samples.as_ref().and_then(SampleCounts::caution);
    let cautions = all_cautions(context, measured, &total);
    let dependency_delayed_share = share(recorder.dependency_delayed, total.sent);
    // What was cut short is like nothing, and says so already.
    let is_whole = !evidence.interrupted && evidence.aborted.is_none();
    let unlike = is_whole.then(|| achieved::cautions(&sent_like, dependency_delayed_share));
    let unlike = unlike.unwrap_or_default();
    RunReport {
        kingtide_version: env!("CARGO_PKG_VERSION").to_owned(),
        capture: context.capture.to_owned(),
        target: context.target.to_owned(),
        multiple: context.plan.multiple.get(),
        mode: context.plan.mode.to_string(),
        clock: context.clock.to_string(),
        uplink: context.uplink.to_string(),
        seed: context.plan.seed.0,
        started: OffsetDateTime::from(measured.started).format(&Rfc3339).unwrap_or_default(),
        preflight: context.preflight.clone(),
        headroom: context.headroom.cloned(),
        duration_s: measured.duration.as_secs_f64(),
        sessions_captured: context.sessions.len() as u64,
        sessions_planned: context.plan.users() as u64,
        identities_distinct: distinct.identities,
        distinct,
        clients: measured.clients.clone(),
        http: recorder.http.clone(),
        planned,
        sent: total.sent,
        done: total.done,
        unfinished: recorder.unfinished(),
        unfinished_oldest_s: recorder.unfinished_oldest_ns.map(seconds),
        failed: total.failed,
        errors: evidence.errors.iter().map(|(class, count)| ((*class).to_owned(), *count)).collect(),
        failures: failures(recorder),
        withheld: recorder.withheld,
        reconnects: recorder.reconnects,
        attempts: recorder.attempts.clone(),
        in_flight: measured.in_flight,
        approximated: recorder.approximated,
        statuses: statuses(&total),
        files: total.upload.files,
        file_bytes: total.upload.file_bytes,
        body_bytes: total.upload.body_bytes,
        sent_bytes: total.traffic.sent_bytes,
        received_bytes: total.traffic.received_bytes,
        latency_ms: Percentiles::of(&total.latency),
        latency_quantiles_ms: Quantiles::of(&total.latency),
        latency_clamped: total.latency.clamped(),
        service_ms: Percentiles::of(&total.service),
        lag_ms: Percentiles::of(&recorder.lag.pacer),
        lag_parts_ms: lag_parts(&recorder.lag),
        dependency_delayed_share,
        stages_ms: stages(&total.stages),
        held_at_send_end: recorder.held,
        bindings: recorder.bindings,
        dispersion_captured: windows(context, |check| check.captured),
        dispersion_target: windows(context, |check| check.target),
        dispersion_planned: windows(context, |check| check.planned),
        achieved,
        fidelity: of_kind(GateKind::Validity, valid)
            .chain(of_kind(GateKind::Likeness, like.into_iter().chain(sent_like).collect()))
            .collect(),
        routes: routes(context, measured),
        series: recorder.series.seconds(),
        latency_curve: curve(&total.latency),
        service_curve: curve(&total.service),
        samples: context.samples.clone(),
        scenario: None,
        interrupted: evidence.interrupted,
        created: context.lists_created.then(|| recorder.created.counts()),
        aborted: context.aborted.cloned(),
        verdict: judgement.verdict,
        reasons: judgement.reasons.into_iter().chain(unlike).chain(cautions).chain(missing_samples).collect(),
    }
}

fn achieved(context: &Context<'_>, measured: &Measured) -> Achieved {
    achieved::compare(&Sides {
        plan: context.plan,
        captured: context.captured,
        outlines: context.sessions,
        fidelity: context.fidelity,
        routes: &measured.routes,
        recorder: &measured.recorder,
        protocols: measured.protocols,
    })
}

fn achieved_gates(context: &Context<'_>, achieved: &Achieved, sent: u64) -> (Gates, Gates) {
    let is_capture = is_the_capture_again(context);
    if context.plan.has_stays() {
        return (achieved::validity(achieved, sent), Gates::new());
    }
    (achieved::validity(achieved, sent), achieved::likeness(achieved, sent, is_capture))
}

/// Only then the target should answer as the captured one did.
fn is_the_capture_again(context: &Context<'_>) -> bool {
    let is_once = (context.plan.multiple.get() - 1.0).abs() < f64::EPSILON;
    is_once && !context.plan.is_drawn() && context.is_recorded && context.uplink == Uplink::Recorded
}

/// Of the windows that have the value.
fn windows(context: &Context<'_>, value: impl Fn(&DispersionCheck) -> Option<f64>) -> BTreeMap<String, f64> {
    let checks = context.fidelity.dispersion.iter();
    checks.filter_map(|check| Some((label(check.window_s), value(check)?))).collect()
}

/// What the run is judged by. What a rule kept back for the target's sake was not for this generator to send.
fn judged<'a>(context: &Context<'_>, measured: &'a Measured) -> Cow<'a, Recorder> {
    let mut recorder = Cow::Borrowed(&measured.recorder);
    if context.aborted.is_some_and(|aborted| aborted.cause.is_the_targets()) {
        recorder.to_mut().withheld = 0;
    }
    recorder
}

/// A stop that came when nothing was left to send or to cut off is none.
fn is_cut_short(measured: &Measured) -> bool {
    let cut_off = measured.recorder.errors(ErrorClass::CutOff);
    measured.is_interrupted && measured.recorder.withheld + cut_off > 0
}

/// Those of the run, of its plan, of this machine and of the capture.
fn all_cautions(context: &Context<'_>, measured: &Measured, total: &RouteCounts) -> Vec<String> {
    let of_plan = context.uplink.caution().into_iter().chain(context.fidelity.cautions(context.plan));
    let tight = context.preflight.warnings().map(|warning| format!("before the run: {warning}"));
    let tight = tight.chain(context.headroom.and_then(Headroom::caution));
    let of_run = cautions(measured, total).into_iter();
    of_run.chain(of_plan).chain(tight).chain(context.cautions.iter().cloned()).collect()
}

/// What makes the numbers less than they seem, as sentences.
fn cautions(measured: &Measured, total: &RouteCounts) -> Vec<String> {
    let approximated = measured.recorder.approximated;
    let filler = (approximated > 0).then(|| {
        format!(
            "{} went out with filler of the captured size, because the capture does not hold the body: \
             refusals of these (4xx) do not count as failures",
            counted(approximated, "request")
        )
    });
    let clamped = total.latency.clamped();
    let over_a_day = (clamped > 0)
        .then(|| format!("{} over 24 h, counted with a latency of 24 h", counted(clamped, "request")));
    let is_long = measured.duration.as_secs() >= SECONDS_MAX as u64;
    let cut_series = is_long.then(|| {
        format!("the series ends after {} h: its last second holds all that came later", SECONDS_MAX / 3600)
    });
    let attempts = measured.recorder.attempts.cautions(total.sent);
    let stopped = measured.in_flight.caution();
    let (held, http) = (measured.recorder.held.caution(), measured.recorder.http.caution());
    let others = [filler, over_a_day, cut_series, stopped, held, http];
    others.into_iter().flatten().chain(attempts).collect()
}

/// By class, whatever the stage.
fn errors(recorder: &Recorder) -> Vec<(&'static str, u64)> {
    let mut errors: BTreeMap<ErrorClass, u64> = BTreeMap::new();
    for (failure, count) in &recorder.failures {
        *errors.entry(failure.class).or_default() += count;
    }
    errors.into_iter().map(|(class, count)| (class.name(), count)).collect()
}

fn failures(recorder: &Recorder) -> Vec<FailureCount> {
    let failures = recorder.failures.iter();
    failures
        .map(|(failure, count)| FailureCount { class: failure.class, stage: failure.stage, count: *count })
        .collect()
}

fn statuses(counts: &RouteCounts) -> BTreeMap<String, u64> {
    counts.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect()
}

fn stages(recorders: &StageRecorders) -> BTreeMap<String, Percentiles> {
    ClientStage::ALL
        .into_iter()
        .map(|stage| (stage.name().to_owned(), Percentiles::of(recorders.of(stage))))
        .collect()
}

fn lag_parts(recorders: &LagRecorders) -> LagPartsReport {
    LagPartsReport {
        pacer: Percentiles::of(&recorders.pacer),
        connect: Percentiles::of(&recorders.connect),
        dependency: Percentiles::of(&recorders.dependency),
    }
}

/// In the order of their first use in the capture.
fn routes(context: &Context<'_>, measured: &Measured) -> Vec<RouteReport> {
    let planned = planned_by_route(context, measured);
    let labels = measured.routes.labels().iter();
    let reports = labels.zip(&measured.recorder.routes).zip(planned);
    reports
        .map(|((label, counts), planned)| route_report(label, counts, planned.saturating_sub(counts.left)))
        .collect()
}

fn failures_of_route(counts: &RouteCounts) -> BTreeMap<String, u64> {
    let errors = counts.errors.iter().map(|(class, count)| (class.name().to_owned(), *count));
    errors.chain(counts.worse.iter().map(|(status, count)| (format!("status {status}"), *count))).collect()
}

fn planned_by_route(context: &Context<'_>, measured: &Measured) -> Vec<u64> {
    let mut planned = vec![0; measured.routes.labels().len()];
    for clone in context.plan.clones() {
        for step in context.plan.steps(clone, context.sessions) {
            planned[measured.routes.of_template(step.route)] += 1;
        }
    }
    planned
}

fn route_report(label: &str, counts: &RouteCounts, planned: u64) -> RouteReport {
    RouteReport {
        route: label.to_owned(),
        planned,
        sent: counts.sent,
        done: counts.done,
        failed: counts.failed,
        statuses: statuses(counts),
        failures: failures_of_route(counts),
        body_bytes: counts.upload.body_bytes,
        files: counts.upload.files,
        file_bytes: counts.upload.file_bytes,
        sent_bytes: counts.traffic.sent_bytes,
        received_bytes: counts.traffic.received_bytes,
        latency_ms: Percentiles::of(&counts.latency),
        latency_quantiles_ms: Quantiles::of(&counts.latency),
        service_ms: Percentiles::of(&counts.service),
        stages_ms: stages(&counts.stages),
    }
}

fn curve(recorder: &LatencyRecorder) -> Vec<CurvePoint> {
    recorder.curve_ms().into_iter().map(|(share, ms)| CurvePoint { share, ms }).collect()
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
