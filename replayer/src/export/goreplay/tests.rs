use kingtide_common::exchange::Body;
use kingtide_common::fingerprint::Fingerprint;
use kingtide_common::stages::Instants;
use proptest::prelude::*;

use super::*;
use crate::sessions::scene::{get, post, secret};

fn file(exchanges: Vec<Exchange>, body_bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut recording = Recording::begin(&mut bytes, body_bytes_max);
    exchanges.into_iter().try_for_each(|exchange| recording.exchange(1, exchange)).unwrap();
    recording.finish(&[]).unwrap();
    drop(recording);
    bytes
}

/// A record as a reader of the format takes it apart.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    kind: String,
    id: String,
    began_ns: i64,
    took_ns: u64,
    start_line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn records(file: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let end = find(rest, SEPARATOR.as_bytes()).expect("every record ends in a separator");
        records.push(record(&rest[..end]));
        rest = &rest[end + SEPARATOR.len()..];
    }
    records
}

fn record(bytes: &[u8]) -> Record {
    let line = find(bytes, b"\n").unwrap();
    let meta: Vec<&str> = std::str::from_utf8(&bytes[..line]).unwrap().split(' ').collect();
    let [kind, id, began_ns, took_ns] = meta[..] else { panic!("{meta:?}") };
    let message = &bytes[line + 1..];
    let blank = find(message, b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&message[..blank]).unwrap();
    let (start_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    Record {
        kind: kind.to_owned(),
        id: id.to_owned(),
        began_ns: began_ns.parse().unwrap(),
        took_ns: took_ns.parse().unwrap(),
        start_line: start_line.to_owned(),
        headers: headers.lines().filter_map(header).collect(),
        body: message[blank + 4..].to_vec(),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn length(record: &Record) -> Option<usize> {
    let (_, length) = record.headers.iter().find(|(name, _)| name == "Content-Length")?;
    length.parse().ok()
}

#[test]
fn a_request_and_its_answer_are_two_records() {
    let instants = Instants {
        body_done_us: Some(650),
        client_send_first_us: Some(900),
        done_us: Some(950),
        ..Instants::default()
    };
    let exchange = Exchange {
        id: 41,
        host: "app.test".to_owned(),
        instants,
        started_ns: 5_000_000,
        http_version: 20,
        response_body_bytes: 13,
        ..post("/items?x=1")
            .json(r#"{"id":7}"#)
            .answers(r#"{"ok":true}"#)
            .answer_header("Content-Encoding", "gzip")
            .0
    };
    let records = records(&file(vec![exchange], 1 << 20));
    let [request, response] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((request.kind.as_str(), response.kind.as_str()), ("1", "2"));
    assert_eq!((request.id.as_str(), &response.id), ("000000000000000000000029", &request.id));
    assert_eq!((request.began_ns, request.took_ns), (5_000_000, 650_000));
    assert_eq!((response.began_ns, response.took_ns), (5_900_000, 50_000));
    assert_eq!(
        (request.start_line.as_str(), response.start_line.as_str()),
        ("POST /items?x=1 HTTP/1.1", "HTTP/1.1 200 OK")
    );
    assert_eq!(
        request.headers,
        [("Host", "app.test"), ("Content-Length", "8")].map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    assert_eq!(
        response.headers,
        [("Content-Length".to_owned(), "11".to_owned())],
        "the text is not coded any more"
    );
    assert_eq!(response.body, br#"{"ok":true}"#);
}

#[test]
fn who_got_no_answer_has_no_second_record() {
    let exchange = Exchange { status: None, ..get("/").0 };
    assert_eq!(records(&file(vec![exchange], 0)).len(), 1);
}

#[test]
fn long_bodies_are_cut_and_counted() {
    let mut bytes = Vec::new();
    let mut recording = Recording::begin(&mut bytes, 1_000);
    let blob = Exchange { request_body: Body::Opaque, request_body_bytes: 5_000, ..post("/").0 };
    recording.exchange(1, blob).unwrap();
    recording.finish(&[]).unwrap();
    assert!(recording.notes()[0].starts_with("1 bodies"), "{:?}", recording.notes());
    drop(recording);
    let request = &records(&bytes)[0];
    assert_eq!((length(request), request.body.len()), (Some(1_000), 1_000));
}

#[test]
fn no_value_ends_a_head() {
    let exchange = get("/").header("X-A", "1\r\nX-B: 2").header("X-C", "3").0;
    let request = &records(&file(vec![exchange], 0))[0];
    assert_eq!(request.headers, [("X-C".to_owned(), "3".to_owned())]);
}

fn any_exchange() -> impl Strategy<Value = Exchange> {
    let body = prop_oneof![
        Just((Body::Empty, 0)),
        (1_u64..20_000).prop_map(|bytes| (Body::Opaque, bytes)),
        "[a-z]{1,40}".prop_map(|value| {
            let text = format!("{{\"token\":\"{}\"}}", secret(&value));
            let bytes = crate::drive::multipart::captured_bytes(&text);
            (Body::Json(text), bytes)
        }),
    ];
    let method = prop::sample::select(vec!["GET", "POST", "DELETE", "X-!"]);
    let status = prop::sample::select(vec![None, Some(200), Some(404), Some(503), Some(299)]);
    let target = "/[a-z0-9/]{0,20}(\\?[a-z=&%]{0,10})?";
    (method, target, status, body.clone(), body, 0_i64..1 << 60).prop_map(
        |(method, target, status, request, response, started_ns)| Exchange {
            started_ns,
            method: method.to_owned(),
            target,
            status,
            request_body: request.0,
            request_body_bytes: request.1,
            response_body: response.0,
            response_body_bytes: response.1,
            ..Exchange::default()
        },
    )
}

/// How much longer a text is by its tokens than it was by the values.
fn token_bytes(body: &Body) -> i64 {
    let text = body.text().unwrap_or_default();
    let longer = |(range, print): (std::ops::Range<usize>, Fingerprint)| {
        i64::try_from(range.len()).unwrap() - i64::try_from(print.bytes).unwrap()
    };
    Fingerprint::find_all(&text).into_iter().map(longer).sum()
}

proptest! {
    #[test]
    fn methods_targets_statuses_and_sizes_read_back(mut exchanges in prop::collection::vec(any_exchange(), 1..20)) {
        for (exchange, id) in exchanges.iter_mut().zip(1..) {
            exchange.id = id;
        }
        let records = records(&file(exchanges.clone(), u64::MAX));
        exchanges.sort_by_key(|exchange| (exchange.started_ns, exchange.id));
        let mut records = records.into_iter();
        for exchange in &exchanges {
            let request = records.next().unwrap();
            let line = format!("{} {} HTTP/1.1", exchange.method, exchange.target);
            prop_assert_eq!((&request.kind, &request.start_line, request.began_ns), (&"1".to_owned(), &line, exchange.started_ns));
            let expected = i64::try_from(exchange.request_body_bytes).unwrap() + token_bytes(&exchange.request_body);
            prop_assert_eq!(i64::try_from(request.body.len()).unwrap(), expected);
            prop_assert_eq!(length(&request).unwrap_or_default(), request.body.len());
            let Some(status) = exchange.status else { continue };
            let response = records.next().unwrap();
            prop_assert_eq!((&response.kind, &response.id), (&"2".to_owned(), &request.id));
            let line = format!("HTTP/1.1 {status} ");
            prop_assert!(response.start_line.starts_with(&line));
            let expected = i64::try_from(exchange.response_body_bytes).unwrap() + token_bytes(&exchange.response_body);
            prop_assert_eq!(i64::try_from(response.body.len()).unwrap(), expected);
        }
        prop_assert_eq!(records.next(), None);
    }
}
