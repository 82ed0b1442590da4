//! Reads a `multipart/form-data` body as it streams by: part heads, field values and file sizes.
//!
//! Why not a parser crate: it would have to see every byte on another thread, at 1 to 2 GB/s a whole
//! millisecond of CPU per 2 MB upload. This one searches for the delimiter with SIMD in the bytes that
//! the proxy has just read (RFC 2046 section 5.1.1) and keeps nothing of a file but its size and the hash
//! of its beginning. Invariant: however the body is cut into pieces, the parts are the same.

use std::borrow::Cow;
use std::sync::Arc;

use blake3::Hasher;
use memchr::memmem::Finder;

use super::file_hash::FileHash;

/// Bytes of a part's head at most.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Parts of a body at most.
const PARTS_MAX: usize = 256;
/// Longest boundary that RFC 2046 allows.
const BOUNDARY_BYTES_MAX: usize = 70;

/// A part as it was sent, not yet redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPart {
    /// Header lines, each ending in CRLF, without the blank line.
    pub head: Vec<u8>,
    pub content: RawContent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawContent {
    Field(Vec<u8>),
    File { bytes: u64, hash: u64 },
}

/// Why a body is no multipart body that can be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a part's head is larger than 8 KiB")]
    HeadTooLarge,
    #[error("a delimiter is followed by neither a line end nor `--`")]
    BadDelimiter,
    #[error("more than 256 parts")]
    TooManyParts,
    #[error("its fields are larger than the limit for looked-at bodies")]
    FieldsTooLarge,
    #[error("it ended before its closing delimiter")]
    NotClosed,
}

/// A scanner for one body.
#[derive(Debug)]
pub(super) struct Scanner {
    /// `\r\n--boundary`.
    delimiter: Finder<'static>,
    boundary_bytes: u32,
    state: State,
    /// Bytes that may turn out to be part of a delimiter or head.
    carry: Vec<u8>,
    parts: Vec<RawPart>,
    fields_left: usize,
    kept_bytes: u64,
    file: FileHash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Before the first delimiter, or inside a part's content.
    Content(Inside),
    /// After a delimiter: its end, then the part's head.
    Head,
    Closed,
    Failed(Malformed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Preamble,
    Field,
    File,
}

impl Scanner {
    /// `hasher` is keyed; `hash_bytes_max` bytes of each file go into its hash, `fields_max` bytes of all
    /// fields are kept.
    pub(super) fn new(
        boundary: &str,
        hasher: &Arc<Hasher>,
        hash_bytes_max: u64,
        fields_max: usize,
    ) -> Option<Self> {
        let valid = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len());
        let delimiter = format!("\r\n--{boundary}");
        valid.then(|| Self {
            delimiter: Finder::new(delimiter.as_bytes()).into_owned(),
            boundary_bytes: u32::try_from(boundary.len()).unwrap_or(u32::MAX),
            state: State::Content(Inside::Preamble),
            // The first delimiter has no line before it.
            carry: b"\r\n".to_vec(),
            parts: Vec::new(),
            fields_left: fields_max,
            kept_bytes: 0,
            file: FileHash::new(Arc::clone(hasher), hash_bytes_max),
        })
    }

