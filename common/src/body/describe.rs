//! Raw → redacted: the one way from a body or header as it was sent to what a capture may hold.

use super::multipart::{RawContent, RawPart};
use super::{RawBody, TextKind, decoded, decoded_start, disposition};
use crate::exchange::{Body, FilePart, Header, Multipart, Part, PartContent};
use crate::html::Page;
use crate::redact::Redactor;

/// Describes heads and bodies under the rules of one redactor.
#[derive(Debug)]
pub struct Describer {
    pub redactor: Redactor,
    /// Bytes looked at of one body; decoded it may be a bounded number of times larger.
    pub body_bytes_max: usize,
}

impl Describer {
    /// A header as it may be kept.
    pub fn header(&self, name: &[u8], value: &[u8]) -> Header {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
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
        let is_extension = |extension: &str| self.redactor.rules().is_file_extension(extension);
        let name = disposition::name(&part.head).unwrap_or_default();
        let head = disposition::masked(&part.head, &is_extension);
        let head = self.redactor.part_head(&head).into_owned();
        let content = match part.content {
            RawContent::Field(value) if disposition::is_wrapped(&part.head) => {
                PartContent::Field { value: self.redactor.fingerprint(&value) }
            }
            RawContent::Field(value) => {
                let value = String::from_utf8_lossy(&value);
                PartContent::Field { value: self.redactor.field(&name, &value).into_owned() }
            }
            RawContent::File { bytes, hash } => {
                let file_name = disposition::file_name(&part.head).map(|range| &part.head[range]);
                PartContent::File {
                    file: FilePart {
                        content_type: disposition::content_type(head.as_bytes()),
                        extension: file_name.and_then(|name| disposition::extension(name, &is_extension)),
                        bytes,
                        hash: format!("{hash:016x}"),
                    },
                }
            }
        };
        Part { head, name: self.redactor.text(&name).into_owned(), content }
    }
}
