//! The metrics as Prometheus reads them (text format 0.0.4).
//!
//! Written by hand: the rules are few, and the counts live in our own histograms. A test reads it back
//! strictly.

use std::fmt::{Display, Write as _};

use super::{Distribution, Gauges, RouteTotals, Snapshot, answered_by_name};
use crate::admin::{CaptureState, Facts};
use crate::clock::Clock;

/// Upper bounds of buckets of times, microseconds.
const TIME_BOUNDS_US: [u64; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];
/// Upper bounds of buckets of sizes, bytes: sizes that `client_max_body_size` is set to.
const SIZE_BOUNDS: [u64; 13] = [
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    128 << 10,
    256 << 10,
    512 << 10,
    1 << 20,
    2 << 20,
    4 << 20,
    8 << 20,
    16 << 20,
    64 << 20,
];

type Labels<'a> = &'a [(&'a str, &'a str)];

/// All metrics.
pub(crate) fn exposition(snapshot: &Snapshot, gauges: &Gauges, facts: &Facts, clock: &Clock) -> String {
    let mut text = Text(String::with_capacity(64 << 10));
    process(&mut text, facts, clock);
    requests(&mut text, snapshot);
    times(&mut text, snapshot);
    limits(&mut text, snapshot);
    now(&mut text, gauges);
    connections(&mut text, gauges);
    upstreams(&mut text, facts);
    capture(&mut text, facts);
    access_log(&mut text, facts);
    text.0
}

fn process(text: &mut Text, facts: &Facts, clock: &Clock) {
    text.family("kingtide_info", "gauge", "Version and configuration.");
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("config_digest", facts.config.digest.as_str())];
    text.sample("kingtide_info", &labels, 1);
    text.single("kingtide_uptime_seconds", "gauge", "Since the start.", seconds(clock.now_ns() / 1000));
    let loaded_s = clock.utc_ns(facts.config.loaded_ns) as f64 / 1e9;
    text.single("kingtide_config_loaded_timestamp_seconds", "gauge", "When it was read.", loaded_s);
    text.single("kingtide_config_reloads_total", "counter", "Since the start.", facts.config.reloads);
}

fn requests(text: &mut Text, snapshot: &Snapshot) {
    text.family(
        "kingtide_requests_total",
        "counter",
        "Requests that are over, by the status that is logged.",
    );
    for (route, totals) in &snapshot.routes {
        for ((status, answered_by), count) in totals.outcomes() {
            let (status, answered_by) = (status.to_string(), answered_by_name(answered_by));
            let labels = [("route", &**route), ("status", &status), ("answered_by", answered_by)];
            text.sample("kingtide_requests_total", &labels, count);
        }
    }
    text.family("kingtide_requests_ended_total", "counter", "By who ended them and when; -- is complete.");
    for (route, totals) in &snapshot.routes {
        for (end, count) in totals.ends() {
            let end = String::from_iter(end);
            text.sample("kingtide_requests_ended_total", &[("route", route), ("end", &end)], count);
        }
    }
    let received = "Heads and bodies of requests.";
    bytes(text, snapshot, "kingtide_received_bytes_total", received, RouteTotals::received_bytes);
    bytes(text, snapshot, "kingtide_sent_bytes_total", "Answers, with framing.", RouteTotals::sent_bytes);
}

fn bytes(text: &mut Text, snapshot: &Snapshot, name: &str, help: &str, count: fn(&RouteTotals) -> u64) {
    text.family(name, "counter", help);
    for (route, totals) in &snapshot.routes {
        text.sample(name, &[("route", route)], count(totals));
    }
}

