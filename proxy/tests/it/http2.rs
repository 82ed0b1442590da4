//! HTTP/2: uploads, limits, resets and the drain, each on a stream of its own.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Method};
use kingtide_common::exchange::{AnsweredBy, Ending};

use crate::backend::{answering, replying, scripted, write_answer};
use crate::certificates::Certified;
use crate::client::Client;
use crate::http2_client::{Http2, answer, patiently, request, send, send_until_stuck};
use crate::proxy::{Proxy, recording, route_all};

fn numbered(bytes: u32, seed: u32) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(31).wrapping_add(seed) % 251) as u8).collect()
}

fn before(backend: SocketAddr, more: &str) -> Proxy {
    Proxy::of(&(recording(backend) + &route_all("") + more))
}

fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|_| panic!("this test needs {program}: apt-get install {package}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn curl_uploads_over_h2_by_prior_knowledge_and_by_alpn() {
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let certified = Certified::make(directory.path(), "school", "school.example");
    let file = directory.path().join("take.webm");
    let body = numbered(2_000_000, 1);
    std::fs::write(&file, &body).unwrap();
    let backend = answering("{\"stored\":true}");
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{}", certified.listed(&[]));
    let text = recording(backend.address) + &listener + &route_all("");
    let proxy = Proxy::of_in(directory, &text);

    let (data, format) = (format!("@{}", file.display()), "%{http_version} %{http_code} ");
    let always =
        ["--silent", "--show-error", "--max-time", "20", "--write-out", format, "--data-binary", &data];
    let plain = format!("http://{}/plain", proxy.address);
    let said = run("curl", "curl", &[&always[..], &["--http2-prior-knowledge", &plain]].concat());
    assert_eq!(said, "{\"stored\":true}2 200 ");
    let port = proxy.addresses[1].port();
    let resolve = format!("school.example:{port}:127.0.0.1");
    let secure = format!("https://school.example:{port}/secure");
    let authority = certified.chain.to_str().unwrap();
    let said = run(
        "curl",
        "curl",
        &[&always[..], &["--cacert", authority, "--resolve", &resolve, &secure]].concat(),
    );
    assert_eq!(said, "{\"stored\":true}2 200 ");

    for _ in 0..2 {
        assert!(backend.received.recv().unwrap().body == body);
    }
    let exchanges = proxy.stop().exchanges();
    let facts: Vec<_> =
        exchanges.iter().map(|exchange| (exchange.http_version, exchange.request_body_bytes)).collect();
    assert_eq!(facts, [(20, 2_000_000); 2]);
    assert_eq!(exchanges.iter().filter(|exchange| exchange.tls_us.is_some()).count(), 1);
}

/// curl waits a second when nobody answers its `Expect`.
#[test]
fn expect_is_answered_over_h2_too() {
    let backend = answering("{}");
    let proxy = before(backend.address, "");
    let url = format!("http://{}/upload", proxy.address);
    let sent = ["--http2-prior-knowledge", "-H", "Expect: 100-continue", "--data-binary", "audio", &url];
    let answer =
        run("curl", "curl", &[&["--silent", "--show-error", "--max-time", "20"], &sent[..]].concat());
    assert_eq!(answer, "{}");
    assert!(proxy.stop().exchange().instants.done_us.unwrap() < 1_000_000, "it did not wait in vain");
}

