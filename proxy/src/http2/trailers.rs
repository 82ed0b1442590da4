//! Trailers: fields behind a body, which HTTP/2 carries and chunks of HTTP/1 can.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What must not come behind a body: framing, routing, credentials (RFC 9110, 6.5.1).
const FORBIDDEN: [&str; 9] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "te",
    "transfer-encoding",
];

/// As lines of a chunked body.
pub(super) fn lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers.iter().filter(|(name, _)| is_allowed(name)) {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// Of the lines behind a chunked body; what is no field is left out.
pub(super) fn of_lines(lines: &[u8]) -> HeaderMap {
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok().filter(is_allowed)?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    };
    lines.split(|byte| *byte == b'\n').filter_map(field).collect()
}

fn is_allowed(name: &HeaderName) -> bool {
    !FORBIDDEN.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_lines_and_lines_fields() {
        let trailers = of_lines(b"Server-Timing: db;dur=5\r\nContent-Length: 9\r\nno field\r\nX: \r\n");
        assert_eq!(trailers.len(), 2);
        assert_eq!(lines(&trailers), b"server-timing: db;dur=5\r\nx: \r\n");
    }
}
