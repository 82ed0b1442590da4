//! HTTP endpoints, and peers that do not answer beside some that do.

use kingtide::monitor::Monitors;
use kingtide::monitor::settings::{Address, Sample, Value, What, Which};
use kingtide::monitor::timeline::EventKind;

use super::{event, gap, latest_is, often, postgres, seen};
use crate::server::{Server, answer};
use crate::tls::Identity;

fn sample(metric: &str, selector: &str) -> Sample {
    Sample { metric: metric.to_owned(), selector: selector.parse().unwrap(), is_rate: false }
}

fn value(metric: &str, pointer: &str) -> Value {
    Value { metric: metric.to_owned(), pointer: pointer.parse().unwrap() }
}

#[test]
fn numbers_of_endpoints_are_seen_also_of_one_that_is_not_well() {
    let server = Server::http(|received| async move {
        match received.path.as_str() {
            "/metrics?all=1" => answer(200, "pool_in_use{pool=\"a\"} 3\npool_in_use{pool=\"b\"} 4\n"),
            "/health" => answer(503, "{\"pool\": {\"size\": 20}}"),
            _ => answer(404, "gone"),
        }
    });
    let address = |path: &str| Address::http(&format!("{}{path}", server.origin)).unwrap();
    let metrics = vec![sample("pool", "pool_in_use"), sample("gone", "no_such_metric")];
    let monitors = Monitors::start(&[
        often("prometheus", What::Prometheus { url: address("/metrics?all=1"), metrics: metrics.clone() }),
        often("health", What::Json { url: address("/health"), metrics: vec![value("size", "/pool/size")] }),
        often("wrong", What::Prometheus { url: address("/nothing"), metrics }),
    ])
    .unwrap();
    latest_is(&monitors, "prometheus.pool", 7.0);
    latest_is(&monitors, "health.size", 20.0);
    seen(&monitors, "note", |timeline| event(timeline, EventKind::Note, "no sample for `no_such_metric`"));
    assert!(gap(&monitors, "answered 404").monitor == "wrong");
}

#[test]
fn an_endpoint_with_a_password_and_a_port_gets_them() {
    let server = Server::http(|_| async { answer(200, "{\"a\": 1}") });
    let url = Address::http(&format!("{}/health", server.origin.replace("http://", "http://ann:s%40cret@")))
        .unwrap();
    let monitors =
        Monitors::start(&[often("health", What::Json { url, metrics: vec![value("a", "/a")] })]).unwrap();
    latest_is(&monitors, "health.a", 1.0);
    let received = &server.received()[0];
    assert_eq!(received.header("authorization"), "Basic YW5uOnNAY3JldA==");
    assert_eq!(format!("http://{}", received.header("host")), server.origin);
}

#[test]
fn a_certificate_of_nobody_known_is_a_gap() {
    let server = Server::https(&Identity::new());
    let url = Address::http(&format!("{}/health", server.origin.replace("http://", "https://"))).unwrap();
    let monitors =
        Monitors::start(&[often("health", What::Json { url, metrics: vec![value("a", "/a")] })]).unwrap();
    let text = gap(&monitors, "it cannot look: https://").text;
    assert!(text.contains("certificate"), "{text}");
}

#[test]
fn a_peer_that_hangs_delays_no_other() {
    let hanging = Server::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let address = hanging.origin.trim_start_matches("http://");
    let pid = i32::try_from(std::process::id()).unwrap();
    let monitors = Monitors::start(&[
        postgres(&format!("postgres://app@{address}/app?sslmode=disable")),
        often("self", What::Process(Which::Pid(pid))),
    ])
    .unwrap();
    assert_eq!(gap(&monitors, "no answer within 1s").monitor, "postgres");
    // By then the other was looked at again.
    assert!(monitors.timeline(monitors.began()).values("self.threads").count() >= 2);
    let timeline = monitors.timeline(monitors.began());
    assert_eq!(timeline.events.iter().filter(|event| event.kind == EventKind::Gap).count(), 1, "said once");
    assert!(timeline.values("self.cpu_share").all(|(_, share)| (0.0..=1.0).contains(&share)));
}

#[test]
fn a_process_that_ends_is_a_gap() {
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let which = Which::Pid(i32::try_from(child.id()).unwrap());
    let monitors = Monitors::start(&[often("sleep", What::Process(which))]).unwrap();
    latest_is(&monitors, "sleep.processes", 1.0);
    child.kill().unwrap();
    child.wait().unwrap();
    gap(&monitors, &format!("there is no process {}", child.id()));
}
