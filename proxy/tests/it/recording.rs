//! What a capture holds of ordinary traffic, and what it must not.

use std::io::Write as _;
use std::thread;

use kingtide_common::exchange::{AnsweredBy, Body, Ending, PartContent};
use kingtide_common::fingerprint::Fingerprint;

use crate::backend::{answering, scripted};
use crate::client::{Client, get, post_json, upload};
use crate::proxy::Proxy;

#[test]
fn an_upload_is_recorded_with_its_exact_size_and_reaches_the_backend_whole() {
    let backend = answering("{\"id\":1}");
    let proxy = Proxy::start(backend.address);
    let file: Vec<u8> = (0..777_777_u32).map(|n| (n % 251) as u8).collect();
    let (head, body) = upload("/api/upload?part=2", &file);
    let mut client = Client::connect(proxy.address);
    client.send(head);
    client.send(&body);
    assert!(client.answer().0.starts_with("HTTP/1.1 200"));

    assert_eq!(backend.received.recv().unwrap().body, body);
    let exchange = proxy.stop().exchange();
    assert_eq!(exchange.request_body_bytes, body.len() as u64);
    let files: Vec<_> = exchange.files().collect();
    assert_eq!((files.len(), files[0].bytes), (1, 777_777));
    assert_eq!(
        (files[0].content_type.as_deref(), files[0].extension.as_deref()),
        (Some("audio/webm"), Some("webm"))
    );
    assert_eq!(exchange.pacing.last().unwrap().bytes, body.len() as u64);
    let Body::Multipart(multipart) = &exchange.request_body else { panic!("{:?}", exchange.request_body) };
    assert_eq!(multipart.boundary_bytes, 8);
    assert_eq!(multipart.parts[0].content, PartContent::Field { value: "4711".into() });
    assert!(multipart.parts[1].head.contains("filename=\"xxxxxxxxxx.webm\""), "{}", multipart.parts[1].head);
    assert_eq!((exchange.method.as_str(), exchange.target.as_str()), ("POST", "/api/upload?part=2"));
    assert_eq!(
        (exchange.answered_by, exchange.ending, exchange.status),
        (AnsweredBy::Upstream, Ending::Complete, Some(200))
    );
    assert_eq!(exchange.response_body, Body::Json("{\"id\":1}".into()));
    assert_eq!(exchange.server_timing[0].duration_us, 12_500);
}

#[test]
fn no_secret_reaches_the_disk_and_equal_secrets_stay_equal() {
    let backend =
        answering("{\"access_token\":\"very.secret.token\",\"user\":{\"email\":\"anna@school.example\"}}");
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(post_json("/api/login", "{\"email\":\"anna@school.example\",\"password\":\"Tr0ub4dor\"}"));
    client.answer();
    let (head, body) = upload("/api/upload?api_key=k-123456", b"audio");
    client.send([head.as_bytes(), &body].concat());
    client.answer();

    let left = proxy.stop();
    let exchanges = left.exchanges();
    let bytes = left.bytes();
    for secret in ["anna", "Tr0ub4dor", "very.secret.token", "k-123456", "meier"] {
        assert_eq!(memchr::memmem::find(&bytes, secret.as_bytes()), None, "{secret}");
        assert!(!format!("{exchanges:?}").contains(secret), "{secret}");
    }
    let Body::Json(login) = &exchanges[0].response_body else { panic!("{:?}", exchanges[0].response_body) };
    let token = Fingerprint::find_all(exchanges[1].request_header("authorization").unwrap())[0].1;
    assert!(login.contains(&token.to_string()), "{login} · {token}");
}

