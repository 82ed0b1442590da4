//! SIGHUP: routes, limits and upstreams change, and no request notices.

use std::net::SocketAddr;

use crate::backend::{answering, scripted, write_answer};
use crate::client::{Client, field, get, status};
use crate::load::Load;
use crate::proxy::{HERE, Proxy, recording, route_all, upstream};

fn version(backend: SocketAddr, version: u32) -> String {
    // The upstream's name changes too: its connections are taken over or closed, never cut.
    let upstreams = upstream(&format!("backend{version}"), &[backend]);
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\ndrain_timeout = \"10s\"\nspool_directory = \"{HERE}\"\n\
         [capture]\nenabled = true\ndirectory = \"{HERE}/capture\"\n{upstreams}\
         [[route]]\nname = \"api{version}\"\nprefix = \"/api/\"\nupstream = \"backend{version}\"\n\
         request_buffering = {}\nresponse_headers = {{ X-Version = \"{version}\" }}\n\
         [limits]\nkeepalive_requests = \"off\"\n",
        version % 2 == 1
    )
}

#[test]
fn ten_reloads_under_load_cost_no_request() {
    let backend = scripted(|stream| write_answer(stream, "{}"));
    let proxy = Proxy::of(&version(backend.address, 0));
    let load = Load::start(proxy.address, 8);
    for number in 1..=10 {
        proxy.configure(&version(backend.address, number));
        proxy.reload();
        let (head, _) = Client::connect(proxy.address).ask(get("/api/a"));
        assert_eq!(field(&head, "x-version"), Some(number.to_string().as_str()));
        load.goes_on(50);
    }
    let done = load.stop();
    assert_eq!(done.failures, Vec::<String>::new(), "{} answered", done.answered);
    let left = proxy.stop();
    assert!(left.status.success());
    let ledger = left.ledger();
    assert_eq!(
        (ledger.accepted, ledger.in_flight(), ledger.lost()),
        (done.answered + 10, 0, 0),
        "{ledger:?}"
    );
}

#[test]
fn a_broken_configuration_keeps_the_old_one_and_says_so() {
    let backend = answering("{}");
    let good = version(backend.address, 1);
    let proxy = Proxy::of(&good);
    let mut client = Client::connect(proxy.address);
    for (bad, said) in [
        (good.replace("prefix", "prefiks"), "did you mean `prefix`?"),
        (good.replace("upstream = \"backend1\"", "upstream = \"nowhere\""), "nowhere"),
        (good.replace("X-Version = \"1\"", "X-Version = \"$nothing\""), "nothing"),
        (good.replace("127.0.0.1:0", "127.0.0.1:1"), "listeners cannot change"),
        ("[server".to_owned(), "proxy.toml"),
    ] {
        proxy.configure(&bad);
        proxy.reload();
        let log = proxy.log();
        let line = log.lines().rfind(|line| line.contains("is not reloaded")).unwrap_or_default();
        assert!(log.contains("the old one stays") && line.contains(said), "{said}: {log}");
        assert_eq!(field(&client.ask(get("/api/a")).0, "x-version"), Some("1"));
    }
    proxy.configure(&version(backend.address, 2));
    proxy.reload();
    assert_eq!(
        field(&client.ask(get("/api/a")).0, "x-version"),
        Some("2"),
        "and a good one is taken after all"
    );
}

#[test]
fn a_request_in_flight_ends_by_the_rules_it_began_with() {
    let backend = answering("{}");
    let text = |limit: &str| {
        recording(backend.address) + &route_all(&format!("limits = {{ client_max_body_size = \"{limit}\" }}"))
    };
    let proxy = Proxy::of(&text("1m"));
    let mut client = Client::connect(proxy.address);
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
    client.send(vec![7; 500]);
    // On its way: an answer to another request would come behind it, so the backend's own view must do.
    crate::wait::until("the upload", || {
        let mut other = Client::connect(proxy.address);
        (status(&other.ask(get("/")).0) == 200).then_some(())
    });
    proxy.configure(&text("100"));
    proxy.reload();
    client.send([&[7; 500][..], b"\r\n0\r\n\r\n"].concat());
    assert_eq!(status(&client.answer().0), 200);
    let (head, body) = ("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", vec![7; 101]);
    client.send([head.as_bytes(), &body].concat());
    assert_eq!(status(&client.head()), 413, "the next one by the new rules");
}

/// What a zone has counted survives: a reload opens no gate.
#[test]
fn limits_go_on_counting_through_a_reload() {
    let backend = answering("{}");
    let zone = "[[zone]]\nname = \"all\"\nkey = \"server\"\nrate = \"1r/m\"\n\
                [limits]\nlimit_req = [{ zone = \"all\", nodelay = true }]\n";
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + zone));
    let mut client = Client::connect(proxy.address);
    assert_eq!(status(&client.ask(get("/")).0), 200);
    proxy.reload();
    assert_eq!(status(&client.ask(get("/")).0), 503);
}

/// A peer that is known to be ill is not asked again only because the file was read again.
#[test]
fn health_survives_a_reload() {
    use std::io::Write as _;
    let sick = crate::backend::replying(|stream, received| match received.target() {
        "/health" => drop(stream.write_all(b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n")),
        _ => write_answer(stream, "\"sick\""),
    });
    let well = answering("\"well\"");
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n{}health = {{ path = \"/health\", interval = \"20ms\", fall = 3 }}\n{}",
        upstream("backend", &[sick.address, well.address]),
        route_all("")
    );
    let proxy = Proxy::of(&text);
    crate::wait::until("the fall", || proxy.log().contains("health check").then_some(()));
    let mut client = Client::connect(proxy.address);
    for _ in 0..5 {
        proxy.reload();
        for _ in 0..4 {
            assert_eq!(client.ask(get("/")).1, "\"well\"");
        }
    }
}