fn times(text: &mut Text, snapshot: &Snapshot) {
    text.family("kingtide_stage_seconds", "histogram", "Stages of requests.");
    for (route, totals) in &snapshot.routes {
        for (stage, distribution) in totals.stages() {
            text.times("kingtide_stage_seconds", &[("route", route), ("stage", stage.name())], distribution);
        }
    }
    text.family(
        "kingtide_server_timing_seconds",
        "histogram",
        "Inner stages of the backend (Server-Timing).",
    );
    for (route, totals) in &snapshot.routes {
        for (name, distribution) in totals.timings() {
            text.times("kingtide_server_timing_seconds", &[("route", route), ("name", name)], distribution);
        }
    }
    text.family("kingtide_request_body_bytes", "histogram", "Request bodies, refused ones as declared.");
    for (route, totals) in &snapshot.routes {
        if let Some(bodies) = totals.bodies() {
            let bounds = SIZE_BOUNDS.map(|bound| bound as f64);
            let counts = (&bounds[..], bodies.cumulative(&SIZE_BOUNDS));
            text.histogram("kingtide_request_body_bytes", &[("route", route)], counts, bodies, bodies.sum());
        }
    }
}

fn limits(text: &mut Text, snapshot: &Snapshot) {
    text.family("kingtide_limit_refused_total", "counter", "Requests that a limit refused.");
    for (route, totals) in &snapshot.routes {
        for (limit, met) in totals.limits() {
            let labels = [("route", &**route), ("limit", limit.name())];
            text.sample("kingtide_limit_refused_total", &labels, met.refused);
        }
    }
    text.family(
        "kingtide_limit_shadowed_total",
        "counter",
        "Requests that a limit in shadow would have refused.",
    );
    for (route, totals) in &snapshot.routes {
        for (limit, met) in totals.limits() {
            let labels = [("route", &**route), ("limit", limit.name())];
            text.sample("kingtide_limit_shadowed_total", &labels, met.shadowed);
        }
    }
}

fn now(text: &mut Text, gauges: &Gauges) {
    let gauge = "gauge";
    text.single("kingtide_requests_in_flight", gauge, "Not over yet.", gauges.requests_in_flight.get());
    text.single("kingtide_uploads_in_flight", gauge, "Bodies on their way.", gauges.uploads_in_flight.get());
    text.single("kingtide_connections_lingering", gauge, "Only read to their end.", gauges.lingering.get());
    text.single("kingtide_spool_bytes", gauge, "Spooled uploads on disk.", gauges.spool_bytes.get());
    text.family("kingtide_tls_handshakes_total", "counter", "By result.");
    for (result, count) in [("ok", &gauges.tls_handshakes), ("failed", &gauges.tls_handshakes_failed)] {
        text.sample("kingtide_tls_handshakes_total", &[("result", result)], count.get());
    }
}

fn connections(text: &mut Text, gauges: &Gauges) {
    let listeners = gauges.listeners();
    let mut family = |name: &str, kind: &str, help: &str, count: fn(&super::ListenerGauges) -> u64| {
        text.family(name, kind, help);
        for listener in &listeners {
            text.sample(name, &[("listener", &listener.address.to_string())], count(listener));
        }
    };
    family("kingtide_connections_open", "gauge", "Of clients.", |listener| listener.open.get());
    family("kingtide_connections_accepted_total", "counter", "Of clients.", |listener| {
        listener.accepted.get()
    });
    family("kingtide_connections_refused_total", "counter", "Closed at once for want of room.", |listener| {
        listener.refused.get()
    });
}

fn upstreams(text: &mut Text, facts: &Facts) {
    let mut family = |name: &str, help: &str, value: fn(&crate::admin::PeerFacts) -> u64| {
        text.family(name, "gauge", help);
        for (upstream, peers) in &facts.upstreams {
            for peer in peers {
                text.sample(name, &[("upstream", upstream), ("peer", &peer.peer)], value(peer));
            }
        }
    };
    family("kingtide_upstream_up", "1 while the peer gets requests.", |peer| u64::from(peer.up));
    family("kingtide_upstream_fails", "Failures that count against it now.", |peer| u64::from(peer.fails));
    family("kingtide_upstream_requests_active", "Requests it is working on.", |peer| peer.active);
}

