//! Heads of an upstream's answers.

use crate::message::{Fields, Framing, Line, Part, ResponseHead};

use super::head::length;

/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 1000;

/// No answer of HTTP/1, or one whose head is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAnswer;

/// The head at the beginning of `input` and its bytes; `None` while it is not whole.
pub(crate) fn head(input: &[u8], to_head_request: bool) -> Result<Option<(ResponseHead, usize)>, BadAnswer> {
    let Some(bytes) = head_bytes(input) else {
        let hopeless = input.len() > HEAD_BYTES_MAX || !could_begin(input);
        return if hopeless { Err(BadAnswer) } else { Ok(None) };
    };
    let text = &input[..bytes];
    let line_end = memchr::memchr(b'\n', text).ok_or(BadAnswer)? + 1;
    let (status, is_11) = status_line(&text[..line_end])?;
    let mut lines = Vec::with_capacity(16);
    let mut start = line_end;
    while let Some(length) = memchr::memchr(b'\n', &text[start..]) {
        lines.extend(field(text, start, start + length)?);
        start += length + 1;
        if lines.len() > FIELDS_MAX {
            return Err(BadAnswer);
        }
    }
    let fields = Fields::new(text.to_vec(), lines);
    let framing = framing(&fields, status, to_head_request)?;
    let keep_alive = keep_alive(&fields, is_11) && framing != Framing::ToTheEnd;
    Ok(Some((ResponseHead { status, fields, framing, keep_alive }, bytes)))
}

fn could_begin(input: &[u8]) -> bool {
    let expected = b"HTTP/1.";
    let known = input.len().min(expected.len());
    input[..known] == expected[..known]
}

/// Up to and with the empty line.
fn head_bytes(input: &[u8]) -> Option<usize> {
    let searched = &input[..input.len().min(HEAD_BYTES_MAX)];
    memchr::memchr_iter(b'\n', searched).find_map(|at| match &searched[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// `HTTP/1.1 200 OK`
fn status_line(line: &[u8]) -> Result<(u16, bool), BadAnswer> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(BadAnswer)?;
    let (is_11, rest) = match rest {
        [b'1', b' ', rest @ ..] => (true, rest),
        [b'0', b' ', rest @ ..] => (false, rest),
        _ => return Err(BadAnswer),
    };
    let rest = rest.trim_ascii_start();
    let ends = rest.get(3).is_none_or(u8::is_ascii_whitespace);
    let digits = rest.get(..3).filter(|digits| ends && digits.iter().all(u8::is_ascii_digit));
    let status = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.filter(|status| *status >= 100).map(|status| (status, is_11)).ok_or(BadAnswer)
}

/// A field; the empty line is none. A line without a colon is a name without a value, as Nginx takes it.
fn field(text: &[u8], start: usize, end: usize) -> Result<Option<Line>, BadAnswer> {
    let line = text[start..end].strip_suffix(b"\r").unwrap_or(&text[start..end]);
    if line.is_empty() {
        return Ok(None);
    }
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    if colon == 0 || !line[..colon].iter().all(is_token) {
        return Err(BadAnswer);
    }
    let value = &line[(colon + 1).min(line.len())..];
    if value.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return Err(BadAnswer);
    }
    let leading = value.len() - value.trim_ascii_start().len();
    let value_start = start + (colon + 1).min(line.len()) + leading;
    let value_end = value_start + value.trim_ascii().len();
    Ok(Some(Line { name: Part::new(start, start + colon), value: Part::new(value_start, value_end) }))
}

/// RFC 9112, 6.3. Two different lengths are no answer; a length beside chunks is ignored, as it says.
fn framing(fields: &Fields, status: u16, to_head_request: bool) -> Result<Framing, BadAnswer> {
    let mut lengths = fields.all("content-length");
    let first = lengths.next().map(|value| length(value).ok_or(BadAnswer)).transpose()?;
    if lengths.any(|value| length(value) != first) {
        return Err(BadAnswer);
    }
    if to_head_request || status < 200 || matches!(status, 204 | 304) {
        return Ok(Framing::None);
    }
    let coding = fields.all("transfer-encoding").last();
    match (coding, first) {
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(_), _) => Err(BadAnswer),
        (None, Some(bytes)) => Ok(Framing::Length(bytes)),
        (None, None) => Ok(Framing::ToTheEnd),
    }
}

fn keep_alive(fields: &Fields, is_11: bool) -> bool {
    let has = |wanted: &[u8]| {
        let mut values = fields.all("connection");
        values.any(|value| {
            value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
        })
    };
    if is_11 { !has(b"close") } else { has(b"keep-alive") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<(ResponseHead, usize)>, BadAnswer> {
        head(text.as_bytes(), false)
    }

    fn whole(text: &str) -> ResponseHead {
        read(text).unwrap().unwrap().0
    }

    #[test]
    fn an_answer_is_read_however_it_is_cut() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA:  b \r\n\r\nhello";
        for cut in 0..text.len() - 5 {
            assert_eq!(read(&text[..cut]).map(|read| read.is_none()), Ok(true), "{cut}");
        }
        let (head, bytes) = read(text).unwrap().unwrap();
        assert_eq!((head.status, head.framing, bytes), (200, Framing::Length(5), text.len() - 5));
        assert_eq!(head.fields.text("a"), Some("b"));
        assert!(head.keep_alive);
    }

    #[test]
    fn bodies_are_delimited_as_the_head_says() {
        let framing = |fields: &str| whole(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).framing;
        assert_eq!(framing("Transfer-Encoding: chunked\r\nContent-Length: 3"), Framing::Chunked);
        assert_eq!(framing("A: b"), Framing::ToTheEnd);
        assert_eq!(whole("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n").framing, Framing::None);
        let to_head = head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true).unwrap().unwrap().0;
        assert_eq!(to_head.framing, Framing::None);
    }

    #[test]
    fn what_is_no_answer_is_told_early() {
        for text in [
            "SSH-2.0-OpenSSH",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno name : x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(70_000))).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in "(HTTP/1.1 200 )?[ -~\r\n]{0,80}") {
            let _ = read(&text);
        }
    }
}
