//! Exchanges that do not end well are recorded as what they were.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kingtide_common::exchange::{AnsweredBy, Body, Ending};
use kingtide_common::stages::Stage;

use crate::backend::{answering, scripted, write_answer};
use crate::client::{Client, get, upload};
use crate::proxy::{Proxy, recording, route_all};

/// A client that has sent the head and 30,000 bytes of a larger upload.
fn half_sent_upload(proxy: &Proxy) -> Client {
    let (head, body) = upload("/api/upload", &vec![7; 100_000]);
    let mut client = Client::connect(proxy.address);
    client.send(head);
    client.send(&body[..30_000]);
    client
}

#[test]
fn a_client_that_goes_away_in_mid_upload_is_a_client_abort() {
    let backend = answering("{}");
    let proxy = Proxy::start(backend.address);
    drop(half_sent_upload(&proxy));

    let exchange = proxy.exchanges_once_there_are(1).remove(0);
    assert_eq!(
        (exchange.ending, exchange.answered_by, exchange.status),
        (Ending::ClientAbort, AnsweredBy::Nobody, None)
    );
    assert_eq!(exchange.instants.broken_off_in(), Stage::RequestBody);
    assert_eq!(exchange.request_body, Body::Unread("broken off".into()));
    assert!(exchange.request_body_bytes <= 30_000);
}

#[test]
fn a_client_that_stalls_in_mid_upload_is_a_client_timeout() {
    let backend = answering("{}");
    let proxy = Proxy::start(backend.address);
    let mut client = half_sent_upload(&proxy);
    assert!(client.head().starts_with("HTTP/1.1 408"));
    let exchange = proxy.stop().exchange();
    assert_eq!((exchange.ending, exchange.status), (Ending::ClientTimeout, Some(408)));
}

#[test]
fn a_backend_that_is_not_there_is_a_502_of_the_edge() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(unused);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/a"));
    assert!(client.head().starts_with("HTTP/1.1 502"));
    let exchange = proxy.stop().exchange();
    let expected = (Ending::UpstreamReset, AnsweredBy::EdgeError, Some(502));
    assert_eq!((exchange.ending, exchange.answered_by, exchange.status), expected);
}

