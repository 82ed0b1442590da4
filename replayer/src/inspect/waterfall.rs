//! One session as a waterfall of its exchanges, and one exchange with all that is known of it.
//!
//! What is shown is what the capture holds, redacted as recorded.

use std::fmt::Write as _;

use kingtide_common::exchange::{Attempt, Body, Exchange, Header, PacingPoint, PartContent};
use kingtide_common::stages::Stage;

use super::text::sparkline;
use crate::report::format::{UNKNOWN, counted, ms, size};
use crate::report::table::{Align, Table};

const BAR_CELLS: usize = 32;
const CURVE_CELLS: u64 = 48;
/// Bytes of a text body that are shown.
const BODY_SHOWN_MAX: usize = 2_000;

/// A stretch of time as a bar on a common scale of `whole` (same unit), at least one cell long.
fn bar(from: u64, to: u64, whole: u64) -> String {
    let cells = BAR_CELLS as u128;
    let cell = |at: u64| {
        let cell = u128::from(at.min(whole)) * cells / u128::from(whole.max(1));
        usize::try_from(cell).unwrap_or(BAR_CELLS)
    };
    let (from, to) = (cell(from).min(BAR_CELLS - 1), cell(to));
    format!("{}{}", " ".repeat(from), "█".repeat(to.saturating_sub(from).max(1)))
}

/// The exchanges of a session in order of their start, as a list with bars.
pub fn session(key: &str, is_orphan: bool, exchanges: &[Exchange]) -> String {
    let start_ns = exchanges.iter().map(|one| one.started_ns).min().unwrap_or_default();
    let end_ns = exchanges.iter().map(Exchange::done_ns).max().unwrap_or_default();
    let since_start_us = |ns: i64| ns.abs_diff(start_ns) / 1000;
    let whole_us = since_start_us(end_ns);
    let orphan = if is_orphan { " · without a captured login" } else { "" };
    let began = super::rfc3339(start_ns).unwrap_or_else(|| UNKNOWN.to_owned());
    let mut connections: Vec<u64> = Vec::new();
    let titles = ["at", "", "took", "", "request", "up", "exchange", "connection"];
    let mut table = Table::of_numbers(titles).align(0, Align::Right).align(1, Align::Left);
    table = table.align(4, Align::Left);
    for one in exchanges {
        let known = connections.iter().position(|known| *known == one.connection);
        let at = known.unwrap_or_else(|| {
            connections.push(one.connection);
            connections.len() - 1
        });
        let (from_us, to_us) = (since_start_us(one.started_ns), since_start_us(one.done_ns()));
        let up = if one.request_body_bytes == 0 { String::new() } else { size(Some(one.request_body_bytes)) };
        table.row([
            format!("+{}", time(from_us)),
            format!("{:<BAR_CELLS$}", bar(from_us, to_us, whole_us)),
            time(to_us - from_us.min(to_us)),
            one.status.map_or_else(|| UNKNOWN.to_owned(), |status| status.to_string()),
            format!("{} {}", one.method, shortened(one.path(), 48)),
            up,
            one.id.to_string(),
            (at + 1).to_string(),
        ]);
    }
    format!(
        "session {key}{orphan}\n  began {began}, {} long · {} on {}\n\n{}",
        time(whole_us),
        counted(exchanges.len() as u64, "request"),
        counted(connections.len() as u64, "connection"),
        table.render(2)
    )
}

fn time(us: u64) -> String {
    ms(Some(us as f64 / 1e3))
}

/// The end of a long text says more than its beginning: `…/upload-recording`.
fn shortened(text: &str, chars_max: usize) -> String {
    let chars = text.chars().count();
    if chars <= chars_max {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(chars - chars_max + 1)).collect()
}

/// All that is known of one exchange.
pub fn exchange(one: &Exchange) -> String {
    let mut text = head(one);
    let sections = [
        ("Stages", stages(one)),
        ("Attempts", attempts(&one.attempts)),
        ("Upload", pacing(&one.pacing)),
        ("Request", headers(&one.request_headers)),
        ("Request body", body(&one.request_body, one.request_body_bytes)),
        ("Response", headers(&one.response_headers)),
        ("Response body", body(&one.response_body, one.response_body_bytes)),
    ];
    for (title, section) in sections.into_iter().filter(|(_, section)| !section.is_empty()) {
        let _ = write!(text, "\n{title}\n{section}");
    }
    text
}

