//! Heads of HTTP/1 requests, read line by line as they come, with Nginx's rules.
//!
//! Own code because those rules decide what is refused and how: which lines fit which buffer (414, 400),
//! which names are dropped (what is neither letter, digit nor `-`), what is smuggling (both lengths, two
//! lengths, two hosts, folded lines: 400). Every rule here is compared with the real Nginx by
//! `tests/nginx`.

mod facts;
mod request_line;

use crate::config::Mode;
use crate::limits::header_buffers::{HeaderBuffers, TooLarge};
use crate::limits::{LimitName, LimitSet};
use crate::message::{Fields, Line, Part, RequestHead};
use facts::facts;
pub(crate) use facts::length;
use request_line::{RequestLine, may_begin, request_line};

/// Bytes of a head whose sizes are not limited otherwise.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Fields of a head; Nginx's `max_headers`.
const FIELDS_MAX: usize = 1000;

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadHead {
    pub(crate) status: u16,
    pub(crate) limit: Option<LimitName>,
}

const BAD: BadHead = BadHead { status: 400, limit: None };

fn refused(status: u16) -> BadHead {
    BadHead { status, limit: None }
}

/// Reads one head.
#[derive(Debug)]
pub(crate) struct HeadReader {
    /// Where the line being read begins, and how far its end was looked for.
    line_start: usize,
    scanned: usize,
    request: Option<RequestLine>,
    lines: Vec<Line>,
    buffers: HeaderBuffers,
    mode: Mode,
    would_refuse: LimitSet,
}

/// A head and how many bytes it took.
#[derive(Debug)]
pub(crate) struct WholeHead {
    pub(crate) head: RequestHead,
    pub(crate) bytes: usize,
    pub(crate) would_refuse: LimitSet,
}

impl HeadReader {
    pub(crate) fn new(buffers: HeaderBuffers, mode: Mode) -> Self {
        Self {
            line_start: 0,
            scanned: 0,
            request: None,
            lines: Vec::with_capacity(16),
            buffers,
            mode,
            would_refuse: LimitSet::default(),
        }
    }

    /// Goes on with all that was received of the head so far; `None` while it is not whole.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<Option<WholeHead>, BadHead> {
        while let Some(length) = memchr::memchr(b'\n', &input[self.scanned..]) {
            let end = self.scanned + length + 1;
            let start = std::mem::replace(&mut self.line_start, end);
            self.scanned = end;
            if self.line(input, start, end)? {
                return self.whole(&input[..end]).map(Some);
            }
        }
        self.scanned = input.len();
        if self.request.is_none() && !may_begin(&input[self.line_start..]) {
            return Err(BAD);
        }
        let partial = self.buffers.partial(input.len() - self.line_start);
        self.check_size(partial, input.len())?;
        Ok(None)
    }

    /// Whether the head ends with this line.
    fn line(&mut self, input: &[u8], start: usize, end: usize) -> Result<bool, BadHead> {
        let content_end = end - 1 - usize::from(end - start > 1 && input[end - 2] == b'\r');
        let content = &input[start..content_end];
        if self.request.is_none() {
            // Empty lines before a request are passed over.
            let blank = content.iter().take_while(|byte| **byte == b'\r').count();
            if blank == content.len() {
                self.buffers.blank(end - start);
                return Ok(false);
            }
            let fits = self.buffers.line(end - start);
            self.check_size(fits, end)?;
            self.request = Some(request_line(input, start + blank, content_end)?);
            return Ok(false);
        }
        let fits = self.buffers.line(end - start);
        self.check_size(fits, end)?;
        if content.is_empty() {
            return Ok(true);
        }
        self.field(input, start, content_end)?;
        Ok(false)
    }

    fn field(&mut self, input: &[u8], start: usize, end: usize) -> Result<(), BadHead> {
        if let Some(line) = field(input, start, end)? {
            if self.lines.len() == FIELDS_MAX {
                return Err(BadHead { status: 400, limit: Some(LimitName::LargeClientHeaderBuffers) });
            }
            self.lines.push(line);
        }
        Ok(())
    }

    fn check_size(&mut self, fits: Result<(), TooLarge>, bytes: usize) -> Result<(), BadHead> {
        let limit = Some(LimitName::LargeClientHeaderBuffers);
        if bytes > HEAD_BYTES_MAX {
            return Err(BadHead { status: 400, limit });
        }
        let status = match fits {
            Ok(()) => return Ok(()),
            Err(TooLarge::RequestLine) => 414,
            Err(TooLarge::Header) => 400,
        };
        match self.mode {
            Mode::Enforce => return Err(BadHead { status, limit }),
            Mode::Shadow => drop(self.would_refuse.insert(LimitName::LargeClientHeaderBuffers)),
            Mode::Off => {}
        }
        Ok(())
    }

    fn whole(&mut self, text: &[u8]) -> Result<WholeHead, BadHead> {
        let Some(request) = self.request.take() else { return Err(BAD) };
        let fields = Fields::new(text.to_vec(), std::mem::take(&mut self.lines));
        let facts = facts(&fields, request)?;
        let head = RequestHead { fields, facts };
        crate::uri::normalize(head.path()).map_err(|_| BAD)?;
        Ok(WholeHead { head, bytes: text.len(), would_refuse: self.would_refuse })
    }
}

