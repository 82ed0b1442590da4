//! The summary for people: what is wrong first, then what the capture holds.

use std::collections::BTreeMap;
use std::fmt::Write;

use kingtide_common::capture::Removed;
use kingtide_common::exchange::Gap;
use kingtide_common::ledger::Ledger;
use kingtide_common::stages::Stage;

use super::histogram::Bin;
use super::{Amount, Judged, RouteSummary, SizeBin, StageTimes, Summary};
use crate::plan::dispersion::{WINDOWS_S, label};
use crate::report::format::{UNKNOWN, count, counted, ms, number, seconds, share, size};
use crate::report::table::{Align, Table};

const BAR_CELLS: usize = 40;
/// Gaps that are listed one by one; the rest are counted.
const GAPS_LISTED: usize = 5;

/// The whole text, ending in a line feed.
pub fn render(summary: &Summary) -> String {
    let sections = [
        trouble(summary),
        head(summary),
        section("Sessions", &sessions(summary)),
        section("Think times", &think_times(summary)),
        section("Arrivals", &arrivals(summary)),
        section("Routes (times: first byte to last)", &routes(summary)),
        slowest_route(summary),
        section("Stages of all routes", &stages(&summary.stages, &BTreeMap::new())),
        section("Uploads (file parts)", &uploads(summary)),
        section("Limits (would: refused but for shadow mode; bytes of bodies)", &limits(summary)),
        section(
            "Not complete (C client, S upstream, P proxy; lower case: timeout; then where)",
            &ends(summary),
        ),
        section(
            "Burstiness (index of dispersion of request starts; 1 = random, more = bursts)",
            &dispersion(summary),
        ),
        section("Ledger (where every accepted request went)", &ledger(summary)),
    ];
    sections.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

fn section(title: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("{title}\n{body}") }
}

/// Damage and loss, one line each; empty when the capture is whole.
fn trouble(summary: &Summary) -> String {
    let mut lines = String::new();
    for damage in &summary.damage {
        let _ = writeln!(lines, "!! DAMAGED: {damage}");
    }
    let lost = summary.ledger.map_or(0, |ledger| ledger.lost());
    if lost > 0 {
        let _ = writeln!(lines, "!! INCOMPLETE: {} not recorded", counted(lost, "accepted request"));
    }
    for gap in summary.gaps.iter().take(GAPS_LISTED) {
        let _ = writeln!(lines, "!! GAP: {}", gap_line(gap));
    }
    if let Some(synthesised) = &summary.synthesised {
        let _ = writeln!(lines, "!! IMPORTED: {}", synthesised.sentence());
    }
    let unlisted = summary.gaps.len().saturating_sub(GAPS_LISTED) as u64;
    if unlisted > 0 {
        let _ = writeln!(lines, "!! GAP: {} more, see --json", count(unlisted));
    }
    if summary.cut > 0 {
        let _ = writeln!(
            lines,
            "!! CUT: {}, of which only the beginning is recorded",
            counted(summary.cut, "session")
        );
    }
    if let Some(removed) = &summary.removed {
        let _ = writeln!(lines, "!! REMOVED: {}", removed_line(removed));
    }
    lines
}

fn removed_line(removed: &Removed) -> String {
    let until = super::rfc3339(removed.last_ns).unwrap_or_else(|| UNKNOWN.to_owned());
    format!(
        "{} in {} ({}) until {until} are gone: retention, or their directory was taken away",
        counted(removed.rows, "row"),
        counted(removed.segments, "segment"),
        size(Some(removed.bytes))
    )
}

fn gap_line(gap: &Gap) -> String {
    let length_s = gap.to_ns.saturating_sub(gap.from_ns) as f64 / 1e9;
    let from = super::rfc3339(gap.from_ns).unwrap_or_else(|| UNKNOWN.to_owned());
    let what = counted(gap.count, "request");
    format!(
        "{what} ({}) within {} from {from}: {}",
        size(Some(gap.bytes)),
        seconds(Some(length_s)),
        gap.reason
    )
}

