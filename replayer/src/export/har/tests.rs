use kingtide_common::exchange::{Body, Header, PacingPoint, ServerTiming};
use kingtide_common::stages::Instants;
use serde_json::{Value, json};

use super::*;
use crate::sessions::scene::{get, post};

fn archive(exchanges: Vec<Exchange>) -> Value {
    let mut text = Vec::new();
    let mut archive = Archive::begin(&mut text, Scheme::Recorded).unwrap();
    for (exchange, id) in exchanges.into_iter().zip(1..) {
        archive.exchange(1, Exchange { id, ..exchange }).unwrap();
    }
    archive
        .gap(1, Gap { from_ns: 1, to_ns: 2, count: 3, bytes: 4, reason: "queue".to_owned(), cut: Vec::new() })
        .unwrap();
    archive.finish(&[Damage::NoManifest]).unwrap();
    drop(archive);
    let har: Value = serde_json::from_slice(&text).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../../schemas/har.json")).unwrap();
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&har)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new());
    har
}

fn entries(exchanges: Vec<Exchange>) -> Vec<Value> {
    archive(exchanges)["log"]["entries"].as_array().unwrap().clone()
}

#[test]
fn entries_stand_in_the_order_of_their_start() {
    let scenes = vec![get("/b").at_s(2.0).0, get("/a").at_s(1.0).0];
    let urls: Vec<Value> = entries(scenes).iter().map(|entry| entry["request"]["url"].clone()).collect();
    assert_eq!(urls, ["http://unknown.invalid/a", "http://unknown.invalid/b"]);
}

#[test]
fn bodies_are_text_or_params_and_files_are_described() {
    let upload = post("/upload").upload(&[("title", "Unit 3")], 5_000).0;
    let form = post("/login").form("user=anna+b&password={fp:0123456789abcdef.8}").at_s(1.0).0;
    let json = post("/items").json(r#"{"id":7}"#).answers(r#"{"ok":true}"#).at_s(2.0).0;
    let opaque = Exchange { request_body: Body::Opaque, request_body_bytes: 9, ..post("/blob").at_s(3.0).0 };
    let entries = entries(vec![upload, form, json, opaque]);
    let data = |at: usize| &entries[at]["request"]["postData"];
    assert_eq!(data(0)["params"][0], json!({"name": "title", "value": "Unit 3"}));
    assert_eq!(data(0)["params"][1]["comment"], "5000 bytes, content not kept");
    assert_eq!(data(1)["params"][0], json!({"name": "user", "value": "anna b"}));
    assert_eq!(data(1)["params"][1]["value"], "{fp:0123456789abcdef.8}", "a token stays a token");
    assert_eq!((&data(2)["text"], &data(2)["params"]), (&json!(r#"{"id":7}"#), &Value::Null));
    assert_eq!(entries[2]["response"]["content"]["text"], r#"{"ok":true}"#);
    assert_eq!((&data(3)["text"], &data(3)["comment"]), (&json!(""), &json!("9 bytes, not kept")));
    assert_eq!(entries[3]["_kingtide"]["request_body"], json!({"kind": "opaque", "bytes": 9}));
}

#[test]
fn cookies_queries_and_redirects_are_taken_apart() {
    let scene =
        get("/a?x=1&y=b%20c").header("Cookie", "sid={fp:0123456789abcdef.9}; theme=dark").refused(302);
    let scene = scene.answer_header("Location", "/b").answer_header("Set-Cookie", "t=1; Path=/; HttpOnly");
    let entry = &entries(vec![scene.0])[0];
    assert_eq!(entry["request"]["queryString"][1], json!({"name": "y", "value": "b c"}));
    assert_eq!(entry["request"]["cookies"][1], json!({"name": "theme", "value": "dark"}));
    assert_eq!(entry["response"]["cookies"], json!([{"name": "t", "value": "1"}]));
    assert_eq!(entry["response"]["redirectURL"], "/b");
    assert_eq!(entry["response"]["statusText"], "Found");
}

#[test]
fn connections_with_a_handshake_are_https_and_begin_with_it() {
    let on = |at_s, tls_us| Exchange { host: "app.test".to_owned(), tls_us, ..get("/").at_s(at_s).on(7).0 };
    let entries = entries(vec![on(0.0, Some(2_000)), on(1.0, None)]);
    assert_eq!(entries[0]["request"]["url"], "https://app.test/");
    assert_eq!(entries[1]["request"]["url"], "https://app.test/");
    assert_eq!(entries[0]["startedDateTime"], "2023-11-14T22:13:19.998Z");
    assert_eq!((&entries[0]["time"], &entries[0]["timings"]["ssl"]), (&json!(12.0), &json!(2.0)));
    assert_eq!((&entries[1]["time"], &entries[1]["timings"]["ssl"]), (&json!(10.0), &json!(-1.0)));
}

#[test]
fn what_har_has_no_place_for_stands_in_kingtides_own_fields() {
    let exchange = Exchange {
        pacing: vec![PacingPoint { at_us: 5, bytes: 10 }],
        server_timing: vec![ServerTiming { name: "db".to_owned(), duration_us: 96_000 }],
        instants: Instants { head_done_us: Some(51), done_us: Some(90), ..Instants::default() },
        end: Some("CD".to_owned()),
        status: None,
        response_headers: vec![Header { name: "Content-Type".to_owned(), value: String::new() }],
        ..get("/").0
    };
    let har = archive(vec![exchange]);
    let entry = &har["log"]["entries"][0];
    let own = &entry["_kingtide"];
    assert_eq!((&own["pacing"], &own["end"]), (&json!([[5, 10]]), &json!("CD")));
    assert_eq!(own["server_timing"], json!([{"name": "db", "duration_us": 96_000}]));
    assert_eq!(
        (&own["instants"]["head_done_us"], &own["instants"]["body_done_us"]),
        (&json!(51), &Value::Null)
    );
    assert_eq!(entry["response"]["status"], 0);
    assert_eq!(har["log"]["_kingtide"]["gaps"][0]["count"], 3);
    assert!(har["log"]["_kingtide"]["damage"][0].as_str().unwrap().contains("manifest.json"));
}
