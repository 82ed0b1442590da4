//! Foreign → exchange: the only way of an import into a capture, and it leads through the redactor.
//!
//! Here stand the rules for what every source may lack: the content of a body, the size of a file, the
//! arrival curve of an upload. What a rule makes up is marked.

use kingtide_common::body::describe::Describer;
use kingtide_common::body::{BodyCollector, Bounds};
use kingtide_common::exchange::{
    Body, Ending, Exchange, FilePart, Header, Multipart, PacingPoint, Part, PartContent,
};
use kingtide_common::server_timing::server_timings;

use super::connections::Placed;
use super::foreign::{Content, Foreign, Message, made_up};

/// Bytes that a body collector is given at once.
const PIECE_BYTES: usize = 64 << 10;
/// What a request body must have at least to be taken for an upload.
const UPLOAD_BYTES_MIN: u64 = 4 << 10;
/// As Chrome and Safari write it: the prefix and 16 characters.
const BOUNDARY: &str = "----WebKitFormBoundaryxxxxxxxxxxxxxxxx";
const FILE_STEM: &str = "xxxxxxxxx";
const NOT_HELD: &str = "the imported file does not hold it";

/// Which bodies that are missing were uploads of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRule {
    /// Name of the form field.
    pub name: String,
    pub content_type: String,
    /// Paths that it is for begin so.
    pub path_prefix: String,
}

/// Describes exchanges under one set of rules.
#[derive(Debug)]
pub(super) struct Describing {
    pub(super) describer: Describer,
    pub(super) bounds: Bounds,
    pub(super) upload: Option<UploadRule>,
}

impl Describing {
    pub(super) fn exchange(&self, mut foreign: Foreign, id: u64, placed: Placed) -> Exchange {
        let (request_body, request_body_bytes) = self.request_body(&mut foreign);
        let (response_body, response_body_bytes) = self.response_body(&mut foreign);
        let pacing = pacing(&mut foreign, request_body_bytes);
        let is_known_complete = foreign.status.is_some() && foreign.ending == Ending::Complete;
        let redactor = &self.describer.redactor;
        Exchange {
            id,
            connection: placed.connection,
            started_ns: foreign.started_ns,
            connection_age_us: placed.connection_age_us,
            tls_us: foreign.tls_us.filter(|_| placed.is_first),
            instants: foreign.instants,
            target: redactor.target(&foreign.target),
            client: redactor.fingerprint(foreign.client.as_bytes()),
            http_version: foreign.http_version,
            request_headers: self.headers(&foreign.request),
            request_body,
            request_body_bytes,
            pacing,
            status: foreign.status,
            response_headers: self.headers(&foreign.response),
            response_body,
            response_body_bytes,
            server_timing: server_timings(foreign.response.all("server-timing")).collect(),
            answered_by: foreign.answered_by,
            ending: foreign.ending,
            end: is_known_complete.then(|| "--".to_owned()),
            method: foreign.method,
            host: foreign.host,
            synthesised: foreign.synthesised.into_iter().map(str::to_owned).collect(),
            ..Exchange::default()
        }
    }

    fn headers(&self, message: &Message) -> Vec<Header> {
        let header =
            |(name, value): &(String, String)| self.describer.header(name.as_bytes(), value.as_bytes());
        message.headers.iter().map(header).collect()
    }

    fn request_body(&self, foreign: &mut Foreign) -> (Body, u64) {
        let (mut body, bytes) = self.body(&foreign.request);
        match (&mut body, &foreign.request.content) {
            (Body::Empty, _) if bytes > 0 => {
                foreign.synthesised.insert(made_up::REQUEST_BODY);
                body = self.missing_request_body(foreign, bytes);
            }
            (Body::Multipart(multipart), Content::Whole(content)) => {
                let is_guess = fit_files(multipart, bytes, content.len() as u64);
                foreign.synthesised.extend(is_guess.then_some(made_up::FILE_BYTES));
            }
            (Body::Unread(_), Content::Cut(_)) => {
                foreign.synthesised.insert(made_up::REQUEST_BODY);
            }
            _ => {}
        }
        (body, bytes)
    }

    fn response_body(&self, foreign: &mut Foreign) -> (Body, u64) {
        let (body, bytes) = self.body(&foreign.response);
        if body != Body::Empty || bytes == 0 {
            return (body, bytes);
        }
        foreign.synthesised.insert(made_up::RESPONSE_BODY);
        (missing(foreign.response.header("content-type")), bytes)
    }

    /// The body as far as the source holds it, and its bytes on the wire.
    fn body(&self, message: &Message) -> (Body, u64) {
        let (content, is_whole) = match &message.content {
            Content::Absent => (&[] as &[u8], true),
            Content::Whole(content) => (content.as_slice(), true),
            Content::Cut(content) => (content.as_slice(), false),
        };
        let coding = message.header("content-encoding").filter(|_| !message.is_decoded);
        let mut collector = BodyCollector::new(message.header("content-type"), coding, &self.bounds);
        content.chunks(PIECE_BYTES).for_each(|piece| collector.take(piece));
        let body = self.describer.body(collector.finish(is_whole));
        (body, message.body_bytes.unwrap_or(content.len() as u64))
    }