#[test]
fn nghttp_and_h2load_find_nothing_to_complain_about() {
    let backend = answering("{}");
    let proxy = before(backend.address, "");
    let url = format!("http://{}/api/a", proxy.address);
    let said = run("nghttp", "nghttp2-client", &["--verbose", "--timeout=20", &url]);
    assert!(said.contains(":status: 200") && said.contains("{}"), "{said}");
    let mut body = tempfile::NamedTempFile::new().unwrap();
    body.write_all(&numbered(100_000, 3)).unwrap();
    let data = format!("--data={}", body.path().display());
    let said = run("h2load", "nghttp2-client", &["-n200", "-c4", "-m10", "-T20", "-N20", &data, &url]);
    assert!(said.contains("200 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("status codes: 200 2xx"), "{said}");
    let exchanges = proxy.stop().exchanges();
    let uploads = exchanges.iter().filter(|exchange| exchange.request_body_bytes == 100_000);
    assert_eq!((exchanges.len(), uploads.count()), (201, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_upload_is_the_same_on_both_sides_and_in_the_capture() {
    let backend = answering("{\"stored\":true}");
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let body = numbered(2_000_000, 2);
    let said = client.upload("/unknown-length", body.clone()).await.unwrap();
    assert_eq!((said.status, said.body.as_slice()), (200, &b"{\"stored\":true}"[..]));
    assert_eq!(said.fields.get("connection"), None, "hop-by-hop fields are not HTTP/2's");
    let received = backend.received.recv().unwrap();
    assert!(received.body == body);
    assert_eq!(received.header("transfer-encoding"), Some("chunked"));
    assert_eq!(received.header("host"), Some("school.example"));

    let mut known = request(Method::PUT, "/known-length");
    known.headers_mut().insert("content-length", HeaderValue::from(body.len()));
    let (response, mut stream) = client.begin(known, false).await;
    send(&mut stream, body.clone().into(), true).await.unwrap();
    assert_eq!(answer(response).await.unwrap().status, 200);
    let received = backend.received.recv().unwrap();
    assert!(received.body == body);
    assert_eq!(
        (received.header("content-length"), received.header("transfer-encoding")),
        (Some("2000000"), None)
    );
    drop(client);
    for exchange in proxy.stop().exchanges() {
        assert_eq!((exchange.request_body_bytes, exchange.ending), (2_000_000, Ending::Complete));
        assert_eq!(exchange.pacing.last().unwrap().bytes, 2_000_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hundred_uploads_at_once_stay_apart() {
    const UPLOADS: u32 = 100;
    let backend = answering("{}");
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let body = |number: u32| numbered(150_000 + number, number);
    let uploads = (0..UPLOADS).map(|number| {
        let client = &client;
        async move { client.upload(&format!("/{number}"), body(number)).await.unwrap().status }
    });
    assert_eq!(futures_util::future::join_all(uploads).await, vec![200; UPLOADS as usize]);
    let received: HashMap<String, Vec<u8>> =
        backend.received.try_iter().map(|received| (received.target().to_owned(), received.body)).collect();
    assert!((0..UPLOADS).all(|number| received[&format!("/{number}")] == body(number)));
    drop(client);
    let mut recorded: Vec<u64> =
        proxy.stop().exchanges().iter().map(|exchange| exchange.request_body_bytes).collect();
    recorded.sort_unstable();
    assert_eq!(recorded, (0..u64::from(UPLOADS)).map(|number| 150_000 + number).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_upload_that_stalls_is_a_client_timeout_and_other_streams_go_on() {
    let backend = answering("{}");
    let text = recording(backend.address) + &route_all("limits = { client_body_timeout = \"500ms\" }");
    for (text, answered) in
        [(text.clone(), None), (text.replace("[server]\n", "[server]\nanswer_timeouts = true\n"), Some(408))]
    {
        let proxy = Proxy::of(&text);
        let client = Http2::connect(proxy.address).await;
        let (response, mut stream) = client.begin(request(Method::POST, "/stalled"), false).await;
        send(&mut stream, vec![7; 10_000].into(), false).await.unwrap();
        let begun = Instant::now();
        match (answer(response).await, answered) {
            (Ok(said), Some(status)) => assert_eq!(said.status, status),
            (Err(error), None) => assert!(error.is_reset() && error.is_remote(), "{error:?}"),
            (said, _) => panic!("{said:?}"),
        }
        assert!(begun.elapsed() >= Duration::from_millis(490), "{:?}", begun.elapsed());
        assert_eq!(client.get("/other").await.status, 200);
        drop(client);
        let exchanges = proxy.stop().exchanges();
        let stalled = exchanges.iter().find(|exchange| exchange.target == "/stalled").unwrap();
        assert_eq!((stalled.ending, stalled.status), (Ending::ClientTimeout, answered));
        assert_eq!(stalled.request_body_bytes, 10_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_over_the_limit_is_refused_by_what_was_received() {
    let backend = answering("{}");
    let proxy = before(backend.address, "[limits]\nclient_max_body_size = \"100k\"\n");
    let client = Http2::connect(proxy.address).await;
    assert_eq!(client.upload("/fits", vec![7; 100 << 10]).await.unwrap().status, 200);
    assert_eq!(client.upload("/over", vec![7; (100 << 10) + 1]).await.unwrap().status, 413);
    assert_eq!(client.upload("/far-over", vec![7; 3_000_000]).await.unwrap().status, 413);
    let mut announced = request(Method::POST, "/announced");
    announced.headers_mut().insert("content-length", HeaderValue::from_static("2000000"));
    let (response, _stream) = client.begin(announced, false).await;
    assert_eq!(answer(response).await.unwrap().status, 413);
    assert_eq!(client.get("/after").await.status, 200, "the connection is whole");
    drop(client);
    let targets: Vec<String> =
        backend.received.try_iter().map(|received| received.target().to_owned()).collect();
    assert_eq!(targets, ["/fits", "/after"], "nothing over the limit arrived as a request");
    let refused = proxy.stop().exchanges().into_iter().filter(|exchange| exchange.status == Some(413));
    let by: Vec<_> = refused.map(|exchange| (exchange.answered_by, exchange.ending)).collect();
    assert_eq!(by, [(AnsweredBy::EdgeLimit, Ending::EdgeFailure); 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_in_mid_upload_is_a_client_abort_and_the_connection_goes_on() {
    let backend = answering("{}");
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let (response, mut stream) = client.begin(request(Method::POST, "/aborted"), false).await;
    send(&mut stream, vec![7; 30_000].into(), false).await.unwrap();
    // Answered after it on the same connection: the pieces before it have arrived.
    assert_eq!(client.get("/between").await.status, 200);
    stream.send_reset(Reason::CANCEL);
    drop(response);
    assert_eq!(client.get("/after").await.status, 200);
    let exchanges = proxy.exchanges_once_there_are(3);
    let aborted = exchanges.iter().find(|exchange| exchange.target == "/aborted").unwrap();
    assert_eq!((aborted.ending, aborted.status), (Ending::ClientAbort, None));
    assert_eq!(aborted.request_body_bytes, 30_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_while_the_backend_works_is_a_client_abort() {
    let (begun, arrived) = mpsc::channel();
    let backend = scripted(move |_| {
        begun.send(()).unwrap();
        std::thread::park();
    });
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let (response, mut stream) = client.begin(request(Method::GET, "/given-up"), true).await;
    arrived.recv_timeout(crate::wait::PATIENCE).unwrap();
    stream.send_reset(Reason::CANCEL);
    drop(response);
    let exchange = proxy.exchanges_once_there_are(1).remove(0);
    assert_eq!((exchange.ending, exchange.status), (Ending::ClientAbort, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drain_says_goaway_and_finishes_the_streams() {
    let (begun, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let backend = replying(move |stream, _| {
        begun.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        write_answer(stream, "{\"done\":true}");
    });
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let idle = Http2::connect(proxy.address).await;
    let (waiting, _) = client.begin(request(Method::GET, "/waiting"), true).await;
    arrived.recv_timeout(crate::wait::PATIENCE).unwrap();
    let (uploading, mut stream) = client.begin(request(Method::POST, "/uploading"), false).await;
    send(&mut stream, vec![7; 50_000].into(), false).await.unwrap();
    proxy.terminate();

    assert_eq!(idle.end().await.map_err(|error| error.to_string()), Ok(()), "an idle connection ends");
    // GOAWAY: the client is to open no more streams here.
    let refused = patiently("GOAWAY", async {
        loop {
            match client.requests.clone().ready().await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(error) => return error,
            }
        }
    });
    assert!(refused.await.is_go_away());
    send(&mut stream, vec![7; 50_000].into(), true).await.unwrap();
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(answer(waiting).await.unwrap().body, b"{\"done\":true}");
    assert_eq!(answer(uploading).await.unwrap().body, b"{\"done\":true}");
    client.end().await.unwrap();
    let left = proxy.left();
    assert!(left.status.success());
    let endings: Vec<_> = left.exchanges().iter().map(|exchange| exchange.ending).collect();
    assert_eq!(endings, [Ending::Complete; 2]);
}

/// GOAWAY is followed by a PING, whose answer never comes here.
#[test]
fn a_client_that_does_not_react_holds_no_drain_up() {
    let backend = answering("{}");
    let text = recording(backend.address).replace("\"10s\"", "\"1h\"") + &route_all("");
    let proxy = Proxy::of(&text);
    let mut mute = Client::connect(proxy.address);
    mute.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // The server's SETTINGS: the connection is HTTP/2's now.
    assert_eq!(mute.bytes(9)[3], 4);
    assert!(proxy.stop().status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backend_that_takes_nothing_holds_up_its_own_stream_only() {
    let backend = scripted(|stream| write_answer(stream, "{}"));
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = recording(backend.address)
        + &crate::proxy::upstream("deaf", &[deaf.local_addr().unwrap()])
        + "[[route]]\nname = \"deaf\"\nprefix = \"/deaf\"\nupstream = \"deaf\"\n"
        + &route_all("");
    let proxy = Proxy::of(&text);
    let client = Http2::connect(proxy.address).await;
    let (_response, mut stream) = client.begin(request(Method::POST, "/deaf"), false).await;
    let sent = send_until_stuck(&mut stream, Duration::from_millis(500)).await;
    // One window, one piece under way, and what the kernel's buffers of a local connection take.
    assert!(sent < 12_000_000, "{sent} bytes are somewhere");
    assert_eq!(client.upload("/other", numbered(2_000_000, 9)).await.unwrap().status, 200);
    assert_eq!(backend.received.recv().unwrap().body.len(), 2_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn trailers_end_an_upload() {
    let backend = answering("{}");
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let (response, mut stream) = client.begin(request(Method::POST, "/trailers"), false).await;
    send(&mut stream, Bytes::from_static(b"body"), false).await.unwrap();
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), HeaderValue::from_static("1"))]);
    stream.send_trailers(trailers).unwrap();
    assert_eq!(answer(response).await.unwrap().status, 200);
    assert_eq!(backend.received.recv().unwrap().body, b"body");
    drop(client);
    assert_eq!(proxy.stop().exchange().ending, Ending::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_of_all_kinds_reach_an_http2_client() {
    let backend = replying(|stream, received| {
        let answer = match received.target() {
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".to_vec(),
            "/chunked" => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                    .to_vec()
            }
            _ => {
                [&b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"[..], &numbered(2_000_000, 4)].concat()
            }
        };
        stream.write_all(&answer).unwrap();
    });
    let proxy = before(backend.address, "");
    let client = Http2::connect(proxy.address).await;
    let empty = client.get("/204").await;
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    let (response, _) = client.begin(request(Method::HEAD, "/head"), true).await;
    let head = answer(response).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.fields.get("content-length").map(HeaderValue::as_bytes), Some(&b"12"[..]));
    assert_eq!(client.get("/chunked").await.body, b"abcde");
    assert!(client.get("/large").await.body == numbered(2_000_000, 4));
    drop(client);
    let exchanges = proxy.stop().exchanges();
    assert!(exchanges.iter().all(|exchange| exchange.ending == Ending::Complete));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_edge_answers_http2_too() {
    let backend = answering("{}");
    let text = recording(backend.address)
        + "[[route]]\nname = \"health\"\nprefix = \"/health\"\nanswer = { status = 200, body = \"ok\" }\n\
           [[route]]\nname = \"old\"\nprefix = \"/old\"\nredirect = { status = 301, to = \"https://$host$request_uri\" }\n\
           [[route]]\nname = \"scanners\"\nprefix = \"/wp\"\nanswer = { status = 444 }\n";
    let proxy = Proxy::of(&text);
    let client = Http2::connect(proxy.address).await;
    assert_eq!(client.get("/health").await.body, b"ok");
    let moved = client.get("/old?x").await;
    assert_eq!(
        (moved.status, moved.fields["location"].as_bytes()),
        (301, &b"https://school.example/old?x"[..])
    );
    assert_eq!(client.get("/none").await.status, 404);
    let (response, _) = client.begin(request(Method::GET, "/wp-login.php"), true).await;
    assert!(answer(response).await.is_err(), "444 says nothing");
    assert_eq!(client.get("/health").await.status, 200, "and ends its own stream only");
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.windows(3).any(|three| three == b"0\r\n") || !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        write!(stream, "{head}2\r\nok\r\n0\r\nServer-Timing: db;dur=5\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    let proxy = before(address, "");
    let client = Http2::connect(proxy.address).await;
    let (response, mut stream) = client.begin(request(Method::POST, "/upload"), false).await;
    stream.send_data("body".into(), false).unwrap();
    let digest = [("x-digest", "abc")]
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
    stream.send_trailers(digest.into_iter().collect()).unwrap();

    let mut body = patiently("an answer", response).await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["server-timing"], "db;dur=5");
    let request = backend.join().unwrap();
    assert!(request.ends_with("4\r\nbody\r\n0\r\nx-digest: abc\r\n\r\n"), "{request}");
}
