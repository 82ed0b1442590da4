//! TLS on both sides: certificates by name, ALPN, reload, and upstreams that are checked.

use std::sync::Arc;

use kingtide_common::exchange::{AnsweredBy, Ending};
use rustls::ClientConfig;
use tempfile::TempDir;

use crate::backend::{Backend, answering};
use crate::certificates::Certified;
use crate::client::{Client, get, status};
use crate::proxy::{HERE, Proxy, recording, route_all};
use crate::tls_client::{TlsClient, trusting};

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// Two hosts on one TLS listener before one backend. `addresses[1]` is the TLS listener.
struct Scene {
    backend: Backend,
    proxy: Proxy,
    school: Certified,
    other: Certified,
}

fn listener(school: &Certified, other: &Certified) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{}{}",
        school.listed(&["school.example", "*.school.example"]),
        other.listed(&["other.example"])
    )
}

fn scene() -> Scene {
    let (backend, directory) = (answering("{}"), Arc::new(tempfile::tempdir().unwrap()));
    let school = Certified::make(directory.path(), "school", "school.example");
    let other = Certified::make(directory.path(), "other", "other.example");
    let text = recording(backend.address) + &listener(&school, &other) + &route_all("");
    let proxy = Proxy::of_in(directory, &text);
    Scene { backend, proxy, school, other }
}

impl Scene {
    fn connect(&self, host: &str, protocols: &[&[u8]]) -> TlsClient {
        TlsClient::connect(self.proxy.addresses[1], host, &self.trusting(protocols))
    }

    fn trusting(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        trusting(&[&self.school, &self.other], protocols)
    }
}

#[test]
fn the_name_chooses_the_certificate() {
    let scene = scene();
    for (host, expected) in [("school.example", &scene.school), ("other.example", &scene.other)] {
        let mut client = scene.connect(host, &[HTTP1]);
        assert_eq!(*client.shown(), expected.der(), "{host}");
        assert_eq!(status(&client.ask(get("/api/a")).0), 200);
    }
}

#[test]
fn alpn_chooses_the_protocol() {
    let scene = scene();
    let chosen = |offered: &[&[u8]]| {
        let client = scene.connect("school.example", offered);
        client.protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    };
    assert_eq!(chosen(&[HTTP1]).as_deref(), Some("http/1.1"));
    assert_eq!(chosen(&[HTTP1, HTTP2]).as_deref(), Some("h2"));
    assert_eq!(chosen(&[HTTP2]).as_deref(), Some("h2"));
    assert_eq!(chosen(&[]), None);
    assert_eq!(status(&scene.connect("school.example", &[]).ask(get("/")).0), 200, "HTTP/1.1 without ALPN");
}

#[test]
fn the_handshake_is_timed_on_the_first_exchange_of_its_connection_only() {
    let scene = scene();
    let mut client = scene.connect("school.example", &[HTTP1]);
    for path in ["/a", "/b"] {
        client.ask(get(path));
    }
    let plain = Client::connect(scene.proxy.address).ask(get("/plain"));
    assert_eq!(status(&plain.0), 200);
    let mut exchanges = scene.proxy.stop().exchanges();
    exchanges.sort_by(|one, other| one.target.cmp(&other.target));
    let handshakes: Vec<Option<u64>> = exchanges.iter().map(|exchange| exchange.tls_us).collect();
    assert!(matches!(handshakes[..], [Some(1..), None, None]), "{handshakes:?}");
    let age_us = exchanges[0].connection_age_us;
    assert!(handshakes[0].unwrap() <= age_us, "it is part of the connection's age: {handshakes:?} {age_us}");
}

