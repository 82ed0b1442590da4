//! What is kept of a body while it passes: its size always, its text or its parts up to a bound.

pub mod budget;
pub mod describe;
pub(crate) mod disposition;
mod file_hash;
mod multipart;

use std::io::Read;
use std::sync::Arc;

use blake3::Hasher;

use budget::{Budget, Reservation};
use multipart::{Malformed, RawPart, Scanner};

/// What a multipart scan holds at most besides its fields.
const SCANNER_BYTES: u64 = 16 << 10;
/// A compressed body may be this many times larger than the bound once decoded.
const DECODED_FACTOR: usize = 16;

const TOO_LARGE: &str = "larger than the limit for looked-at bodies";
const NO_BUDGET: &str = "the memory budget of the tap was used up";

/// Bounds on what is kept.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Bytes of a text body, or of all fields of a multipart body.
    pub body_bytes_max: usize,
    /// Bytes of a file that go into its hash.
    pub hash_bytes_max: u64,
    pub budget: Arc<Budget>,
    /// Keyed.
    pub hasher: Arc<Hasher>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    Json,
    Form,
    /// Of a page longer than the bound its beginning counts.
    Html,
}

/// A body as it was seen, not yet redacted.
#[derive(Debug, Default)]
pub enum RawBody {
    #[default]
    Empty,
    Text {
        kind: TextKind,
        bytes: Vec<u8>,
        /// `Content-Encoding`, where there is one.
        coding: Option<String>,
        _held: Reservation,
    },
    Multipart {
        boundary_bytes: u32,
        parts: Result<Vec<RawPart>, Malformed>,
        _held: Reservation,
    },
    Opaque,
    Unread(&'static str),
}

/// Looks at one body as its pieces go by.
#[derive(Debug)]
pub struct BodyCollector {
    bytes: u64,
    keep: Keep,
}

#[derive(Debug)]
enum Keep {
    Text { kind: TextKind, bytes: Vec<u8>, bytes_max: usize, coding: Option<String>, held: Reservation },
    Multipart { scanner: Box<Scanner>, held: Reservation },
    Nothing,
    Unread(&'static str),
}

impl BodyCollector {
    /// For a body with these headers; `None` for a type that is not there.
    pub fn new(content_type: Option<&str>, coding: Option<&str>, bounds: &Bounds) -> Self {
        let keep = match (Kind::of(content_type.unwrap_or_default()), coding) {
            (Kind::Text(kind), coding) => text(kind, coding.map(str::to_owned), bounds),
            (Kind::Multipart(boundary), None) => multipart(&boundary, bounds),
            (Kind::Multipart(_), Some(_)) => Keep::Unread("a compressed multipart body"),
            (Kind::Other, _) => Keep::Nothing,
        };
        Self { bytes: 0, keep }
    }

    pub fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let refused = match &mut self.keep {
            Keep::Text { kind: TextKind::Html, bytes, bytes_max, held, .. } => {
                let left = bytes_max.saturating_sub(bytes.len());
                take_text(bytes, *bytes_max, held, &piece[..piece.len().min(left)]).err()
            }
            Keep::Text { bytes, bytes_max, held, .. } => take_text(bytes, *bytes_max, held, piece).err(),
            Keep::Multipart { scanner, held } => take_parts(scanner, held, piece).err(),
            Keep::Nothing | Keep::Unread(_) => None,
        };
        if let Some(why) = refused {
            self.keep = Keep::Unread(why);
        }
    }

