//! `/status`: what is known of the proxy, as JSON. Its shape is proxy/schemas/status.json; times are
//! milliseconds, sizes bytes, instants RFC 3339.

use std::collections::BTreeMap;

use kingtide_common::ledger::Ledger;
use kingtide_common::stages::Stage;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::control::{BodyLimit, CaptureFacts, CaptureState, Facts, LogFacts, PeerFacts, QueueFacts};
use crate::clock::Clock;
use crate::config::Mode;
use crate::limits::LimitName;
use crate::metrics::{Distribution, Gauges, RouteTotals, Snapshot, answered_by_name};

type ByRoute<'a, T> = BTreeMap<&'a str, T>;

#[derive(Serialize)]
pub(super) struct Status<'a> {
    version: &'static str,
    started: String,
    uptime_s: f64,
    config: ConfigStatus<'a>,
    connections: Connections,
    in_flight: u64,
    uploads_in_flight: u64,
    spool_bytes: u64,
    routes: ByRoute<'a, RouteStatus>,
    stages: ByRoute<'a, BTreeMap<&'a str, Times>>,
    server_timing: ByRoute<'a, BTreeMap<&'a str, Times>>,
    request_body_bytes: Bodies<'a>,
    limits: ByRoute<'a, BTreeMap<&'a str, MetStatus>>,
    ledger: Ledger,
    capture: CaptureStatus,
    upstreams: &'a BTreeMap<String, Vec<PeerFacts>>,
    access_log: Option<LogFacts>,
}

#[derive(Serialize)]
struct ConfigStatus<'a> {
    digest: &'a str,
    loaded: String,
    reloads: u64,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Connections {
    open: u64,
    accepted: u64,
    refused: u64,
    lingering: u64,
    tls_handshakes: u64,
    tls_handshakes_failed: u64,
    listeners: Vec<Listener>,
}

#[derive(Serialize)]
struct Listener {
    address: String,
    open: u64,
    accepted: u64,
    refused: u64,
}

#[derive(Serialize)]
struct RouteStatus {
    requests: u64,
    received_bytes: u64,
    sent_bytes: u64,
    statuses: BTreeMap<u16, u64>,
    answered_by: BTreeMap<&'static str, u64>,
    ends: BTreeMap<String, u64>,
}

/// `sum_ms` lets who asks twice know the mean of the time between.
#[derive(Serialize)]
struct Times {
    count: u64,
    sum_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Serialize)]
struct Bodies<'a> {
    all: Sizes,
    routes: ByRoute<'a, RouteSizes>,
}

#[derive(Serialize)]
struct Sizes {
    count: u64,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

#[derive(Serialize)]
struct RouteSizes {
    #[serde(flatten)]
    sizes: Sizes,
    /// `client_max_body_size`; `null` where it is off.
    limit: Option<u64>,
    mode: Mode,
    /// Refused by it, or would have been: exact, unlike the quantiles.
    over_limit: u64,
}

#[derive(Serialize)]
struct MetStatus {
    refused: u64,
    shadowed: u64,
}

#[derive(Serialize)]
struct CaptureStatus {
    state: CaptureState,
    directory: Option<String>,
    since: Option<String>,
    error: Option<String>,
    users_forgotten: u64,
    queue: QueueFacts,
}

impl<'a> Status<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, gauges: &Gauges, facts: &'a Facts, clock: &Clock) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: rfc3339(clock, 0),
            uptime_s: ms(clock.now_ns() / 1_000_000),
            config: ConfigStatus {
                digest: &facts.config.digest,
                loaded: rfc3339(clock, facts.config.loaded_ns),
                reloads: facts.config.reloads,
                error: facts.config.error.as_deref(),
            },
            connections: connections(gauges),
            in_flight: gauges.requests_in_flight.get(),
            uploads_in_flight: gauges.uploads_in_flight.get(),
            spool_bytes: gauges.spool_bytes.get(),
            routes: by_route(snapshot, |_, totals| Some(route(totals))),
            stages: by_route(snapshot, |_, totals| Some(stages(totals))),
            server_timing: by_route(snapshot, |_, totals| server_timing(totals)),
            request_body_bytes: bodies(snapshot, &facts.body_limits),
            limits: by_route(snapshot, |_, totals| limits(totals)),
            ledger: facts.ledger,
            capture: capture(&facts.capture, clock),
            upstreams: &facts.upstreams,
            access_log: facts.access_log,
        }
    }
}

/// What there is to say about each route; routes without it are left out.
fn by_route<'a, T>(
    snapshot: &'a Snapshot,
    said: impl Fn(&str, &'a RouteTotals) -> Option<T>,
) -> ByRoute<'a, T> {
    let routes = snapshot.routes.iter();
    routes.filter_map(|(name, totals)| Some((&**name, said(name, totals)?))).collect()
}

