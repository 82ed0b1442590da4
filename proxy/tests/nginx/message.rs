//! Takes what was seen on a connection apart into HTTP/1.1 messages, whole and broken off.
//!
//! It reads what two proxies wrote, not what clients do: it is strict where it can be, and what it cannot
//! read is left over and shown.

/// One message, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where its first byte was in what was seen.
    pub(crate) start: usize,
    pub(crate) first_line: String,
    /// Names in lower case; in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// Decoded.
    pub(crate) body: Vec<u8>,
    pub(crate) is_whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    UntilClose,
}

/// Whose messages these are: it decides how long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Requests,
    Answers,
    /// To requests with the method HEAD: none has a body.
    AnswersToHead,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Of an answer; 0 for what is none.
    pub(crate) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status()) && self.status() != 101
    }
}

/// The messages in `seen`, and the bytes after them that are none. `is_closed`: no more will come.
pub(crate) fn messages(seen: &[u8], kind: Kind, is_closed: bool) -> (Vec<Message>, &[u8]) {
    let mut messages = Vec::new();
    let mut start = 0;
    while let Some((message, end)) = message(seen, start, kind, is_closed) {
        let is_whole = message.is_whole;
        messages.push(message);
        start = end;
        if !is_whole {
            break;
        }
    }
    (messages, &seen[start..])
}

fn message(seen: &[u8], start: usize, kind: Kind, is_closed: bool) -> Option<(Message, usize)> {
    let rest = &seen[start..];
    let head_bytes = find(rest, b"\r\n\r\n")? + 4;
    let (first_line, headers) = head(&rest[..head_bytes - 4])?;
    let mut message =
        Message { start, first_line, headers, framing: Framing::Nothing, body: Vec::new(), is_whole: true };
    message.framing = framing(&message, kind);
    let body = &rest[head_bytes..];
    let (decoded, taken, is_whole) = match message.framing {
        Framing::Nothing => (Vec::new(), 0, true),
        Framing::Length(bytes) => {
            let taken = bytes.min(body.len());
            (body[..taken].to_vec(), taken, taken == bytes)
        }
        Framing::Chunked => chunked(body),
        Framing::UntilClose => (body.to_vec(), body.len(), is_closed),
    };
    (message.body, message.is_whole) = (decoded, is_whole);
    Some((message, start + head_bytes + taken))
}

fn head(head: &[u8]) -> Option<(String, Vec<(String, String)>)> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let first_line = lines.next().filter(|line| line.contains("HTTP/"))?.to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_ascii_lowercase(), value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    Some((first_line, lines.map(header).collect()))
}

fn framing(message: &Message, kind: Kind) -> Framing {
    let length = message.header("content-length").and_then(|length| length.trim().parse().ok());
    let is_chunked = message.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    let is_answer = kind != Kind::Requests;
    let has_no_body = is_answer
        && (kind == Kind::AnswersToHead || message.is_interim() || matches!(message.status(), 204 | 304));
    match length {
        _ if has_no_body => Framing::Nothing,
        _ if is_chunked => Framing::Chunked,
        Some(bytes) => Framing::Length(bytes),
        None if is_answer => Framing::UntilClose,
        None => Framing::Nothing,
    }
}

/// The decoded body, how many bytes it took and whether it is whole, trailers included.
fn chunked(encoded: &[u8]) -> (Vec<u8>, usize, bool) {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = find(&encoded[at..], b"\r\n") else { return (body, encoded.len(), false) };
        let size = encoded[at..at + line].split(|byte| *byte == b';').next().unwrap_or_default();
        let size =
            std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        at += line + 2;
        match size {
            None => return (body, encoded.len(), false),
            Some(0) => return after_trailers(body, encoded, at),
            Some(bytes) if encoded.len() < at + bytes + 2 => {
                body.extend(&encoded[at..(at + bytes).min(encoded.len())]);
                return (body, encoded.len(), false);
            }
            Some(bytes) => {
                body.extend(&encoded[at..at + bytes]);
                at += bytes + 2;
            }
        }
    }
}

fn after_trailers(body: Vec<u8>, encoded: &[u8], mut at: usize) -> (Vec<u8>, usize, bool) {
    loop {
        match find(&encoded[at..], b"\r\n") {
            Some(0) => return (body, at + 2, true),
            Some(line) => at += line + 2,
            None => return (body, encoded.len(), false),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart() {
        let seen = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\nGET /c";
        let (messages, rest) = messages(seen, Kind::Requests, false);
        let bodies: Vec<&[u8]> = messages.iter().map(|message| &message.body[..]).collect();
        assert_eq!(bodies, [b"hi", b"yo"]);
        assert_eq!(rest, b"GET /c");
    }

    #[test]
    fn what_is_broken_off_is_not_whole() {
        for seen in [
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhi",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
        ] {
            let (messages, _) = messages(seen.as_bytes(), Kind::Requests, true);
            assert!(!messages[0].is_whole, "{seen}");
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_its_connection() {
        let seen = b"HTTP/1.1 200 OK\r\n\r\nhello";
        assert!(messages(seen, Kind::Answers, true).0[0].is_whole);
        assert!(!messages(seen, Kind::Answers, false).0[0].is_whole);
        assert!(messages(b"HTTP/1.1 100 Continue\r\n\r\n", Kind::Answers, false).0[0].is_whole);
    }
}
