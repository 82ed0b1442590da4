//! The first line of a head: method, target in origin or absolute form, version.

use super::{BAD, BadHead, refused};
use crate::message::{Part, Version};

#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine {
    pub(super) version: Version,
    pub(super) method: Part,
    pub(super) target: Part,
    /// Of a target in absolute form.
    pub(super) host: Option<Part>,
}

/// What a request line can begin with: anything else is refused without waiting for its end, as a client that
/// speaks TLS to a plain port would wait for ever.
pub(super) fn may_begin(line: &[u8]) -> bool {
    let line = &line[line.iter().take_while(|byte| **byte == b'\r').count()..];
    let method = line.iter().position(|byte| *byte == b' ').map_or(line, |end| &line[..end]);
    (method.len() == line.len() || !method.is_empty()) && method.iter().all(is_method_byte)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what `all` over bytes hands out")]
fn is_method_byte(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

pub(super) fn request_line(input: &[u8], start: usize, end: usize) -> Result<RequestLine, BadHead> {
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
