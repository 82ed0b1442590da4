//! Exchanges in the order of their start, out of a stream in the order of their end.
//!
//! Exact as long as no exchange began more than [`WAITING_MAX`] exchanges, or [`TEXT_BYTES_MAX`] of texts,
//! before others that ended earlier; beyond that one comes late rather than that memory grows with the
//! capture.

use std::collections::BTreeMap;

use kingtide_common::exchange::{Body, Exchange};

/// Exchanges that wait for earlier ones at most.
const WAITING_MAX: usize = 16_384;
/// Bytes of their texts at most.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Exchanges that wait for those that began before them.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    waiting: BTreeMap<(i64, u64), Exchange>,
    text_bytes: usize,
}

impl Ordered {
    /// Takes one, and gives back the earliest when there are too many.
    pub(super) fn push(&mut self, exchange: Exchange) -> Option<Exchange> {
        self.text_bytes += text_bytes(&exchange);
        self.waiting.insert((exchange.started_ns, exchange.id), exchange);
        let is_over = self.waiting.len() > WAITING_MAX || self.text_bytes > TEXT_BYTES_MAX;
        if is_over { self.pop() } else { None }
    }

    /// The earliest.
    pub(super) fn pop(&mut self) -> Option<Exchange> {
        let (_, exchange) = self.waiting.pop_first()?;
        self.text_bytes -= text_bytes(&exchange);
        Some(exchange)
    }
}

fn text_bytes(exchange: &Exchange) -> usize {
    let headers = exchange.request_headers.iter().chain(&exchange.response_headers);
    let headers: usize = headers.map(|header| header.name.len() + header.value.len()).sum();
    exchange.target.len() + headers + body(&exchange.request_body) + body(&exchange.response_body)
}

fn body(body: &Body) -> usize {
    match body {
        Body::Empty | Body::Opaque => 0,
        Body::Json(text) | Body::Form(text) | Body::Html(text) | Body::Unread(text) => text.len(),
        Body::Multipart(multipart) => multipart.parts.iter().map(|part| part.head.len() + 256).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(id: u64, started_ns: i64) -> Exchange {
        Exchange { id, started_ns, ..Exchange::default() }
    }

    #[test]
    fn the_earliest_comes_first() {
        let mut ordered = Ordered::default();
        for (id, started_ns) in [(3, 30), (1, 10), (4, 10), (2, 20)] {
            assert_eq!(ordered.push(exchange(id, started_ns)), None);
        }
        let ids: Vec<u64> = std::iter::from_fn(|| ordered.pop()).map(|exchange| exchange.id).collect();
        assert_eq!((ids, ordered.text_bytes), (vec![1, 4, 2, 3], 0));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut ordered = Ordered::default();
        let big = Body::Json("x".repeat(TEXT_BYTES_MAX / 2));
        let with = |id, body: &Body| Exchange { request_body: body.clone(), ..exchange(id, 100) };
        assert_eq!(ordered.push(with(1, &big)), None);
        assert_eq!(ordered.push(with(2, &big)).map(|first| first.id), None);
        assert_eq!(ordered.push(with(3, &big)).map(|first| first.id), Some(1));
    }
}
