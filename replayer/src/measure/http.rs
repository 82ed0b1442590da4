//! Which HTTP the connections of a run spoke, beside which they had spoken in the capture.

use kingtide_common::exchange::Exchange;
use serde::{Deserialize, Serialize};

use crate::report::format::counted;

/// Of HTTP, as far as it matters to a connection: one exchange after the other (1.0 and 1.1), or side by side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Http1,
    Http2,
}

/// Connections, by what they spoke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByVersion {
    pub http_1: u64,
    pub http_2: u64,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpCounts {
    /// `--http`.
    pub asked: String,
    /// Connections of the planned users, as the capture has them.
    pub recorded: ByVersion,
    /// Connections that were opened; those that were opened again count again.
    pub opened: ByVersion,
    /// Opened ones that spoke another version than the captured connection of their requests.
    pub changed: u64,
    /// Bytes on the HTTP/2 connections: compressed heads, frames and control frames included, TLS not. Exact, while the
    /// bytes of a single exchange are its texts.
    pub http_2_sent_bytes: u64,
    pub http_2_received_bytes: u64,
    /// Requests that had to wait because the target allowed no further stream on their connection.
    pub stream_waits: u64,
}

impl Version {
    /// The one that an exchange was captured in.
    pub fn of(exchange: &Exchange) -> Self {
        const HTTP_2: u8 = 20;
        if exchange.http_version < HTTP_2 { Self::Http1 } else { Self::Http2 }
    }
}

impl ByVersion {
    pub fn add(&mut self, version: Version) {
        match version {
            Version::Http1 => self.http_1 += 1,
            Version::Http2 => self.http_2 += 1,
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.http_1 += other.http_1;
        self.http_2 += other.http_2;
    }
}

impl HttpCounts {
    /// A connection was opened.
    pub fn opened(&mut self, recorded: Version, version: Version) {
        self.opened.add(version);
        self.changed += u64::from(recorded != version);
    }

    /// Adds what another counted of the run; what was asked and recorded is of the whole.
    pub fn merge(&mut self, other: &Self) {
        self.opened.merge(other.opened);
        self.changed += other.changed;
        self.http_2_sent_bytes += other.http_2_sent_bytes;
        self.http_2_received_bytes += other.http_2_received_bytes;
        self.stream_waits += other.stream_waits;
    }

    /// Adds what another run counted, all of it.
    pub fn add_run(&mut self, other: &Self) {
        self.asked.clone_from(&other.asked);
        self.recorded.merge(other.recorded);
        self.merge(other);
    }

    /// What a reader must know when connections did not speak as captured, as a sentence.
    pub fn caution(&self) -> Option<String> {
        if self.changed == 0 {
            return None;
        }
        let why = match self.asked.as_str() {
            "recorded" => {
                "a target with TLS says whether it speaks HTTP/2, of one without TLS say --http 2".to_owned()
            }
            asked => format!("as --http {asked} says"),
        };
        let of = |counts: ByVersion| {
            let (http_1, http_2) = (counts.http_1, counts.http_2);
            format!("{http_1} of HTTP/1 and {http_2} of HTTP/2")
        };
        Some(format!(
            "{} not in the captured version of HTTP: captured {}, opened {} ({why})",
            counted(self.changed, "connection"),
            of(self.recorded),
            of(self.opened),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_spoke_otherwise_than_captured_is_worth_a_word() {
        let mut counts = HttpCounts { asked: "recorded".to_owned(), ..HttpCounts::default() };
        counts.recorded.http_2 = 2;
        counts.opened(Version::Http2, Version::Http2);
        assert_eq!(counts.caution(), None);
        let mut more = HttpCounts::default();
        more.opened(Version::Http2, Version::Http1);
        more.opened(Version::Http1, Version::Http1);
        counts.merge(&more);
        assert_eq!((counts.opened, counts.changed), (ByVersion { http_1: 2, http_2: 1 }, 1));
        let said = counts.caution().unwrap();
        assert!(said.starts_with("1 connection not in the captured version"), "{said}");
        assert!(said.contains("captured 0 of HTTP/1 and 2 of HTTP/2") && said.contains("--http 2"), "{said}");
    }

    #[test]
    fn versions_below_2_keep_their_requests_in_order() {
        let of = |http_version| Version::of(&Exchange { http_version, ..Exchange::default() });
        assert_eq!([10, 11, 20].map(of), [Version::Http1, Version::Http1, Version::Http2]);
    }
}
