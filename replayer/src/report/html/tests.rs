//! What must hold of the page whatever the numbers are.

use super::super::tests::{failing_run, invalid_run, report, run};
use super::*;
use crate::monitor::timeline::{Event, EventKind, Point};

/// Everything of the page that a browser would fetch.
fn fetched(page: &str) -> Vec<&str> {
    let starts = ["src=\"", "href=\"", "url(", "@import", "fetch(", "XMLHttpRequest", "import("];
    starts.into_iter().filter(|start| page.contains(start)).collect()
}

#[test]
fn the_page_fetches_nothing() {
    let page = page(&report()).unwrap();
    assert_eq!(fetched(&page), Vec::<&str>::new());
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("<dd>2026-11-23T18:53:44Z</dd>"));
}

#[test]
fn the_verdict_stands_before_the_numbers() {
    let page = page(&report()).unwrap();
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(at("<h1>Held at 1× and 2×, missed at 5×</h1>") < at("38 of 200 planned requests failed"));
    assert!(at("the oldest had waited 31.2\u{a0}s") < at("The runs side by side"));
}

#[test]
fn text_of_a_run_cannot_break_out_of_the_page() {
    let evil = "</script><script>alert(1)</script><!--";
    let mut run = failing_run();
    run.target = evil.to_owned();
    run.reasons = vec![evil.to_owned()];
    run.routes[0].route = evil.to_owned();
    let page = page(&Report { capture: None, runs: vec![run] }).unwrap();
    assert!(!page.contains("<script>alert"));
    assert_eq!(page.matches("<script").count(), 3, "the data, uPlot and the page's own");
}

#[test]
fn chart_data_cannot_end_its_element() {
    let mut run = run(1.0, 1.0);
    run.series.truncate(2);
    let json = charts::json(&[run], &[]).unwrap();
    assert!(!json.contains('<'));
    let data: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(data["runs"][0]["seconds"], serde_json::json!([0, 1]));
    assert_eq!(data["runs"][0]["latency_ms_p95"][0], serde_json::Value::Null);
}

#[test]
fn a_page_without_runs_is_about_the_capture() {
    let page = page(&Report { runs: Vec::new(), ..report() }).unwrap();
    assert!(page.contains("What the capture holds") && page.contains("Upload sizes"));
    assert!(!page.contains("side by side"));
}

#[test]
fn damage_of_the_capture_stands_above_the_verdict() {
    let mut report = report();
    let damage = kingtide_common::capture::Damage::NoManifest;
    report.capture.as_mut().unwrap().damage = vec![damage];
    let page = page(&report).unwrap();
    assert!(page.find("manifest.json is missing").unwrap() < page.find("<h1>").unwrap());
}

#[test]
fn unknown_is_a_dash() {
    let mut run = invalid_run();
    run.latency_ms = crate::measure::run::Percentiles::default();
    let page = page(&Report { capture: None, runs: vec![run] }).unwrap();
    assert!(page.contains("<td class=\"\">–</td>"));
}

#[test]
fn the_page_is_one_small_html_document() {
    let whole = page(&report()).unwrap();
    assert!(whole.starts_with("<!doctype html>") && whole.trim_end().ends_with("</html>"));
    assert!(whole.len() < 200_000, "{} bytes", whole.len());
}

/// The page's document after its scripts ran in a real browser. `KINGTIDE_KEEP_PAGE=FILE` keeps the
/// page, to look at it.
fn document_in_chromium(page: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.html");
    std::fs::write(&file, page).unwrap();
    if let Some(kept) = std::env::var_os("KINGTIDE_KEEP_PAGE") {
        std::fs::copy(&file, kept).unwrap();
    }
    let profile = format!("--user-data-dir={}", directory.path().join("profile").display());
    let quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
    let output = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"])
        .args(quiet)
        .args([profile, format!("file://{}", file.display())])
        .output()
        .expect("Chromium shows the page: apt-get install -y chromium");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_real_browser_draws_every_chart() {
    let document = document_in_chromium(&page(&report()).unwrap());
    assert_eq!(document.matches("<canvas").count(), 6, "one per chart");
    assert_eq!(document.matches("aria-pressed=\"true\"").count(), 3, "one switch per run");
}

#[test]
fn a_real_browser_draws_what_monitors_saw_and_what_happened() {
    let point = |at_s, value| Point { at_s, value };
    let points = vec![point(-1.0, Some(3.0)), point(4.0, None), point(9.0, Some(2.0))];
    let text = "<script>alert(1)</script> UPDATE t SET a = ?".to_owned();
    let event = Event { at_s: 4.0, monitor: "postgres".to_owned(), kind: EventKind::LockWait, text };
    let series = ["postgres.active", "host.cpu_share"].map(|metric| (metric.to_owned(), points.clone()));
    let timeline = Timeline { series: series.into(), events: vec![event] };
    let watched = [Timeline::default(), timeline];
    let document = document_in_chromium(&page_with_monitors(&report(), &watched).unwrap());
    assert_eq!(document.matches("<canvas").count(), 8, "one per chart, of one run");
    assert!(!document.contains("<script>alert") && document.contains("<td>lock wait</td>"));
}

#[test]
fn a_chart_without_anything_to_draw_says_so() {
    let mut run = run(1.0, 1.0);
    run.series.clear();
    run.latency_curve.clear();
    run.service_curve.clear();
    let document = document_in_chromium(&page(&Report { capture: None, runs: vec![run] }).unwrap());
    let notes = ["No answers to draw", "Nothing measured", "None in any run"];
    assert_eq!(notes.map(|note| document.matches(&format!(">{note}<")).count()), [1, 4, 1]);
}
