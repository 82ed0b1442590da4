//! Bodies: `postData` and `content`, as texts, in base64, or as lists of parameters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::super::foreign::Content;
use super::node::Node;

/// A request body, and whether its framing had to be made up.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub(super) content: Content,
    pub(super) is_rebuilt: bool,
    /// It stood in base64: the bytes as they were sent.
    pub(super) is_binary: bool,
}

/// `postData`; a text comes before a list of parameters.
pub(super) fn posted(data: Node<'_>, content_type: Option<&str>) -> Posted {
    if let Some(text) = data.get("text").text() {
        let is_binary = [data.get("encoding"), data.get("_encoding")].into_iter().any(is_base64)
            || is_unsaid_base64(text, content_type);
        let content = if is_binary { decoded(text) } else { Content::Whole(plain(text)) };
        return Posted { content, is_rebuilt: false, is_binary };
    }
    let params: Vec<Param<'_>> = data.get("params").list().filter_map(Param::of).collect();
    let content_type = content_type.unwrap_or_default();
    let bytes = match (params.is_empty(), boundary(content_type)) {
        (true, _) => return Posted::default(),
        (false, Some(boundary)) => multipart(&params, boundary),
        (false, None) => form(&params),
    };
    Posted { content: Content::Whole(bytes), is_rebuilt: true, is_binary: false }
}

/// The content of an answer.
pub(super) fn answered(content: Node<'_>) -> Content {
    match content.get("text").text() {
        None => Content::Absent,
        Some(text) if is_base64(content.get("encoding")) => decoded(text),
        Some(text) => Content::Whole(text.as_bytes().to_vec()),
    }
}

fn is_base64(encoding: Node<'_>) -> bool {
    encoding.text().is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"))
}

/// Chromium's protocol gives forms with files in base64, and not every exporter says so: a form begins with its
/// boundary, in one way or the other.
fn is_unsaid_base64(text: &str, content_type: Option<&str>) -> bool {
    let Some(boundary) = content_type.and_then(boundary) else { return false };
    let start = format!("--{boundary}");
    // As many whole groups of four characters as it takes to see the start.
    let characters = start.len().div_ceil(3) * 4;
    let decoded = text.get(..characters).and_then(|head| STANDARD.decode(head).ok());
    decoded.is_some_and(|head| head.starts_with(start.as_bytes()))
}

/// Text that is no base64 is as good as none.
fn decoded(text: &str) -> Content {
    STANDARD.decode(text.trim()).map_or(Content::Absent, Content::Whole)
}

/// Firefox writes the body's own headers before it.
fn plain(text: &str) -> Vec<u8> {
    let starts_like_a_head = ["content-type:", "content-length:"]
        .iter()
        .any(|name| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    let body = text.split_once("\r\n\r\n").filter(|_| starts_like_a_head).map(|(_, body)| body);
    body.unwrap_or(text).as_bytes().to_vec()
}

struct Param<'a> {
    name: &'a str,
    value: &'a str,
    file_name: Option<&'a str>,
    content_type: Option<&'a str>,
}

impl<'a> Param<'a> {
    fn of(node: Node<'a>) -> Option<Self> {
        Some(Self {
            name: node.get("name").text()?,
            value: node.get("value").text().unwrap_or_default(),
            file_name: node.get("fileName").text(),
            content_type: node.get("contentType").text(),
        })
    }

    fn head(&self) -> String {
        let file = self.file_name.map_or_else(String::new, |name| format!("; filename=\"{}\"", quoted(name)));
        let content_type = self.content_type.map(|content_type| format!("Content-Type: {content_type}\r\n"));
        let name = quoted(self.name);
        let content_type = content_type.unwrap_or_default();
        format!("Content-Disposition: form-data; name=\"{name}\"{file}\r\n{content_type}")
    }
}

/// As browsers escape names in a part's head.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

fn boundary(content_type: &str) -> Option<&str> {
    let is_multipart = content_type.to_ascii_lowercase().starts_with("multipart/form-data");
    let (_, boundary) = content_type.split_once("boundary=").filter(|_| is_multipart)?;
    Some(boundary.split(';').next()?.trim().trim_matches('"'))
}

fn multipart(params: &[Param<'_>], boundary: &str) -> Vec<u8> {
    let part = |param: &Param<'_>| format!("--{boundary}\r\n{}\r\n{}\r\n", param.head(), param.value);
    let parts: String = params.iter().map(part).collect();
    format!("{parts}--{boundary}--\r\n").into_bytes()
}

fn form(params: &[Param<'_>]) -> Vec<u8> {
    let pairs = params.iter().map(|param| (param.name, param.value));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
}
