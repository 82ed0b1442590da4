//! Nginx's `combined` with the times that its users add:
//!
//! ```text
//! '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
//! 'rt=$request_time uct="$upstream_connect_time" uht="$upstream_header_time" urt="$upstream_response_time"'
//! ```
//!
//! Times are seconds with three decimals; those of upstreams count from each attempt's start, one value an
//! attempt, `-` for what was not reached. Quotes, backslashes and bytes outside printable ASCII are `\xHH`.
//! Source: ngx_http_log_module, ngx_http_upstream_module.

use std::borrow::Cow;
use std::io::Write as _;

use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::Context;
use super::masked::masked;
use crate::passage::{Attempt, Passage};

/// The clock's zone is always UTC.
const TIME_LOCAL: StaticFormatDescription =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

pub(super) fn line(passage: &Passage, context: &Context, out: &mut Vec<u8>) {
    let over_ns = over_ns(passage);
    let _ = write!(out, "{} - - [", passage.client);
    let _ = context.utc(over_ns).format_into(out, TIME_LOCAL);
    out.extend_from_slice(b"] ");
    push_quoted(out, &request_line(passage, context));
    let _ = write!(out, " {} {} ", passage.logged_status(), passage.response_body_bytes);
    let fields = &passage.request.fields;
    push_quoted(out, &masked(fields.get("referer").unwrap_or_default(), &context.rules));
    out.push(b' ');
    push_quoted(out, fields.get("user-agent").unwrap_or_default());
    out.extend_from_slice(b" rt=");
    push_s(out, Some(over_ns.saturating_sub(passage.marks.started_ns)));
    let since_pick = |attempt: &Attempt, at_ns: Option<u64>| Some(at_ns?.saturating_sub(attempt.picked_ns));
    push_times(out, "uct", passage, |attempt, _| since_pick(attempt, attempt.connected_ns));
    push_times(out, "uht", passage, |attempt, _| since_pick(attempt, attempt.head_ns));
    push_times(out, "urt", passage, |attempt, end_ns| since_pick(attempt, Some(end_ns)));
    out.push(b'\n');
}

/// The end of the exchange; where it has none, the last instant it reached matters little.
fn over_ns(passage: &Passage) -> u64 {
    passage.marks.done_ns.unwrap_or(passage.marks.started_ns)
}

/// Empty when no head came.
fn request_line<'a>(passage: &'a Passage, context: &Context) -> Cow<'a, [u8]> {
    let request = &passage.request;
    if request.method().is_empty() {
        return Cow::Borrowed(b"");
    }
    let target = masked(request.target(), &context.rules);
    [request.method().as_bytes(), &target, request.facts.version.name().as_bytes()].join(&b' ').into()
}

/// One value an attempt; the function gets the attempt and its end.
fn push_times(
    out: &mut Vec<u8>,
    name: &str,
    passage: &Passage,
    time_ns: impl Fn(&Attempt, u64) -> Option<u64>,
) {
    let _ = write!(out, " {name}=\"");
    if passage.attempts.is_empty() {
        out.push(b'-');
    }
    for (position, attempt) in passage.attempts.iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        push_s(out, time_ns(attempt, end_ns(passage, position)));
    }
    out.push(b'"');
}

/// A failed attempt lasts until the next begins, the last one until the upstream's last byte or the end.
fn end_ns(passage: &Passage, position: usize) -> u64 {
    let next_ns = passage.attempts.get(position + 1).map(|next| next.picked_ns);
    next_ns.or(passage.marks.response_last_ns).unwrap_or_else(|| over_ns(passage))
}

/// Cut to milliseconds, as Nginx's clock is.
fn push_s(out: &mut Vec<u8>, duration_ns: Option<u64>) {
    let _ = match duration_ns.map(|ns| ns / 1_000_000) {
        Some(ms) => write!(out, "{}.{:03}", ms / 1000, ms % 1000),
        None => write!(out, "-"),
    };
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.is_empty() {
        out.push(b'-');
    }
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::tests::context;
    use super::*;
    use crate::sample;

    /// Without the time, which no test can know.
    fn logged(passage: &Passage) -> String {
        let mut out = Vec::new();
        line(passage, &context(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let (start, end) = (text.find('[').unwrap(), text.find(']').unwrap());
        assert_eq!(end - start, "[24/Nov/2026:15:14:00 +0000".len());
        format!("{}[]{}", &text[..start], &text[end + 1..])
    }

    #[test]
    fn an_upload_that_needed_two_peers() {
        let expected = concat!(
            r#"192.0.2.7 - - [] "POST /api/uploads?token=***&lesson=7 HTTP/1.1" 201 120 "-" "#,
            r#""Mozilla/5.0 \x22x\x22" rt=2.804 uct="-, 0.001" uht="-, 2.706" urt="0.003, 2.707""#,
            "\n"
        );
        assert_eq!(logged(&sample::upload()), expected);
    }

    #[test]
    fn a_client_that_was_too_slow_is_408_with_nothing_known() {
        let expected = "192.0.2.7 - - [] \"-\" 408 0 \"-\" \"-\" rt=60.000 uct=\"-\" uht=\"-\" urt=\"-\"\n";
        assert_eq!(logged(&sample::silent_client()), expected);
    }

    #[test]
    fn bytes_that_could_forge_a_line_are_escaped() {
        let mut passage = sample::upload();
        passage.request = sample::request("GET", "/\"\n\u{e9}\\", &[]);
        assert!(logged(&passage).contains(r#""GET /\x22\x0A\xC3\xA9\x5C HTTP/1.1""#));
    }
}