fn capture(text: &mut Text, facts: &Facts) {
    let (ledger, queue) = (&facts.ledger, &facts.capture.queue);
    let recording = u8::from(facts.capture.state == CaptureState::Recording);
    text.single("kingtide_capture_recording", "gauge", "1 while traffic is recorded.", recording);
    let failing = u8::from(facts.capture.state == CaptureState::Failed);
    text.single("kingtide_capture_failing", "gauge", "1 while the disk refuses.", failing);
    text.single("kingtide_capture_accepted_total", "counter", "Requests accepted.", ledger.accepted);
    text.family("kingtide_capture_requests_total", "counter", "Requests by the one state each ended in.");
    for (state, count) in [
        ("recorded", ledger.recorded),
        ("sampled_out", ledger.sampled_out),
        ("filtered", ledger.filtered),
        ("shed_queue", ledger.shed_queue),
        ("shed_disk", ledger.shed_disk),
        ("shed_budget", ledger.shed_budget),
        ("too_late", ledger.too_late),
    ] {
        text.sample("kingtide_capture_requests_total", &[("state", state)], count);
    }
    let forgotten = facts.capture.users_forgotten;
    text.single("kingtide_capture_users_forgotten_total", "counter", "For want of room.", forgotten);
    text.single("kingtide_capture_queue_length", "gauge", "Exchanges that wait.", queue.waiting);
    text.single("kingtide_capture_queue_slots", "gauge", "Exchanges that may wait.", queue.slots);
    text.single("kingtide_capture_memory_bytes", "gauge", "Held by the tap.", queue.memory_bytes);
    text.single("kingtide_capture_memory_max_bytes", "gauge", "The tap's budget.", queue.memory_bytes_max);
}

