//! A head of HTTP/2 as the text that the rest of the proxy works with.

use http::request::Parts;

use crate::message::{Fields, Framing, Line, Part, RequestFacts, RequestHead, Version};

/// What no upstream of HTTP/1 could be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadHead;

/// Text that grows, and where its parts stand.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

impl Text {
    fn add(&mut self, part: &[u8]) -> Part {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        Part::new(start, self.bytes.len())
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Part {
        let (name, value) = (self.add(name), self.add(value));
        self.lines.push(Line { name, value });
        value
    }
}

pub(super) fn of(parts: &Parts, bodyless: bool) -> Result<RequestHead, BadHead> {
    let mut text = Text::default();
    let method = text.add(parts.method.as_str().as_bytes());
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let is_path = target.starts_with('/') && target.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    if !is_path || matches!(parts.method.as_str(), "CONNECT" | "TRACE") {
        return Err(BadHead);
    }
    let target = text.add(target.as_bytes());
    let named = parts.headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or(named).filter(|host| !host.is_empty()).ok_or(BadHead)?;
    let host = text.field(b"Host", host);
    fields(parts, &mut text);
    let head = RequestHead {
        facts: RequestFacts {
            version: Version::Http2,
            method,
            target,
            host,
            framing: framing(parts, bodyless)?,
            keep_alive: true,
            expects_continue: !bodyless && expects_continue(parts),
            is_websocket: false,
        },
        fields: Fields::new(text.bytes, text.lines),
    };
    crate::uri::normalize(head.path()).map_err(|_| BadHead)?;
    Ok(head)
}

/// Cookies that came in crumbs are one field again (RFC 9113, 8.2.3).
fn fields(parts: &Parts, text: &mut Text) {
    let mut cookies: Vec<&[u8]> = Vec::new();
    for (name, value) in &parts.headers {
        let valid = name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match name {
            name if *name == http::header::COOKIE => cookies.push(value.as_bytes()),
            name if *name == http::header::HOST || !valid => {}
            name => drop(text.field(name.as_str().as_bytes(), value.as_bytes())),
        }
    }
    if !cookies.is_empty() {
        text.field(b"cookie", &cookies.join(&b"; "[..]));
    }
}

fn expects_continue(parts: &Parts) -> bool {
    let expect = parts.headers.get(http::header::EXPECT);
    expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn framing(parts: &Parts, bodyless: bool) -> Result<Framing, BadHead> {
    let mut lengths = parts.headers.get_all(http::header::CONTENT_LENGTH).iter();
    let length =
        lengths.next().map(|value| crate::http1::length(value.as_bytes()).ok_or(BadHead)).transpose()?;
    match (length, lengths.next()) {
        (_, Some(_)) => Err(BadHead),
        (_, None) if bodyless => Ok(Framing::None),
        (Some(bytes), None) => Ok(Framing::Length(bytes)),
        (None, None) => Ok(Framing::ToTheEnd),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(request: http::request::Builder, bodyless: bool) -> Result<RequestHead, BadHead> {
        of(&request.body(()).unwrap().into_parts().0, bodyless)
    }

    #[test]
    fn a_head_becomes_text() {
        let request = Request::post("https://a.example/x?y=1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x_under", "dropped")
            .header("x-class", "7b")
            .header("content-length", "12");
        let head = head(request, false).unwrap();
        assert_eq!((head.method(), head.host(), head.target()), ("POST", "a.example", &b"/x?y=1"[..]));
        assert_eq!(head.fields.text("Cookie"), Some("a=1; b=2"));
        assert_eq!((head.fields.text("x-class"), head.fields.text("x_under")), (Some("7b"), None));
        assert_eq!(head.facts.framing, Framing::Length(12));
    }

    #[test]
    fn what_http_1_could_not_carry_is_refused() {
        assert!(head(Request::get("/no-host"), true).is_err());
        assert!(head(Request::get("https://a/../x"), true).is_err());
        let twice = Request::post("https://a/").header("content-length", "1").header("content-length", "1");
        assert!(head(twice, false).is_err());
        let none = head(Request::post("https://a/"), false).unwrap();
        assert_eq!(none.facts.framing, Framing::ToTheEnd);
        assert_eq!(head(Request::post("https://a/"), true).unwrap().facts.framing, Framing::None);
    }
}
