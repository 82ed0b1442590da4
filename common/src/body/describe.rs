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
        let name = String::from_utf8_lossy(name).into_owned();
        let value = self.redactor.header(&name, &String::from_utf8_lossy(value));
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
        let text = || decoded(bytes, coding, self.body_bytes_max);
        match kind {
            TextKind::Html => self.page(bytes, coding),
            TextKind::Form => text().map_or_else(Body::Unread, |text| Body::Form(self.redactor.form(&text))),
            TextKind::Json => text().map_or_else(Body::Unread, |text| match self.redactor.json(&text) {
                Some(redacted) => Body::Json(redacted),
                None => Body::Unread("malformed JSON".to_owned()),
            }),
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
        let name = disposition::name(&part.head).unwrap_or_default();
        let content = match part.content {
            RawContent::Field(value) => PartContent::Field { value: self.part_field(&name, value) },
            RawContent::File { bytes, hash } => {
                PartContent::File { file: file_part(&part.head, bytes, hash) }
            }
        };
        let head = self.redactor.text(&disposition::masked(&part.head));
        Part { head, name: self.redactor.text(&name), content }
    }

    /// A field may hold JSON; then its scalars are looked at one by one.
    fn part_field(&self, name: &str, value: Vec<u8>) -> String {
        let value =
            String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into());
        let is_nested = value.starts_with(['{', '[']);
        let nested = is_nested.then(|| self.redactor.json(&value)).flatten();
        nested.unwrap_or_else(|| self.redactor.field(name, &value).into_owned())
    }
}

fn file_part(head: &[u8], bytes: u64, hash: u64) -> FilePart {
    let file_name = disposition::file_name(head).map(|range| &head[range]);
    FilePart {
        content_type: disposition::content_type(head),
        extension: file_name.and_then(disposition::extension),
        bytes,
        hash: format!("{hash:016x}"),
    }
}
