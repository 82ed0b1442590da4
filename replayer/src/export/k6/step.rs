//! One request of a session as a call.

use kingtide_common::exchange::{Body, FilePart, Header, Multipart, Part, PartContent};

use super::literal::{string, template};
use crate::sessions::{Hole, Place, Step, is_drives, route};

/// `send(METHOD, target, captured status, name, headers, body)`
pub(super) fn call(step: &Step) -> String {
    let exchange = &step.exchange;
    let name = route::template(&exchange.method, &exchange.target);
    format!(
        "send({}, {}, {}, {}, {}, {})",
        string(&exchange.method),
        template(&exchange.target, holes(step, Place::Target)),
        exchange.status.unwrap_or_default(),
        string(&name),
        headers(step),
        body(step)
    )
}

fn holes(step: &Step, place: Place) -> impl Iterator<Item = &Hole> {
    step.holes.iter().filter(move |hole| hole.place == place)
}

/// Headers of one name become one, as the object has one place for each.
fn headers(step: &Step) -> String {
    let recorded = &step.exchange.request_headers;
    let mut joined: Vec<(&str, String)> = Vec::new();
    for (index, header) in recorded.iter().enumerate().filter(|(_, header)| is_kept(header, step)) {
        let value = template(&header.value, holes(step, Place::Header(index)));
        match joined.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(&header.name)) {
            Some((name, before)) => {
                let separator = if name.eq_ignore_ascii_case("cookie") { "; " } else { ", " };
                before.extend([" + ", &string(separator), " + ", &value]);
            }
            None => joined.push((&header.name, value)),
        }
    }
    let pairs: Vec<String> =
        joined.into_iter().map(|(name, value)| format!("{}: {value}", string(name))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// The type of a form is k6's to write, with its boundary; texts stand decoded in a capture.
fn is_kept(header: &Header, step: &Step) -> bool {
    let is = |name: &str| header.name.eq_ignore_ascii_case(name);
    match &step.exchange.request_body {
        Body::Multipart(_) if is("content-type") => false,
        Body::Json(_) | Body::Form(_) if is("content-encoding") => false,
        _ => !is_drives(&header.name) && !header.name.starts_with(':'),
    }
}

fn body(step: &Step) -> String {
    match &step.exchange.request_body {
        Body::Empty => "null".to_owned(),
        Body::Json(text) | Body::Form(text) => template(text, holes(step, Place::Body)),
        Body::Multipart(form) => fields(form, step),
        Body::Html(_) | Body::Opaque | Body::Unread(_) => {
            format!("filler({})", step.exchange.request_body_bytes)
        }
    }
}

fn fields(form: &Multipart, step: &Step) -> String {
    let field = |(index, part): (usize, &Part)| {
        let value = match &part.content {
            PartContent::Field { value } => template(value, holes(step, Place::Part(index))),
            PartContent::File { file } => upload(part, file),
        };
        format!("{}: {value}", string(&part.name))
    };
    let fields: Vec<String> = form.parts.iter().enumerate().map(field).collect();
    format!("{{ {} }}", fields.join(", "))
}

fn upload(part: &Part, file: &FilePart) -> String {
    let name = file_name(&part.head)
        .map_or_else(|| format!("file.{}", file.extension.as_deref().unwrap_or("bin")), ToOwned::to_owned);
    let content_type = file.content_type.as_deref().unwrap_or("application/octet-stream");
    format!("http.file(filler({}), {}, {})", file.bytes, string(&name), string(content_type))
}

/// `xxxx.webm` of `filename="xxxx.webm"`.
fn file_name(head: &str) -> Option<&str> {
    const PARAMETER: &str = "filename=\"";
    let from = head.find(PARAMETER)? + PARAMETER.len();
    head[from..].split('"').next().filter(|name| !name.is_empty())
}
