//! What a usual nginx.conf does beside passing on: redirects, fixed answers, rewriting, headers, limits by client.

use crate::backend::{Backend, answering, scripted};
use crate::client::{Client, field, get, status};
use crate::proxy::{Proxy, recording, route_all};

fn client(proxy: &Proxy) -> Client {
    Client::connect(proxy.address)
}

/// A proxy with these routes before a backend that answers `{}`.
fn routed(routes: &str) -> (Backend, Proxy) {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + routes));
    (backend, proxy)
}

#[test]
fn a_redirect_names_what_was_asked_for() {
    let (_backend, proxy) = routed(
        "[[route]]\nname = \"to_tls\"\nredirect = { status = 301, to = \"https://$host$request_uri\" }\n\
         [[route]]\nname = \"old\"\nprefix = \"/old/\"\nredirect = { status = 308, to = \"/new$uri$is_args$args\" }\n",
    );
    let mut client = client(&proxy);
    let (head, _) = client.ask("GET /a%20b?c=d HTTP/1.1\r\nHost: School.example:8080\r\n\r\n");
    assert_eq!(
        (status(&head), field(&head, "location")),
        (301, Some("https://school.example/a%20b?c=d")),
        "{head}"
    );
    let (head, _) = client.ask(get("/old/x?y"));
    assert_eq!((status(&head), field(&head, "location")), (308, Some("/new/old/x?y")), "{head}");
}

