//! An audit for people.

use std::fmt::Write as _;

use super::{Audit, Finding, Held};

/// Findings first, then what the capture holds.
pub fn render(audit: &Audit) -> String {
    let mut out = format!("{}: {} exchanges audited\n", audit.capture, audit.exchanges);
    for damage in &audit.damage {
        let _ = writeln!(out, "not audited: {damage}");
    }
    if audit.findings.is_empty() {
        let incomplete = if audit.complete { "" } else { " in what could be read" };
        let _ = writeln!(out, "no secret found{incomplete}");
    }
    audit.findings.iter().for_each(|finding| render_finding(finding, &mut out));
    if audit.findings_left_out > 0 {
        let _ = writeln!(out, "and {} findings in further places", audit.findings_left_out);
    }
    out.push_str("\nHolds (values, of them with a fingerprint, of them with plain text):\n");
    audit.holds.iter().for_each(|held| render_held(held, &mut out));
    if audit.places_left_out > 0 {
        let _ = writeln!(out, "  and {} values in further places", audit.places_left_out);
    }
    out
}

fn render_finding(finding: &Finding, out: &mut String) {
    let kind = serde_json::to_value(finding.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
    let at = finding.exchange.map_or_else(String::new, |exchange| format!("exchange {exchange}, "));
    let times = if finding.occurrences == 1 { "once" } else { &format!("{} times", finding.occurrences) };
    let _ = writeln!(out, "FOUND {kind}: {at}{}, {times}: {}", finding.place, finding.excerpt);
    let _ = writeln!(out, "      {}", finding.remedy);
}

fn render_held(held: &Held, out: &mut String) {
    let examples = held.examples.iter().map(|example| format!("{example:?}")).collect::<Vec<_>>().join(" ");
    let place = held.place.to_string();
    let line =
        format!("  {place:<44} {:>7} {:>7} {:>7}  {examples}", held.values, held.fingerprinted, held.plain);
    let _ = writeln!(out, "{}", line.trim_end());
}
