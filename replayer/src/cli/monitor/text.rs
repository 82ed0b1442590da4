//! What monitors saw, in lines.

use crate::monitor::timeline::{Event, EventKind, Point, Timeline};
use crate::monitor::unit::Unit;
use crate::report::format::count;
use crate::report::table::Table;

/// `12 s  postgres  lock wait: …`
pub(super) fn line(event: &Event) -> String {
    format!("{:>7.1} s  {}  {}: {}", event.at_s, event.monitor, event.kind.words(), event.text)
}

/// For the end of a run: of what happened several times the first, and how often it did.
pub(in crate::cli) fn happened(timeline: &Timeline) -> String {
    let mut told: Vec<(&Event, usize)> = Vec::new();
    for event in timeline.events.iter().filter(|event| event.kind != EventKind::Note) {
        let is_same = |of: &Event| of.monitor == event.monitor && of.kind == event.kind;
        match told.iter_mut().find(|(first, _)| is_same(first)) {
            Some((_, times)) => *times += 1,
            None => told.push((event, 1)),
        }
    }
    let again = |times: usize| {
        if times > 1 { format!(" ({} times in all)", count(times as u64)) } else { String::new() }
    };
    let lines: Vec<String> = told.iter().map(|(event, times)| line(event) + &again(*times)).collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!("\nwhat monitors saw happen:\n{}\n", lines.join("\n"))
    }
}

/// Each metric over the time, then what happened.
pub(super) fn table(timeline: &Timeline) -> String {
    let mut table = Table::of_numbers(["metric", "last", "least", "mean", "most", "not seen"]);
    for (metric, points) in &timeline.series {
        table.row(row(metric, points));
    }
    let events: String = timeline.events.iter().map(|event| line(event) + "\n").collect();
    let gap = if events.is_empty() { "" } else { "\n" };
    format!("{}{gap}{events}", table.render(0))
}

fn row(metric: &str, points: &[Point]) -> Vec<String> {
    let values: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
    let unit = Unit::of(metric);
    let most = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let last = points.last().and_then(|point| point.value);
    let told = [last, most(f64::min), mean, most(f64::max)].map(|value| unit.told(value));
    let unseen = match points.len() - values.len() {
        0 => String::new(),
        unseen => format!("{} of {}", count(unseen as u64), count(points.len() as u64)),
    };
    std::iter::once(metric.to_owned()).chain(told).chain([unseen]).collect()
}

pub(super) fn csv(timeline: &Timeline) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["at_s", "metric", "value"])?;
    for (metric, points) in &timeline.series {
        for point in points {
            let value = point.value.map(|value| value.to_string()).unwrap_or_default();
            writer.write_record([format!("{:.3}", point.at_s), metric.clone(), value])?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::format::UNKNOWN;

    fn timeline() -> Timeline {
        let point = |at_s, value| Point { at_s, value };
        let points = vec![point(0.0, Some(3.0)), point(5.0, None), point(10.0, Some(6.0))];
        let event = Event {
            at_s: 5.0,
            monitor: "postgres".to_owned(),
            kind: EventKind::Gap,
            text: "it cannot look: refused".to_owned(),
        };
        let series = BTreeMap::from([
            ("postgres.active".to_owned(), points),
            ("host.cpu_share".to_owned(), vec![point(0.0, None)]),
        ]);
        Timeline { series, events: vec![event] }
    }

    #[test]
    fn what_happened_again_and_again_is_told_once() {
        let mut timeline = timeline();
        timeline.events.extend(timeline.events.clone());
        timeline.events.push(Event { kind: EventKind::Note, ..timeline.events[0].clone() });
        let told = happened(&timeline);
        assert!(told.ends_with("it cannot look: refused (2 times in all)\n"), "{told}");
        assert_eq!(happened(&Timeline::default()), "");
    }

    #[test]
    fn a_table_tells_range_gaps_and_events() {
        let lines: Vec<String> = table(&timeline())
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "metric last least mean most not seen",
                &format!("host.cpu_share {UNKNOWN} {UNKNOWN} {UNKNOWN} {UNKNOWN} 1 of 1"),
                "postgres.active 6 3 4.5 6 1 of 3",
                "",
                "5.0 s postgres gap: it cannot look: refused",
            ]
        );
    }

    #[test]
    fn csv_has_a_line_for_each_look() {
        let csv = csv(&timeline()).unwrap();
        assert_eq!(
            csv,
            "at_s,metric,value\n0.000,host.cpu_share,\n0.000,postgres.active,3\n5.000,postgres.active,\n\
             10.000,postgres.active,6\n"
        );
    }
}
