//! WebSocket: after 101 the proxy passes bytes, whatever they are.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kingtide_common::exchange::{AnsweredBy, Body, Ending};

use crate::backend::{Backend, Received, replying};
use crate::client::{Client, field, status};
use crate::proxy::{Proxy, recording, route_all};

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: school.example\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A text frame of a server: `ready`, sent right behind the 101.
const GREETING: &[u8] = b"\x81\x05ready";

/// Switches, greets, and sends back what it gets until the other side ends.
fn echo(stream: &mut TcpStream, _: &Received) {
    stream.write_all(&[SWITCHING.as_bytes(), GREETING].concat()).unwrap();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..count]).unwrap();
    }
}

fn scene(route: &str) -> (Backend, Proxy) {
    let backend = replying(echo);
    let proxy = Proxy::of(&(recording(backend.address) + &route_all(route)));
    (backend, proxy)
}

fn switched(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.address);
    client.send(HANDSHAKE);
    let head = client.head();
    assert_eq!(status(&head), 101, "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"), "{head}");
    assert_eq!(field(&head, "connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(client.bytes(GREETING.len()), GREETING);
    client
}

#[test]
fn bytes_pass_both_ways_and_the_exchange_is_a_101_without_a_body() {
    let (backend, proxy) = scene("");
    let mut client = switched(&proxy);
    let received = backend.received.recv().unwrap();
    assert_eq!(
        (received.header("upgrade"), received.header("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    assert_eq!(received.header("sec-websocket-version"), Some("13"));
    for length in [1_usize, 126, 70_000, 1_000_000] {
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        // Both directions at once: what comes back must be read while more is sent.
        let back = client.exchange_bytes(&sent, length);
        assert!(back == sent, "{length} bytes came back as they were");
    }
    drop(client);

    let exchange = proxy.exchanges_once_there_are(1).remove(0);
    assert_eq!(
        (exchange.status, exchange.ending, exchange.answered_by),
        (Some(101), Ending::Complete, AnsweredBy::Upstream)
    );
    assert_eq!((exchange.request_body, exchange.response_body), (Body::Empty, Body::Empty));
    assert_eq!((exchange.request_body_bytes, exchange.response_body_bytes), (0, 0));
}

#[test]
fn a_frame_that_comes_with_the_handshake_is_passed_on() {
    let (_backend, proxy) = scene("");
    let mut client = Client::connect(proxy.address);
    client.send([HANDSHAKE.as_bytes(), b"early"].concat());
    client.head();
    assert_eq!(client.bytes(GREETING.len() + 5), [GREETING, b"early"].concat());
}

#[test]
fn a_silent_tunnel_ends_after_the_route_s_proxy_read_timeout() {
    let (_backend, proxy) = scene("limits = { proxy_read_timeout = \"400ms\" }");
    let mut client = switched(&proxy);
    let begun = Instant::now();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(client.exchange_bytes(b"ping", 4), b"ping", "traffic keeps it");
    }
    assert_eq!(client.rest(), b"");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(proxy.exchanges_once_there_are(1)[0].ending, Ending::UpstreamTimeout);
}

#[test]
fn a_tunnel_ends_when_the_backend_does() {
    let backend = replying(|stream, _| {
        stream.write_all(&[SWITCHING.as_bytes(), GREETING].concat()).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("")));
    let mut client = switched(&proxy);
    assert_eq!(client.rest(), b"");
    assert_eq!(proxy.stop().exchange().status, Some(101));
}

#[test]
fn a_backend_that_does_not_switch_answers_as_ever() {
    let backend = crate::backend::answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("")));
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        assert_eq!(client.ask(HANDSHAKE).1, "{}");
    }
    assert_eq!(proxy.stop().exchanges().len(), 2);
}