    /// Takes the next piece of the body.
    pub(super) fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            piece = match self.state {
                State::Content(inside) => self.take_content(inside, piece),
                State::Head => self.take_head(piece),
                State::Closed | State::Failed(_) => return,
            };
        }
    }

    /// Bytes of heads and fields that it holds.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    pub(super) fn boundary_bytes(&self) -> u32 {
        self.boundary_bytes
    }

    /// The parts, once the body is over.
    pub(super) fn finish(self) -> Result<Vec<RawPart>, Malformed> {
        match self.state {
            State::Closed => Ok(self.parts),
            State::Failed(why) => Err(why),
            State::Content(_) | State::Head => Err(Malformed::NotClosed),
        }
    }

    /// Content up to the delimiter; returns what follows it.
    fn take_content<'p>(&mut self, inside: Inside, piece: &'p [u8]) -> &'p [u8] {
        let piece = match self.resolve_carry(inside, piece) {
            Resolved::Delimiter(rest) => return rest,
            Resolved::Content(rest) => rest,
        };
        if let Some(at) = self.delimiter.find(piece) {
            self.emit(inside, &piece[..at]);
            return self.end_content(&piece[at + self.delimiter_bytes()..]);
        }
        let keep = piece.len().min(self.delimiter_bytes() - 1);
        let (content, tail) = piece.split_at(piece.len() - keep);
        self.emit(inside, content);
        self.carry.extend_from_slice(tail);
        &[]
    }

    /// Looks for a delimiter that began in an earlier piece.
    fn resolve_carry<'p>(&mut self, inside: Inside, piece: &'p [u8]) -> Resolved<'p> {
        if self.carry.is_empty() {
            return Resolved::Content(piece);
        }
        let (carried, longest) = (self.carry.len(), self.delimiter_bytes() - 1);
        let mut joined = std::mem::take(&mut self.carry);
        joined.extend_from_slice(&piece[..piece.len().min(longest)]);
        if let Some(at) = self.delimiter.find(&joined) {
            self.emit(inside, &joined[..at]);
            let used = at + self.delimiter_bytes() - carried;
            return Resolved::Delimiter(self.end_content(&piece[used..]));
        }
        if piece.len() >= longest {
            self.emit(inside, &joined[..carried]);
            return Resolved::Content(piece);
        }
        let keep = joined.len().min(longest);
        self.emit(inside, &joined[..joined.len() - keep]);
        self.carry = joined.split_off(joined.len() - keep);
        Resolved::Content(&[])
    }

    fn delimiter_bytes(&self) -> usize {
        self.delimiter.needle().len()
    }

    fn emit(&mut self, inside: Inside, content: &[u8]) {
        match inside {
            Inside::Preamble => {}
            Inside::Field => self.emit_field(content),
            Inside::File => self.emit_file(content),
        }
    }

    fn emit_field(&mut self, content: &[u8]) {
        let Some(left) = self.fields_left.checked_sub(content.len()) else {
            return self.fail(Malformed::FieldsTooLarge);
        };
        self.fields_left = left;
        self.kept_bytes += content.len() as u64;
        if let Some(RawPart { content: RawContent::Field(value), .. }) = self.parts.last_mut() {
            value.extend_from_slice(content);
        }
    }

    fn emit_file(&mut self, content: &[u8]) {
        self.file.take(content);
        if let Some(RawPart { content: RawContent::File { bytes, .. }, .. }) = self.parts.last_mut() {
            *bytes += content.len() as u64;
        }
    }

    fn end_content<'p>(&mut self, rest: &'p [u8]) -> &'p [u8] {
        if let Some(RawPart { content: RawContent::File { bytes, hash }, .. }) = self.parts.last_mut() {
            *hash = self.file.finish(*bytes);
        }
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Head;
        }
        rest
    }

    /// The line end after a delimiter and the head up to its blank line; returns what follows. A head that
    /// came in one piece is looked at where it stands.
    fn take_head<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let carried = self.carry.len();
        let next = &piece[..piece.len().min(HEAD_BYTES_MAX)];
        let seen = if carried == 0 { Cow::from(next) } else { [&self.carry, next].concat().into() };
        match (seen.get(..2), memchr::memmem::find(&seen, b"\r\n\r\n")) {
            (Some(b"--"), _) => self.close(),
            (Some(b"\r\n"), Some(end)) => {
                self.begin_part(seen[2..end + 2].to_vec());
                &piece[end + 4 - carried..]
            }
            (None, _) => self.wait_for_head(&seen),
            (Some(b"\r\n"), None) if seen.len() < HEAD_BYTES_MAX => self.wait_for_head(&seen),
            (Some(b"\r\n"), None) => self.fail_head(Malformed::HeadTooLarge),
            (Some(_), _) => self.fail_head(Malformed::BadDelimiter),
        }
    }

    fn wait_for_head(&mut self, seen: &[u8]) -> &'static [u8] {
        self.carry = seen.to_vec();
        &[]
    }

    fn close(&mut self) -> &'static [u8] {
        self.carry.clear();
        self.state = State::Closed;
        &[]
    }

    fn begin_part(&mut self, head: Vec<u8>) {
        self.carry.clear();
        if self.parts.len() == PARTS_MAX {
            return self.fail(Malformed::TooManyParts);
        }
        self.kept_bytes += head.len() as u64;
        let is_file = super::disposition::is_file(&head);
        let content =
            if is_file { RawContent::File { bytes: 0, hash: 0 } } else { RawContent::Field(Vec::new()) };
        self.parts.push(RawPart { head, content });
        self.state = State::Content(if is_file { Inside::File } else { Inside::Field });
    }

    fn fail_head(&mut self, why: Malformed) -> &'static [u8] {
        self.fail(why);
        &[]
    }

    fn fail(&mut self, why: Malformed) {
        self.carry = Vec::new();
        self.parts = Vec::new();
        self.state = State::Failed(why);
    }
}

