//! A disk that refuses, and a directory that goes away, under a running proxy: traffic goes on, and the capture says
//! what is missing.

use kingtide_common::exchange::CutUser;
use serde_json::Value;

use crate::backend::answering;
use crate::client::{Client, get, status};
use crate::proxy::{Proxy, recording, route_all};
use crate::wait::until;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

fn capture_status(proxy: &Proxy) -> Value {
    let mut admin = Client::connect(proxy.admin.unwrap());
    let (_, body) = admin.ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    serde_json::from_str::<Value>(&body).unwrap()["capture"].take()
}

fn metrics(proxy: &Proxy) -> String {
    Client::connect(proxy.admin.unwrap()).ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").1
}

fn ask(client: &mut Client, path: &str) {
    assert_eq!(status(&client.ask(get(path)).0), 200);
}

/// Files may not grow, the proxy's own log neither: what a full disk is to a program, without filling one.
#[test]
fn a_full_disk_stops_the_recording_and_not_the_traffic_until_there_is_space_again() {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + ADMIN));
    let mut before = Client::connect(proxy.address);
    ask(&mut before, "/before");
    proxy.exchanges_once_there_are(1);

    proxy.limit_files(Some(1));
    ask(&mut before, "/cut");
    until("the refusal", || (capture_status(&proxy)["state"] == "failed").then_some(()));
    let error = capture_status(&proxy)["error"].to_string();
    assert!(error.contains("File too large"), "{error}");
    let told = metrics(&proxy);
    assert!(
        told.contains("kingtide_capture_recording 0") && told.contains("kingtide_capture_failing 1"),
        "{told}"
    );
    (0..50).for_each(|n| ask(&mut Client::connect(proxy.address), &format!("/unrecorded/{n}")));

    proxy.limit_files(None);
    until("space", || (capture_status(&proxy)["state"] == "recording").then_some(()));
    assert_eq!(capture_status(&proxy)["error"], Value::Null);
    ask(&mut Client::connect(proxy.address), "/after");
    ask(&mut before, "/cut/still");

    let left = proxy.stop();
    let reading = left.reading();
    let targets: Vec<&str> = reading.exchanges.iter().map(|exchange| exchange.target.as_str()).collect();
    assert_eq!((targets, reading.damage), (vec!["/before", "/after"], vec![]));
    let ledger = left.ledger();
    assert_eq!((ledger.accepted, ledger.recorded, ledger.shed_disk, ledger.in_flight()), (54, 2, 52, 0));
    assert!(reading.gaps.iter().all(|gap| gap.reason == "disk"), "{:?}", reading.gaps);
    assert_eq!(reading.gaps.iter().map(|gap| gap.count).sum::<u64>(), 52);
    let cut: Vec<CutUser> = reading.gaps.iter().flat_map(|gap| gap.cut.clone()).collect();
    assert_eq!(cut, [CutUser::Connection(reading.exchanges[0].connection)], "one session had begun");
}

#[test]
fn a_directory_removed_under_the_proxy_is_made_again() {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + ADMIN));
    let mut client = Client::connect(proxy.address);
    ask(&mut client, "/lost");
    proxy.exchanges_once_there_are(1);
    let capture = proxy.directory.path().join("capture");
    // The writer may make a file in it meanwhile.
    until("the directory's removal", || std::fs::remove_dir_all(&capture).ok());
    until("another directory", || {
        ask(&mut client, "/kept");
        capture.join("manifest.json").exists().then_some(())
    });
    ask(&mut client, "/kept");
    assert_eq!(capture_status(&proxy)["state"], "recording");
    let left = proxy.stop();
    let exchanges = left.exchanges();
    assert!(!exchanges.is_empty() && exchanges.iter().all(|exchange| exchange.target == "/kept"));
    let capture = kingtide_common::capture::Capture::open(&left.capture()).unwrap();
    let removed = capture.manifest().unwrap().removed;
    assert_eq!(removed.rows + exchanges.len() as u64, left.ledger().recorded, "{removed:?}");
}

#[test]
fn a_second_proxy_on_the_same_directory_is_refused() {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("")));
    let config = proxy.directory.path().join("proxy.toml");
    let second = crate::proxy::command().arg("--config").arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("is being written by another process"), "{said}");
}

#[test]
fn old_segments_go_while_the_proxy_records() {
    let backend = answering("{}");
    let keys = "enabled = true\nsegment_size = \"1\"\nretain_size = \"60k\"\n";
    let proxy =
        Proxy::of(&(recording(backend.address).replace("enabled = true\n", keys) + &route_all("") + ADMIN));
    let capture = proxy.directory.path().join("capture");
    let mut client = Client::connect(proxy.address);
    until("the first segment", || {
        ask(&mut client, "/a");
        capture.join("exchanges-000001.arrows").exists().then_some(())
    });
    until("the first segment's end", || {
        ask(&mut client, "/a");
        let mut admin = Client::connect(proxy.admin.unwrap());
        admin.ask("POST /capture/rotate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        (!capture.join("exchanges-000001.arrows").exists()).then_some(())
    });
    let left = proxy.stop();
    let (recorded, exchanges) = (left.ledger().recorded, left.exchanges().len() as u64);
    let opened = kingtide_common::capture::Capture::open(&left.capture()).unwrap();
    let removed = opened.manifest().unwrap().removed;
    assert_eq!(removed.rows + exchanges, recorded, "{removed:?}");
    assert!(removed.segments >= 1 && left.bytes().len() < 200_000);
}
