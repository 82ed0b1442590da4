//! Runs with a timeline by hand.

use std::collections::BTreeMap;

use super::*;
use crate::compare::Run;
use crate::monitor::timeline::Point;
use crate::report::tests as reports;

fn run(seconds: usize) -> Run {
    let mut report = reports::run(1.0, 1.0);
    let second = *report.series.last().unwrap();
    let at = |at: usize| crate::measure::run::Second {
        at_s: at as u64,
        planned: 10,
        sent: 10,
        done: 10,
        failed: 0,
        latency_ms_p50: Some(100.0 + (at * 7 % 5) as f64),
        latency_ms_p95: Some(200.0 + (at * 7 % 5) as f64),
        ..second
    };
    report.series = (0..seconds).map(at).collect();
    Run::bare(report)
}

fn timeline(metric: &str, value: impl Fn(f64) -> f64) -> Timeline {
    let points = (0..120).map(|at| {
        let at_s = 5.0 * f64::from(at);
        Point { at_s, value: Some(value(at_s)) }
    });
    Timeline { series: BTreeMap::from([(metric.to_owned(), points.collect())]), events: Vec::new() }
}

fn assessed(run: &Run, timeline: &Timeline) -> Assessment {
    Assessment::of(run, timeline, &Thresholds::default())
}

#[test]
fn a_leak_is_told_with_its_slope_and_its_end() {
    // 0.4 at the beginning and a hundredth more each minute, with some noise.
    let leak = timeline("host.memory_share", |at_s| 0.4 + at_s / 6_000.0 + 0.002 * (at_s * 1.7).sin());
    let grown = assessed(&run(600), &leak).grown;
    assert_eq!(grown.len(), 1, "{grown:?}");
    let grown = &grown[0];
    assert!((grown.per_min - 0.01).abs() < 0.0005, "{grown:?}");
    assert!(grown.interval.low <= 0.01 && grown.interval.high >= 0.01, "{grown:?}");
    // From 0.5 to 0.95 are 45 minutes.
    assert!((2_500.0..2_900.0).contains(&grown.limit_in_s.unwrap()), "{grown:?}");
    let sentence = grown.sentence();
    assert!(sentence.starts_with("host.memory_share grows by 1.0 %/min ["), "{sentence}");
    assert!(sentence.contains("at 95 %, which is critical, in 4"), "{sentence}");
}

#[test]
fn what_is_level_or_short_or_follows_the_load_is_no_leak() {
    let level = timeline("process.rss_bytes", |at_s| 1e8 + 1e5 * (at_s * 1.3).sin());
    let filling = timeline("process.rss_bytes", |at_s| 1e8 + 1e6 * at_s.min(100.0));
    let busy = timeline("host.cpu_share", |at_s| at_s / 1_000.0);
    let read = timeline("host.disk_read_bytes", |at_s| 1e6 * at_s);
    for timeline in [&level, &filling, &busy, &read] {
        assert_eq!(assessed(&run(600), timeline).grown, [], "{:?}", timeline.series.keys());
    }
    let leak = timeline("process.rss_bytes", |at_s| 1e8 + 1e6 * at_s);
    assert_eq!(assessed(&run(200), &leak).grown, []);
    assert_eq!(assessed(&run(600), &leak).grown.len(), 1);
}

#[test]
fn latency_that_creeps_is_found_by_windows() {
    let mut creeping = run(600);
    for second in &mut creeping.report.series {
        let more = second.at_s as f64 / 5.0;
        second.latency_ms_p50 = second.latency_ms_p50.map(|ms| ms + more);
    }
    let grown = assessed(&creeping, &Timeline::default()).grown;
    assert_eq!(grown.iter().map(|grown| grown.metric.as_str()).collect::<Vec<_>>(), ["run.latency_ms_p50"]);
    assert!((grown[0].per_min - 12.0).abs() < 0.5, "{grown:?}");
}

#[test]
fn the_text_says_grades_and_breaches() {
    let full = timeline("postgres.active", |at_s| if (100.0..=200.0).contains(&at_s) { 19.0 } else { 3.0 });
    let text = assessed(&run(60), &full).render();
    assert!(
        text.contains("critical: postgres.active above 18 from 1 min 40 s to 3 min 20 s, at worst 19"),
        "{text}"
    );
    assert!(text.contains("failed share"), "{text}");
}