enum Resolved<'p> {
    /// A delimiter was found and passed; the rest follows it.
    Delimiter(&'p [u8]),
    /// The rest is content still to be searched.
    Content(&'p [u8]),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxk";

    fn part(head: &str, content: &[u8]) -> Vec<u8> {
        [format!("--{BOUNDARY}\r\n{head}\r\n").as_bytes(), content, b"\r\n"].concat()
    }

    fn field(name: &str, value: &[u8]) -> Vec<u8> {
        part(&format!("Content-Disposition: form-data; name=\"{name}\"\r\n"), value)
    }

    fn file(content: &[u8]) -> Vec<u8> {
        part(
            "Content-Disposition: form-data; name=\"audio\"; filename=\"a.webm\"\r\nContent-Type: audio/webm\r\n",
            content,
        )
    }

    fn body(parts: &[Vec<u8>]) -> Vec<u8> {
        [parts.concat().as_slice(), format!("--{BOUNDARY}--\r\n").as_bytes()].concat()
    }

    fn scan(body: &[u8], piece_bytes: usize) -> Result<Vec<RawPart>, Malformed> {
        let mut scanner = Scanner::new(BOUNDARY, &Arc::new(Hasher::new()), 16 << 10, 64 << 10).unwrap();
        body.chunks(piece_bytes.max(1)).for_each(|piece| scanner.take(piece));
        scanner.finish()
    }

    fn file_bytes(parts: &[RawPart]) -> Vec<u64> {
        let files = parts.iter().filter_map(|part| match part.content {
            RawContent::File { bytes, .. } => Some(bytes),
            RawContent::Field(_) => None,
        });
        files.collect()
    }

    #[test]
    fn parts_are_found_whatever_the_pieces() {
        let content: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8).collect();
        let body = body(&[field("activity_id", b"42"), file(&content), field("note", b"")]);
        let whole = scan(&body, body.len()).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0].content, RawContent::Field(b"42".to_vec()));
        assert_eq!(file_bytes(&whole), [5000]);
        for piece_bytes in [1, 2, 3, 7, 33, 34, 35, 100, 4096] {
            assert_eq!(scan(&body, piece_bytes).unwrap(), whole, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_file_may_hold_what_looks_like_a_delimiter() {
        let near = format!("\r\n--{}\r\n--\r\n\r\n--{BOUNDARY:.10}", &BOUNDARY[1..]);
        let body = body(&[file(near.as_bytes())]);
        for piece_bytes in [1, 5, 40, 4096] {
            assert_eq!(
                file_bytes(&scan(&body, piece_bytes).unwrap()),
                [near.len() as u64],
                "pieces of {piece_bytes}"
            );
        }
    }

    #[test]
    fn preamble_and_epilogue_are_passed_over() {
        let body = [b"ignored\r\n".as_slice(), &body(&[field("a", b"1")]), b"epilogue"].concat();
        assert_eq!(scan(&body, 6).unwrap().len(), 1);
    }

    #[test]
    fn equal_files_have_equal_hashes_and_others_do_not() {
        let hash = |content: &[u8]| match scan(&body(&[file(content)]), 4096).unwrap()[0].content {
            RawContent::File { hash, .. } => hash,
            RawContent::Field(_) => 0,
        };
        assert_eq!(hash(b"same"), hash(b"same"));
        assert_ne!(hash(b"same"), hash(b"sama"));
        let (long, longer) = (vec![7; 20_000], vec![7; 20_001]);
        assert_ne!(hash(&long), hash(&longer), "beyond the hashed beginning the size tells");
    }

    #[test]
    fn what_cannot_be_described_says_why() {
        let cut = |by: usize| {
            let body = body(&[file(b"abc")]);
            body[..body.len() - by].to_vec()
        };
        assert_eq!(scan(&cut(4), 9), Err(Malformed::NotClosed));
        assert_eq!(scan(&cut(40), 9), Err(Malformed::NotClosed));
        assert_eq!(scan(format!("--{BOUNDARY}x").as_bytes(), 9), Err(Malformed::NotClosed));
        assert_eq!(scan(format!("--{BOUNDARY}xy").as_bytes(), 9), Err(Malformed::BadDelimiter));
        let endless = format!("--{BOUNDARY}\r\nX: {}", "y".repeat(9 << 10));
        assert_eq!(scan(endless.as_bytes(), 100), Err(Malformed::HeadTooLarge));
        let large = body(&[field("essay", &vec![b'a'; 65 << 10])]);
        assert_eq!(scan(&large, 1000), Err(Malformed::FieldsTooLarge));
        let many = body(&vec![field("a", b"1"); 257]);
        assert_eq!(scan(&many, 1000), Err(Malformed::TooManyParts));
    }

    #[test]
    fn boundaries_have_the_length_of_the_rfc() {
        assert!(Scanner::new("", &Arc::new(Hasher::new()), 1, 1).is_none());
        assert!(Scanner::new(&"b".repeat(71), &Arc::new(Hasher::new()), 1, 1).is_none());
    }

    proptest! {
        #[test]
        fn any_content_in_any_pieces_has_its_exact_size(
            content in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..300),
            piece_bytes in 1..80_usize,
        ) {
            let body = body(&[field("id", b"7"), file(&content)]);
            prop_assert_eq!(file_bytes(&scan(&body, piece_bytes).unwrap()), vec![content.len() as u64]);
        }
    }
}
