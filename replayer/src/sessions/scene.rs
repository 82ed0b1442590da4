//! Builders for tests: exchanges that read as what a user did.

use kingtide_common::exchange::{Body, Ending, Exchange, FilePart, Header, Multipart, Part, PartContent};
use kingtide_common::fingerprint::Fingerprinter;
use kingtide_common::stages::Instants;

/// The token that stands for a secret in a capture.
pub(crate) fn secret(value: &str) -> String {
    Fingerprinter::with_key([3; 32]).fingerprint(value.as_bytes()).to_string()
}

/// An exchange in the making. Begins complete, without bodies, answered 200 after 10 ms, on connection 1.
#[derive(Debug, Clone)]
pub(crate) struct Scene(pub(crate) Exchange);

pub(crate) fn get(target: &str) -> Scene {
    request("GET", target)
}

pub(crate) fn post(target: &str) -> Scene {
    request("POST", target)
}

fn request(method: &str, target: &str) -> Scene {
    Scene(Exchange {
        connection: 1,
        instants: Instants { done_us: Some(10_000), ..Instants::default() },
        method: method.to_owned(),
        target: target.to_owned(),
        client: secret("192.0.2.1"),
        http_version: 11,
        status: Some(200),
        ending: Ending::Complete,
        ..Exchange::default()
    })
}

impl Scene {
    pub(crate) fn on(mut self, connection: u64) -> Self {
        self.0.connection = connection;
        self
    }

    pub(crate) fn at_s(mut self, start_s: f64) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        let after_ns = (start_s * 1e9) as i64;
        self.0.started_ns = 1_700_000_000_000_000_000 + after_ns;
        self
    }

    pub(crate) fn taking_ms(mut self, done_ms: u64) -> Self {
        self.0.instants.done_us = Some(done_ms * 1000);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.0.request_headers.push(Header { name: name.to_owned(), value: value.to_owned() });
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {}", secret(token)))
    }

    pub(crate) fn json(mut self, text: &str) -> Self {
        self.0.request_body = Body::Json(text.to_owned());
        self
    }

    pub(crate) fn form(mut self, text: &str) -> Self {
        self.0.request_body = Body::Form(text.to_owned());
        self
    }

    /// A multipart upload of fields and a recording.
    pub(crate) fn upload(mut self, fields: &[(&str, &str)], bytes: u64) -> Self {
        let field =
            |(name, value): &(&str, &str)| part(name, PartContent::Field { value: (*value).to_owned() });
        let mut parts: Vec<Part> = fields.iter().map(field).collect();
        let file = FilePart { content_type: None, extension: None, bytes, hash: secret("audio") };
        parts.push(part("file", PartContent::File { file }));
        self.0.request_body = Body::Multipart(Multipart { boundary_bytes: 40, parts });
        self.0.request_body_bytes = bytes;
        self
    }

    pub(crate) fn answers(mut self, json: &str) -> Self {
        self.0.response_body = Body::Json(json.to_owned());
        self
    }

    /// Answers with a page of these forms.
    pub(crate) fn shows(mut self, description: &str) -> Self {
        self.0.response_body = Body::Html(description.to_owned());
        self
    }

    pub(crate) fn answer_header(mut self, name: &str, value: &str) -> Self {
        self.0.response_headers.push(Header { name: name.to_owned(), value: value.to_owned() });
        self
    }

    pub(crate) fn refused(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }
}

fn part(name: &str, content: PartContent) -> Part {
    Part { head: format!("Content-Disposition: form-data; name=\"{name}\""), name: name.to_owned(), content }
}

/// The exchanges of a capture, numbered in the order given.
pub(crate) fn capture(scenes: Vec<Scene>) -> Vec<Exchange> {
    let numbered = scenes.into_iter().zip(1..);
    numbered.map(|(scene, id)| Exchange { id, ..scene.0 }).collect()
}
