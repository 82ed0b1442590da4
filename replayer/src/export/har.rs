//! HTTP Archive 1.2: what browsers, proxies and their analysers exchange.
//!
//! Entries are written one by one, in the order of their start (see [`super::ordered`]). A HAR is seen from
//! the client, a capture from the edge: `send` is what the proxy took to receive the request, `wait` until
//! the first byte of its answer, `receive` the rest; the three add up to the exchange. Of the connection
//! only the TLS handshake is known.
//!
//! What HAR has no place for stands in `_kingtide` of each entry (the format allows names that begin with an
//! underscore), complete enough to make the exchange from it again.

mod entry;
mod message;
mod timings;

use std::collections::HashSet;
use std::io::{self, Write};

use kingtide_common::capture::Damage;
use kingtide_common::exchange::{Exchange, Gap};
use serde::Serialize;

use super::Document;
use super::ordered::Ordered;
use entry::Entry;

/// The scheme of the URLs in an archive; a capture knows only of connections whose handshake it saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheme {
    /// `https` on connections whose TLS handshake was recorded, else `http`.
    #[default]
    Recorded,
    Http,
    Https,
}

/// A HAR document under way.
#[derive(Debug)]
pub struct Archive<W: Write> {
    out: W,
    scheme: Scheme,
    ordered: Ordered,
    tls_connections: HashSet<u64>,
    entries: u64,
    gaps: Vec<Gap>,
}

/// What stands beside the entries: losses, as data.
#[derive(Serialize)]
struct Losses<'a> {
    gaps: &'a [Gap],
    damage: &'a [Damage],
}

const HEAD: &str = concat!(
    r#"{"log":{"version":"1.2","creator":{"name":"kingtide","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""},"entries":["#
);

impl<W: Write> Archive<W> {
    pub fn begin(mut out: W, scheme: Scheme) -> io::Result<Self> {
        out.write_all(HEAD.as_bytes())?;
        let (ordered, tls_connections) = (Ordered::default(), HashSet::new());
        Ok(Self { out, scheme, ordered, tls_connections, entries: 0, gaps: Vec::new() })
    }

    fn write(&mut self, exchange: &Exchange) -> io::Result<()> {
        self.out.write_all(if self.entries == 0 { b"\n" } else { b",\n" })?;
        self.entries += 1;
        if exchange.tls_us.is_some() {
            self.tls_connections.insert(exchange.connection);
        }
        let scheme = self.scheme_of(exchange);
        Ok(serde_json::to_writer(&mut self.out, &Entry::new(exchange, scheme))?)
    }

    fn scheme_of(&self, exchange: &Exchange) -> &'static str {
        match self.scheme {
            Scheme::Https => "https",
            Scheme::Recorded if self.tls_connections.contains(&exchange.connection) => "https",
            Scheme::Recorded | Scheme::Http => "http",
        }
    }
}

impl<W: Write> Document for Archive<W> {
    fn exchange(&mut self, _: u64, exchange: Exchange) -> io::Result<()> {
        match self.ordered.push(exchange) {
            Some(earliest) => self.write(&earliest),
            None => Ok(()),
        }
    }

    fn gap(&mut self, _: u64, gap: Gap) -> io::Result<()> {
        self.gaps.push(gap);
        Ok(())
    }

    fn finish(&mut self, damage: &[Damage]) -> io::Result<()> {
        while let Some(earliest) = self.ordered.pop() {
            self.write(&earliest)?;
        }
        self.out.write_all(b"\n],\"_kingtide\":")?;
        serde_json::to_writer(&mut self.out, &Losses { gaps: &self.gaps, damage })?;
        self.out.write_all(b"}}\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
