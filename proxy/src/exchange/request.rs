//! The request as the upstream gets it.

use std::io::Write as _;

use bytes::{BufMut as _, BytesMut};

use super::Ends;
use crate::http1::write_field;
use crate::message::Framing;
use crate::routes::Route;
use crate::uri;

impl Ends<'_, '_> {
    /// How the body goes out: as it came, or with its length once that is known.
    pub(super) fn framing_upwards(&self, spooled_bytes: Option<u64>) -> Framing {
        match (spooled_bytes, self.passage.request.facts.framing) {
            (Some(bytes), _) => Framing::Length(bytes),
            (None, Framing::ToTheEnd) => Framing::Chunked,
            (None, framing) => framing,
        }
    }

    /// Writes the head for the upstream.
    pub(super) fn write_head(
        &self,
        text: &mut BytesMut,
        route: &Route,
        rewrite: Option<&str>,
        framing: Framing,
    ) {
        let passage = &*self.passage;
        let request = &passage.request;
        text.reserve(512);
        text.put_slice(request.method().as_bytes());
        text.put_slice(b" ");
        self.write_target(text, &route.prefix, rewrite);
        text.put_slice(b" HTTP/1.1\r\n");
        let edits = &route.request_headers;
        if !edits.names(b"host") {
            write_field(text, b"Host", request.host_bytes());
        }
        let nominated = request.fields.get("connection").unwrap_or_default();
        for (name, value) in request.fields.iter() {
            let stale = !passage.trace_continued && name.eq_ignore_ascii_case(b"tracestate");
            if is_forwarded(name, nominated) && !is_ours(name) && !edits.names(name) && !stale {
                write_field(text, name, value);
            }
        }
        self.write_own(text, route);
        match framing {
            Framing::None => {}
            Framing::Length(bytes) => drop(write!(text.writer(), "Content-Length: {bytes}\r\n")),
            Framing::Chunked | Framing::ToTheEnd => text.put_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        if request.facts.is_websocket {
            text.put_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
        }
        text.put_slice(b"\r\n");
    }

    /// Who the client is and what it asked for, as Nginx is usually set up to tell; the route's own edits.
    fn write_own(&self, text: &mut BytesMut, route: &Route) {
        let passage = &*self.passage;
        let (request, edits) = (&passage.request, &route.request_headers);
        let mut own = |name: &str, value: &[u8]| {
            if !edits.names(name.as_bytes()) {
                write_field(text, name.as_bytes(), value);
            }
        };
        let client = passage.client.to_string();
        let peer = passage.connection.client.ip();
        match request.fields.text("x-forwarded-for") {
            Some(before) => own("X-Forwarded-For", format!("{before}, {peer}").as_bytes()),
            None if peer == passage.client => own("X-Forwarded-For", client.as_bytes()),
            None => own("X-Forwarded-For", peer.to_string().as_bytes()),
        }
        own("X-Real-IP", client.as_bytes());
        own("X-Forwarded-Host", request.host_bytes());
        own("X-Forwarded-Proto", if passage.connection.tls.is_some() { b"https" } else { b"http" });
        own("X-Request-Id", passage.request_id.as_bytes());
        own("traceparent", passage.traceparent.as_bytes());
        if !edits.is_empty() {
            for (name, value) in edits.rendered(&self.values()) {
                write_field(text, name.as_bytes(), &value);
            }
        }
    }

    /// The target as it was sent, or with its prefix replaced as `proxy_pass` with a URI does.
    fn write_target(&self, text: &mut BytesMut, prefix: &str, rewrite: Option<&str>) {
        let request = &self.passage.request;
        let Some(rewrite) = rewrite else {
            if request.target().first() != Some(&b'/') {
                text.put_slice(b"/");
            }
            return text.put_slice(request.target());
        };
        text.put_slice(rewrite.as_bytes());
        let path = request.path();
        // What the route was found by is what goes out: a path with dots or escapes is not sent as it came.
        if let Ok(normal) = uri::normalize(path) {
            let rest = normal.strip_prefix(prefix.as_bytes()).unwrap_or_default();
            for byte in rest {
                write_escaped(text, *byte);
            }
        }
        text.put_slice(&request.target()[path.len()..]);
    }
}

fn write_escaped(text: &mut BytesMut, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&byte) {
        text.put_u8(byte);
    } else {
        let _ = write!(text.writer(), "%{byte:02X}");
    }
}

/// What belongs to one connection only stays there (RFC 9110, 7.6.1), and framing is ours.
fn is_forwarded(name: &[u8], nominated: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let hop_by_hop = match name.len() {
        2 => is("te"),
        4 => is("host"),
        6 => is("expect"),
        7 => is("upgrade") || is("trailer"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length") || is("http2-settings"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    };
    !hop_by_hop && !is_nominated(name, nominated)
}

/// Named in `Connection`.
fn is_nominated(name: &[u8], nominated: &[u8]) -> bool {
    !nominated.is_empty()
        && nominated.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(name))
}

/// Written anew by [`Ends::write_own`].
fn is_ours(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        9 => is("x-real-ip"),
        11 => is("traceparent"),
        12 => is("x-request-id"),
        15 => is("x-forwarded-for"),
        16 => is("x-forwarded-host"),
        17 => is("x-forwarded-proto"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_is_not_forwarded() {
        for name in ["Connection", "TE", "Expect", "transfer-encoding", "Upgrade", "Keep-Alive", "x-once"] {
            assert!(!is_forwarded(name.as_bytes(), b"close, X-Once"), "{name}");
        }
        for name in ["Content-Type", "Authorization", "X-Twice"] {
            assert!(is_forwarded(name.as_bytes(), b"close, X-Once"), "{name}");
        }
    }

    #[test]
    fn rewritten_paths_are_escaped() {
        let mut text = BytesMut::new();
        b"/a b?\xff".iter().for_each(|byte| write_escaped(&mut text, *byte));
        assert_eq!(text, "/a%20b%3F%FF");
    }
}