#[test]
fn a_peer_that_is_not_there_costs_no_request_while_another_is() {
    let backend = answering("{}");
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start_before(&[unused, backend.address]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..4 {
        let (head, body) = upload("/api/upload", b"audio");
        client.send([head.as_bytes(), &body].concat());
        assert!(client.answer().0.starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_backend_that_never_answers_is_a_504_of_the_edge() {
    let backend = scripted(|_| std::thread::park());
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/a"));
    assert!(client.head().starts_with("HTTP/1.1 504"));
    let exchange = proxy.stop().exchange();
    assert_eq!((exchange.ending, exchange.answered_by), (Ending::UpstreamTimeout, AnsweredBy::EdgeError));
    assert_eq!(exchange.instants.broken_off_in(), Stage::UpstreamWait);
}

#[test]
fn an_answer_cut_short_is_an_upstream_reset() {
    let backend = scripted(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/a"));
    client.head();
    let exchange = proxy.exchanges_once_there_are(1).remove(0);
    assert_eq!((exchange.ending, exchange.status), (Ending::UpstreamReset, Some(200)));
}

#[test]
fn an_answer_without_a_body_is_complete() {
    let backend = scripted(|stream| stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap());
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/a"));
    assert!(client.head().starts_with("HTTP/1.1 204"));
    let exchange = proxy.stop().exchange();
    assert_eq!(
        (exchange.ending, exchange.response_body, exchange.status),
        (Ending::Complete, Body::Empty, Some(204))
    );
    assert_eq!(exchange.instants.stage_us(Stage::ResponseBody), Some(0));
}

/// As applications do that look at Content-Length: the answer comes while the upload still runs.
#[test]
fn an_early_refusal_reaches_the_client_and_is_recorded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        stream
            .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .unwrap();
        // Reads on, so that no reset destroys the answer.
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    let proxy = Proxy::start(address);
    let (head, body) = upload("/api/upload", &vec![7; 400_000]);
    let mut client = Client::connect(proxy.address);
    client.send(head);
    client.send(&body[..200_000]);
    let answer = client.answer();
    assert!(answer.0.starts_with("HTTP/1.1 413") && answer.1 == "no", "{answer:?}");
    drop(client);

    let exchange = proxy.exchanges_once_there_are(1).remove(0);
    assert_eq!((exchange.status, exchange.answered_by), (Some(413), AnsweredBy::Upstream));
    assert_eq!(exchange.request_body, Body::Unread("broken off".into()));
    drop(proxy);
    backend.join().unwrap().unwrap();
}

/// Between two requests the peer closes its kept connection, as servers do; what is idempotent goes out again.
#[test]
fn a_body_that_is_sent_again_to_the_upstream_is_recorded_once() {
    let requests = Arc::new(AtomicUsize::new(0));
    let backend = scripted(move |stream| match requests.fetch_add(1, Ordering::SeqCst) {
        1 => stream.shutdown(Shutdown::Both).unwrap(),
        _ => write_answer(stream, "{}"),
    });
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/warm"));
    client.answer();
    let (head, body) = upload("/api/upload", &[7; 10_000]);
    client.send(head.replacen("POST", "PUT", 1));
    client.send(&body);
    assert!(client.head().starts_with("HTTP/1.1 200"));

    let bodies: Vec<_> = backend.received.iter().take(3).map(|received| received.body).collect();
    assert_eq!(bodies, [vec![], body.clone(), body.clone()]);
    let exchange = proxy.exchanges_once_there_are(2).remove(1);
    assert_eq!(exchange.request_body_bytes, body.len() as u64);
    assert_eq!(exchange.files().map(|file| file.bytes).collect::<Vec<_>>(), [10_000]);
}

#[test]
fn a_request_that_no_route_matches_is_a_404_of_the_edge() {
    let backend = answering("{}");
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/elsewhere"));
    assert!(client.head().starts_with("HTTP/1.1 404"));
    assert_eq!(proxy.stop().exchange().answered_by, AnsweredBy::EdgeLimit);
}

#[test]
fn a_terminated_proxy_finishes_what_is_in_flight_and_closes_its_capture() {
    let backend = scripted(|stream| {
        std::thread::sleep(std::time::Duration::from_millis(400));
        write_answer(stream, "{}");
    });
    let proxy = Proxy::start(backend.address);
    let (mut idle, mut busy) = (Client::connect(proxy.address), Client::connect(proxy.address));
    idle.send(get("/api/idle"));
    idle.answer();
    busy.send(get("/api/busy"));
    while backend.received.recv().unwrap().head.starts_with("GET /api/idle") {}
    proxy.terminate();
    assert!(busy.answer().0.starts_with("HTTP/1.1 200"));

    let left = proxy.stop();
    assert!(left.status.success());
    assert_eq!(left.exchanges().len(), 2);
    assert_eq!(left.ledger().in_flight(), 0);
}

/// The drain's deadline cuts it off: it is accepted, never recorded, and counted.
#[test]
fn a_request_that_the_drain_cuts_off_is_too_late() {
    let backend = scripted(|_| std::thread::park());
    let text = recording(backend.address).replace("drain_timeout = \"10s\"", "drain_timeout = \"100ms\"");
    let proxy = Proxy::of(&(text + &route_all("")));
    let mut hanging = Client::connect(proxy.address);
    hanging.send(get("/never"));
    backend.received.recv().unwrap();
    let left = proxy.stop();
    assert_eq!(left.reading().exchanges.len(), 0);
    let ledger = left.ledger();
    assert_eq!((ledger.accepted, ledger.too_late, ledger.in_flight()), (1, 1, 0), "{ledger:?}");
}

/// Refused by a rule of the proxy, without the upstream.
#[test]
fn what_a_limit_refuses_is_recorded_with_the_limit() {
    let backend = answering("{}");
    let limits = "[limits]\nclient_max_body_size = \"10\"\n";
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + limits));
    let (head, _) = upload("/up", &[7; 1_000]);
    let mut client = Client::connect(proxy.address);
    client.send(head);
    assert!(client.head().starts_with("HTTP/1.1 413"));
    let exchange = proxy.stop().exchange();
    assert_eq!((exchange.status, exchange.answered_by), (Some(413), AnsweredBy::EdgeLimit));
    assert_eq!(exchange.refused_by.as_deref(), Some("client_max_body_size"));
}
