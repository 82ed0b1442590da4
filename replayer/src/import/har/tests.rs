//! Entries as exporters write them, and what becomes of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::foreign::{Connection, Content, Foreign};
use super::super::tests::{SOURCE, exchanges, findings, imported, left_out, options, unreadable};
use super::super::{Finding, ImportError};
use super::*;

fn read_text(text: &[u8]) -> Result<Vec<Finding>, ImportError> {
    findings(|sink| read(SOURCE, text, sink))
}

fn read_entries(entries: &[Value]) -> Vec<Finding> {
    let har = json!({"log": {"version": "1.2", "pages": [{}], "entries": entries, "creator": {"name": "x"}}});
    read_text(har.to_string().as_bytes()).unwrap()
}

fn one(entry: Value) -> Foreign {
    let mut foreign = exchanges(read_entries(&[entry]));
    assert_eq!(foreign.len(), 1);
    foreign.remove(0)
}

fn entry() -> Value {
    json!({
        "startedDateTime": "2026-11-24T13:00:00.250+01:00",
        "time": 100,
        "request": {"method": "GET", "url": "http://app.example/a?b=1#top", "httpVersion": "HTTP/1.1", "headers": []},
        "response": {"status": 200, "httpVersion": "HTTP/1.1", "headers": [], "content": {"size": 0}},
        "timings": {"blocked": 1.5, "dns": -1, "connect": 10, "ssl": 4, "send": 2, "wait": 60, "receive": 5}
    })
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut entry = entry();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        entry.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    entry
}

#[test]
fn times_are_those_on_the_wire() {
    let foreign = one(entry());
    assert_eq!(foreign.started_ns, 1_795_521_600_250_000_000 + 11_500_000);
    assert_eq!(foreign.tls_us, Some(4_000));
    let instants = foreign.instants;
    assert_eq!(
        (instants.body_done_us, instants.response_head_us, instants.done_us),
        (Some(2_000), Some(62_000), Some(67_000))
    );
    assert_eq!((foreign.host.as_str(), foreign.target.as_str()), ("app.example", "/a?b=1"));
    let total_only = one(with(&[("/timings", json!({}))]));
    assert_eq!(total_only.instants.response_head_us, Some(100_000));
    assert!(total_only.synthesised.contains("timings"));
}

#[test]
fn what_never_reached_a_backend_is_left_out_with_its_reason() {
    let cached = [
        with(&[("/_fromCache", json!("disk"))]),
        with(&[("/response/_transferSize", json!(0)), ("/response/content/size", json!(9))]),
        with(&[("/response/_fetchedViaServiceWorker", json!(true))]),
    ];
    let others = [
        with(&[("/response/status", json!(0)), ("/response/_error", json!("net::ERR_ABORTED"))]),
        with(&[("/request/url", json!("data:image/png;base64,AAAA"))]),
        with(&[("/request/url", json!("blob:http://app.example/1"))]),
        with(&[("/request/url", json!("wss://app.example/live"))]),
        with(&[("/_resourceType", json!("websocket"))]),
    ];
    let found = read_entries(&[cached.as_slice(), &others].concat());
    let reasons = left_out(&found);
    assert_eq!(reasons.len(), found.len());
    assert!(reasons[..3].iter().all(|reason| reason.contains("cache")), "{reasons:?}");
    assert!(reasons[3].contains("status 0") && reasons[4].contains("no HTTP"), "{reasons:?}");
    assert_eq!(&reasons[6..], ["WebSocket", "WebSocket"]);
}

#[test]
fn http2_entries_lose_pseudo_headers_and_keep_what_they_say() {
    let headers = json!([
        {"name": ":authority", "value": "app.example"}, {"name": ":path", "value": "/real"},
        {"name": "accept", "value": "*/*"}
    ]);
    let joined = json!([{"name": "set-cookie", "value": "a=1; Path=/\nb=2"}]);
    let foreign = one(with(&[
        ("/request/url", json!("https://user:hush@10.0.0.1/other")),
        ("/request/headers", headers),
        ("/request/httpVersion", json!("h2")),
        ("/response/headers", joined),
        ("/response/httpVersion", json!("h3")),
    ]));
    assert_eq!((foreign.host.as_str(), foreign.target.as_str()), ("app.example", "/real"));
    assert_eq!(foreign.http_version, 20);
    assert_eq!(foreign.request.headers, [("accept".to_owned(), "*/*".to_owned())]);
    assert_eq!(foreign.response.all("set-cookie").collect::<Vec<_>>(), ["a=1; Path=/", "b=2"]);
}

