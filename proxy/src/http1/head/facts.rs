//! What the fields of a head say about its message: whose it is, where its body ends, what its connection is for.

use super::request_line::RequestLine;
use super::{BAD, BadHead, refused};
use crate::message::{Fields, Framing, Part, RequestFacts, Version};

/// The fields that say how the message is to be handled.
pub(super) fn facts(fields: &Fields, request: RequestLine) -> Result<RequestFacts, BadHead> {
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