    /// Only its size is known: a form with one file where the rule for uploads says so.
    fn missing_request_body(&self, foreign: &mut Foreign, bytes: u64) -> Body {
        let content_type = foreign.request.header("content-type").map(str::to_owned);
        let rule = self.upload.as_ref().filter(|rule| rule.takes(foreign, content_type.as_deref(), bytes));
        let Some(rule) = rule else { return missing(content_type.as_deref()) };
        let boundary_bytes = content_type.as_deref().and_then(boundary_bytes).unwrap_or(BOUNDARY.len());
        if content_type.is_none() {
            let value = format!("multipart/form-data; boundary={BOUNDARY}");
            foreign.request.headers.push(("Content-Type".into(), value));
        }
        Body::Multipart(rule.form(boundary_bytes, bytes))
    }
}

impl UploadRule {
    fn takes(&self, foreign: &Foreign, content_type: Option<&str>, bytes: u64) -> bool {
        let is_form = content_type.is_none_or(|content_type| essence(content_type) == "multipart/form-data");
        is_form
            && bytes >= UPLOAD_BYTES_MIN
            && matches!(foreign.method.as_str(), "POST" | "PUT" | "PATCH")
            && foreign.target.starts_with(&self.path_prefix)
    }

    /// A form with one file that has `bytes` in all.
    fn form(&self, boundary_bytes: usize, bytes: u64) -> Multipart {
        let extension = extension(&self.content_type);
        let head = format!(
            "Content-Disposition: form-data; name=\"{}\"; filename=\"{FILE_STEM}.{extension}\"\r\n\
             Content-Type: {}\r\n",
            self.name, self.content_type
        );
        // `--boundary CRLF head CRLF file CRLF --boundary-- CRLF`
        let framing = 2 * (boundary_bytes + 2) + head.len() + 2 + 2 + 2 + 2 + 2;
        let file = FilePart {
            content_type: Some(self.content_type.clone()),
            extension: Some(extension.to_owned()),
            bytes: bytes.saturating_sub(framing as u64),
            hash: String::new(),
        };
        let part = Part { head, name: self.name.clone(), content: PartContent::File { file } };
        Multipart { boundary_bytes: u32::try_from(boundary_bytes).unwrap_or(u32::MAX), parts: vec![part] }
    }
}

/// The part of a content type that names a file's extension: `audio/webm;codecs=opus` → `webm`.
fn extension(content_type: &str) -> &str {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.rsplit(['/', '-', '+']).next().unwrap_or_default();
    match subtype {
        "mpeg" => "mp3",
        other if (1..=4).contains(&other.len()) && other.bytes().all(|b| b.is_ascii_alphanumeric()) => other,
        _ => "bin",
    }
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn boundary_bytes(content_type: &str) -> Option<usize> {
    let (_, boundary) = content_type.split_once("boundary=")?;
    let bytes = boundary.split(';').next()?.trim().trim_matches('"').len();
    (1..=70).contains(&bytes).then_some(bytes)
}

/// A body of which only the size is known: one that would have been looked into says so.
fn missing(content_type: Option<&str>) -> Body {
    let essence = essence(content_type.unwrap_or_default());
    let is_text = matches!(essence.as_str(), "application/json" | "text/html" | "application/xhtml+xml")
        || essence.ends_with("+json");
    let is_form = essence == "application/x-www-form-urlencoded" || essence == "multipart/form-data";
    if is_text || is_form { Body::Unread(NOT_HELD.to_owned()) } else { Body::Opaque }
}

/// Browsers write forms without the contents of files, or with contents that are no longer the bytes sent;
/// the body's size on the wire tells what is missing. True when more than one file had to share it.
fn fit_files(multipart: &mut Multipart, wire_bytes: u64, held_bytes: u64) -> bool {
    if wire_bytes == held_bytes {
        return false;
    }
    let files = multipart.parts.iter_mut().filter_map(|part| match &mut part.content {
        PartContent::File { file } => Some(file),
        PartContent::Field { .. } => None,
    });
    let mut files: Vec<&mut FilePart> = files.collect();
    let is_guess = files.len() > 1;
    if files.iter().any(|file| file.bytes == 0) {
        files.retain(|file| file.bytes == 0);
    }
    let held: u64 = files.iter().map(|file| file.bytes).sum();
    let count = files.len() as u64;
    let all = held.saturating_add(wire_bytes).saturating_sub(held_bytes);
    for (index, file) in files.into_iter().enumerate() {
        file.bytes = all / count + u64::from((index as u64) < all % count);
        file.hash.clear();
    }
    is_guess
}

/// Bytes that came evenly over the time that the upload took; at once where nothing is known of it.
fn pacing(foreign: &mut Foreign, body_bytes: u64) -> Vec<PacingPoint> {
    if body_bytes == 0 {
        return Vec::new();
    }
    foreign.synthesised.insert(made_up::PACING);
    vec![PacingPoint { at_us: foreign.upload_us.unwrap_or_default(), bytes: body_bytes }]
}