fn head(summary: &Summary) -> String {
    let mut text = format!("{}\n", summary.capture);
    let started = summary.started.as_deref().unwrap_or(UNKNOWN);
    let _ = writeln!(text, "  started {started}, {} long", seconds(Some(summary.duration_s)));
    let _ = writeln!(text, "  {}", contents(summary));
    if summary.orphans > 0 {
        let _ = writeln!(
            text,
            "  {} without a captured login: replay needs credentials for them",
            counted(summary.orphans, "session")
        );
    }
    if summary.unread_bodies > 0 {
        let _ = writeln!(
            text,
            "  {} with a body that could not be looked into",
            counted(summary.unread_bodies, "request")
        );
    }
    text
}

fn contents(summary: &Summary) -> String {
    let exchanges = counted(summary.exchanges, "exchange");
    let sessions = counted(summary.sessions, "session");
    let files = counted(summary.upload_bytes.count, "file");
    let bodies = size(Some(summary.body_bytes.sum));
    format!("{exchanges} in {sessions} · {files} uploaded · {bodies} of request bodies")
}

fn sessions(summary: &Summary) -> String {
    if summary.sessions == 0 {
        return String::new();
    }
    let shape = &summary.session_shape;
    let mut table = Table::of_numbers(["each", "p50", "p95", "p99", "largest"]);
    for (name, sizes) in [("requests", &shape.requests), ("connections", &shape.connections)] {
        let cells =
            [sizes.p50, sizes.p95, sizes.p99, sizes.max].map(|value| value.map_or(UNKNOWN.to_owned(), count));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    let times = shape.duration;
    table.row(["length".to_owned(), ms(times.p50), ms(times.p95), ms(times.p99)]);
    let gap = &summary.idle_gap;
    format!(
        "{}  at most {} at a time · {} began before the answer to an earlier one\n  \
         a silence of {} begins a new session\n  ({})\n",
        table.render(2),
        count(shape.at_once_max),
        counted(shape.overlapping, "request"),
        seconds(Some(gap.gap.as_secs_f64())),
        gap.basis
    )
}

fn think_times(summary: &Summary) -> String {
    let shape = &summary.session_shape;
    if shape.think.count == 0 {
        return String::new();
    }
    let StageTimes { count: times, p50, p95, p99 } = shape.think;
    let line =
        format!("  {} · p50 {} · p95 {} · p99 {}\n", counted(times, "pause"), ms(p50), ms(p95), ms(p99));
    let time = |value: u64| ms(Some(value as f64));
    line + &bars("pause", "times", &shape.think_histogram, time)
}

/// One line a bin, as long as its count.
fn bars(what: &str, how_many: &str, bins: &[Bin], name: impl Fn(u64) -> String) -> String {
    let highest = bins.iter().map(|bin| bin.count).max().unwrap_or_default().max(1);
    let mut table = Table::of_numbers([what, how_many, ""]).align(0, Align::Right).align(2, Align::Left);
    for bin in bins {
        table.row([format!("from {}", name(bin.from)), count(bin.count), bar(bin.count, highest)]);
    }
    table.render(2)
}

fn arrivals(summary: &Summary) -> String {
    let arrivals = &summary.arrivals;
    let Some(peak) = arrivals.peak_per_s else { return String::new() };
    let mean =
        arrivals.mean_per_s.map_or_else(|| UNKNOWN.to_owned(), |mean| format!("{}/s", number(Some(mean))));
    format!(
        "  {mean} on average, {} in the busiest second; each column {}\n  {}\n",
        counted(peak, "request"),
        seconds(Some(arrivals.bin_s)),
        sparkline(&arrivals.counts)
    )
}

/// A column a count, in eighths of the highest; what is not 0 shows.
pub fn sparkline(counts: &[u64]) -> String {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = u128::from(counts.iter().max().copied().unwrap_or_default().max(1));
    let eighths = |count: u64| usize::try_from((u128::from(count) * 8).div_ceil(highest)).unwrap_or(8);
    counts.iter().map(|count| EIGHTHS[eighths(*count)]).collect::<String>()
}

fn uplinks(summary: &Summary) -> String {
    let speeds = summary.uplink_bytes_per_s;
    let speed = |value| format!("{}/s", size(value));
    if speeds.count == 0 {
        return String::new();
    }
    format!(
        "  uplink ({} of 64 KB and more): p5 {} · p50 {} · p95 {}\n",
        count(speeds.count),
        speed(speeds.p5),
        speed(speeds.p50),
        speed(speeds.p95)
    )
}

/// The name comes last, for it may be long; statuses of failures stand below.
fn routes(summary: &Summary) -> String {
    let mut table = Table::of_numbers(["count", "body bytes", "p50", "p95", "p99", "route"]);
    table = table.align(0, Align::Right).align(5, Align::Left);
    for route in &summary.routes {
        table.row(route_cells(route));
    }
    let failures: String = summary.routes.iter().filter_map(failures).collect();
    if table.is_empty() { String::new() } else { table.render(2) + &failures }
}

fn route_cells(route: &RouteSummary) -> [String; 6] {
    let total = route.total();
    [
        count(route.count),
        if route.body_bytes == 0 { UNKNOWN.to_owned() } else { size(Some(route.body_bytes)) },
        ms(total.p50),
        ms(total.p95),
        ms(total.p99),
        route.route.clone(),
    ]
}

/// `503×1 none×2 of 20: POST /api/uploads`; `None` where every answer was one of success or of redirection.
fn failures(route: &RouteSummary) -> Option<String> {
    let failed = route.statuses.iter().filter(|(status, _)| !status.starts_with(['1', '2', '3']));
    let told: Vec<String> = failed.map(|(status, n)| format!("{status}×{}", count(*n))).collect();
    (!told.is_empty()).then(|| format!("  {} of {}: {}\n", told.join(" "), count(route.count), route.route))
}

/// Stages of the slowest route: over all routes a stage of a rare route would seem longer than the whole.
fn slowest_route(summary: &Summary) -> String {
    let Some(route) = summary.routes_by_p95().first().copied() else { return String::new() };
    section(
        &format!("Stages of the slowest route, {}", route.route),
        &stages(&route.stages, &route.stages_inner),
    )
}

type Times = BTreeMap<String, StageTimes>;

fn stages(outer: &Times, inner: &Times) -> String {
    let mut table = Table::of_numbers(["stage", "count", "p50", "p95", "p99"]);
    for stage in Stage::ALL {
        let Some(times) = outer.get(stage.name()).filter(|times| times.count > 0) else { continue };
        table.row(stage_cells(stage.name().to_owned(), times));
        if stage == Stage::UpstreamWait {
            inner_rows(inner, &mut table);
        }
    }
    if table.is_empty() { String::new() } else { table.render(2) }
}

fn inner_rows(inner: &Times, table: &mut Table) {
    for (name, times) in inner {
        table.row(stage_cells(format!("  · {name}"), times));
    }
}

fn stage_cells(name: String, times: &StageTimes) -> [String; 5] {
    [name, count(times.count), ms(times.p50), ms(times.p95), ms(times.p99)]
}

fn uploads(summary: &Summary) -> String {
    let sizes = &summary.upload_bytes;
    if sizes.count == 0 {
        return String::new();
    }
    let mut text = format!("  {}, {} together\n ", counted(sizes.count, "file"), size(Some(sizes.sum)));
    let percentiles = [("p50", sizes.p50), ("p95", sizes.p95), ("p99", sizes.p99), ("largest", sizes.max)];
    for (between, (name, bytes)) in std::iter::once("").chain(std::iter::repeat("· ")).zip(percentiles) {
        let _ = write!(text, " {between}{name} {}", size(bytes));
    }
    format!("{text}\n{}{}", uplinks(summary), histogram(&summary.upload_histogram))
}

fn histogram(bins: &[SizeBin]) -> String {
    let highest = bins.iter().map(|bin| bin.count).max().unwrap_or_default().max(1);
    let mut table = Table::of_numbers(["size", "files", ""]).align(0, Align::Right).align(2, Align::Left);
    for bin in bins {
        table.row([bin_name(bin), count(bin.count), bar(bin.count, highest)]);
    }
    table.render(2)
}

/// `20–50 KB`; the unit stands once when both ends share it.
pub fn bin_name(bin: &SizeBin) -> String {
    let (from, from_unit) = round_size(bin.from_bytes);
    let (to, to_unit) = round_size(bin.to_bytes);
    match bin {
        SizeBin { to_bytes: u64::MAX, .. } => format!("over {from} {from_unit}"),
        SizeBin { from_bytes: 0, .. } => format!("under {to} {to_unit}"),
        _ if from_unit == to_unit => format!("{from}–{to} {to_unit}"),
        _ => format!("{from} {from_unit}–{to} {to_unit}"),
    }
}

/// Edges of bins are round decimal sizes.
fn round_size(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0..1_000 => (bytes, "B"),
        1_000..1_000_000 => (bytes / 1_000, "KB"),
        1_000_000..1_000_000_000 => (bytes / 1_000_000, "MB"),
        _ => (bytes / 1_000_000_000, "GB"),
    }
}