    /// What is kept so far of a text that is not compressed.
    pub fn plain_text(&self) -> Option<&[u8]> {
        match &self.keep {
            Keep::Text { bytes, coding: None, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Bytes that went by.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The body, once it is over; `complete` when its end was seen.
    pub fn finish(self, complete: bool) -> RawBody {
        match self.keep {
            _ if self.bytes == 0 => RawBody::Empty,
            Keep::Unread(why) => RawBody::Unread(why),
            Keep::Nothing => RawBody::Opaque,
            _ if !complete => RawBody::Unread("broken off"),
            Keep::Text { kind, bytes, coding, held, .. } => {
                RawBody::Text { kind, bytes, coding, _held: held }
            }
            Keep::Multipart { scanner, held } => {
                let boundary_bytes = scanner.boundary_bytes();
                RawBody::Multipart { boundary_bytes, parts: scanner.finish(), _held: held }
            }
        }
    }
}

fn text(kind: TextKind, coding: Option<String>, bounds: &Bounds) -> Keep {
    match bounds.budget.reserve(0) {
        Some(held) => Keep::Text { kind, bytes: Vec::new(), bytes_max: bounds.body_bytes_max, coding, held },
        None => Keep::Unread(NO_BUDGET),
    }
}

fn multipart(boundary: &str, bounds: &Bounds) -> Keep {
    let scanner = Scanner::new(boundary, &bounds.hasher, bounds.hash_bytes_max, bounds.body_bytes_max);
    match (scanner, bounds.budget.reserve(SCANNER_BYTES)) {
        (Some(scanner), Some(held)) => Keep::Multipart { scanner: Box::new(scanner), held },
        (None, _) => Keep::Unread("no valid boundary in its content type"),
        (_, None) => Keep::Unread(NO_BUDGET),
    }
}

fn take_text(
    bytes: &mut Vec<u8>,
    bytes_max: usize,
    held: &mut Reservation,
    piece: &[u8],
) -> Result<(), &'static str> {
    if bytes.len() + piece.len() > bytes_max {
        return Err(TOO_LARGE);
    }
    if !held.grow(piece.len() as u64) {
        return Err(NO_BUDGET);
    }
    bytes.extend_from_slice(piece);
    Ok(())
}

/// What the scanner keeps of a piece is known only afterwards; a piece is at most 64 KiB.
fn take_parts(scanner: &mut Scanner, held: &mut Reservation, piece: &[u8]) -> Result<(), &'static str> {
    let before = scanner.kept_bytes();
    scanner.take(piece);
    let kept = scanner.kept_bytes().saturating_sub(before);
    if held.grow(kept) { Ok(()) } else { Err(NO_BUDGET) }
}

enum Kind {
    Text(TextKind),
    Multipart(String),
    Other,
}

impl Kind {
    fn of(content_type: &str) -> Self {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Self::Text(TextKind::Json),
            suffixed if suffixed.ends_with("+json") => Self::Text(TextKind::Json),
            "text/html" | "application/xhtml+xml" => Self::Text(TextKind::Html),
            "application/x-www-form-urlencoded" => Self::Text(TextKind::Form),
            "multipart/form-data" => Self::Multipart(boundary(parameters).unwrap_or_default()),
            _ => Self::Other,
        }
    }
}

fn boundary(parameters: &str) -> Option<String> {
    let mut pairs = parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// A text body without its content coding; at most [`DECODED_FACTOR`] times the bound.
pub fn decoded(bytes: &[u8], coding: Option<&str>, bytes_max: usize) -> Result<String, String> {
    let limit = bytes_max.saturating_mul(DECODED_FACTOR);
    let plain = match coding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity" | "") => bytes.to_vec(),
        Some("gzip" | "x-gzip") => read_all(flate2::read::MultiGzDecoder::new(bytes), limit)?,
        Some("deflate") => inflated(bytes, limit)?,
        Some("br") => read_all(brotli::Decompressor::new(bytes, 4096), limit)?,
        Some("zstd") => read_all(zstd_decoder(bytes)?, limit)?,
        // Its name is whatever the peer wrote; it stands in the headers, redacted.
        Some(_) => return Err("its content coding is not known".to_owned()),
    };
    String::from_utf8(plain).map_err(|_| "not UTF-8".to_owned())
}

/// As much of a text as can be decoded, at most [`DECODED_FACTOR`] times the bound; what is not UTF-8 in it is `U+FFFD`.
pub fn decoded_start(bytes: &[u8], coding: Option<&str>, bytes_max: usize) -> Result<String, String> {
    let limit = bytes_max.saturating_mul(DECODED_FACTOR);
    let plain = match coding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity" | "") => bytes.to_vec(),
        Some("gzip" | "x-gzip") => read_start(flate2::read::MultiGzDecoder::new(bytes), limit),
        Some("deflate") => {
            let zlib = read_start(flate2::read::ZlibDecoder::new(bytes), limit);
            if zlib.is_empty() { read_start(flate2::read::DeflateDecoder::new(bytes), limit) } else { zlib }
        }
        Some("br") => read_start(brotli::Decompressor::new(bytes, 4096), limit),
        Some("zstd") => read_start(zstd_decoder(bytes)?, limit),
        Some(other) => return Err(format!("content coding `{other}` is not known")),
    };
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

/// An error is where the text was cut.
fn read_start(decoder: impl Read, limit: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    let _ = decoder.take(limit as u64).read_to_end(&mut plain);
    plain
}

/// RFC 9110 says zlib; some clients send bare deflate.
fn inflated(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let zlib = read_all(flate2::read::ZlibDecoder::new(bytes), limit);
    zlib.or_else(|_| read_all(flate2::read::DeflateDecoder::new(bytes), limit))
}

fn zstd_decoder(bytes: &[u8]) -> Result<impl Read, String> {
    zstd::stream::read::Decoder::new(bytes).map_err(|error| error.to_string())
}

fn read_all(decoder: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| format!("its content coding is broken: {error}"))?;
    if plain.len() > limit { Err(TOO_LARGE.to_owned()) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn bounds(body_bytes_max: usize, budget_bytes: u64) -> Bounds {
        let budget = Budget::new(budget_bytes);
        Bounds { body_bytes_max, hash_bytes_max: 1024, budget, hasher: Arc::new(Hasher::new()) }
    }

    fn collect(content_type: &str, pieces: &[&[u8]], bounds: &Bounds) -> RawBody {
        let mut collector = BodyCollector::new(Some(content_type), None, bounds);
        for piece in pieces {
            collector.take(piece);
        }
        collector.finish(true)
    }

    #[test]
    fn the_content_type_decides_what_is_kept() {
        let bounds = bounds(100, 1 << 20);
        let json = collect("application/problem+json; charset=utf-8", &[b"{\"a\"", b":1}"], &bounds);
        assert!(
            matches!(json, RawBody::Text { kind: TextKind::Json, ref bytes, .. } if bytes == b"{\"a\":1}")
        );
        assert!(matches!(collect("audio/webm", &[b"x"], &bounds), RawBody::Opaque));
        assert!(matches!(collect("application/json", &[], &bounds), RawBody::Empty));
        let multipart = collect("multipart/form-data; boundary=\"b\"", &[b"--b--"], &bounds);
        assert!(matches!(multipart, RawBody::Multipart { boundary_bytes: 1, parts: Ok(_), .. }));
        assert!(matches!(collect("multipart/form-data", &[b"--b--"], &bounds), RawBody::Unread(_)));
    }

    #[test]
    fn bounds_hold_and_are_given_back() {
        let tight = bounds(10, 8);
        assert!(matches!(
            collect("application/json", &[b"12345", b"678901"], &tight),
            RawBody::Unread(TOO_LARGE)
        ));
        assert!(matches!(collect("application/json", &[b"123456789"], &tight), RawBody::Unread(NO_BUDGET)));
        assert!(tight.budget.reserve(8).is_some(), "all given back");
    }

    #[test]
    fn a_body_broken_off_is_not_taken_for_whole() {
        let mut collector = BodyCollector::new(Some("application/json"), None, &bounds(10, 10));
        collector.take(b"{}");
        assert!(matches!(collector.finish(false), RawBody::Unread("broken off")));
    }

    #[test]
    fn of_a_long_page_the_beginning_counts() {
        let bounds = bounds(10, 100);
        let page = collect("text/html; charset=utf-8", &[b"<form>", b"<input name=a>"], &bounds);
        assert!(
            matches!(page, RawBody::Text { kind: TextKind::Html, ref bytes, .. } if bytes == b"<form><inp")
        );
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all(&b"<form> ".repeat(100)).unwrap();
        let gzip = gzip.finish().unwrap();
        let start = decoded_start(&gzip[..gzip.len() - 100], Some("gzip"), 1000).unwrap();
        assert!(start.starts_with("<form> <form>") && start.len() < 700, "{}", start.len());
        assert!(decoded_start(b"", Some("exotic"), 10).is_err());
    }

    #[test]
    fn codings_are_decoded_within_bounds() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"{\"a\":1}").unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(decoded(&gzip, Some("gzip"), 10).unwrap(), "{\"a\":1}");
        let zstd = zstd::encode_all(b"{}".as_slice(), 1).unwrap();
        assert_eq!(decoded(&zstd, Some("zstd"), 10).unwrap(), "{}");
        let bomb = zstd::encode_all(vec![b'0'; 1 << 20].as_slice(), 1).unwrap();
        assert_eq!(decoded(&bomb, Some("zstd"), 10).unwrap_err(), TOO_LARGE);
        assert!(decoded(&gzip[..9], Some("gzip"), 10).is_err());
        assert!(decoded(b"{}", Some("exotic"), 10).unwrap_err().ends_with("is not known"));
        assert_eq!(decoded(b"\xff", None, 10).unwrap_err(), "not UTF-8");
    }
}
