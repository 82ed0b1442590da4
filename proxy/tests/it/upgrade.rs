//! Drain and hitless upgrade of the real program.

use std::net::TcpListener;

use kingtide_common::capture::Capture;
use kingtide_common::exchange::Ending;

use crate::backend::{answering, scripted, write_answer};
use crate::client::{Client, get, status, upload};
use crate::load::Load;
use crate::proxy::{HERE, Proxy, recording, route_all};
use crate::wait::until;

fn upgradable(backend: std::net::SocketAddr) -> String {
    let server = format!("[server]\nupgrade_socket = \"{HERE}/upgrade.sock\"\n");
    recording(backend).replace("[server]\n", &server)
        + &route_all("")
        + "[limits]\nkeepalive_requests = \"off\"\n"
}

#[test]
fn an_upgrade_under_load_costs_no_request() {
    let backend = scripted(|stream| write_answer(stream, "{}"));
    let old = Proxy::of(&upgradable(backend.address));
    let load = Load::start(old.address, 8);
    let new = old.successor();
    assert_eq!(new.address, old.address);
    let old = old.left();
    assert!(old.status.success(), "{:?}", old.status);
    load.goes_on(200);
    until("the new process to record", || new.log().contains("recording").then_some(()));
    load.goes_on(50);
    let done = load.stop();
    assert_eq!(done.failures, Vec::<String>::new(), "{} answered", done.answered);

    let left = new.stop();
    assert!(left.status.success());
    let capture = Capture::open(&left.capture()).unwrap();
    let starts = &capture.manifest().unwrap().starts;
    assert_eq!(starts.len(), 2);
    assert!(starts.iter().all(|start| start.closed_ns.is_some() && start.ledger.recorded > 0), "{starts:#?}");
    let exchanges = left.exchanges();
    assert!(exchanges.iter().all(|exchange| exchange.ending == Ending::Complete));
    assert_eq!(exchanges.len() as u64, left.ledger().recorded);
    // What the new process served while the old one still held the capture is there too.
    assert_eq!((left.ledger().accepted, left.ledger().lost()), (done.answered, 0), "{:?}", left.ledger());
}

/// The old process holds its capture for as long as an upload takes; the new one records from its first request.
#[test]
fn what_is_served_while_the_former_process_drains_is_recorded_when_it_has_closed() {
    let backend = answering("{}");
    let old = Proxy::of(&upgradable(backend.address));
    let mut uploading = Client::connect(old.address);
    let (head, body) = upload("/held", &vec![7; 400_000]);
    uploading.send(head);
    uploading.send(&body[..200_000]);
    assert_eq!(status(&Client::connect(old.address).ask(get("/before")).0), 200);
    let new = old.successor();
    for path in ["/during/1", "/during/2"] {
        assert_eq!(status(&Client::connect(new.address).ask(get(path)).0), 200);
    }
    assert!(!new.log().contains("recording"), "the old one still has it");
    uploading.send(&body[200_000..]);
    assert_eq!(status(&uploading.answer().0), 200);
    assert!(old.left().status.success());
    until("the new process to record", || new.log().contains("recording").then_some(()));
    let left = new.stop();
    let targets: Vec<String> = left.exchanges().into_iter().map(|exchange| exchange.target).collect();
    for target in ["/before", "/held", "/during/1", "/during/2"] {
        assert!(targets.iter().any(|found| found == target), "{target} in {targets:?}");
    }
    assert_eq!((left.ledger().accepted, left.ledger().recorded), (4, 4));
}

/// The second upgrade finds the socket of the first one's process.
#[test]
fn an_upgrade_can_follow_another() {
    let backend = answering("{}");
    let mut proxy = Proxy::of(&upgradable(backend.address));
    for _ in 0..3 {
        let next = proxy.successor();
        assert!(proxy.left().status.success());
        assert_eq!(status(&Client::connect(next.address).ask(get("/")).0), 200);
        proxy = next;
    }
}

#[test]
fn an_admin_listener_with_a_fixed_port_does_not_stand_in_the_way() {
    let backend = answering("{}");
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let old = Proxy::of(&(upgradable(backend.address) + &format!("[admin]\nlisten = \"{admin}\"\n")));
    let new = old.successor();
    assert!(old.left().status.success());
    assert_eq!(status(&Client::connect(admin).ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").0), 200);
    drop(new);
}

#[test]
fn a_new_process_with_a_wrong_configuration_leaves_the_old_one_serving() {
    let backend = answering("{}");
    let good = upgradable(backend.address);
    let proxy = Proxy::of(&good);
    proxy.configure(&good.replace("name = \"all\"", "nome = \"all\""));
    let failed = crate::proxy::command()
        .arg("--config")
        .arg(proxy.directory.path().join("proxy.toml"))
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(2));
    assert_eq!(status(&Client::connect(proxy.address).ask(get("/")).0), 200);
    proxy.configure(&good);
    let next = proxy.successor();
    assert!(proxy.left().status.success());
    assert_eq!(status(&Client::connect(next.address).ask(get("/")).0), 200);
}

#[test]
fn a_terminated_proxy_finishes_an_upload_and_closes_idle_connections() {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("")));
    let (mut idle, mut fresh) = (Client::connect(proxy.address), Client::connect(proxy.address));
    idle.ask(get("/idle"));
    let mut uploading = Client::connect(proxy.address);
    let (head, body) = upload("/up", &vec![7; 400_000]);
    uploading.send(head);
    uploading.send(&body[..200_000]);
    // Another request over the same worker's loop came through: the upload has begun.
    assert_eq!(status(&Client::connect(proxy.address).ask(get("/other")).0), 200);
    proxy.terminate();
    assert_eq!((idle.rest(), fresh.rest()), (vec![], vec![]), "they end");
    uploading.send(&body[200_000..]);
    let (head, said) = uploading.answer();
    assert_eq!((status(&head), said.as_str()), (200, "{}"));
    assert_eq!(uploading.rest(), b"");
    let left = proxy.left();
    assert!(left.status.success());
    let endings: Vec<_> = left.exchanges().iter().map(|exchange| exchange.ending).collect();
    assert_eq!(endings, [Ending::Complete; 3]);
}
