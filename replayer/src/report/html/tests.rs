//! What must hold of the page whatever the numbers are.

use super::super::tests::{failing_run, invalid_run, report, run};
use super::*;

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
    run.errors.insert(evil.to_owned(), 1);
    let page = page(&Report { capture: None, runs: vec![run] }).unwrap();
    assert!(!page.contains("<script>alert"));
    assert_eq!(page.matches("<script").count(), 3, "the data, uPlot and the page's own");
}

#[test]
fn chart_data_cannot_end_its_element() {
    let mut run = run(1.0, 1.0);
    run.series.truncate(2);
    let json = charts::json(&[run]).unwrap();
    assert!(!json.contains('<'));
    let data: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(data[0]["seconds"], serde_json::json!([0, 1]));
    assert_eq!(data[0]["latency_ms_p95"][0], serde_json::Value::Null);
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

/// Writes the page where `KINGTIDE_PAGE_DIR` says, to look at it in a browser.
#[test]
fn the_page_is_one_html_document() {
    let whole = page(&report()).unwrap();
    if let Some(directory) = std::env::var_os("KINGTIDE_PAGE_DIR") {
        let pages = [
            ("runs.html", &whole),
            ("one.html", &page(&Report { capture: None, runs: vec![run(1.0, 1.0)] }).unwrap()),
        ];
        pages.iter().for_each(|(name, text)| {
            std::fs::write(std::path::Path::new(&directory).join(name), text).unwrap()
        });
    }
    assert!(whole.starts_with("<!doctype html>") && whole.trim_end().ends_with("</html>"));
    assert!(whole.len() < 200_000, "{} bytes", whole.len());
}