fn rfc3339(clock: &Clock, at_ns: u64) -> String {
    let utc_ns = i128::from(clock.utc_ns(at_ns)) / 1_000_000 * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(utc_ns).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// From thousandths.
fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn connections(gauges: &Gauges) -> Connections {
    let listeners: Vec<Listener> = gauges
        .listeners()
        .iter()
        .map(|listener| Listener {
            address: listener.address.to_string(),
            open: listener.open.get(),
            accepted: listener.accepted.get(),
            refused: listener.refused.get(),
        })
        .collect();
    let sum = |of: fn(&Listener) -> u64| listeners.iter().map(of).sum();
    Connections {
        open: sum(|listener| listener.open),
        accepted: sum(|listener| listener.accepted),
        refused: sum(|listener| listener.refused),
        lingering: gauges.lingering.get(),
        tls_handshakes: gauges.tls_handshakes.get(),
        tls_handshakes_failed: gauges.tls_handshakes_failed.get(),
        listeners,
    }
}

fn route(totals: &RouteTotals) -> RouteStatus {
    let (mut statuses, mut answered_by) = (BTreeMap::new(), BTreeMap::new());
    for ((status, who), count) in totals.outcomes() {
        *statuses.entry(status).or_default() += count;
        *answered_by.entry(answered_by_name(who)).or_default() += count;
    }
    RouteStatus {
        requests: totals.requests(),
        received_bytes: totals.received_bytes(),
        sent_bytes: totals.sent_bytes(),
        statuses,
        answered_by,
        ends: totals.ends().map(|(end, count)| (end.iter().collect(), count)).collect(),
    }
}

fn stages(totals: &RouteTotals) -> BTreeMap<&'static str, Times> {
    totals.stages().map(|(stage, distribution)| (Stage::name(stage), times(distribution))).collect()
}

fn server_timing(totals: &RouteTotals) -> Option<BTreeMap<&str, Times>> {
    let timings: BTreeMap<_, _> =
        totals.timings().map(|(name, distribution)| (name, times(distribution))).collect();
    (!timings.is_empty()).then_some(timings)
}

fn times(distribution: &Distribution) -> Times {
    let quantile_ms = |quantile: f64| ms(distribution.quantile(quantile));
    Times {
        count: distribution.count(),
        sum_ms: ms(distribution.sum()),
        p50_ms: quantile_ms(0.5),
        p95_ms: quantile_ms(0.95),
        p99_ms: quantile_ms(0.99),
        max_ms: ms(distribution.max()),
    }
}

fn bodies<'a>(snapshot: &'a Snapshot, limits: &[BodyLimit]) -> Bodies<'a> {
    let mut all = Distribution::default();
    snapshot.routes.values().filter_map(RouteTotals::bodies).for_each(|bodies| all.merge(bodies));
    let limit_of = |route: &str| limits.iter().find(|limit| limit.route == route);
    Bodies {
        all: sizes(&all),
        routes: by_route(snapshot, |name, totals| route_sizes(totals, limit_of(name))),
    }
}

/// `None` for a route without request bodies.
fn route_sizes(totals: &RouteTotals, limit: Option<&BodyLimit>) -> Option<RouteSizes> {
    let met = totals.met(LimitName::ClientMaxBodySize);
    Some(RouteSizes {
        sizes: sizes(totals.bodies()?),
        limit: limit.map(|limit| limit.bytes),
        mode: limit.map_or(Mode::Off, |limit| limit.mode),
        over_limit: met.refused + met.shadowed,
    })
}

fn sizes(distribution: &Distribution) -> Sizes {
    Sizes {
        count: distribution.count(),
        p50: distribution.quantile(0.5),
        p95: distribution.quantile(0.95),
        p99: distribution.quantile(0.99),
        max: distribution.max(),
    }
}

fn limits(totals: &RouteTotals) -> Option<BTreeMap<&'static str, MetStatus>> {
    let met: BTreeMap<_, _> = totals
        .limits()
        .map(|(limit, met)| (limit.name(), MetStatus { refused: met.refused, shadowed: met.shadowed }))
        .collect();
    (!met.is_empty()).then_some(met)
}

fn capture(facts: &CaptureFacts, clock: &Clock) -> CaptureStatus {
    CaptureStatus {
        state: facts.state,
        directory: facts.directory.as_ref().map(|directory| directory.display().to_string()),
        since: facts.since_ns.map(|since_ns| rfc3339(clock, since_ns)),
        error: facts.error.clone(),
        users_forgotten: facts.users_forgotten,
        queue: facts.queue,
    }
}
