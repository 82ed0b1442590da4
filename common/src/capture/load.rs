//! The records of the next batch.

use crate::exchange::{Body, Exchange, Record};

/// Rows of a batch at most.
pub(super) const ROWS_MAX: usize = 1024;
/// Bytes of a batch's texts at most, roughly.
const BYTES_MAX: usize = 1 << 20;

/// Records that wait until they are enough for a batch.
#[derive(Debug, Default)]
pub(super) struct Load {
    records: Vec<Record>,
    bytes: usize,
}

impl Load {
    pub(super) fn push(&mut self, record: Record) {
        self.bytes += record_bytes(&record);
        self.records.push(record);
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All of them; it is empty then.
    pub(super) fn take(&mut self) -> Vec<Record> {
        std::mem::take(self).records
    }
}

/// Roughly what a record takes in a batch before compression.
fn record_bytes(record: &Record) -> usize {
    const FIXED: usize = 256;
    match record {
        Record::Gap(_) => FIXED,
        Record::Exchange(exchange) => FIXED + exchange_text_bytes(exchange),
    }
}

fn exchange_text_bytes(exchange: &Exchange) -> usize {
    let headers = exchange.request_headers.iter().chain(&exchange.response_headers);
    let header_bytes: usize = headers.map(|header| header.name.len() + header.value.len()).sum();
    let body_bytes = body_text_bytes(&exchange.request_body) + body_text_bytes(&exchange.response_body);
    exchange.target.len() + header_bytes + body_bytes + exchange.pacing.len() * 16
}

fn body_text_bytes(body: &Body) -> usize {
    match body {
        Body::Empty | Body::Opaque => 0,
        Body::Json(text) | Body::Form(text) | Body::Html(text) | Body::Unread(text) => text.len(),
        Body::Multipart(multipart) => multipart.parts.len() * 256,
    }
}
