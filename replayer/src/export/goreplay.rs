//! GoReplay's files (`.gor`): requests and answers as HTTP/1.1, in the order of their start.
//!
//! ```text
//! 1 <id> <began, ns UTC> <took, ns>⏎ <request> ⏎🐵🙈🙉⏎
//! 2 <id> <began, ns UTC> <took, ns>⏎ <answer>  ⏎🐵🙈🙉⏎
//! ```
//!
//! Bodies that the capture does not hold are made at their recorded size, up to a bound. Codings are taken
//! off, since kept texts are decoded: `Content-Length` tells what stands there. HTTP/2 becomes HTTP/1.1.

use std::io::{self, Write};

use kingtide_common::capture::Damage;
use kingtide_common::exchange::{Exchange, Gap, Header};

use super::Document;
use super::body::MadeBody;
use super::ordered::Ordered;

const SEPARATOR: &str = "\n🐵🙈🙉\n";

/// A GoReplay file under way.
#[derive(Debug)]
pub struct Recording<W: Write> {
    out: W,
    body_bytes_max: u64,
    ordered: Ordered,
    cut: u64,
}

impl<W: Write> Recording<W> {
    /// Bodies are written up to `body_bytes_max`; those that are longer are cut.
    pub fn begin(out: W, body_bytes_max: u64) -> Self {
        Self { out, body_bytes_max, ordered: Ordered::default(), cut: 0 }
    }

    fn write(&mut self, exchange: &Exchange) -> io::Result<()> {
        let sent_us = exchange.instants.body_done_us.or(exchange.instants.head_done_us).unwrap_or_default();
        self.head(b'1', exchange, 0, sent_us)?;
        self.request(exchange)?;
        self.out.write_all(SEPARATOR.as_bytes())?;
        let Some(status) = exchange.status else { return Ok(()) };
        let done_us = exchange.instants.done_us.unwrap_or(sent_us);
        let answered_us = exchange.instants.client_send_first_us.or(exchange.instants.response_head_us);
        let answered_us = answered_us.unwrap_or(done_us).min(done_us);
        self.head(b'2', exchange, answered_us, done_us - answered_us)?;
        self.response(exchange, status)?;
        self.out.write_all(SEPARATOR.as_bytes())
    }

    fn head(&mut self, kind: u8, exchange: &Exchange, after_us: u64, took_us: u64) -> io::Result<()> {
        let began_ns = exchange.started_ns.saturating_add_unsigned(after_us.saturating_mul(1000));
        let took_ns = took_us.saturating_mul(1000);
        writeln!(self.out, "{} {:024x} {began_ns} {took_ns}", char::from(kind), exchange.id)
    }

    fn request(&mut self, exchange: &Exchange) -> io::Result<()> {
        let version = if exchange.http_version == 10 { "1.0" } else { "1.1" };
        write!(self.out, "{} {} HTTP/{version}\r\n", exchange.method, exchange.target)?;
        if exchange.request_header("host").is_none() && !exchange.host.is_empty() {
            write!(self.out, "Host: {}\r\n", exchange.host)?;
        }
        let says_length = says_length(&exchange.request_headers);
        self.message(&exchange.request_headers, &MadeBody::request(exchange), says_length)
    }

    fn response(&mut self, exchange: &Exchange, status: u16) -> io::Result<()> {
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        write!(self.out, "HTTP/1.1 {status} {}\r\n", reason.unwrap_or_default())?;
        let is_bodiless = status < 200 || matches!(status, 204 | 304);
        self.message(&exchange.response_headers, &MadeBody::response(exchange), !is_bodiless)
    }

    /// The headers that are still true, the length, the body.
    fn message(&mut self, headers: &[Header], body: &MadeBody, says_length: bool) -> io::Result<()> {
        for Header { name, value } in headers.iter().filter(|header| is_kept(header)) {
            write!(self.out, "{name}: {value}\r\n")?;
        }
        let bytes = body.bytes().min(self.body_bytes_max);
        self.cut += u64::from(bytes < body.bytes());
        if says_length || bytes > 0 {
            write!(self.out, "Content-Length: {bytes}\r\n")?;
        }
        self.out.write_all(b"\r\n")?;
        body.write(bytes, &mut self.out)
    }
}

/// What a message says about its length and coding is said anew; a value that would end its line is left out.
fn is_kept(header: &Header) -> bool {
    const SAID_ANEW: [&str; 3] = ["content-length", "transfer-encoding", "content-encoding"];
    let is_said_anew = SAID_ANEW.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    !is_said_anew && !header.value.contains(['\r', '\n']) && !header.name.starts_with(':')
}

fn says_length(headers: &[Header]) -> bool {
    let is_length = |header: &Header| {
        header.name.eq_ignore_ascii_case("content-length")
            || header.name.eq_ignore_ascii_case("transfer-encoding")
    };
    headers.iter().any(is_length)
}

impl<W: Write> Document for Recording<W> {
    fn exchange(&mut self, _: u64, exchange: Exchange) -> io::Result<()> {
        match self.ordered.push(exchange) {
            Some(earliest) => self.write(&earliest),
            None => Ok(()),
        }
    }

    fn gap(&mut self, _: u64, _: Gap) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &[Damage]) -> io::Result<()> {
        while let Some(earliest) = self.ordered.pop() {
            self.write(&earliest)?;
        }
        self.out.flush()
    }

    fn notes(&self) -> Vec<String> {
        let cut = (self.cut > 0).then(|| {
            format!(
                "{} bodies were longer than --max-body and are cut to {} bytes",
                self.cut, self.body_bytes_max
            )
        });
        cut.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
