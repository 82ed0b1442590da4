//! HAProxy's `option httplog`, for the tools that read it:
//!
//! ```text
//! client:port [request date] frontend backend/server TR/Tw/Tc/Tr/Ta status bytes - - end-- conns queues {host} "request"
//! ```
//!
//! The client is the address behind trusted proxies, the port the socket's. The frontend is the address
//! listened on (`~` for TLS), the backend the route, the server the last peer. Times are milliseconds, -1 for
//! a stage that did not end: TR request head; Tw from there until a peer was picked (`limit_req`'s delay and
//! a buffered upload); Tc connecting, with retries; Tr until the response head, with an upload that is
//! streamed; Ta the whole. Our letter `B` (in the request's body) is HAProxy's `D`. Of the connection counts
//! only the retries are known to a line; the others and the queues are 0.
//! Source: HAProxy configuration manual, 8.2.3.

use std::io::Write as _;

use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::Context;
use super::masked::masked;
use crate::passage::Passage;

const REQUEST_DATE: StaticFormatDescription =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second].[subsecond digits:3]");
/// Escaped in a request, and in captured headers.
const REQUEST_ESCAPED: &[u8] = b"\"#";
const HEADER_ESCAPED: &[u8] = b"\"#{|}";

pub(super) fn line(passage: &Passage, context: &Context, out: &mut Vec<u8>) {
    let _ = write!(out, "{}:{} [", passage.client, passage.connection.client.port());
    let _ = context.utc(passage.marks.started_ns).format_into(out, REQUEST_DATE);
    out.extend_from_slice(b"] ");
    push_ends(out, passage);
    push_times(out, passage);
    match passage.status {
        Some(status) => drop(write!(out, " {status}")),
        None => out.extend_from_slice(b" -1"),
    }
    let [who, when] = passage.end_code();
    let when = if when == 'B' { 'D' } else { when };
    let retries = passage.attempts.len().saturating_sub(1);
    let _ = write!(out, " {} - - {who}{when}-- 0/0/0/0/{retries} 0/0 {{", passage.bytes_sent);
    push_escaped(out, passage.request.host().as_bytes(), HEADER_ESCAPED);
    out.extend_from_slice(b"} \"");
    push_request(out, passage, context);
    out.extend_from_slice(b"\"\n");
}

/// `frontend backend/server`
fn push_ends(out: &mut Vec<u8>, passage: &Passage) {
    let connection = &passage.connection;
    let secure = if connection.tls.is_some() { "~" } else { "" };
    let frontend = format!("{}{secure}", connection.local);
    let backend = match &*passage.route {
        "" => frontend.clone(),
        route => route.replace(char::is_whitespace, "_").replace('/', "_"),
    };
    let _ = write!(out, "{frontend} {backend}/");
    let _ = match passage.attempts.last() {
        Some(attempt) => write!(out, "{} ", attempt.peer),
        None => write!(out, "<NOSRV> "),
    };
}

/// `TR/Tw/Tc/Tr/Ta`
fn push_times(out: &mut Vec<u8>, passage: &Passage) {
    let marks = &passage.marks;
    let picked_ns = passage.attempts.first().map(|attempt| attempt.picked_ns).or(marks.upstream_pick_ns);
    let times = [
        ms(Some(marks.started_ns), marks.head_done_ns),
        ms(marks.head_done_ns, picked_ns),
        ms(picked_ns, marks.upstream_connected_ns),
        ms(marks.upstream_connected_ns, marks.response_head_ns),
    ];
    for time_ms in times {
        let _ = write!(out, "{time_ms}/");
    }
    let _ = write!(out, "{}", ms(Some(marks.started_ns), marks.done_ns));
}

/// -1 when one of the two was not reached.
fn ms(from_ns: Option<u64>, to_ns: Option<u64>) -> i64 {
    let both = from_ns.zip(to_ns);
    both.map_or(-1, |(from_ns, to_ns)| (to_ns.saturating_sub(from_ns) / 1_000_000).cast_signed())
}

fn push_request(out: &mut Vec<u8>, passage: &Passage, context: &Context) {
    let request = &passage.request;
    if request.method().is_empty() {
        return out.extend_from_slice(b"<BADREQ>");
    }
    push_escaped(out, request.method().as_bytes(), REQUEST_ESCAPED);
    out.push(b' ');
    push_escaped(out, &masked(request.target(), &context.rules), REQUEST_ESCAPED);
    let _ = write!(out, " {}", request.facts.version.name());
}

/// `#HH` for what is listed and for bytes outside printable ASCII.
fn push_escaped(out: &mut Vec<u8>, text: &[u8], escaped: &[u8]) {
    for &byte in text {
        if !(0x20..0x7f).contains(&byte) || escaped.contains(&byte) {
            let _ = write!(out, "#{byte:02X}");
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Ending;

    use super::super::tests::context;
    use super::*;
    use crate::sample;

    fn logged(passage: &Passage) -> String {
        let mut out = Vec::new();
        line(passage, &context(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let (start, end) = (text.find('[').unwrap(), text.find(']').unwrap());
        assert_eq!(end - start, "[06/Feb/2009:12:14:14.655".len());
        format!("{}[]{}", &text[..start], &text[end + 1..])
    }

    #[test]
    fn an_upload_that_needed_two_peers() {
        let expected = concat!(
            "192.0.2.7:40312 [] 192.0.2.1:8443~ uploads/10.0.0.2:8000 1/90/4/2705/2804 201 350 - - ---- ",
            "0/0/0/0/1 0/0 {school.example} \"POST /api/uploads?token=***&lesson=7 HTTP/1.1\"\n"
        );
        assert_eq!(logged(&sample::upload()), expected);
    }

    #[test]
    fn stages_that_were_not_reached_are_minus_one() {
        let expected = concat!(
            "192.0.2.7:40312 [] 192.0.2.1:8443~ 192.0.2.1:8443~/<NOSRV> -1/-1/-1/-1/60000 -1 0 - - cR-- ",
            "0/0/0/0/0 0/0 {} \"<BADREQ>\"\n"
        );
        assert_eq!(logged(&sample::silent_client()), expected);
    }

    #[test]
    fn a_client_that_left_amid_its_upload_ends_in_data() {
        let mut passage = sample::upload();
        (passage.attempts, passage.response, passage.status) = (Vec::new(), None, None);
        passage.ending = Ending::ClientAbort;
        let started_ns = passage.marks.started_ns;
        passage.marks.response_head_ns = None;
        passage.marks = crate::passage::Marks {
            started_ns,
            head_done_ns: passage.marks.head_done_ns,
            done_ns: passage.marks.done_ns,
            ..Default::default()
        };
        assert!(logged(&passage).contains(" 1/-1/-1/-1/2804 -1 350 - - CD-- "), "{}", logged(&passage));
    }
}