/// Eighths of a cell, so that a single file still shows.
fn bar(value: u64, highest: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let wanted = u128::from(value) * (BAR_CELLS as u128 * 8);
    let eighths = usize::try_from(wanted.div_ceil(u128::from(highest))).unwrap_or(BAR_CELLS * 8);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn limits(summary: &Summary) -> String {
    let titles = ["limit", "refused", "bytes", "would", "bytes"];
    let mut table = Table::of_numbers(titles);
    for (name, limit) in &summary.limits {
        table.row(judged_cells(name.clone(), &limit.total));
        for (route, judged) in &limit.routes {
            table.row(judged_cells(format!("  · {route}"), judged));
        }
    }
    if table.is_empty() { String::new() } else { table.render(2) }
}

fn judged_cells(name: String, judged: &Judged) -> [String; 5] {
    let bytes = |amount: Amount| if amount.sum == 0 { UNKNOWN.to_owned() } else { size(Some(amount.sum)) };
    let (refused, would_refuse) = (judged.refused(), judged.would_refuse());
    [name, count(refused.count), bytes(refused), count(would_refuse.count), bytes(would_refuse)]
}

fn ends(summary: &Summary) -> String {
    let ends: Vec<String> = summary.ends.iter().map(|(code, n)| format!("{code}×{}", count(*n))).collect();
    if ends.is_empty() { String::new() } else { format!("  {}\n", ends.join(" · ")) }
}

fn dispersion(summary: &Summary) -> String {
    let told = |name: &str| number(summary.dispersion.get(name).copied().flatten());
    let windows = WINDOWS_S.map(label).map(|name| format!("{name} s: {}", told(&name)));
    if summary.exchanges == 0 { String::new() } else { format!("  {}\n", windows.join(" · ")) }
}

fn ledger(summary: &Summary) -> String {
    let Some(ledger) = &summary.ledger else { return "  lost with the manifest\n".to_owned() };
    let mut text = format!("  accepted {}, recorded {}", count(ledger.accepted), count(ledger.recorded));
    let left_out = [
        ("sampled out", ledger.sampled_out),
        ("filtered", ledger.filtered),
        ("shed (queue)", ledger.shed_queue),
        ("shed (disk)", ledger.shed_disk),
        ("shed (budget)", ledger.shed_budget),
        ("too late", ledger.too_late),
        ("in flight", ledger.in_flight()),
    ];
    for (name, value) in left_out.into_iter().filter(|(_, value)| *value > 0) {
        let _ = write!(text, ", {name} {}", count(value));
    }
    text + &recorded_share(ledger) + "\n"
}

fn recorded_share(ledger: &Ledger) -> String {
    let recorded = ledger.recorded as f64 / ledger.accepted as f64;
    if ledger.accepted == 0 { String::new() } else { format!(" ({})", share(recorded)) }
}