fn head(one: &Exchange) -> String {
    let started = super::rfc3339(one.started_ns).unwrap_or_else(|| UNKNOWN.to_owned());
    let status = one.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let spaced = |word: &str| word.replace('_', " ");
    let mut text = format!("exchange {}: {} {}\n", one.id, one.method, one.target);
    let _ = writeln!(
        text,
        "  {status} · answered by {} · ended {}{}",
        spaced(one.answered_by.word()),
        spaced(one.ending.word()),
        one.end.as_deref().filter(|end| *end != "--").map_or_else(String::new, |end| format!(" ({end})"))
    );
    let _ = writeln!(
        text,
        "  {started} on connection {}, {} after it was accepted · HTTP/{} · host {} · route {}",
        one.connection,
        time(one.connection_age_us),
        f64::from(one.http_version) / 10.0,
        one.host,
        if one.route.is_empty() { UNKNOWN } else { &one.route }
    );
    if let Some(limit) = &one.refused_by {
        let _ = writeln!(text, "  refused by {limit}");
    }
    for limit in &one.would_refuse {
        let _ = writeln!(text, "  {limit}, in shadow mode, would refuse it");
    }
    text
}

/// When each stage ran, against the whole exchange.
fn stages(one: &Exchange) -> String {
    let i = &one.instants;
    let whole_us = i.done_us.unwrap_or_default();
    let ran = |from: Option<u64>, to: Option<u64>| Some((from?, to?));
    let mut table = Table::of_numbers(["stage", "from", "took", ""]).align(3, Align::Left);
    if let Some(tls_us) = one.tls_us {
        table.row(["tls".to_owned(), "before".to_owned(), time(tls_us), String::new()]);
    }
    for stage in Stage::ALL {
        let span = match stage {
            Stage::Tls => None,
            Stage::RequestHead => ran(Some(0), i.head_done_us),
            Stage::RequestBody => ran(i.head_done_us, i.body_done_us),
            Stage::UpstreamConnect => ran(i.upstream_pick_us, i.upstream_connected_us),
            Stage::UpstreamSend => ran(i.upstream_send_first_us, i.upstream_send_last_us),
            Stage::UpstreamWait => ran(i.upstream_send_last_us, i.response_head_us),
            Stage::ResponseBody => ran(i.response_head_us, i.response_last_us),
            Stage::ClientSend => ran(i.client_send_first_us, i.client_send_last_us),
            Stage::Total => ran(Some(0), i.done_us),
        };
        let Some((from_us, to_us)) = span else { continue };
        let took = i.stage_us(stage).unwrap_or_default();
        let bar = bar(from_us, to_us.max(from_us), whole_us);
        table.row([stage.name().to_owned(), format!("+{}", time(from_us)), time(took), bar]);
        if stage == Stage::UpstreamWait {
            for timing in &one.server_timing {
                table.row([format!("  · {}", timing.name), String::new(), time(timing.duration_us)]);
            }
        }
    }
    if table.is_empty() { String::new() } else { table.render(2) }
}

fn attempts(attempts: &[Attempt]) -> String {
    let mut table = Table::of_numbers(["peer", "connected", "head", "pooled", "status"]);
    let known = |us: Option<u64>| us.map_or_else(|| UNKNOWN.to_owned(), time);
    for attempt in attempts {
        let pooled = if attempt.reused { "yes" } else { "no" }.to_owned();
        let (connected, head) = (known(attempt.connect_us), known(attempt.head_us));
        table.row([attempt.peer.clone(), connected, head, pooled, attempt.status.to_string()]);
    }
    if table.is_empty() { String::new() } else { table.render(2) }
}

/// Bytes that arrived over time, as a chart of how fast.
fn pacing(points: &[PacingPoint]) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let mut text = format!(
        "  first byte {} after the head, last one after {}: {} in {}",
        time(first.at_us),
        time(last.at_us),
        size(Some(last.bytes)),
        counted(points.len() as u64, "point")
    );
    let span_us = last.at_us.saturating_sub(first.at_us);
    if span_us > 0 {
        let per_s = u128::from(last.bytes.saturating_sub(first.bytes)) * 1_000_000 / u128::from(span_us);
        let arrived = |cell: u64| bytes_at(points, first.at_us + span_us.saturating_mul(cell) / CURVE_CELLS);
        let speeds: Vec<u64> = (0..CURVE_CELLS).map(|cell| arrived(cell + 1) - arrived(cell)).collect();
        let _ = write!(
            text,
            " · {}/s\n  {}  (speed; a column is {})",
            size(u64::try_from(per_s).ok()),
            sparkline(&speeds),
            time(span_us / CURVE_CELLS)
        );
    }
    text.push('\n');
    text
}

