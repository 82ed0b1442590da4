//! From what was measured to the report's contract.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::recorder::RouteCounts;
use super::run::{CurvePoint, Gate, Percentiles, RouteReport, RunReport};
use super::verdict::{Evidence, judge};
use super::{ClientStage, ErrorClass};
use crate::drive::{Clock, Measured, planned_requests};
use crate::plan::Plan;
use crate::sessions::Session;
use kingtide_common::latency::LatencyRecorder;

const LAG_MS_P99_MAX: f64 = 10.0;
const LATE_SHARE_MAX: f64 = 0.01;
const SENT_SHARE_MIN: f64 = 0.99;
const UNRESOLVED_SHARE_MAX: f64 = 0.01;

/// What the report says beside the measurements.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The capture's name, as the user wrote it.
    pub capture: &'a str,
    /// The target's origin.
    pub target: &'a str,
    pub clock: Clock,
    pub plan: &'a Plan,
    pub sessions: &'a [Session],
    /// Share of the planned requests that may fail, 0 to 1.
    pub max_failed_share: f64,
    /// By window in seconds.
    pub dispersion_captured: BTreeMap<String, f64>,
    pub dispersion_planned: BTreeMap<String, f64>,
}

/// The report of a run, with its verdict.
pub fn report(context: &Context<'_>, measured: &Measured) -> RunReport {
    let recorder = &measured.recorder;
    let total = recorder.total();
    let planned = planned_requests(context.plan, context.sessions);
    let gates = gates(measured, planned);
    let errors = errors(measured);
    let named: Vec<(&str, u64)> = errors.iter().map(|(class, count)| (class.name(), *count)).collect();
    let evidence = Evidence {
        planned,
        failed: total.failed,
        hung: recorder.hung(),
        hung_oldest_s: recorder.hung_oldest_ns.map(seconds),
        errors: &named,
        worse_statuses: total.failed - errors.values().sum::<u64>(),
        interrupted: measured.is_interrupted,
    };
    let judgement = judge(&evidence, &gates, context.max_failed_share);
    RunReport {
        kingtide_version: env!("CARGO_PKG_VERSION").to_owned(),
        capture: context.capture.to_owned(),
        target: context.target.to_owned(),
        multiple: context.plan.multiple.get(),
        mode: context.plan.mode.to_string(),
        clock: context.clock.to_string(),
        seed: context.plan.seed.0,
        started: OffsetDateTime::from(measured.started).format(&Rfc3339).unwrap_or_default(),
        duration_s: measured.duration.as_secs_f64(),
        sessions_captured: context.sessions.len() as u64,
        sessions_planned: context.plan.clones.len() as u64,
        identities_distinct: recorder.identities,
        planned,
        sent: total.sent,
        done: total.done,
        unfinished: recorder.unfinished(),
        unfinished_oldest_s: recorder.unfinished_oldest_ns.map(seconds),
        failed: total.failed,
        errors: errors.iter().map(|(class, count)| (class.name().to_owned(), *count)).collect(),
        statuses: statuses(&total),
        files: total.upload.files,
        file_bytes: total.upload.file_bytes,
        body_bytes: total.upload.body_bytes,
        latency_ms: percentiles(total.latency.as_deref()),
        service_ms: percentiles(total.service.as_deref()),
        lag_ms: percentiles(Some(&recorder.lag)),
        dependency_delayed_share: share(recorder.dependency_delayed, total.sent),
        stages_ms: stages(measured),
        bindings: recorder.bindings,
        dispersion_captured: context.dispersion_captured.clone(),
        dispersion_planned: context.dispersion_planned.clone(),
        fidelity: gates,
        routes: routes(context, measured),
        series: recorder.series.seconds(),
        latency_curve: curve(total.latency.as_deref()),
        service_curve: curve(total.service.as_deref()),
        interrupted: measured.is_interrupted,
        verdict: judgement.verdict,
        reasons: judgement.reasons,
    }
}

