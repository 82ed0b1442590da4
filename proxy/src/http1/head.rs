//! Heads of HTTP/1 requests, read line by line as they come, with Nginx's rules.
//!
//! Own code because those rules decide what is refused and how: which lines fit which buffer (414, 400),
//! which names are dropped (what is neither letter, digit nor `-`), what is smuggling (both lengths, two
//! lengths, two hosts, folded lines: 400). Every rule here is compared with the real Nginx by
//! `tests/nginx`.

use crate::config::Mode;
use crate::limits::header_buffers::{HeaderBuffers, TooLarge};
use crate::limits::{LimitName, LimitSet};
use crate::message::{Fields, Framing, Line, Part, RequestFacts, RequestHead, Version};

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

#[derive(Debug, Clone, Copy)]
struct RequestLine {
    version: Version,
    method: Part,
    target: Part,
    /// Of a target in absolute form.
    host: Option<Part>,
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

/// What a request line can begin with: anything else is refused without waiting for its end, as a client that
/// speaks TLS to a plain port would wait for ever.
fn may_begin(line: &[u8]) -> bool {
    let line = &line[line.iter().take_while(|byte| **byte == b'\r').count()..];
    let method = line.iter().position(|byte| *byte == b' ').map_or(line, |end| &line[..end]);
    (method.len() == line.len() || !method.is_empty()) && method.iter().all(is_method_byte)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what `all` over bytes hands out")]
fn is_method_byte(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

fn request_line(input: &[u8], start: usize, end: usize) -> Result<RequestLine, BadHead> {
    let line = &input[start..end];
    let method_bytes = line.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
    if method_bytes == 0 || !line[..method_bytes].iter().all(is_method_byte) {
        return Err(BAD);
    }
    let target_start = method_bytes + spaces(&line[method_bytes..]);
    let target_bytes = line[target_start..].iter().position(|byte| *byte == b' ').ok_or(BAD)?;
    let target_end = target_start + target_bytes;
    if line[target_start..target_end].iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
        return Err(BAD);
    }
    let version = version(line[target_end..].trim_ascii())?;
    let (target, host) = target_parts(&line[target_start..target_end]).ok_or(BAD)?;
    if matches!(&line[..method_bytes], b"CONNECT" | b"TRACE") {
        return Err(refused(405));
    }
    let part = |(from, to): (usize, usize)| Part::new(start + target_start + from, start + target_start + to);
    Ok(RequestLine {
        version,
        method: Part::new(start, start + method_bytes),
        target: part(target),
        host: host.map(part),
    })
}

fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|byte| **byte == b' ').count()
}

