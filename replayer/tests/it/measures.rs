//! What the measures say of targets that are slow in one way each.

use std::time::Duration;

use kingtide::measure::run::{Percentiles, RunReport};
use kingtide::report::read_run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::captured::{at, get, session, upload};
use crate::drive::{config_of, drive};
use crate::replay::{Scene, text};
use crate::server::{Server, answer, read_head};

/// How long the slow ones take.
const SLOW: Duration = Duration::from_millis(400);
const SLOW_MS: f64 = 400.0;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn slowest(times: &Percentiles) -> f64 {
    times.max.unwrap_or_default()
}

fn run_on(server: &Server, steps: Vec<kingtide::sessions::Step>) -> RunReport {
    let target = kingtide::drive::Target::resolve(&server.origin).unwrap();
    drive(&config_of(target), &[session(steps)]).1
}

#[test]
fn an_upload_that_the_target_does_not_read_yet_is_not_sent() {
    let server = Server::raw(|mut stream| async move {
        let head = text(&read_head(&mut stream).await).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        tokio::time::sleep(SLOW).await;
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(ANSWER).await.unwrap();
    });
    let report = run_on(&server, vec![upload(2_000_000, &[])]);
    let (send_ms, held) = (slowest(&report.stages_ms["send"]), report.held_at_send_end);
    assert!(send_ms >= SLOW_MS, "the kernel took it all at once: sent in {send_ms} ms, {held:?}");
    assert_eq!(held.uploads, 1, "the kernel was asked");
    assert_eq!(report.routes[0].stages_ms, report.stages_ms, "there is one route");
}

#[test]
fn a_second_says_what_was_planned_for_it_though_the_request_hangs_into_another() {
    let server = Server::http(|_| async {
        tokio::time::sleep(3 * SLOW).await;
        answer(200, "{}")
    });
    let report = run_on(&server, vec![get("/slow"), at(100_000, get("/waits-for-its-turn"))]);
    let planned: Vec<u64> = report.series.iter().map(|second| second.planned).collect();
    let sent: Vec<u64> = report.series.iter().map(|second| second.sent).collect();
    assert_eq!((planned[0], planned.iter().sum::<u64>()), (2, 2), "{planned:?}");
    assert!(sent[0] == 1 && sent.iter().sum::<u64>() == 2, "the second had to wait: {sent:?}");
    let parts = &report.lag_parts_ms;
    let waited_ms = slowest(&parts.dependency);
    assert!(waited_ms >= 3.0 * SLOW_MS - 100.0 && slowest(&parts.connect) < waited_ms, "{parts:?}");
}

#[test]
fn what_went_over_the_wire_is_counted_both_ways() {
    let server = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
    });
    let report = run_on(&server, vec![get("/page")]);
    assert_eq!(report.received_bytes, ANSWER.len() as u64);
    assert!(report.sent_bytes > report.body_bytes + "GET /page HTTP/1.1\r\n\r\n".len() as u64);
}

#[test]
fn a_runs_directory_holds_its_samples_and_a_full_disk_costs_only_them() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = Scene::new(vec![(1, 0, get("/page").exchange), (2, 5, get("/page").exchange)]);
    let out = scene.path("out");
    let to_out = ["--out", out.to_str().unwrap()];
    scene.run(&server.origin, &to_out);
    let samples = read_run(&out).unwrap().samples.unwrap();
    assert_eq!((samples.written, samples.file), (2, out.join("samples.csv.gz").display().to_string()));
    let full = scene.run(&server.origin, &["--samples", "/dev/full"]);
    let table = text(&full.stdout);
    assert!(table.contains("/dev/full lacks 2 samples because the disk refused (No space left"), "{table}");
    let nowhere = scene.run(&server.origin, &["--samples", "/none/samples.csv.gz"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("--samples: cannot write /none/"), "{}", text(&nowhere.stderr));
    scene.run(&server.origin, &[&to_out[..], &["--samples-max", "0"]].concat());
    assert_eq!(read_run(&out).unwrap().samples, None);
}
