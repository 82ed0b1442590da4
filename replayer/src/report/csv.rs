//! A run as three tables for spreadsheets, with the columns that Locust's `--csv` files have, so that sheets made for them go on
//! working; what is ours stands after them.
//!
//! | file | a row is |
//! |---|---|
//! | `stats.csv` | a route; the last one, `Aggregated`, all of them |
//! | `failures.csv` | what went wrong on a route, and how often |
//! | `stats_history.csv` | a second |
//!
//! Response times are latencies, from the planned instant, in milliseconds; service times, from the first byte sent, are columns of
//! their own. Percentiles come from merged histograms, never from other percentiles. What was not measured is empty. Content sizes
//! are what came over the connection for an answer, heads included.

use csv::Writer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::measure::run::{Percentiles, Quantiles, RouteReport, RunReport, Second};

const STATS: [&str; 28] = [
    "Type",
    "Name",
    "Request Count",
    "Failure Count",
    "Median Response Time",
    "Average Response Time",
    "Min Response Time",
    "Max Response Time",
    "Average Content Size",
    "Requests/s",
    "Failures/s",
    "50%",
    "66%",
    "75%",
    "80%",
    "90%",
    "95%",
    "98%",
    "99%",
    "99.9%",
    "99.99%",
    "100%",
    "Planned Count",
    "Sent Count",
    "Service 50%",
    "Service 95%",
    "Service 99%",
    "Service 100%",
];
const FAILURES: [&str; 4] = ["Method", "Name", "Error", "Occurrences"];
const HISTORY: [&str; 13] = [
    "Timestamp",
    "User Count",
    "Type",
    "Name",
    "Requests/s",
    "Failures/s",
    "50%",
    "95%",
    "99%",
    "Total Request Count",
    "Total Failure Count",
    "Sent/s",
    "In Flight",
];

const AGGREGATED: &str = "Aggregated";
/// What begins a kind of failure that is an answer.
const STATUS: &str = "status ";

/// Name and content of each file.
pub fn files(run: &RunReport) -> [(&'static str, String); 3] {
    [
        ("stats.csv", table(&STATS, stats(run))),
        ("failures.csv", table(&FAILURES, failures(run))),
        ("stats_history.csv", table(&HISTORY, history(run))),
    ]
}

/// Counts and distributions, whoever's.
struct Counts<'a> {
    planned: u64,
    sent: u64,
    done: u64,
    /// Whatever ended, as Locust counts: with what failed without an answer.
    ended: u64,
    failed: u64,
    received_bytes: u64,
    latency: &'a Percentiles,
    more: &'a Quantiles,
    service: &'a Percentiles,
}

fn stats(run: &RunReport) -> impl Iterator<Item = Vec<String>> {
    let routes = run.routes.iter().map(|route| {
        let (method, path) = method_and_path(&route.route);
        stats_row(method, path, &of_route(route), run.duration_s)
    });
    routes.chain([stats_row("", AGGREGATED, &of_all(run), run.duration_s)])
}

fn of_route(route: &RouteReport) -> Counts<'_> {
    let errors = route.failures.iter().filter(|(error, _)| !error.starts_with(STATUS));
    Counts {
        planned: route.planned,
        sent: route.sent,
        done: route.done,
        ended: route.done + errors.map(|(_, count)| count).sum::<u64>(),
        failed: route.failed,
        received_bytes: route.received_bytes,
        latency: &route.latency_ms,
        more: &route.latency_quantiles_ms,
        service: &route.service_ms,
    }
}

fn of_all(run: &RunReport) -> Counts<'_> {
    Counts {
        planned: run.planned,
        sent: run.sent,
        done: run.done,
        ended: run.done + run.errors.values().sum::<u64>(),
        failed: run.failed,
        received_bytes: run.received_bytes,
        latency: &run.latency_ms,
        more: &run.latency_quantiles_ms,
        service: &run.service_ms,
    }
}

fn stats_row(method: &str, path: &str, counts: &Counts<'_>, duration_s: f64) -> Vec<String> {
    let Counts { latency, more, service, .. } = counts;
    let per_s = |count: u64| number((duration_s > 0.0).then(|| count as f64 / duration_s));
    let bytes = (counts.done > 0).then(|| counts.received_bytes as f64 / counts.done as f64);
    let times = [latency.p50, more.mean, more.min, latency.max, bytes];
    let percentiles = [
        latency.p50,
        more.p66,
        more.p75,
        more.p80,
        more.p90,
        latency.p95,
        more.p98,
        latency.p99,
        latency.p999,
        more.p9999,
        latency.max,
    ];
    let services = [service.p50, service.p95, service.p99, service.max];
    [method.to_owned(), path.to_owned(), counts.ended.to_string(), counts.failed.to_string()]
        .into_iter()
        .chain(times.map(number))
        .chain([per_s(counts.ended), per_s(counts.failed)])
        .chain(percentiles.map(number))
        .chain([counts.planned, counts.sent].map(|count| count.to_string()))
        .chain(services.map(number))
        .collect()
}

