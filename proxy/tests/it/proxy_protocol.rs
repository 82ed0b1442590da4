//! A load balancer before the proxy says who the client is.

use crate::backend::{Backend, answering};
use crate::client::{Client, get, status};
use crate::proxy::{Proxy, recording, route_all};

fn scene(more: &str) -> (Backend, Proxy) {
    let backend = answering("{}");
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";
    let proxy = Proxy::of(&(recording(backend.address) + listener + &route_all("") + more));
    (backend, proxy)
}

/// Version 2: 192.0.2.7:4711 to 198.51.100.1:443, with a TLV.
fn binary() -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 187];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11".as_slice(), &addresses, &[4, 0, 2, 9, 9]].concat()
}

#[test]
fn the_announced_client_reaches_the_backend() {
    let (backend, proxy) = scene("");
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec();
    for announcement in [line, binary()] {
        let mut client = Client::connect(proxy.addresses[1]);
        // In two pieces and with the request right behind.
        client.send(&announcement[..9]);
        client.send([&announcement[9..], get("/").as_bytes()].concat());
        assert_eq!(status(&client.answer().0), 200);
        let received = backend.received.recv().unwrap();
        assert_eq!(received.header("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(received.header("x-real-ip"), Some("192.0.2.7"));
        assert_eq!(status(&client.ask(get("/again")).0), 200, "announced once, for all requests");
        assert_eq!(backend.received.recv().unwrap().header("x-real-ip"), Some("192.0.2.7"));
    }
}

#[test]
fn the_announced_client_is_the_key_of_limits() {
    let (_backend, proxy) = scene(
        "[[zone]]\nname = \"per_client\"\nkey = \"address\"\nrate = \"1r/m\"\n\
         [limits]\nlimit_req = [{ zone = \"per_client\", nodelay = true, status = 429 }]\n",
    );
    let statuses: Vec<u16> = ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
        .map(|client| {
            let announcement = format!("PROXY TCP4 {client} 198.51.100.1 4711 443\r\n");
            status(&Client::connect(proxy.addresses[1]).ask(announcement + &get("/")).0)
        })
        .to_vec();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn a_connection_without_an_announcement_is_closed_without_a_word() {
    let (_backend, proxy) = scene("");
    let mut client = Client::connect(proxy.addresses[1]);
    client.send(get("/"));
    assert_eq!(client.rest(), b"");
    assert_eq!(status(&Client::connect(proxy.address).ask(get("/")).0), 200, "the other listener wants none");
}

#[test]
fn a_health_check_of_the_balancer_speaks_for_itself() {
    let (backend, proxy) = scene("");
    let mut client = Client::connect(proxy.addresses[1]);
    assert_eq!(status(&client.ask(format!("PROXY UNKNOWN\r\n{}", get("/"))).0), 200);
    assert_eq!(backend.received.recv().unwrap().header("x-forwarded-for"), Some("127.0.0.1"));
}
