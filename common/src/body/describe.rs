//! Raw → redacted: the one way from a body or header as it was sent to what a capture may hold.

use std::borrow::Cow;
use std::sync::Arc;

use super::multipart::{RawContent, RawPart};
use super::{RawBody, TextKind, decoded, decoded_start, disposition};
use crate::exchange::{Body, FilePart, Header, Multipart, Part, PartContent};
use crate::html::Page;
use crate::memo::Memo;
use crate::redact::Redactor;

/// Describes heads and bodies under the rules of one redactor.
#[derive(Debug)]
pub struct Describer {
    pub redactor: Redactor,
    /// Bytes looked at of one body; decoded it may be a bounded number of times larger.
    pub body_bytes_max: usize,
    part_heads: Memo<Arc<PartHead>>,
}

/// What the head of a part says: the same in every upload of an application, but for file names.
#[derive(Debug)]
struct PartHead {
    /// As it may be kept.
    head: String,
    name: String,
    /// As it may be kept.
    shown_name: String,
    content_type: Option<String>,
    extension: Option<String>,
    is_wrapped: bool,
}

impl Describer {
    pub fn new(redactor: Redactor, body_bytes_max: usize) -> Self {
        Self { redactor, body_bytes_max, part_heads: Memo::default() }
    }

    /// A header as it may be kept.
    pub fn header(&self, name: &[u8], value: &[u8]) -> Header {
        let (name, value) = (lossy(name), lossy(value));
        let (name, value) = self.redactor.header_line(&name, &value);
        Header { name, value }
    }

    /// A body as it may be kept.
    pub fn body(&self, body: RawBody) -> Body {
        match body {
            RawBody::Empty => Body::Empty,
            RawBody::Opaque => Body::Opaque,
            RawBody::Unread(why) => Body::Unread(why.to_owned()),
            RawBody::Text { kind, bytes, coding, .. } => self.text(kind, &bytes, coding.as_deref()),
            RawBody::Multipart { boundary_bytes, parts, .. } => match parts {
                Ok(parts) => self.multipart(boundary_bytes, parts),
                Err(why) => Body::Unread(why.to_string()),
            },
        }
    }

    fn text(&self, kind: TextKind, bytes: &[u8], coding: Option<&str>) -> Body {
        if kind == TextKind::Html {
            return self.page(bytes, coding);
        }
        let text = match decoded(bytes, coding, self.body_bytes_max) {
            Ok(text) => text,
            Err(why) => return Body::Unread(why),
        };
        // A byte order mark is no JSON, and says nothing.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // What `curl -d` calls a form is often JSON.
        let is_json = kind == TextKind::Json || text.trim_start().starts_with(['{', '[']);
        match is_json.then(|| self.redactor.json(text)).flatten() {
            Some(redacted) => Body::Json(redacted),
            None if kind == TextKind::Json => Body::Unread("malformed JSON".to_owned()),
            None => Body::Form(self.redactor.form(text)),
        }
    }

    /// The forms of a page. Where they lead is redacted as a target, their fields as those of JSON.
    fn page(&self, bytes: &[u8], coding: Option<&str>) -> Body {
        let text = match decoded_start(bytes, coding, self.body_bytes_max) {
            Ok(text) => text,
            Err(why) => return Body::Unread(why),
        };
        let mut page = Page::of(&text);
        if page.is_empty() {
            return Body::Opaque;
        }
        for form in &mut page.forms {
            form.action = self.redactor.target(&form.action);
        }
        let redacted = self.redactor.json(&page.to_json().to_string());
        redacted.map_or_else(|| Body::Unread("its forms cannot be described".to_owned()), Body::Html)
    }

    fn multipart(&self, boundary_bytes: u32, parts: Vec<RawPart>) -> Body {
        let parts = parts.into_iter().map(|part| self.part(part)).collect();
        Body::Multipart(Multipart { boundary_bytes, parts })
    }

    fn part(&self, part: RawPart) -> Part {
        let head = self.part_heads.get(&part.head, || Arc::new(self.part_head(&part.head)));
        let content = match part.content {
            RawContent::Field(value) if head.is_wrapped => {
                PartContent::Field { value: self.redactor.fingerprint(&value) }
            }
            RawContent::Field(value) => {
                PartContent::Field { value: self.redactor.field(&head.name, &lossy(&value)).into_owned() }
            }
            RawContent::File { bytes, hash } => {
                let (content_type, extension) = (head.content_type.clone(), head.extension.clone());
                let hash = format!("{hash:016x}");
                PartContent::File { file: FilePart { content_type, extension, bytes, hash } }
            }
        };
        Part { head: head.head.clone(), name: head.shown_name.clone(), content }
    }

    fn part_head(&self, raw: &[u8]) -> PartHead {
        let is_extension = |extension: &str| self.redactor.rules().is_file_extension(extension);
        let name = disposition::name(raw).unwrap_or_default();
        let masked = disposition::masked(raw, &is_extension);
        let head = self.redactor.part_head(&masked).into_owned();
        let file_name = disposition::file_name(raw).map(|range| &raw[range]);
        PartHead {
            shown_name: self.redactor.text(&name).into_owned(),
            name,
            content_type: disposition::content_type(head.as_bytes()),
            extension: file_name.and_then(|name| disposition::extension(name, &is_extension)),
            is_wrapped: disposition::is_wrapped(raw),
            head,
        }
    }
}

/// Well-formed text, which nearly all is, is checked a word at a time and not copied.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::from)
}