/// A field, or `None` when its name is one that Nginx drops.
fn field(input: &[u8], start: usize, end: usize) -> Result<Option<Line>, BadHead> {
    let line = &input[start..end];
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let name = &line[..colon];
    // A space in it, or before it as in a folded line, is smuggling; a control character is no text.
    if name.is_empty() || name.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(BAD);
    }
    let value = &line[(colon + 1).min(line.len())..];
    if value.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return Err(BAD);
    }
    if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
        return Ok(None);
    }
    // Spaces only: a tab stays part of the value, so that a length or a coding with one is none.
    let blank = |byte: &&u8| **byte == b' ';
    let value_start = (colon + 1).min(line.len()) + value.iter().take_while(blank).count();
    let trailing = line[value_start..].iter().rev().take_while(blank).count();
    Ok(Some(Line {
        name: Part::new(start, start + colon),
        value: Part::new(start + value_start, end - trailing),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Framing;

    fn reader() -> HeadReader {
        HeadReader::new(HeaderBuffers::new(1 << 10, 4, 8 << 10), Mode::Enforce)
    }

    fn read(text: &str) -> Result<Option<WholeHead>, u16> {
        reader().advance(text.as_bytes()).map_err(|bad| bad.status)
    }

    fn head(text: &str) -> RequestHead {
        read(text).unwrap().unwrap().head
    }

    fn status(text: &str) -> Option<u16> {
        read(text).err()
    }

    #[test]
    fn a_head_is_read_with_its_facts() {
        let head = head(
            "\r\nPOST /api/x?y=1 HTTP/1.1\r\nHost: a.example:80\r\nX-Class:  7b \r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\nbody",
        );
        assert_eq!((head.method(), head.target(), head.path()), ("POST", &b"/api/x?y=1"[..], &b"/api/x"[..]));
        assert_eq!(head.host(), "a.example:80");
        assert_eq!(head.fields.text("x-class"), Some("7b"));
        assert_eq!(head.facts.framing, Framing::Length(12));
        assert!(head.facts.expects_continue && head.facts.keep_alive);
    }

    #[test]
    fn a_head_is_read_however_it_is_cut() {
        let text = b"GET / HTTP/1.1\nHost: a\r\nA: b\r\n\r\nmore";
        for cut in 0..text.len() - 4 {
            let mut reader = reader();
            let whole = reader.advance(&text[..cut]).unwrap();
            assert!(whole.is_none(), "{cut}");
            assert_eq!(reader.advance(text).unwrap().unwrap().bytes, text.len() - 4);
        }
    }

    #[test]
    fn what_could_smuggle_is_refused() {
        let with = |fields: &str| status(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: +5",
            "Content-Length: 5,5",
            "Content-Length: 0x5",
            "Content-Length: 18446744073709551616",
            "Content-Length:",
            "Content-Length : 5",
            "A: b\r\n folded",
            "A: b\0c",
            "A: b\rc",
            ": no name",
            "Host: b",
            "Content-Length:\t5",
            "Authorization: a\r\nAuthorization: b",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(with(fields), Some(400), "{fields:?}");
        }
        assert_eq!(with("Transfer-Encoding: gzip"), Some(501));
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(400));
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Some(400), "no host");
    }

    #[test]
    fn request_lines_have_nginx_answers() {
        let with = |line: &str| status(&format!("{line}\r\nHost: a\r\n\r\n"));
        let cases = [
            ("get / HTTP/1.1", Some(400)),
            ("GET  /  HTTP/1.1", None),
            ("GET x HTTP/1.1", Some(400)),
            ("GET /\x01 HTTP/1.1", Some(400)),
            ("GET /%00 HTTP/1.1", Some(400)),
            ("GET /../ HTTP/1.1", Some(400)),
            ("GET /a b HTTP/1.1", Some(400)),
            ("GET /", Some(400)),
            ("GET / HTTP/0.9", Some(400)),
            ("GET / HTTP/2.0", Some(505)),
            ("GET / HTTP/1.7", None),
            ("CONNECT a:443 HTTP/1.1", Some(400)),
            ("CONNECT / HTTP/1.1", Some(405)),
            ("GET http://a:x/ HTTP/1.1", Some(400)),
            ("GET http://u@a/ HTTP/1.1", Some(400)),
            ("GET http://a?x HTTP/1.1", None),
            ("TRACE / HTTP/1.1", Some(405)),
            ("OPTIONS * HTTP/1.1", Some(400)),
        ];
        for (line, expected) in cases {
            assert_eq!(with(line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_absolute_form_names_the_host() {
        let absolute = head("GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((absolute.host(), absolute.target()), ("b.example", &b"/x?y"[..]));
        let bare = head("GET http://b.example HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((bare.host(), bare.target()), ("b.example", &b"/"[..]));
    }

    #[test]
    fn names_that_nginx_calls_invalid_are_dropped() {
        let head = head("GET / HTTP/1.1\r\nHost: a\r\nX_Under: 1\r\nX!: 2\r\nX-Good: 3\r\n\r\n");
        let names: Vec<&[u8]> = head.fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"Host"[..], b"X-Good"]);
    }

    #[test]
    fn connections_stay_as_the_version_and_the_client_say() {
        let keeps = |version: &str, field: &str| {
            head(&format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n")).facts.keep_alive
        };
        assert!(keeps("1.1", "A: b") && !keeps("1.1", "Connection: a, Close"));
        assert!(!keeps("1.0", "A: b") && keeps("1.0", "Connection: Keep-Alive"));
    }

    #[test]
    fn what_cannot_be_a_request_is_not_waited_for() {
        for text in ["\x16\x03\x01\x02", "get", " GET", "G\0", "\r\x16"] {
            assert_eq!(status(text), Some(400), "{text:?}");
        }
        for text in ["", "\r", "\r\n\rG", "GET /x"] {
            assert_eq!(status(text), None, "{text:?}");
        }
    }

    #[test]
    fn hosts_are_checked() {
        for host in ["a..b", "a/b", "a b", "", ":80", ".", "a\x7f"] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(status(&text), Some(400), "{host:?}");
        }
    }

    #[test]
    fn sizes_are_refused_or_noted() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000));
        assert_eq!(status(&long), Some(414));
        let header = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(9000));
        assert_eq!(status(&header), Some(400));
        let mut shadow = HeadReader::new(HeaderBuffers::new(1 << 10, 4, 8 << 10), Mode::Shadow);
        let whole = shadow.advance(long.as_bytes()).unwrap().unwrap();
        assert!(whole.would_refuse.contains(LimitName::LargeClientHeaderBuffers));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
            let mut reader = reader();
            let _ = reader.advance(&text[..cut.min(text.len())]).and_then(|_| reader.advance(&text));
        }
    }
}
