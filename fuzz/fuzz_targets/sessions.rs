//! Exchanges grouped into sessions: each stands in exactly one, and a binding looks back, never ahead.

#![no_main]

use arbitrary::Arbitrary;
use kingtide::sessions::{Rules, Source, group};
use kingtide_common::exchange::{Body, Exchange, Header};
use libfuzzer_sys::fuzz_target;

/// Few values, so that they meet.
const VALUES: [&str; 8] = [
    "{fp:0123456789abcdef.248}",
    "{fp:fedcba9876543210.36}",
    "{fp:00000000000000aa.12}",
    "6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11",
    "0a6e8f0e-1111-4222-8333-444455556666",
    "1234567",
    "ready",
    "",
];

#[derive(Debug, Arbitrary)]
struct Asked<'a> {
    connection: u8,
    start_ms: u16,
    duration_ms: u16,
    credential: Option<u8>,
    cookie: Option<u8>,
    path: Vec<u8>,
    request: Text<'a>,
    response: Text<'a>,
    status: u16,
}

#[derive(Debug, Arbitrary)]
enum Text<'a> {
    None,
    Json { name: Name, value: u8 },
    Form { name: Name, value: u8 },
    Wild(&'a str),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    Email,
    Password,
    AccessToken,
    RefreshToken,
    Id,
}

fuzz_target!(|asked: Vec<Asked<'_>>| {
    let exchanges: Vec<Exchange> = asked.iter().take(64).zip(1..).map(exchange).collect();
    let count = exchanges.len();
    let sessions = group(exchanges, &Rules::default());
    let mut ids: Vec<u64> =
        sessions.sessions.iter().flat_map(|session| &session.steps).map(|step| step.exchange.id).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=count as u64), "{ids:?}");
    for session in &sessions.sessions {
        for (at, step) in session.steps.iter().enumerate() {
            for hole in &step.holes {
                if let Source::Response { step: from, .. } = &hole.source {
                    assert!(*from < at, "step {at} binds to step {from}");
                }
            }
        }
    }
});

fn exchange((asked, id): (&Asked<'_>, u64)) -> Exchange {
    let mut exchange = Exchange {
        id,
        connection: u64::from(asked.connection % 4),
        started_ns: i64::from(asked.start_ms) * 1_000_000,
        method: "POST".into(),
        target: asked.path.iter().take(4).map(|segment| format!("/{}", value(*segment))).collect(),
        client: format!("{{fp:00000000000000{:02x}.9}}", asked.connection % 2),
        http_version: 11,
        request_body: body(&asked.request),
        response_body: body(&asked.response),
        status: Some(asked.status),
        ..Exchange::default()
    };
    exchange.instants.done_us = Some(u64::from(asked.duration_ms) * 1000);
    let credential =
        asked.credential.map(|which| header("Authorization", format!("Bearer {}", value(which))));
    let cookie = asked.cookie.map(|which| header("Cookie", format!("session={}", value(which))));
    exchange.request_headers.extend(credential.into_iter().chain(cookie));
    exchange
}

fn header(name: &str, value: String) -> Header {
    Header { name: name.into(), value }
}

fn value(which: u8) -> &'static str {
    VALUES[usize::from(which) % VALUES.len()]
}

fn body(text: &Text<'_>) -> Body {
    match text {
        Text::None => Body::Empty,
        Text::Json { name, value: which } => Body::Json(format!(
            "{{\"{}\":[{{\"x\":\"{}\"}},\"{}\"]}}",
            word(*name),
            value(*which),
            value(*which)
        )),
        Text::Form { name, value: which } => Body::Form(format!("{}={}&a=b", word(*name), value(*which))),
        Text::Wild(text) => Body::Json((*text).to_owned()),
    }
}

fn word(name: Name) -> &'static str {
    match name {
        Name::Email => "email",
        Name::Password => "password",
        Name::AccessToken => "access_token",
        Name::RefreshToken => "refresh_token",
        Name::Id => "id",
    }
}