#[test]
fn of_a_page_the_forms_are_kept_and_their_tokens_are_those_that_come_back() {
    let page = "<meta name=csrf-token content=m-secret><p>Anna Meier</p><form action='/posts/4711?token=a-secret'>\
                <input type=hidden name=_csrf value=f-secret><input name=lesson value=7><input type=password name=p value=x>";
    let backend = scripted(move |stream| {
        let length = page.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all([head.as_bytes(), page.as_bytes()].concat().as_slice()).unwrap();
    });
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/edit"));
    client.answer();
    client.send(post_json("/api/posts/4711", "{\"_csrf\":\"f-secret\"}"));
    client.answer();

    let left = proxy.stop();
    let (exchanges, bytes) = (left.exchanges(), left.bytes());
    for secret in ["m-secret", "a-secret", "f-secret", "Meier"] {
        assert_eq!(memchr::memmem::find(&bytes, secret.as_bytes()), None, "{secret}");
        assert!(!format!("{exchanges:?}").contains(secret), "{secret}");
    }
    let Body::Html(description) = &exchanges[0].response_body else {
        panic!("{:?}", exchanges[0].response_body)
    };
    let page: serde_json::Value = serde_json::from_str(description).unwrap();
    let form = &page["forms"][0];
    assert!(form["action"].as_str().unwrap().starts_with("/posts/4711?token={fp:"), "{page}");
    assert_eq!((&form["fields"]["lesson"], &form["fields"]["p"]), (&"7".into(), &serde_json::Value::Null));
    assert!(page["meta"]["csrf-token"].as_str().unwrap().starts_with("{fp:"), "{page}");
    let Body::Json(sent) = &exchanges[1].request_body else { panic!("{:?}", exchanges[1].request_body) };
    assert!(sent.contains(form["fields"]["_csrf"].as_str().unwrap()), "{sent} · {page}");
}

#[test]
fn requests_of_one_connection_share_it_and_keep_their_order() {
    let backend = answering("{}");
    let proxy = Proxy::start(backend.address);
    let (mut one, mut other) = (Client::connect(proxy.address), Client::connect(proxy.address));
    for path in ["/api/a", "/api/b"] {
        one.send(get(path));
        one.answer();
    }
    other.send(get("/api/c"));
    other.answer();

    let mut exchanges = proxy.stop().exchanges();
    exchanges.sort_by_key(|exchange| exchange.id);
    let targets: Vec<&str> = exchanges.iter().map(|exchange| exchange.target.as_str()).collect();
    assert_eq!(targets, ["/api/a", "/api/b", "/api/c"]);
    assert_eq!(exchanges[0].connection, exchanges[1].connection);
    assert_ne!(exchanges[0].connection, exchanges[2].connection);
    assert!(exchanges[1].upstream_reused, "the peer's connection is kept");
    assert_eq!(exchanges[0].client, exchanges[2].client, "one address, one fingerprint");
}

#[test]
fn paths_left_out_are_counted() {
    let backend = answering("{}");
    let proxy = Proxy::start_with(backend.address, "exclude = [\"/api/health\"]");
    let mut client = Client::connect(proxy.address);
    for path in ["/api/health", "/api/a"] {
        client.send(get(path));
        client.answer();
    }
    let left = proxy.stop();
    assert_eq!(left.exchange().target, "/api/a");
    let ledger = left.ledger();
    assert_eq!((ledger.accepted, ledger.recorded, ledger.filtered, ledger.in_flight()), (2, 1, 1, 0));
}

#[test]
fn under_overload_the_ledger_adds_up_and_gaps_say_what_is_missing() {
    const CLIENTS: u64 = 8;
    const REQUESTS: u64 = 200;
    let backend = answering("{}");
    let proxy = Proxy::start_with(backend.address, "queue_slots = 1");
    let address = proxy.address;
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || ask(address, REQUESTS))).collect();
    for client in clients {
        client.join().unwrap();
    }

    let left = proxy.stop();
    let (ledger, reading) = (left.ledger(), left.reading());
    assert_eq!(ledger.accepted, CLIENTS * REQUESTS);
    assert_eq!(ledger.in_flight(), 0, "{ledger:?}");
    assert_eq!(ledger.recorded, reading.exchanges.len() as u64);
    let missing: u64 = reading.gaps.iter().map(|gap| gap.count).sum();
    assert_eq!(missing, ledger.shed_queue + ledger.shed_budget);
}

fn ask(address: std::net::SocketAddr, requests: u64) {
    let mut client = Client::connect(address);
    for _ in 0..requests {
        client.send(get("/api/a"));
        assert!(client.answer().0.starts_with("HTTP/1.1 200"));
    }
}
