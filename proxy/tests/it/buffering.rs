//! `request_buffering`: the upload is read whole before the upstream is opened.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use kingtide_common::exchange::{AnsweredBy, Ending};
use kingtide_common::stages::Stage;

use crate::backend::{Backend, answering};
use crate::client::{Client, status};
use crate::http2_client::{Http2, answer, request, send};
use crate::proxy::{Proxy, recording, route_all, upstream};
use crate::wait::until;

const BUFFERED: &str = "request_buffering = true\nclient_body_buffer_size = \"16k\"";

fn scene(more: &str) -> (Backend, Proxy) {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all(BUFFERED) + more));
    (backend, proxy)
}

fn post(bytes: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: school.example\r\nContent-Length: {bytes}\r\n\r\n")
}

/// A backend that only says whether somebody came.
fn silent() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// In the middle of an upload, with everything that was sent so far at the proxy's.
fn spooled(proxy: &Proxy, bytes: usize) {
    until("the upload in the spool", || {
        let spooled = proxy.spooled_files().iter().any(|(_, on_disk)| *on_disk >= bytes as u64);
        spooled.then_some(())
    });
}

#[test]
fn a_slow_client_does_not_open_the_upstream_before_its_last_byte() {
    let listener = silent();
    let proxy = Proxy::of(&(recording(listener.local_addr().unwrap()) + &route_all(BUFFERED)));
    let mut client = Client::connect(proxy.address);
    client.send(post(600_001));
    client.send(vec![7; 600_000]);
    spooled(&proxy, 256 << 10);
    assert!(listener.accept().is_err(), "nobody has come");
    client.send([7]);
    let (mut stream, _) = until("the proxy", || listener.accept().ok());
    stream.set_nonblocking(false).unwrap();
    crate::backend::write_answer(&mut stream, "{}");
    assert_eq!(status(&client.answer().0), 200);
}

#[test]
fn the_upload_arrives_as_it_was_with_its_length_and_the_file_has_no_name() {
    let (backend, proxy) = scene("");
    let body: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = Client::connect(proxy.address);
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(300_000) {
        client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    spooled(&proxy, 1 << 20);
    let named = std::fs::read_dir(proxy.directory.path()).unwrap();
    let named: u64 = named.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum();
    assert!(named < 1 << 20, "no name leads to the upload: it is gone with the process");
    client.send("0\r\n\r\n");
    assert_eq!(status(&client.answer().0), 200);
    let received = backend.received.recv().unwrap();
    assert!(received.body == body);
    assert_eq!(
        (received.header("content-length"), received.header("transfer-encoding")),
        (Some("2000000"), None)
    );
    until("the end of the file", || proxy.spooled_files().is_empty().then_some(()));
    let exchange = proxy.stop().exchange();
    assert_eq!((exchange.request_body_bytes, exchange.ending), (2_000_000, Ending::Complete));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_http2_upload_is_spooled_too() {
    let (backend, proxy) = scene("");
    let client = Http2::connect(proxy.address).await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 249) as u8).collect();
    let (response, mut stream) = client.begin(request(http::Method::POST, "/up"), false).await;
    send(&mut stream, body.clone().into(), false).await.unwrap();
    spooled(&proxy, 2_000_000);
    assert_eq!(backend.received.try_iter().count(), 0);
    stream.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(answer(response).await.unwrap().status, 200);
    let received = backend.received.recv().unwrap();
    assert!(received.body == body && received.header("content-length") == Some("3000000"));
}

#[test]
fn a_full_spool_answers_500_and_the_next_upload_fits_again() {
    let (backend, proxy) = scene("");
    let text = recording(backend.address).replace("[capture]", "spool_size = \"512k\"\n[capture]");
    drop(proxy);
    let proxy = Proxy::of(&(text + &route_all(BUFFERED)));
    let mut client = Client::connect(proxy.address);
    client.send(post(1_000_000));
    client.send(vec![7; 1_000_000]);
    assert_eq!(status(&client.head()), 500);
    assert!(proxy.log().contains("spool_size"), "{}", proxy.log());
    drop(client);
    let mut client = Client::connect(proxy.address);
    client.send(post(400_000));
    client.send(vec![7; 400_000]);
    assert_eq!(status(&client.answer().0), 200);
    let bodies: Vec<usize> = backend.received.try_iter().map(|received| received.body.len()).collect();
    assert_eq!(bodies, [400_000], "the upstream saw nothing of the other");
    let refused = &proxy.stop().exchanges()[0];
    assert_eq!((refused.answered_by, refused.ending), (AnsweredBy::EdgeError, Ending::EdgeFailure));
}

#[test]
fn a_chunked_body_over_the_limit_is_a_413_and_the_upstream_sees_nothing() {
    let (backend, proxy) = scene("[limits]\nclient_max_body_size = \"100k\"\n");
    // Announced by one chunk, and passed by many.
    let large = format!("{:x}\r\n", 200_000);
    let many = format!("{:x}\r\n{}\r\n", 30_000, "x".repeat(30_000)).repeat(4);
    for body in [large, many] {
        let mut client = Client::connect(proxy.address);
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(body);
        assert_eq!(status(&client.head()), 413);
    }
    assert_eq!(backend.received.try_iter().count(), 0);
    let exchanges = proxy.stop().exchanges();
    assert!(exchanges.iter().all(|exchange| exchange.answered_by == AnsweredBy::EdgeLimit));
}

#[test]
fn a_client_that_leaves_costs_the_upstream_nothing() {
    let (backend, proxy) = scene("");
    let mut client = Client::connect(proxy.address);
    client.send(post(600_000));
    client.send(vec![7; 500_000]);
    spooled(&proxy, 256 << 10);
    drop(client);
    let exchange = proxy.exchanges_once_there_are(1).remove(0);
    assert_eq!((exchange.ending, exchange.status), (Ending::ClientAbort, None));
    until("the end of the file", || proxy.spooled_files().is_empty().then_some(()));
    assert_eq!(backend.received.try_iter().count(), 0);
}

/// A refused connection, with an upload that is at hand: any method may go to the next peer.
#[test]
fn a_spooled_post_goes_to_the_next_peer_when_one_refuses() {
    let backend = answering("{}");
    let unused: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = recording(backend.address)
        .replace(&upstream("backend", &[backend.address]), &upstream("backend", &[unused, backend.address]));
    let proxy = Proxy::of(&(text + &route_all(BUFFERED)));
    let mut client = Client::connect(proxy.address);
    for _ in 0..3 {
        client.send(post(100_000));
        client.send(vec![7; 100_000]);
        assert_eq!(status(&client.answer().0), 200);
    }
}

/// The time that a slow client takes is its own: `proxy_read_timeout` begins with the upstream.
#[test]
fn a_client_slower_than_the_upstream_s_timeouts_is_served() {
    let (backend, proxy) =
        scene("[limits]\nproxy_read_timeout = \"300ms\"\nproxy_send_timeout = \"300ms\"\n");
    let mut client = Client::connect(proxy.address);
    let begun = Instant::now();
    client.send(post(4));
    for _ in 0..4 {
        client.send([7]);
        thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(status(&client.answer().0), 200);
    let slow = begun.elapsed();
    assert_eq!(backend.received.recv().unwrap().body, [7; 4]);
    let exchange = proxy.stop().exchange();
    let body_us = exchange.instants.stage_us(Stage::RequestBody).unwrap();
    assert!((400_000..u64::try_from(slow.as_micros()).unwrap()).contains(&body_us), "{body_us}");
    assert_eq!(exchange.ending, Ending::Complete);
}
