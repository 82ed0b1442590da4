//! A step's request as a capture would hold it: an exchange, and the holes in it.

use std::collections::HashMap;

use kingtide_common::audio::AudioFormat;
use kingtide_common::exchange::{
    AnsweredBy, Body, Ending, Exchange, FilePart, Header, Multipart, Part, PartContent,
};

use super::file::{self, Step};
use super::template::{Holes, Kind};
use crate::drive::multipart::{body_bytes, captured_bytes};
use crate::plan::random::Draws;
use crate::sessions::{Hole, Place};

/// As Chrome makes them; each request gets its own of this kind.
const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
/// After the last boundary.
const BODY_END: &str = "\r\n";
/// Of the name of an uploaded file; the replay writes another one over it.
const MASKED_STEM: &str = "xxxxxxxxxxxx";
const HTTP_1_1: u8 = 11;

/// Makes a request of a step: its exchange, without any times, and its holes in order.
pub(super) fn request(
    step: &Step,
    number: usize,
    latest: &HashMap<&str, usize>,
    draws: &mut Draws,
) -> (Exchange, Vec<Hole>) {
    let mut holes = Holes { step: number, latest, list: Vec::new() };
    let line = step.request.get_ref();
    let target = line.target.written(Place::Target, Kind::Target, &mut holes);
    let request_headers = headers(step, &mut holes);
    let request_body = body(step, &mut holes, draws);
    let exchange = Exchange {
        method: line.method.clone(),
        target,
        http_version: HTTP_1_1,
        request_headers,
        request_body_bytes: bytes(&request_body),
        request_body,
        status: Some(*step.status.get_ref()),
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        ..Exchange::default()
    };
    (exchange, holes.list)
}

fn headers(step: &Step, holes: &mut Holes<'_>) -> Vec<Header> {
    let mut headers = Vec::new();
    for (name, value) in &step.headers {
        let value = value.get_ref().written(Place::Header(headers.len()), Kind::Plain, holes);
        headers.push(Header { name: name.clone(), value });
    }
    let has_type = step.headers.keys().any(|name| name.eq_ignore_ascii_case("Content-Type"));
    let content_type = content_type(step).filter(|_| !has_type);
    headers.extend(content_type.map(|value| Header { name: "Content-Type".to_owned(), value }));
    headers.extend(length(step));
    headers
}

fn content_type(step: &Step) -> Option<String> {
    match step {
        Step { json: Some(_), .. } => Some("application/json".to_owned()),
        Step { form: Some(_), .. } => Some("application/x-www-form-urlencoded".to_owned()),
        Step { part, .. } if !part.is_empty() => Some(format!("multipart/form-data; boundary={BOUNDARY}")),
        _ => None,
    }
}

/// Clients say of a POST without a body that it has none; what a body's length is, the replay knows.
fn length(step: &Step) -> Option<Header> {
    let has_meaning = matches!(step.request.get_ref().method.as_str(), "POST" | "PUT" | "PATCH");
    has_meaning.then(|| Header { name: "Content-Length".to_owned(), value: "0".to_owned() })
}

fn body(step: &Step, holes: &mut Holes<'_>, draws: &mut Draws) -> Body {
    if let Some(json) = &step.json {
        return Body::Json(json.get_ref().written(Place::Body, Kind::Json, holes));
    }
    if let Some(form) = &step.form {
        return Body::Form(form.get_ref().written(Place::Body, Kind::Form, holes));
    }
    if step.part.is_empty() {
        return Body::Empty;
    }
    let parts = step.part.iter().enumerate();
    let parts = parts.map(|(index, model)| part(model, index, holes, draws)).collect();
    let boundary_bytes = u32::try_from(BOUNDARY.len()).expect("a boundary is short");
    Body::Multipart(Multipart { boundary_bytes, parts })
}

fn part(model: &file::Part, index: usize, holes: &mut Holes<'_>, draws: &mut Draws) -> Part {
    let name = model.name.get_ref().clone();
    let disposition = format!("Content-Disposition: form-data; name=\"{name}\"");
    if let Some(value) = &model.value {
        let value = value.get_ref().written(Place::Part(index), Kind::Plain, holes);
        return Part { head: disposition + "\r\n", name, content: PartContent::Field { value } };
    }
    let content_type = model.file.clone().unwrap_or_default();
    let bytes = model.sizes.as_ref().map_or(0, |sizes| sizes.get_ref().draw(draws).0);
    let extension = extension(model);
    let head =
        format!("{disposition}; filename=\"{MASKED_STEM}.{extension}\"\r\nContent-Type: {content_type}\r\n");
    let (content_type, extension) = (Some(content_type), Some(extension));
    let file = FilePart { content_type, extension, bytes, hash: String::new() };
    Part { head, name, content: PartContent::File { file } }
}

fn extension(part: &file::Part) -> String {
    let usual =
        || AudioFormat::of(part.file.as_deref(), None).map_or("bin", AudioFormat::extension).to_owned();
    part.extension.clone().unwrap_or_else(usual)
}

/// With values as long as what stands in their place.
fn bytes(body: &Body) -> u64 {
    match body {
        Body::Json(text) | Body::Form(text) => captured_bytes(text),
        Body::Multipart(multipart) => body_bytes(multipart) + BODY_END.len() as u64,
        _ => 0,
    }
}