fn failures(run: &RunReport) -> impl Iterator<Item = Vec<String>> {
    run.routes.iter().flat_map(|route| {
        let (method, path) = method_and_path(&route.route);
        let row = move |(error, count): (&String, &u64)| {
            vec![method.to_owned(), path.to_owned(), error.clone(), count.to_string()]
        };
        route.failures.iter().map(row)
    })
}

fn history(run: &RunReport) -> impl Iterator<Item = Vec<String>> {
    let started = OffsetDateTime::parse(&run.started, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp);
    run.series.iter().scan((0, 0), move |(ended, failed), second| {
        *ended += second.ended;
        *failed += second.failed;
        Some(history_row(started, second, *ended, *failed))
    })
}

fn history_row(started: i64, second: &Second, ended: u64, failed: u64) -> Vec<String> {
    let at = started.saturating_add_unsigned(second.at_s);
    let counts = [second.ended, second.failed].map(|count| count.to_string());
    let times = [second.latency_ms_p50, second.latency_ms_p95, second.latency_ms_p99].map(number);
    let totals = [ended, failed, second.sent, second.in_flight].map(|count| count.to_string());
    [at.to_string(), second.users.to_string(), String::new(), AGGREGATED.to_owned()]
        .into_iter()
        .chain(counts)
        .chain(times)
        .chain(totals)
        .collect()
}

/// `POST /api/upload`
fn method_and_path(route: &str) -> (&str, &str) {
    route.split_once(' ').unwrap_or(("", route))
}

/// To the third place; empty where there is none.
fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(titles).expect("memory takes a record");
    rows.for_each(|row| writer.write_record(row).expect("each row has a cell for each title"));
    let bytes = writer.into_inner().expect("memory can be flushed");
    String::from_utf8(bytes).expect("the cells are text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::run;

    fn cells(text: &str) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let records = reader.records().map(Result::unwrap);
        records.map(|record| record.iter().map(str::to_owned).collect()).collect()
    }

    fn cell<'a>(rows: &'a [Vec<String>], row: usize, title: &str) -> &'a str {
        let column = rows[0].iter().position(|is| is == title).unwrap();
        &rows[row][column]
    }

    #[test]
    fn sheets_made_for_locust_find_their_columns() {
        let [(_, stats), (_, failures), (_, history)] = files(&run(1.0, 1.0));
        let of_locust = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response \
                         Time,Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,\
                         99%,99.9%,99.99%,100%";
        assert!(stats.starts_with(of_locust), "{stats}");
        assert_eq!(failures, "Method,Name,Error,Occurrences\n", "nothing failed");
        assert!(
            history.starts_with("Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,"),
            "{history}"
        );
    }

    #[test]
    fn the_last_row_is_that_of_all_requests_and_not_a_mean() {
        let mut run = run(1.0, 1.0);
        run.latency_ms.p95 = Some(1234.5678);
        run.latency_quantiles_ms.mean = Some(77.0);
        run.errors = [("timeout".to_owned(), 3)].into();
        run.failed = 5;
        let rows = cells(&files(&run)[0].1);
        let last = rows.len() - 1;
        assert_eq!((last, cell(&rows, last, "Name")), (run.routes.len() + 1, "Aggregated"));
        assert_eq!((cell(&rows, 1, "Type"), cell(&rows, 1, "Name")), method_and_path(&run.routes[0].route));
        assert_eq!(cell(&rows, last, "95%"), "1234.568");
        assert_eq!(cell(&rows, last, "Average Response Time"), "77.000");
        assert_eq!(cell(&rows, last, "99.99%"), "", "not measured");
        assert_eq!(cell(&rows, last, "Request Count"), (run.done + 3).to_string());
        assert_eq!(cell(&rows, last, "Failure Count"), "5");
    }

    #[test]
    fn failures_are_named_by_route_and_kind() {
        let mut run = run(1.0, 1.0);
        run.routes[0].failures = [("status 503".to_owned(), 4), ("timeout".to_owned(), 2)].into();
        run.routes[0].done = 10;
        let [(_, stats), (_, failures), _] = files(&run);
        let rows = cells(&failures);
        let (method, path) = method_and_path(&run.routes[0].route);
        assert_eq!(rows[1..], [vec![method, path, "status 503", "4"], vec![method, path, "timeout", "2"]]);
        assert_eq!(cell(&cells(&stats), 1, "Request Count"), "12", "a 503 is an answer, a timeout is none");
    }

    #[test]
    fn a_second_has_its_instant_its_users_and_what_there_was_until_then() {
        let mut run = run(1.0, 1.0);
        run.started = "2026-11-23T18:53:44.12Z".to_owned();
        run.series.truncate(2);
        for (second, (ended, failed, users)) in run.series.iter_mut().zip([(4, 1, 2), (6, 0, 3)]) {
            (second.ended, second.failed, second.users) = (ended, failed, users);
        }
        let rows = cells(&files(&run)[2].1);
        let of = |title| (cell(&rows, 1, title), cell(&rows, 2, title));
        assert_eq!(of("Timestamp"), ("1795460024", "1795460025"));
        assert_eq!((of("User Count"), of("Requests/s")), (("2", "3"), ("4", "6")));
        assert_eq!((of("Total Request Count"), of("Total Failure Count")), (("4", "10"), ("1", "1")));
    }
}