/// The curve between its points, by straight lines; never decreasing.
fn bytes_at(points: &[PacingPoint], at_us: u64) -> u64 {
    let after = points.partition_point(|point| point.at_us <= at_us);
    let Some(from) = after.checked_sub(1).and_then(|before| points.get(before)) else { return 0 };
    let Some(to) = points.get(after) else { return from.bytes };
    let share = u128::from(at_us - from.at_us) * u128::from(to.bytes.saturating_sub(from.bytes));
    from.bytes + u64::try_from(share / u128::from((to.at_us - from.at_us).max(1))).unwrap_or_default()
}

fn headers(headers: &[Header]) -> String {
    headers.iter().fold(String::new(), |mut text, Header { name, value }| {
        let _ = writeln!(text, "  {name}: {value}");
        text
    })
}

fn body(body: &Body, bytes: u64) -> String {
    let told = match body {
        Body::Empty => return String::new(),
        Body::Json(text) => format!("JSON\n{}", indented(&pretty(text))),
        Body::Form(text) => format!("form\n{}", indented(text)),
        Body::Html(forms) => format!("forms of a page\n{}", indented(&pretty(forms))),
        Body::Opaque => "not looked into\n".to_owned(),
        Body::Unread(why) => format!("could not be looked into: {why}\n"),
        Body::Multipart(multipart) => {
            let parts = multipart.parts.iter().fold(String::new(), |mut text, part| {
                let _ = match &part.content {
                    PartContent::Field { value } => writeln!(text, "{} = {value}", part.name),
                    PartContent::File { file } => writeln!(
                        text,
                        "{}: file, {}, {} bytes, hash {}",
                        part.name,
                        file.content_type.as_deref().unwrap_or("of no type"),
                        file.bytes,
                        file.hash
                    ),
                };
                text
            });
            format!("multipart\n{}", indented(&parts))
        }
    };
    format!("  {} · {told}", size(Some(bytes)))
}

fn pretty(json: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| json.to_owned())
}

fn indented(text: &str) -> String {
    let cut = text.floor_char_boundary(BODY_SHOWN_MAX);
    let more = text.len() - cut;
    let mut shown = text[..cut].lines().fold(String::new(), |mut shown, line| {
        let _ = writeln!(shown, "  {line}");
        shown
    });
    if more > 0 {
        let _ = writeln!(shown, "  … {} more", counted(more as u64, "byte"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::tests::{exchange as made, upload};

    fn recording() -> Exchange {
        let point = |at_us, bytes| PacingPoint { at_us, bytes };
        let mut one = upload(0, 200_000, 2_000);
        one.id = 7;
        one.http_version = 11;
        one.pacing = vec![point(1_000, 4_096), point(60_000, 180_000), point(90_000, 200_400)];
        one.would_refuse = vec!["client_max_body_size".to_owned()];
        one.response_body = Body::Json(r#"{"id":"6f1c1b9e","ok":true}"#.to_owned());
        one.response_body_bytes = 27;
        one.request_headers = vec![Header { name: "Accept".to_owned(), value: "*/*".to_owned() }];
        let attempt = Attempt { peer: "10.0.0.7:3000".to_owned(), status: 502, ..Attempt::default() };
        one.attempts = vec![attempt];
        one
    }

    #[test]
    fn one_exchange_with_all_that_is_known_of_it() {
        insta::assert_snapshot!(exchange(&recording()));
    }

    #[test]
    fn a_session_as_a_waterfall() {
        let mut second =
            made(1_500, "GET", "/api/assignments/6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11/activities", 40);
        second.connection = 4;
        insta::assert_snapshot!(session("{fp:00000000000000aa.40}", true, &[recording(), second]));
    }

    #[test]
    fn a_bar_never_leaves_its_scale_and_always_shows() {
        for (from, to, whole) in
            [(0, 0, 0), (9, 9, 10), (10, 10, 10), (0, 20, 10), (5, 3, 10), (u64::MAX, u64::MAX, 1)]
        {
            let bar = bar(from, to, whole);
            assert!(bar.chars().count() <= BAR_CELLS && bar.contains('█'), "{from} {to} {whole}: {bar:?}");
        }
    }
}
