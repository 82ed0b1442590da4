//! The HTTP/1 message in a record.

use memchr::memmem;

use super::super::foreign::{Content, Message};

const HEADERS_MAX: usize = 256;
/// Bytes of a chunk's size line at most.
const CHUNK_LINE_BYTES_MAX: usize = 8 << 10;

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) start: StartLine,
    /// 10 or 11.
    pub(super) http_version: u8,
    pub(super) message: Message,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StartLine {
    Request { method: String, target: String },
    Response { status: u16 },
}

/// `None` when the record holds no HTTP head of its kind.
pub(super) fn parsed(kind: u8, bytes: &[u8]) -> Option<Parsed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let (start, minor, headers, body) = if kind == b'1' {
        let mut request = httparse::Request::new(&mut headers);
        let body = complete(request.parse(bytes))?;
        let start =
            StartLine::Request { method: request.method?.to_owned(), target: request.path?.to_owned() };
        (start, request.version?, request.headers.to_vec(), body)
    } else {
        let mut response = httparse::Response::new(&mut headers);
        let body = complete(response.parse(bytes))?;
        (StartLine::Response { status: response.code? }, response.version?, response.headers.to_vec(), body)
    };
    let headers = headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()));
    let mut message = Message { headers: headers.collect(), ..Message::default() };
    add_body(&mut message, &bytes[body..]);
    Some(Parsed { start, http_version: 10 + minor, message })
}

fn complete(status: httparse::Result<usize>) -> Option<usize> {
    match status.ok()? {
        httparse::Status::Complete(bytes) => Some(bytes),
        httparse::Status::Partial => None,
    }
}

/// Bytes of head and body, where the head announces a length.
pub(super) fn announced_bytes(message: &[u8]) -> Option<usize> {
    let body = body_start(message)?;
    let head = std::str::from_utf8(&message[..body]).ok()?;
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-length"))?;
    body.checked_add(length.trim().parse().ok()?)
}

/// Where a body begins: after the blank line.
pub(super) fn body_start(message: &[u8]) -> Option<usize> {
    Some(memmem::find(message, b"\r\n\r\n")? + 4)
}

fn add_body(message: &mut Message, bytes: &[u8]) {
    let is_chunked = message
        .header("transfer-encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    let announced = message.content_length().filter(|_| !is_chunked);
    message.content = match (is_chunked, announced) {
        (true, _) => dechunked(bytes),
        (false, Some(announced)) => sized(bytes, announced),
        (false, None) => Content::Whole(bytes.to_vec()),
    };
    message.body_bytes = announced;
}

/// Of a body that was cut off the beginning; what follows its end is not its own.
fn sized(bytes: &[u8], announced: u64) -> Content {
    match usize::try_from(announced).ok().and_then(|announced| bytes.get(..announced)) {
        Some(body) => Content::Whole(body.to_vec()),
        None if bytes.is_empty() => Content::Absent,
        None => Content::Cut(bytes.to_vec()),
    }
}

/// RFC 9112 section 7.1; what does not go on as chunks was cut off.
fn dechunked(mut bytes: &[u8]) -> Content {
    let mut body = Vec::new();
    loop {
        let Some((size, rest)) = chunk_size(bytes) else { return Content::Cut(body) };
        if size == 0 {
            return Content::Whole(body);
        }
        let Some(chunk) = rest.get(..size) else {
            body.extend_from_slice(rest);
            return Content::Cut(body);
        };
        body.extend_from_slice(chunk);
        bytes = rest[size..].strip_prefix(b"\r\n").unwrap_or(&rest[size..]);
    }
}

fn chunk_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(CHUNK_LINE_BYTES_MAX)])?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    let size = line.split(';').next()?.trim();
    let is_hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((is_hex.then(|| usize::from_str_radix(size, 16).ok())??, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_a_tear_is_seen() {
        assert_eq!(dechunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), Content::Whole(b"abcde".to_vec()));
        assert_eq!(dechunked(b"3\r\nabc\r\n5\r\nde"), Content::Cut(b"abcde".to_vec()));
        for torn in [b"".as_slice(), b"zz\r\n", b"ffffffffffffffffff\r\n", b"\r\n"] {
            assert_eq!(dechunked(torn), Content::Cut(Vec::new()), "{torn:?}");
        }
    }

    #[test]
    fn a_body_is_as_long_as_announced() {
        let request = |body: &str| format!("PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n{body}");
        let content = |body: &str| parsed(b'1', request(body).as_bytes()).unwrap().message.content;
        assert_eq!(content("abcd\n"), Content::Whole(b"abcd".to_vec()));
        assert_eq!(content("ab"), Content::Cut(b"ab".to_vec()));
        assert_eq!(content(""), Content::Absent);
        assert_eq!(parsed(b'2', request("").as_bytes()), None, "a request is no answer");
    }
}