fn access_log(text: &mut Text, facts: &Facts) {
    let Some(log) = facts.access_log else { return };
    text.family("kingtide_access_log_lines_total", "counter", "Lines of the access log.");
    for (result, count) in [("written", log.written), ("lost", log.lost)] {
        text.sample("kingtide_access_log_lines_total", &[("result", result)], count);
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// The text while it is written.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if position == 0 { '{' } else { ',' });
            self.escaped(text);
            self.0.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn escaped(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                letter => self.0.push(letter),
            }
        }
    }

    /// A family with one sample.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn times(&mut self, name: &str, labels: Labels<'_>, distribution: &Distribution) {
        let bounds = TIME_BOUNDS_US.map(seconds);
        let counts = (&bounds[..], distribution.cumulative(&TIME_BOUNDS_US));
        self.histogram(name, labels, counts, distribution, seconds(distribution.sum()));
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        (bounds, counts): (&[f64], Vec<u64>),
        distribution: &Distribution,
        sum: impl Display,
    ) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in bounds.iter().zip(counts) {
            self.sample(&bucket, &[labels, &[("le", &bound.to_string())]].concat(), count);
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), distribution.count());
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, distribution.count());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::limits::LimitName;
    use crate::metrics::Metrics;
    use crate::passage::Passage;
    use crate::sample;

    /// Name and labels, in one text.
    type Samples = BTreeMap<String, f64>;

    fn read(metrics: &Metrics) -> Samples {
        let text = exposition(&metrics.snapshot(), &metrics.gauges, &Facts::default(), &Clock::start());
        assert!(text.ends_with('\n'));
        parse(&text)
    }

    /// As strict as the format: each family once and whole, types known, each series once.
    fn parse(text: &str) -> Samples {
        let (mut samples, mut families, mut family) = (Samples::new(), HashSet::new(), ("", ""));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let name = help.split_once(' ').expect("a help text").0;
                assert!(is_name(name) && families.insert(name), "{line}");
                family = (name, "");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(name == family.0 && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                family.1 = kind;
            } else {
                let (series, value) = sample(line, family);
                assert!(samples.insert(series, value).is_none(), "twice: {line}");
            }
        }
        samples
    }

    fn sample(line: &str, (family, kind): (&str, &str)) -> (String, f64) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = &series[..series.find('{').unwrap_or(series.len())];
        let endings: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(endings.iter().any(|ending| name == format!("{family}{ending}")), "{line}");
        check_labels(&series[name.len()..]);
        (series.to_owned(), value.parse().expect("a number"))
    }

    fn check_labels(labels: &str) {
        let Some(mut rest) = labels.strip_prefix('{') else { return assert_eq!(labels, "") };
        loop {
            let (name, after) = rest.split_once("=\"").expect("a label");
            assert!(is_name(name), "{labels}");
            let end = value_end(after);
            match &after[end + 1..] {
                "}" => return,
                more => rest = more.strip_prefix(',').expect("another label"),
            }
        }
    }

    /// Where the closing quote of a label's value stands.
    fn value_end(text: &str) -> usize {
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => return at,
                '\\' => assert!(matches!(letters.next(), Some((_, '\\' | '"' | 'n')))),
                letter => assert_ne!(letter, '\n'),
            }
        }
        panic!("no end: {text}")
    }

    fn is_name(name: &str) -> bool {
        !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    }

    #[test]
    fn a_strict_reader_finds_what_was_counted() {
        let metrics = Metrics::default();
        metrics.gauges.listener(([127, 0, 0, 1], 80).into()).accepted.add(4);
        let meter = metrics.meter();
        let mut over = sample::upload();
        over.would_refuse.insert(LimitName::ClientMaxBodySize);
        for passage in [sample::upload(), over, sample::silent_client()] {
            meter.exchange(&passage);
        }
        let samples = read(&metrics);
        for (series, value) in [
            (r#"kingtide_requests_total{route="uploads",status="201",answered_by="upstream"}"#, 2.0),
            (r#"kingtide_requests_total{route="(none)",status="408",answered_by="nobody"}"#, 1.0),
            (r#"kingtide_requests_ended_total{route="(none)",end="cR"}"#, 1.0),
            (r#"kingtide_stage_seconds_bucket{route="uploads",stage="upstream_wait",le="2.5"}"#, 0.0),
            (r#"kingtide_stage_seconds_bucket{route="uploads",stage="upstream_wait",le="5"}"#, 2.0),
            (r#"kingtide_stage_seconds_sum{route="uploads",stage="upstream_wait"}"#, 5.4),
            (r#"kingtide_stage_seconds_count{route="uploads",stage="total"}"#, 2.0),
            (r#"kingtide_server_timing_seconds_count{route="uploads",name="store"}"#, 2.0),
            (r#"kingtide_request_body_bytes_bucket{route="uploads",le="131072"}"#, 0.0),
            (r#"kingtide_request_body_bytes_bucket{route="uploads",le="262144"}"#, 2.0),
            (r#"kingtide_limit_shadowed_total{route="uploads",limit="client_max_body_size"}"#, 1.0),
            (r#"kingtide_limit_refused_total{route="uploads",limit="client_max_body_size"}"#, 0.0),
            (r#"kingtide_connections_accepted_total{listener="127.0.0.1:80"}"#, 4.0),
        ] {
            assert_eq!(samples.get(series), Some(&value), "{series}");
        }
    }

    #[test]
    fn buckets_rise_to_the_count() {
        let metrics = Metrics::default();
        let meter = metrics.meter();
        for ms in [1, 3, 80, 4000, 59_000, 600_000] {
            let mut passage = sample::upload();
            passage.marks.done_ns = Some(passage.marks.started_ns + ms * sample::MS);
            meter.exchange(&passage);
        }
        let samples = read(&metrics);
        let bucket = |bound: &str| {
            samples
                [&format!(r#"kingtide_stage_seconds_bucket{{route="uploads",stage="total",le="{bound}"}}"#)]
        };
        let counts = ["0.001", "0.0025", "0.005", "0.1", "5", "60", "+Inf"].map(|le| bucket(le).to_string());
        assert_eq!(counts, ["1", "1", "2", "3", "4", "5", "6"]);
    }

    #[test]
    fn names_from_outside_are_escaped() {
        let metrics = Metrics::default();
        let route = "a\"b\\c\nd";
        metrics.meter().exchange(&Passage { route: route.into(), ..sample::upload() });
        let series = r#"kingtide_sent_bytes_total{route="a\"b\\c\nd"}"#;
        assert_eq!(read(&metrics).get(series), Some(&350.0));
    }
}