#[test]
fn bodies_come_as_text_in_base64_or_as_parameters() {
    let posted = |data: Value| one(with(&[("/request/method", json!("POST")), ("/request/postData", data)]));
    let content = |data: Value| posted(data).request.content;
    let whole = |text: &str| Content::Whole(text.as_bytes().to_vec());
    assert_eq!(content(json!({"mimeType": "application/json", "text": "{}"})), whole("{}"));
    assert_eq!(content(json!({"text": "e30=", "encoding": "base64"})), whole("{}"));
    let firefox = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b";
    assert_eq!(content(json!({"text": firefox})), whole("a=b"));
    let params =
        json!({"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "b c"}]});
    assert_eq!(content(params), whole("a=b+c"));
    let unsaid = json!({"mimeType": "multipart/form-data; boundary=xyz", "text": "LS14eXotLQ0K"});
    assert_eq!(content(unsaid), whole("--xyz--\r\n"));
    let form = posted(json!({
        "mimeType": "multipart/form-data; boundary=xyz",
        "params": [{"name": "id", "value": "7"}, {"name": "audio", "fileName": "a.webm", "contentType": "audio/webm"}]
    }));
    let (reading, _) = imported(options(), vec![Finding::Exchange(Box::new(form))]);
    let file = reading.exchanges[0].files().next().expect("a file part");
    assert_eq!((file.content_type.as_deref(), file.extension.as_deref()), (Some("audio/webm"), Some("webm")));
    assert!(reading.exchanges[0].synthesised.contains(&"request_body".to_owned()));
}

#[test]
fn answers_have_their_size_on_the_wire_and_their_plain_text() {
    let foreign = one(with(&[
        ("/response/headers", json!([{"name": "Content-Encoding", "value": "gzip"}])),
        (
            "/response/content",
            json!({"size": 7, "mimeType": "application/json", "text": "eyJhIjoxfQ==", "encoding": "base64"}),
        ),
        ("/response/bodySize", json!(27)),
    ]));
    assert_eq!(
        (&foreign.response.content, foreign.response.body_bytes),
        (&Content::Whole(b"{\"a\":1}".to_vec()), Some(27))
    );
    let (reading, _) = imported(options(), vec![Finding::Exchange(Box::new(foreign))]);
    assert_eq!(reading.exchanges[0].response_body, kingtide_common::exchange::Body::Json("{\"a\":1}".into()));
}

#[test]
fn a_port_names_no_connection() {
    let connection = |name: &str| one(with(&[("/connection", json!(name))])).connection;
    assert!(matches!(connection("80"), Connection::OfClient(_)));
    assert!(matches!(connection("1234"), Connection::Named { begins: true, .. }));
}

#[test]
fn broken_entries_are_named_and_the_rest_is_read() {
    let found = read_entries(&[
        json!(null),
        entry(),
        with(&[("/startedDateTime", json!("noon"))]),
        json!({"request": {"url": "http://["}, "response": {"status": 200}}),
    ]);
    assert_eq!(unreadable(&found).len(), 3);
    assert!(unreadable(&found)[1].starts_with("input: entry 3: no startedDateTime"), "{found:?}");
    assert_eq!(exchanges(found).len(), 1);
}

#[test]
fn a_file_that_is_no_har_or_was_cut_off_says_where() {
    let error = |text: &[u8]| read_text(text).unwrap_err().to_string();
    assert!(error(b"{\"log\": {}}").contains("no `log.entries`"));
    assert!(error(b"hello").contains("input: expected value at line 1 column 1"));
    let whole = json!({"log": {"entries": [entry()]}}).to_string();
    assert!(error(&whole.as_bytes()[..whole.len() - 2]).contains("after entry 1"));
    assert_eq!(read_text(&["\u{feff}", &whole].concat().into_bytes()).unwrap().len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~é]{0,12}".prop_map(Value::from),
        Just(json!("2026-11-24T13:00:00Z")),
        Just(json!("http://a.example:80/x?y")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let key = prop_oneof![
            Just("request"),
            Just("response"),
            Just("url"),
            Just("headers"),
            Just("name"),
            Just("value"),
            Just("postData"),
            Just("text"),
            Just("params"),
            Just("encoding"),
            Just("content"),
            Just("timings"),
            Just("wait"),
            Just("status"),
            Just("startedDateTime"),
            Just("bodySize"),
            Just("mimeType"),
            Just("send")
        ]
        .prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_text(&bytes);
    }

    #[test]
    fn any_entry_is_one_finding(
        places in prop::collection::vec((0_usize..9, any_json()), 0..6),
    ) {
        const PLACES: [&str; 9] = ["/request", "/response", "/timings", "/request/url", "/request/headers",
            "/request/postData", "/response/content", "/response/status", "/startedDateTime"];
        let mut entry = entry();
        for (place, value) in places {
            if let Some(target) = entry.pointer_mut(PLACES[place]) { *target = value; }
        }
        let found = read_entries(&[entry]);
        prop_assert_eq!(found.len(), 1);
        imported(options(), found);
    }
}
