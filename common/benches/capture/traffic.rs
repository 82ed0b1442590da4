//! Traffic of any length, made of the golden capture.
//!
//! A copy of the capture is another school with the same behaviour: every fingerprint, UUID, digest and boundary
//! is renamed, the same value to the same name within a copy, and every time and size is stretched a little.
//! So copies hold no repetition that real traffic does not have, which compression would take for its own
//! merit, and each copy has the sessions of the original.

use std::path::Path;

use kingtide_common::capture::Capture;
use kingtide_common::exchange::{Body, Exchange, Header, Part, PartContent, ServerTiming};
use kingtide_common::stages::Instants;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/classroom-12");
/// Hexadecimal digits that make a name: no number or word of the traffic has as many.
const NAME_CHARS: usize = 16;
/// Between the starts of two copies.
const COPY_NS: i64 = 1_000_000_000;

/// The golden capture's exchanges.
pub(crate) fn golden() -> Vec<Exchange> {
    let capture = Capture::open(Path::new(GOLDEN)).expect("the golden capture is in the repository");
    capture.read().expect("the golden capture reads").exchanges
}

/// The first `count` exchanges of as many copies of `of` as it takes, in the order of copies.
pub(crate) fn copies(of: &[Exchange], count: usize) -> Vec<Exchange> {
    (0..).flat_map(|number| copy(of, number)).take(count).collect()
}

/// The copy with the given number.
pub(crate) fn copy(of: &[Exchange], number: u64) -> impl Iterator<Item = Exchange> {
    of.iter().map(move |exchange| copied(exchange, number))
}

fn copied(exchange: &Exchange, copy: u64) -> Exchange {
    let stretch = Stretch::of(mixed(copy << 32 | exchange.id));
    let mut copied = exchange.clone();
    copied.id += copy << 16;
    copied.connection += copy << 16;
    copied.started_ns += i64::try_from(copy).unwrap_or(i64::MAX).saturating_mul(COPY_NS);
    stretch.exchange(&mut copied);
    rename(&mut copied, copy);
    retell(&mut copied);
    copied
}

/// What headers repeat of the rest.
fn retell(exchange: &mut Exchange) {
    let timing = |timing: &ServerTiming| format!("{};dur={}", timing.name, timing.duration_us as f64 / 1e3);
    let timings = exchange.server_timing.iter().map(timing).collect::<Vec<_>>().join(", ");
    set(&mut exchange.response_headers, "server-timing", &timings);
    set(&mut exchange.request_headers, "content-length", &exchange.request_body_bytes.to_string());
}

fn set(headers: &mut [Header], name: &str, value: &str) {
    for header in headers.iter_mut().filter(|header| header.name == name) {
        value.clone_into(&mut header.value);
    }
}

/// A factor near 1, in 1/1024.
#[derive(Clone, Copy)]
struct Stretch(u64);

impl Stretch {
    fn of(random: u64) -> Self {
        Self(960 + random % 128)
    }

    fn apply(self, value: u64) -> u64 {
        value * self.0 / 1024
    }

    fn exchange(self, exchange: &mut Exchange) {
        self.instants(&mut exchange.instants);
        exchange.connection_age_us = self.apply(exchange.connection_age_us);
        exchange.request_body_bytes = self.apply(exchange.request_body_bytes);
        for point in &mut exchange.pacing {
            (point.at_us, point.bytes) = (self.apply(point.at_us), self.apply(point.bytes));
        }
        for timing in &mut exchange.server_timing {
            timing.duration_us = self.apply(timing.duration_us);
        }
    }

    fn instants(self, instants: &mut Instants) {
        let all = [
            &mut instants.head_done_us,
            &mut instants.body_first_us,
            &mut instants.body_done_us,
            &mut instants.upstream_pick_us,
            &mut instants.upstream_connected_us,
            &mut instants.upstream_send_first_us,
            &mut instants.upstream_send_last_us,
            &mut instants.response_head_us,
            &mut instants.response_last_us,
            &mut instants.client_send_first_us,
            &mut instants.client_send_last_us,
            &mut instants.done_us,
        ];
        for instant in all.into_iter().flatten() {
            *instant = self.apply(*instant);
        }
    }
}

fn rename(exchange: &mut Exchange, copy: u64) {
    let Exchange { target, client, request_headers, response_headers, .. } = exchange;
    rename_text(target, copy);
    rename_text(client, copy);
    for Header { value, .. } in request_headers.iter_mut().chain(response_headers) {
        rename_text(value, copy);
    }
    rename_body(&mut exchange.request_body, copy);
    rename_body(&mut exchange.response_body, copy);
}

fn rename_body(body: &mut Body, copy: u64) {
    match body {
        Body::Json(text) | Body::Form(text) | Body::Html(text) => rename_text(text, copy),
        Body::Multipart(multipart) => multipart.parts.iter_mut().for_each(|part| rename_part(part, copy)),
        Body::Empty | Body::Opaque | Body::Unread(_) => {}
    }
}

fn rename_part(part: &mut Part, copy: u64) {
    match &mut part.content {
        PartContent::Field { value } => rename_text(value, copy),
        PartContent::File { file } => {
            file.bytes = Stretch::of(mixed(copy ^ file.bytes)).apply(file.bytes);
            rename_text(&mut file.hash, copy);
        }
    }
}

/// Renames every run of at least [`NAME_CHARS`] hexadecimal digits and dashes: tokens, UUIDs, digests, boundaries.
fn rename_text(text: &mut String, copy: u64) {
    let mut renamed = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (run, after) = rest.split_at(rest.find(|c| !is_name_char(c)).unwrap_or(rest.len()));
        match run.len() {
            0..NAME_CHARS => renamed.push_str(run),
            _ => renamed.push_str(&renamed_digits(run, copy)),
        }
        let (others, tail) = after.split_at(after.find(is_name_char).unwrap_or(after.len()));
        renamed += others;
        rest = tail;
    }
    *text = renamed;
}

fn is_name_char(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f' | '-')
}

/// Other hexadecimal digits in the places of the old ones; dashes stay. Copy 0 is the original.
fn renamed_digits(name: &str, copy: u64) -> String {
    let renamed = |(at, old): (u64, char)| {
        let key = if copy == 0 { 0 } else { mixed(copy.wrapping_mul(128) + at) % 16 };
        let digit = old.to_digit(16).map(|digit| digit ^ u32::try_from(key).unwrap_or_default());
        digit.and_then(|digit| char::from_digit(digit, 16)).unwrap_or(old)
    };
    (0..).zip(name.chars()).map(renamed).collect()
}

/// SplitMix64's finaliser: neighbours become strangers.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
