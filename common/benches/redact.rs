//! Redaction on the writer's thread: heads and bodies of a classroom's exchanges as they were sent, made into what
//! a capture may hold.

use divan::Bencher;
use divan::counter::ItemsCount;
use kingtide_common::body::budget::Budget;
use kingtide_common::body::describe::Describer;
use kingtide_common::body::{BodyCollector, Bounds, RawBody};
use kingtide_common::fingerprint::Fingerprinter;
use kingtide_common::redact::{Privacy, Redactor, Rules};

const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI3YzFhYmRkMS0yZWZkLTRiYTMtOGM2MS0yYmI2YzZlNTdlMjMiLCJleHAiOjE3OTU0NzMwNjl9.q0gF2bL3Wm8cVt1k2ZkRr7HnX5yPzJdQeU9sAoTlIvM";

fn main() {
    divan::main();
}

/// What one exchange has to say, raw.
struct Raw {
    target: &'static str,
    request_headers: Vec<(&'static str, String)>,
    request_body: String,
    response_headers: Vec<(&'static str, String)>,
    response_body: String,
}

/// Login, a list, and two uploads with their answers: the classroom's mix.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn four_exchanges(bencher: Bencher<'_, '_>) {
    let (describer, bounds) = parts();
    let exchanges = [login(), list(), upload(1), upload(2)];
    bencher
        .counter(ItemsCount::new(exchanges.len()))
        .with_inputs(|| exchanges.each_ref().map(|raw| bodies(raw, &bounds)))
        .bench_local_values(|bodies| {
            for (raw, (request, response)) in exchanges.iter().zip(bodies) {
                describe(&describer, raw, request, response);
            }
        });
}

#[divan::bench(args = ["login", "list", "upload"], sample_count = 200, sample_size = 20)]
fn one_exchange(bencher: Bencher<'_, '_>, which: &str) {
    let (describer, bounds) = parts();
    let raw = match which {
        "login" => login(),
        "list" => list(),
        _ => upload(1),
    };
    bencher
        .with_inputs(|| bodies(&raw, &bounds))
        .bench_local_values(|(request, response)| describe(&describer, &raw, request, response));
}

fn parts() -> (Describer, Bounds) {
    let redactor = Redactor::new(Rules::built_in(), Privacy::Default, Fingerprinter::with_key([3; 32]));
    let (budget, hasher) = (Budget::new(1 << 30), redactor.hasher());
    let bounds = Bounds { body_bytes_max: 64 << 10, hash_bytes_max: 4 << 10, budget, hasher: hasher.into() };
    (Describer::new(redactor, 64 << 10), bounds)
}

fn describe(describer: &Describer, raw: &Raw, request: RawBody, response: RawBody) {
    divan::black_box(describer.redactor.target(raw.target));
    for (name, value) in raw.request_headers.iter().chain(&raw.response_headers) {
        divan::black_box(describer.header(name.as_bytes(), value.as_bytes()));
    }
    divan::black_box((describer.body(request), describer.body(response)));
}

fn bodies(raw: &Raw, bounds: &Bounds) -> (RawBody, RawBody) {
    let collected = |headers: &[(&str, String)], body: &str| {
        let content_type = headers.iter().find(|(name, _)| *name == "content-type").map(|(_, value)| value);
        let mut collector = BodyCollector::new(content_type.map(String::as_str), None, bounds);
        collector.take(body.as_bytes());
        collector.finish(true)
    };
    (collected(&raw.request_headers, &raw.request_body), collected(&raw.response_headers, &raw.response_body))
}

fn request_headers(content_type: &str, authorised: bool) -> Vec<(&'static str, String)> {
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    let mut headers: Vec<(&str, String)> = [
        ("host", "classroom.example"),
        ("connection", "keep-alive"),
        ("content-length", "202143"),
        ("user-agent", agent),
        ("accept", "application/json, text/plain, */*"),
        ("content-type", content_type),
        ("origin", "https://classroom.example"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
        ("referer", "https://classroom.example/assignments/17"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "de-DE,de;q=0.9,en;q=0.8"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    if authorised {
        headers.push(("authorization", format!("Bearer {TOKEN}")));
    }
    headers
}

fn response_headers() -> Vec<(&'static str, String)> {
    [
        ("content-type", "application/json"),
        ("content-length", "412"),
        ("date", "Tue, 24 Nov 2026 18:46:44 GMT"),
        ("server-timing", "auth;dur=2.104, db;dur=3.020, store;dur=121.482"),
        ("cache-control", "no-store"),
        ("vary", "accept-encoding"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn login() -> Raw {
    Raw {
        target: "/api/auth/login",
        request_headers: request_headers("application/json", false),
        request_body: r#"{"email":"anna.meier@school.example","password":"correct horse 7"}"#.to_owned(),
        response_headers: response_headers(),
        response_body: format!(
            r#"{{"access_token":"{TOKEN}","refresh_token":"{TOKEN}x","token_type":"Bearer","expires_in":900,"user":{{"id":"7c1abdd1-2efd-4ba3-8c61-2bb6c6e57e23","name":"Anna Meier","email":"anna.meier@school.example"}}}}"#
        ),
    }
}

fn list() -> Raw {
    let activity = |n: u32| {
        format!(
            r#"{{"id":"e78c4e0a-29f4-4b5e-b43b-72d39e5ef{n:03x}","title":"{n}. Read aloud","kind":"reading","due":"2026-12-04","done":false,"points":{n}}}"#
        )
    };
    let activities: Vec<String> = (0..8).map(activity).collect();
    Raw {
        target: "/api/assignments/0b6a1c1e-9f0e-4f5b-8f57-0e5a4d1f0a11/activities?page=2&sort=-due",
        request_headers: request_headers("application/json", true),
        request_body: String::new(),
        response_headers: response_headers(),
        response_body: format!(r#"{{"activities":[{}],"next":null}}"#, activities.join(",")),
    }
}

fn upload(n: u32) -> Raw {
    const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gWQ";
    let field = |name: &str, value: &str| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"recording-{n}.webm\"\r\nContent-Type: audio/webm;codecs=opus\r\n\r\n{}\r\n",
        "o".repeat(2000)
    );
    Raw {
        target: "/api/recordings",
        request_headers: request_headers(&format!("multipart/form-data; boundary={BOUNDARY}"), true),
        request_body: [
            field("activity_id", "e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd"),
            field("duration_ms", "12840"),
            file,
            format!("--{BOUNDARY}--\r\n"),
        ]
        .concat(),
        response_headers: response_headers(),
        response_body: r#"{"id":"5b0d2c0e-3f3e-4f9e-a3c4-8f4d1c2b3a49","activity_id":"e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd","bytes":201946,"created":"2026-11-24T18:46:44.120Z","digest":"5f0c9a1e33b2d8745f0c9a1e33b2d8745f0c9a1e33b2d8745f0c9a1e33b2d874"}"#.to_owned(),
    }
}
