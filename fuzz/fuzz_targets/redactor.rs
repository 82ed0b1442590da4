//! A secret in any place that is named like one never survives, whatever stands around it.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use kingtide_common::fingerprint::Fingerprinter;
use kingtide_common::redact::{Privacy, Redactor, Rules};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

/// Names as applications write them.
const NAMES: [&str; 12] = [
    "password",
    "newPassword",
    "api_key",
    "API-KEY",
    "client_secret",
    "refresh_token",
    "access-token",
    "idToken",
    "sid",
    "otp",
    "email",
    "lastName",
];
const HEADERS: [&str; 6] =
    ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-Forwarded-For"];

static REDACTORS: LazyLock<[Redactor; 2]> = LazyLock::new(|| {
    [Privacy::Default, Privacy::Strict]
        .map(|privacy| Redactor::new(Rules::built_in(), privacy, Fingerprinter::with_key([7; 32])))
});

#[derive(Debug, Arbitrary)]
struct Planted<'a> {
    strict: bool,
    secret: u64,
    name: u8,
    place: Place<'a>,
}

#[derive(Debug, Arbitrary)]
enum Place<'a> {
    Header {
        before: &'a str,
    },
    Form {
        before: &'a str,
        after: &'a str,
    },
    Query {
        path: &'a str,
        after: &'a str,
    },
    Field,
    Json {
        above: Vec<Above<'a>>,
        text: &'a str,
    },
    /// Anything at all: only that nothing panics.
    Text(&'a str),
}

impl Place<'_> {
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Header { before } => vec![before],
            Self::Form { before, after } => vec![before, after],
            Self::Query { path, after } => vec![path, after],
            Self::Field | Self::Text(_) => Vec::new(),
            Self::Json { above, text } => above.iter().map(Above::key).chain([*text]).collect(),
        }
    }
}

/// What a JSON value is wrapped in.
#[derive(Debug, Arbitrary)]
enum Above<'a> {
    Array,
    Object(&'a str),
}

impl Above<'_> {
    fn key(&self) -> &str {
        match self {
            Self::Array => "",
            Self::Object(key) => key,
        }
    }
}

fuzz_target!(|planted: Planted<'_>| {
    let redactor = &REDACTORS[usize::from(planted.strict)];
    let secret = format!("s3cr3t{:016x}", planted.secret);
    // What stands around it must not be the secret itself: there it would have no name.
    if planted.place.texts().iter().any(|text| text.contains("s3cr3t")) {
        return;
    }
    let name = NAMES[usize::from(planted.name) % NAMES.len()];
    let kept = match planted.place {
        Place::Header { before } => {
            let header = HEADERS[usize::from(planted.name) % HEADERS.len()];
            redactor.header(header, &format!("{before}{secret}"))
        }
        Place::Form { before, after } => redactor.form(&format!("{before}&{name}={secret}&{after}")),
        Place::Query { path, after } => {
            redactor.target(&format!("/{}?{name}={secret}&{after}", path.replace(['?', '#'], "")))
        }
        Place::Field => redactor.field(name, &secret).into_owned(),
        Place::Json { above, text } => json_with(redactor, name, &secret, &above, text),
        Place::Text(text) => {
            let _ = (
                redactor.json(text),
                redactor.form(text),
                redactor.target(text),
                redactor.header(text, text),
            );
            let _ = redactor.text(text);
            return;
        }
    };
    assert!(!kept.contains(&secret), "{kept}");
});

fn json_with(redactor: &Redactor, name: &str, secret: &str, above: &[Above<'_>], text: &str) -> String {
    let mut value = json!({ "before": text, name: secret, "after": [text, 1, null] });
    for wrap in above.iter().take(32) {
        value = match wrap {
            Above::Array => Value::Array(vec![value]),
            Above::Object(key) => Value::Object(Map::from_iter([((*key).to_owned(), value)])),
        };
    }
    redactor.json(&value.to_string()).expect("what serde_json writes is JSON")
}