#[test]
fn the_backend_is_told_that_the_client_came_over_tls() {
    let scene = scene();
    scene.connect("school.example", &[HTTP1]).ask(get("/"));
    let received = scene.backend.received.recv().unwrap();
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_reload_brings_the_new_certificate_and_leaves_connections_alone() {
    let scene = scene();
    let mut kept = scene.connect("school.example", &[HTTP1]);
    let before = kept.shown().clone();
    let renewed = Certified::make(scene.proxy.directory.path(), "school", "school.example");
    assert_ne!(renewed.der(), before);
    scene.proxy.reload();
    let mut fresh = scene.connect("school.example", &[HTTP1]);
    assert_eq!(*fresh.shown(), renewed.der());
    assert_eq!(status(&fresh.ask(get("/")).0), 200);
    assert_eq!(status(&kept.ask(get("/")).0), 200);
}

#[test]
fn a_certificate_that_is_broken_leaves_the_old_one_in_force() {
    let scene = scene();
    let expected = scene.school.der();
    std::fs::write(&scene.school.chain, "no certificate").unwrap();
    scene.proxy.reload();
    assert!(scene.proxy.log().contains("school.pem"), "{}", scene.proxy.log());
    let config = trusting(&[&scene.other], &[HTTP1]);
    let client = TlsClient::connect(scene.proxy.addresses[1], "other.example", &config);
    assert_eq!(*client.shown(), scene.other.der());
    let still = Arc::clone(&scene.proxy.directory);
    std::fs::write(still.path().join("school.pem"), pem(&expected)).unwrap();
    assert_eq!(*scene.connect("school.example", &[HTTP1]).shown(), expected);
}

fn pem(der: &[u8]) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut openssl = Command::new("openssl")
        .args(["x509", "-inform", "der"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(der).unwrap();
    String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn one_that_speaks_plain_to_a_tls_listener_is_closed_and_others_are_served() {
    let scene = scene();
    let mut plain = Client::connect(scene.proxy.addresses[1]);
    plain.send(get("/"));
    plain.rest();
    assert_eq!(status(&scene.connect("school.example", &[HTTP1]).ask(get("/")).0), 200);
}

/// A proxy that speaks TLS, as the upstream of another.
fn tls_upstream(directory: &Arc<TempDir>, host: &str) -> (Backend, Proxy, Certified) {
    let backend = answering("{\"from\":\"upstream\"}");
    let certified = Certified::make(directory.path(), "upstream", host);
    let text = format!(
        "[server]\n{}[[listener]]\naddress = \"127.0.0.1:0\"\n{}{}",
        crate::proxy::upstream("backend", &[backend.address]),
        certified.listed(&[]),
        route_all("")
    );
    let proxy = Proxy::of_in(Arc::new(tempfile::tempdir().unwrap()), &text);
    (backend, proxy, certified)
}

fn before_tls(upstream: &Proxy, tls: &str) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[capture]\nenabled = true\ndirectory = \"{HERE}/capture\"\n\
         [[upstream]]\nname = \"backend\"\npeers = [\"https://{}\"]\n{tls}\n{}",
        upstream.address,
        route_all("")
    )
}

#[test]
fn an_upstream_over_tls_is_reached_when_its_authority_is_trusted() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let (_backend, upstream, certified) = tls_upstream(&directory, "backend.internal");
    let tls = format!("tls = {{ authorities = {:?}, name = \"backend.internal\" }}", certified.chain);
    let proxy = Proxy::of(&before_tls(&upstream, &tls));
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        let (head, body) = client.ask(get("/"));
        assert_eq!((status(&head), body.as_str()), (200, "{\"from\":\"upstream\"}"));
    }
    assert!(proxy.stop().exchanges()[1].upstream_reused, "TLS connections are kept too");
}

#[test]
fn an_upstream_that_is_not_trusted_or_has_another_name_is_a_502() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let (_backend, upstream, certified) = tls_upstream(&directory, "backend.internal");
    let authorities = format!("authorities = {:?}", certified.chain);
    for tls in ["tls = { name = \"backend.internal\" }".to_owned(), format!("tls = {{ {authorities} }}")] {
        let proxy = Proxy::of(&before_tls(&upstream, &tls));
        assert_eq!(status(&Client::connect(proxy.address).ask(get("/")).0), 502, "{tls}");
        assert!(proxy.log().contains("no TLS with this upstream"), "{}", proxy.log());
        let exchange = proxy.stop().exchange();
        assert_eq!((exchange.answered_by, exchange.ending), (AnsweredBy::EdgeError, Ending::UpstreamReset));
    }
}

/// 2 MB each way, over TLS in and out: nothing is lost between records and buffers.
#[test]
fn large_bodies_cross_tls_on_both_sides() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let (backend, upstream, certified) = tls_upstream(&directory, "backend.internal");
    let edge = Certified::make(directory.path(), "edge", "school.example");
    let text = format!(
        "[server]\n[[upstream]]\nname = \"backend\"\npeers = [\"https://{}\"]\n\
         tls = {{ authorities = {:?}, name = \"backend.internal\" }}\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n{}{}",
        upstream.address,
        certified.chain,
        edge.listed(&[]),
        route_all("")
    );
    let proxy = Proxy::of_in(directory, &text);
    let body: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let head = format!("POST /up HTTP/1.1\r\nHost: school.example\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = TlsClient::connect(proxy.address, "school.example", &trusting(&[&edge], &[HTTP1]));
    assert_eq!(status(&client.ask([head.as_bytes(), &body].concat()).0), 200);
    assert!(backend.received.recv().unwrap().body == body);
}