fn version(text: &[u8]) -> Result<Version, BadHead> {
    let number = text.strip_prefix(b"HTTP/").ok_or(BAD)?;
    let dot = number.iter().position(|byte| *byte == b'.').ok_or(BAD)?;
    let (major, minor) = (&number[..dot], &number[dot + 1..]);
    let digits = |part: &[u8]| (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
    if !digits(major) || !digits(minor) || major[0] == b'0' {
        return Err(BAD);
    }
    match (major, minor) {
        (b"1", minor) if minor.iter().all(|digit| *digit == b'0') => Ok(Version::Http10),
        (b"1", _) => Ok(Version::Http11),
        _ => Err(refused(505)),
    }
}

type Positions = (usize, usize);

/// Where path and query stand, and the host of an absolute form (RFC 9112, 3.2.2).
fn target_parts(target: &[u8]) -> Option<(Positions, Option<Positions>)> {
    if target.first() == Some(&b'/') {
        return Some(((0, target.len()), None));
    }
    let scheme = target.windows(3).position(|three| three == b"://")?;
    if scheme == 0
        || !target[..scheme].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
    {
        return None;
    }
    let host = scheme + 3;
    let host_bytes = target[host..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let host_end = host_bytes.map_or(target.len(), |bytes| host + bytes);
    if !is_authority(&target[host..host_end]) {
        return None;
    }
    // Without a path it is `/`: the second slash of `://` stands for it. With a query only, `/` is written
    // before it towards the upstream.
    let path = if host_end == target.len() { (host - 1, host) } else { (host_end, target.len()) };
    (target[path.0] != b'#').then_some((path, Some((host, host_end))))
}

/// A name or address and perhaps a port; no user.
fn is_authority(text: &[u8]) -> bool {
    let (name, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text.ends_with(b"]") => (&text[..colon], &text[colon + 1..]),
        _ => (text, &b""[..]),
    };
    let is_bracketed = name.starts_with(b"[") && name.ends_with(b"]");
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let is_name = name.iter().all(in_name)
        || (is_bracketed
            && name[1..name.len() - 1].iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)));
    !name.is_empty() && is_name && port.iter().all(u8::is_ascii_digit)
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

/// The fields that say how the message is to be handled.
fn facts(fields: &Fields, request: RequestLine) -> Result<RequestFacts, BadHead> {
    let mut special = Special::default();
    for (position, (name, value)) in fields.iter().enumerate() {
        special.take(name, value, fields.line_value(position))?;
    }
    let is_11 = request.version == Version::Http11;
    if special.host.is_none() && is_11 {
        return Err(BAD);
    }
    for host in [request.host, special.host].into_iter().flatten() {
        valid_host(fields, host)?;
    }
    Ok(RequestFacts {
        version: request.version,
        method: request.method,
        target: request.target,
        host: request.host.or(special.host).unwrap_or_default(),
        framing: special.framing(is_11)?,
        keep_alive: special.keep_alive.unwrap_or(is_11) && !special.close,
        expects_continue: is_11 && special.expects_continue == Some(true),
        is_websocket: is_11 && special.upgrades && special.websocket,
    })
}

#[derive(Default)]
struct Special {
    host: Option<Part>,
    length: Option<u64>,
    coding: Option<bool>,
    close: bool,
    keep_alive: Option<bool>,
    upgrades: bool,
    websocket: bool,
    expects_continue: Option<bool>,
    /// Which of [`SINGLE`] were there.
    singles: u8,
}

const SINGLE: [&str; 7] = [
    "authorization",
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "if-none-match",
    "if-range",
    "content-range",
];

impl Special {
    fn take(&mut self, name: &[u8], value: &[u8], part: Part) -> Result<(), BadHead> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("host") => self.once(|own| own.host.replace(part).is_some())?,
            6 if is("expect") => {
                let expects = value.eq_ignore_ascii_case(b"100-continue");
                self.once(|own| own.expects_continue.replace(expects).is_some())?;
            }
            7 if is("upgrade") => self.websocket = value.eq_ignore_ascii_case(b"websocket"),
            10 if is("connection") => self.connection(value),
            14 if is("content-length") => {
                let length = length(value).ok_or(BAD)?;
                self.once(|own| own.length.replace(length).is_some())?;
            }
            17 if is("transfer-encoding") => {
                let chunked = value.eq_ignore_ascii_case(b"chunked");
                self.once(|own| own.coding.replace(chunked).is_some())?;
            }
            _ => self.single(name)?,
        }
        Ok(())
    }

    /// Fields that mean nothing when they are there twice; Nginx answers 400.
    fn single(&mut self, name: &[u8]) -> Result<(), BadHead> {
        let known = SINGLE.iter().position(|single| name.eq_ignore_ascii_case(single.as_bytes()));
        let Some(bit) = known.map(|position| 1_u8 << position) else { return Ok(()) };
        let twice = self.singles & bit != 0;
        self.singles |= bit;
        if twice { Err(BAD) } else { Ok(()) }
    }

    /// What may be there once only.
    fn once(&mut self, was_there: impl FnOnce(&mut Self) -> bool) -> Result<(), BadHead> {
        if was_there(self) { Err(BAD) } else { Ok(()) }
    }

    fn connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.upgrades |= token.eq_ignore_ascii_case(b"upgrade");
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = Some(true);
            }
        }
    }

    fn framing(&self, is_11: bool) -> Result<Framing, BadHead> {
        match (self.coding, self.length) {
            (None, None) => Ok(Framing::None),
            (None, Some(bytes)) => Ok(Framing::Length(bytes)),
            (Some(_), _) if !is_11 => Err(BAD),
            (Some(false), _) => Err(refused(501)),
            (Some(true), Some(_)) => Err(BAD),
            (Some(true), None) => Ok(Framing::Chunked),
        }
    }
}

/// Digits only: no sign, no list, no overflow.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        std::str::from_utf8(value).ok()?.parse().ok().filter(|bytes| i64::try_from(*bytes).is_ok())
    })?
}

/// As Nginx checks it: no empty name, no two dots in a row, no slash, nothing unprintable.
fn valid_host(fields: &Fields, host: Part) -> Result<Part, BadHead> {
    let text = fields.part(host);
    let bad = text.windows(2).any(|two| two == b"..")
        || text.iter().any(|byte| *byte <= b' ' || matches!(byte, 0x7f | b'/'));
    let name = text.split(|byte| *byte == b':').next().unwrap_or_default();
    if bad || matches!(name, b"" | b".") { Err(BAD) } else { Ok(host) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
