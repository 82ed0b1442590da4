//! A flat table of exchanges, one line each: what spreadsheets and `awk` read.
//!
//! Lists and bodies do not fit into a line: they are counted or left out. Times are milliseconds with
//! three decimals, sizes bytes; what was not measured is an empty field.

use std::io::{self, Write};

use kingtide_common::capture::Damage;
use kingtide_common::exchange::{Exchange, Gap};
use kingtide_common::stages::Stage;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Document;
use crate::sessions::route;

/// The columns before the stages.
const COLUMNS: [&str; 25] = [
    "start",
    "id",
    "connection",
    "started",
    "client",
    "http_version",
    "method",
    "host",
    "target",
    "route_template",
    "route",
    "status",
    "answered_by",
    "ending",
    "end",
    "refused_by",
    "would_refuse",
    "synthesised",
    "request_body_kind",
    "request_body_bytes",
    "upload_files",
    "upload_bytes",
    "response_body_kind",
    "response_body_bytes",
    "upstream_reused",
];

/// A CSV document under way.
#[derive(Debug)]
pub struct Table<W: Write> {
    lines: csv::Writer<W>,
}

impl<W: Write> Table<W> {
    pub fn begin(out: W) -> io::Result<Self> {
        let mut lines = csv::Writer::from_writer(out);
        let stages = Stage::ALL.map(|stage| format!("{}_ms", stage.name()));
        let names = COLUMNS.map(str::to_owned).into_iter().chain(stages).chain(["server_timing".to_owned()]);
        lines.write_record(names)?;
        Ok(Self { lines })
    }
}

impl<W: Write> Document for Table<W> {
    fn exchange(&mut self, start: u64, exchange: Exchange) -> io::Result<()> {
        let stages = Stage::ALL.map(|stage| ms(stage_us(&exchange, stage)));
        let fields = fields(start, &exchange).into_iter().chain(stages).chain([server_timing(&exchange)]);
        Ok(self.lines.write_record(fields)?)
    }

    fn gap(&mut self, _: u64, _: Gap) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &[Damage]) -> io::Result<()> {
        self.lines.flush()
    }
}

fn fields(start: u64, exchange: &Exchange) -> [String; COLUMNS.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        start.to_string(),
        exchange.id.to_string(),
        exchange.connection.to_string(),
        utc(exchange.started_ns),
        exchange.client.clone(),
        http_version(exchange.http_version).to_owned(),
        exchange.method.clone(),
        exchange.host.clone(),
        exchange.target.clone(),
        route::template(&exchange.method, &exchange.target),
        exchange.route.clone(),
        exchange.status.map(|status| status.to_string()).unwrap_or_default(),
        exchange.answered_by.word().to_owned(),
        exchange.ending.word().to_owned(),
        text(&exchange.end),
        text(&exchange.refused_by),
        exchange.would_refuse.join(" "),
        exchange.synthesised.join(" "),
        exchange.request_body.kind().to_owned(),
        exchange.request_body_bytes.to_string(),
        exchange.files().count().to_string(),
        exchange.files().map(|file| file.bytes).sum::<u64>().to_string(),
        exchange.response_body.kind().to_owned(),
        exchange.response_body_bytes.to_string(),
        exchange.upstream_reused.to_string(),
    ]
}

fn stage_us(exchange: &Exchange, stage: Stage) -> Option<u64> {
    if stage == Stage::Tls { exchange.tls_us } else { exchange.instants.stage_us(stage) }
}

fn ms(us: Option<u64>) -> String {
    us.map(|us| format!("{}.{:03}", us / 1000, us % 1000)).unwrap_or_default()
}

/// `auth=48.120 store=2710.000`, milliseconds.
fn server_timing(exchange: &Exchange) -> String {
    let timings = exchange.server_timing.iter();
    let timings: Vec<String> =
        timings.map(|timing| format!("{}={}", timing.name, ms(Some(timing.duration_us)))).collect();
    timings.join(" ")
}

/// RFC 3339 with all nanoseconds that are not zero.
pub(super) fn utc(ns: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).ok();
    instant.and_then(|instant| instant.format(&Rfc3339).ok()).unwrap_or_default()
}

/// As it is written on the wire; a version that is none reads as 1.1.
pub(super) fn http_version(version: u8) -> &'static str {
    match version {
        10 => "HTTP/1.0",
        20 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::ServerTiming;
    use kingtide_common::stages::Instants;

    use super::*;
    use crate::sessions::scene::post;

    fn document(exchange: Exchange) -> String {
        let mut text = Vec::new();
        let mut table = Table::begin(&mut text).unwrap();
        table.exchange(1, exchange).unwrap();
        table.finish(&[]).unwrap();
        drop(table);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn an_exchange_is_a_line() {
        let instants = Instants {
            head_done_us: Some(51),
            body_done_us: Some(650_941),
            done_us: Some(937_557),
            ..Instants::default()
        };
        let timing = ServerTiming { name: "auth".to_owned(), duration_us: 50_568 };
        let exchange = Exchange {
            id: 41,
            instants,
            server_timing: vec![timing],
            would_refuse: vec!["client_max_body_size".to_owned(), "limit_req".to_owned()],
            ..post("/api/u/4711?q=a,b").upload(&[("x", "1")], 5_000).0
        };
        insta::assert_snapshot!(document(exchange));
    }

    #[test]
    fn what_is_not_known_is_an_empty_field() {
        let text = document(Exchange { id: 1, method: "GET".to_owned(), ..Exchange::default() });
        let mut lines = csv::Reader::from_reader(text.as_bytes());
        let names = lines.headers().unwrap().clone();
        let line = lines.records().next().unwrap().unwrap();
        for unknown in ["status", "end", "tls_ms", "upstream_wait_ms", "total_ms", "server_timing"] {
            let at = names.iter().position(|name| name == unknown).unwrap();
            assert_eq!(&line[at], "", "{unknown}");
        }
    }
}