/// Gates that make a run invalid when they fail: the generator did not do what it claims.
fn gates(measured: &Measured, planned: u64) -> BTreeMap<String, Gate> {
    let recorder = &measured.recorder;
    let total_sent = recorder.lag.count();
    let held_back = recorder.generator_failed() + recorder.withheld;
    let bindings = recorder.bindings;
    let gates = [
        at_most(
            "lag_ms_p99",
            recorder.lag.quantile_ms(0.99).unwrap_or(0.0),
            LAG_MS_P99_MAX,
            "how late the generator sent, ms at p99",
        ),
        at_most(
            "late_share",
            share(recorder.late, total_sent),
            LATE_SHARE_MAX,
            "share of sends over 10 ms late",
        ),
        at_least(
            "sent_share",
            1.0 - share(held_back, planned),
            SENT_SHARE_MIN,
            "share of the plan that the generator did not keep back itself",
        ),
        at_most(
            "unresolved_share",
            share(bindings.unresolved, bindings.resolved + bindings.unresolved),
            UNRESOLVED_SHARE_MAX,
            "share of the values that nothing supplied",
        ),
    ];
    gates.into_iter().map(|(name, gate)| (name.to_owned(), gate)).collect()
}

fn at_most(name: &'static str, value: f64, limit: f64, meaning: &str) -> (&'static str, Gate) {
    (name, Gate { value, limit, pass: value <= limit, meaning: format!("{meaning}; at most {limit}") })
}

fn at_least(name: &'static str, value: f64, limit: f64, meaning: &str) -> (&'static str, Gate) {
    (name, Gate { value, limit, pass: value >= limit, meaning: format!("{meaning}; at least {limit}") })
}

fn errors(measured: &Measured) -> BTreeMap<ErrorClass, u64> {
    let mut errors = BTreeMap::new();
    for (failure, count) in &measured.recorder.failures {
        *errors.entry(failure.class).or_default() += count;
    }
    errors
}

fn statuses(counts: &RouteCounts) -> BTreeMap<String, u64> {
    counts.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect()
}

fn stages(measured: &Measured) -> BTreeMap<String, Percentiles> {
    let stage =
        |stage: ClientStage| (stage.name().to_owned(), percentiles(measured.recorder.stages.get(&stage)));
    ClientStage::ALL.into_iter().map(stage).collect()
}

/// In the order of their first use in the capture.
fn routes(context: &Context<'_>, measured: &Measured) -> Vec<RouteReport> {
    let planned = planned_by_route(context, measured);
    let labels = measured.routes.labels().iter();
    let reports = labels.zip(&measured.recorder.routes).zip(planned);
    reports.map(|((label, counts), planned)| route_report(label, counts, planned)).collect()
}

fn planned_by_route(context: &Context<'_>, measured: &Measured) -> Vec<u64> {
    let mut planned = vec![0; measured.routes.labels().len()];
    for clone in &context.plan.clones {
        for step in 0..context.sessions[clone.session].steps.len() {
            planned[measured.routes.route(clone.session, step)] += 1;
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
        body_bytes: counts.upload.body_bytes,
        files: counts.upload.files,
        file_bytes: counts.upload.file_bytes,
        latency_ms: percentiles(counts.latency.as_deref()),
        service_ms: percentiles(counts.service.as_deref()),
    }
}

fn percentiles(recorder: Option<&LatencyRecorder>) -> Percentiles {
    let Some(recorder) = recorder else { return Percentiles::default() };
    Percentiles {
        count: recorder.count(),
        p50: recorder.quantile_ms(0.5),
        p95: recorder.quantile_ms(0.95),
        p99: recorder.quantile_ms(0.99),
        p999: recorder.quantile_ms(0.999),
        max: recorder.max_ms(),
    }
}

fn curve(recorder: Option<&LatencyRecorder>) -> Vec<CurvePoint> {
    let points = recorder.map(LatencyRecorder::curve_ms).unwrap_or_default();
    points.into_iter().map(|(share, ms)| CurvePoint { share, ms }).collect()
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
