//! `Server-Timing` (W3C): the inner stages of a backend, from its answer, and what the client waited for, in the answer to
//! it.

use kingtide_common::exchange::ServerTiming;
use kingtide_common::server_timing;

use crate::message::Fields;
use crate::passage::Marks;

/// The metrics of an answer that have a duration.
pub(crate) fn server_timings(fields: &Fields) -> impl Iterator<Item = ServerTiming> {
    let values = fields.all("server-timing").filter_map(|value| std::str::from_utf8(value).ok());
    server_timing::server_timings(values)
}

/// `edge;dur=1.250, upstream;dur=843.500`: what a client that has sent its last byte waits for, first for this proxy to
/// hand the last byte on (a connection, what was buffered), then for the upstream to answer. Of a request that was sent
/// whole.
pub(crate) fn of_waits(marks: &Marks) -> Option<String> {
    let (sent_ns, answered_ns) = (marks.upstream_send_last_ns?, marks.response_head_ns?);
    let received_ns = marks.body_done_ns.or(marks.head_done_ns)?;
    let ms = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) as f64 / 1e6;
    Some(format!("edge;dur={:.3}, upstream;dur={:.3}", ms(received_ns, sent_ns), ms(sent_ns, answered_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fields;

    #[test]
    fn only_the_header_of_that_name_is_read() {
        let fields =
            fields(&[("Server-Timing", "auth;dur=48"), ("Vary", "x;dur=1"), ("server-timing", "app;dur=3")]);
        let names: Vec<_> = server_timings(&fields).map(|timing| timing.name).collect();
        assert_eq!(names, ["auth", "app"]);
    }

    #[test]
    fn the_wait_is_the_edges_until_the_last_byte_was_handed_on() {
        let marks = Marks {
            head_done_ns: Some(1_000_000),
            body_done_ns: Some(5_000_000),
            upstream_send_last_ns: Some(6_250_000),
            response_head_ns: Some(849_750_000),
            ..Marks::default()
        };
        assert_eq!(of_waits(&marks).unwrap(), "edge;dur=1.250, upstream;dur=843.500");
        let without_body = Marks { body_done_ns: None, ..marks };
        assert_eq!(of_waits(&without_body).unwrap(), "edge;dur=5.250, upstream;dur=843.500");
        assert_eq!(of_waits(&Marks { upstream_send_last_ns: None, ..marks }), None);
    }
}