#[test]
fn a_fixed_answer_has_its_body_type_and_headers() {
    let (_backend, proxy) = routed(
        "[[route]]\nname = \"health\"\nprefix = \"/health\"\nexact = true\n\
         answer = { status = 200, body = \"{\\\"ok\\\":true}\", content_type = \"application/json\" }\n\
         response_headers = { X-Route = \"$request_method $uri\", Content-Security-Policy = \"default-src 'self'\" }\n",
    );
    let mut client = client(&proxy);
    let (head, body) = client.ask(get("/health"));
    assert_eq!((status(&head), body.as_str()), (200, "{\"ok\":true}"));
    assert_eq!(field(&head, "content-type"), Some("application/json"));
    assert_eq!(field(&head, "x-route"), Some("GET /health"));
    assert_eq!(field(&head, "content-security-policy"), Some("default-src 'self'"));
    assert_eq!(status(&client.ask(get("/health/more")).0), 404, "exact");
    client.send("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!((status(&head), field(&head, "content-length")), (200, Some("11")), "{head}");
    assert_eq!(status(&client.ask(get("/health")).0), 200, "no body followed the HEAD");
}

#[test]
fn answer_444_closes_without_a_word() {
    let (_backend, proxy) = routed("[[route]]\nname = \"scanners\"\nanswer = { status = 444 }\n");
    let mut client = client(&proxy);
    client.send(get("/wp-login.php"));
    assert_eq!(client.rest(), b"");
    assert_eq!(proxy.stop().exchange().status, None);
}

#[test]
fn a_rewrite_takes_the_prefix_s_place() {
    let (backend, proxy) = routed(
        "[[route]]\nname = \"api\"\nprefix = \"/api/\"\nupstream = \"backend\"\nrewrite = \"/v1/\"\n\
         [[route]]\nname = \"files\"\nprefix = \"/files\"\nupstream = \"backend\"\nrewrite = \"/\"\n",
    );
    let mut client = client(&proxy);
    for (asked, expected) in [
        ("/api/a/b?x=%20", "/v1/a/b?x=%20"),
        ("/api/", "/v1/"),
        ("/api/../api/./c", "/v1/c"),
        ("/files/x", "//x"),
        ("/api/%E4%BD%A0", "/v1/%E4%BD%A0"),
    ] {
        client.ask(get(asked));
        assert_eq!(backend.received.recv().unwrap().target(), expected, "{asked}");
    }
}

#[test]
fn headers_are_set_and_removed_both_ways() {
    let backend = scripted(|stream| {
        use std::io::Write as _;
        let head = "HTTP/1.1 200 OK\r\nServer: gunicorn\r\nX-Kept: yes\r\nX-Frame-Options: old\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
    });
    let proxy = Proxy::of(
        &(recording(backend.address)
            + &route_all(
                "request_headers = { X-Edge = \"kingtide $scheme\", Accept-Encoding = \"\", Host = \"inside.example\" }\n\
                 response_headers = { Server = \"\", X-Frame-Options = \"DENY\", Strict-Transport-Security = \"max-age=1\" }",
            )),
    );
    let request = "GET / HTTP/1.1\r\nHost: school.example\r\nAccept-Encoding: gzip\r\nx-edge: forged\r\nX-Own: a\r\n\r\n";
    let (head, _) = client(&proxy).ask(request);
    let received = backend.received.recv().unwrap();
    assert_eq!(received.header("x-edge"), Some("kingtide http"));
    assert_eq!(received.head.to_ascii_lowercase().matches("x-edge").count(), 1, "{}", received.head);
    assert_eq!((received.header("accept-encoding"), received.header("x-own")), (None, Some("a")));
    assert_eq!(received.header("host"), Some("inside.example"));
    assert_eq!(received.header("x-forwarded-host"), Some("school.example"));
    assert_eq!((field(&head, "server"), field(&head, "x-kept")), (None, Some("yes")), "{head}");
    assert_eq!(field(&head, "x-frame-options"), Some("DENY"));
    assert_eq!(head.to_ascii_lowercase().matches("x-frame-options").count(), 1, "{head}");
    assert_eq!(field(&head, "strict-transport-security"), Some("max-age=1"));
}

#[test]
fn a_preflight_is_answered_here_and_the_request_itself_goes_on() {
    let (backend, proxy) = routed(
        "[[route]]\nname = \"preflight\"\nprefix = \"/api/\"\nmethods = [\"OPTIONS\"]\nanswer = { status = 204 }\n\
         response_headers = { Access-Control-Allow-Origin = \"$http_origin\", Access-Control-Allow-Methods = \"GET, POST\" }\n\
         [[route]]\nname = \"api\"\nprefix = \"/api/\"\nupstream = \"backend\"\n\
         response_headers = { Access-Control-Allow-Origin = \"$http_origin\" }\n",
    );
    let mut client = client(&proxy);
    let origin = "Host: a\r\nOrigin: https://app.example\r\n\r\n";
    client.send(format!("OPTIONS /api/x HTTP/1.1\r\n{origin}"));
    let head = client.head();
    assert_eq!((status(&head), field(&head, "content-length")), (204, None), "{head}");
    assert_eq!(field(&head, "access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(field(&head, "access-control-allow-methods"), Some("GET, POST"));
    let (head, body) = client.ask(format!("GET /api/x HTTP/1.1\r\n{origin}"));
    assert_eq!((status(&head), body.as_str()), (200, "{}"));
    assert_eq!(field(&head, "access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(backend.received.try_iter().count(), 1, "the preflight stayed here");
}

#[test]
fn hosts_and_ports_choose_the_route() {
    let (_backend, proxy) = routed(
        "[[route]]\nname = \"any\"\nanswer = { status = 200, body = \"any\" }\n\
         [[route]]\nname = \"school\"\nhosts = [\"school.example\", \"*.school.example\"]\nanswer = { status = 200, body = \"school\" }\n\
         [[route]]\nname = \"elsewhere\"\nports = [1]\nanswer = { status = 200, body = \"port\" }\n",
    );
    let mut client = client(&proxy);
    for (host, expected) in [
        ("school.example", "school"),
        ("SCHOOL.example:81", "school"),
        ("a.b.school.example", "school"),
        ("other.example", "any"),
    ] {
        assert_eq!(client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).1, expected, "{host}");
    }
}
