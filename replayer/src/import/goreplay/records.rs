//! Where one record ends and the next begins.

use std::io::{self, BufRead};

use memchr::memmem::Finder;

use super::http;

pub(super) const SEPARATOR: &[u8] = "\n🐵🙈🙉\n".as_bytes();
/// Bytes of a record at most.
const RECORD_BYTES_MAX: usize = 64 << 20;
/// Bytes of a record's first line at most.
const HEAD_BYTES_MAX: usize = 256;
/// Consumed bytes that are worth moving the rest for.
const COMPACT_BYTES: usize = 1 << 20;

/// One record of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Whole(Payload),
    /// Its first line is none.
    Headless,
    TooLarge,
}

/// A request or an answer as it was on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    /// `1` request, `2` answer, `3` answer of a replay.
    pub(super) kind: u8,
    pub(super) id: String,
    pub(super) at_ns: i64,
    /// Of a request: from its first packet to its last. Of an answer the same, or in old files from its request.
    pub(super) took_ns: Option<u64>,
    pub(super) bytes: Vec<u8>,
}

/// Splits a stream into records; holds one at a time.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the current record begins.
    start: usize,
    at_end: bool,
    separator: Finder<'static>,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, at_end: false, separator: Finder::new(SEPARATOR) }
    }

    /// `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let mut is_too_large = false;
        let mut searched = 0;
        loop {
            match self.end(&mut searched)? {
                Some(end) => {
                    let record = &self.buffer[self.start..self.start + end];
                    let parsed = if is_too_large { Record::TooLarge } else { parsed(record) };
                    self.start = (self.start + end + SEPARATOR.len()).min(self.buffer.len());
                    return Ok(Some(parsed));
                }
                None if self.at_end => return Ok(self.last(is_too_large)),
                None if self.buffer.len() - self.start > RECORD_BYTES_MAX => {
                    is_too_large = true;
                    self.start = self.buffer.len() - SEPARATOR.len();
                    searched = 0;
                }
                None => self.fill()?,
            }
        }
    }

    /// What follows the last separator: nothing, or a record that was cut off.
    fn last(&mut self, is_too_large: bool) -> Option<Record> {
        let rest = &self.buffer[self.start..];
        let record = (!rest.trim_ascii().is_empty()).then(|| parsed(rest));
        self.start = self.buffer.len();
        record.map(|record| if is_too_large { Record::TooLarge } else { record })
    }

    /// Bytes of the current record, once its end is seen.
    fn end(&mut self, searched: &mut usize) -> io::Result<Option<usize>> {
        while let Some(found) = self.separator.find(&self.buffer[self.start + *searched..]) {
            let end = *searched + found;
            let after = end + SEPARATOR.len();
            self.fill_to(after + HEAD_BYTES_MAX)?;
            let rest = &self.buffer[self.start + after..];
            if rest.trim_ascii().is_empty() || head(rest).is_some() {
                return Ok(Some(self.announced_end(end)?.unwrap_or(end)));
            }
            *searched = end + 1;
        }
        // The next search begins where a separator may have begun.
        *searched = (self.buffer.len() - self.start).saturating_sub(SEPARATOR.len() - 1).max(*searched);
        Ok(None)
    }

    /// The end that the body's length announces, if it is after `end` and a separator, or the file's end,
    /// stands there.
    fn announced_end(&mut self, end: usize) -> io::Result<Option<usize>> {
        let record = &self.buffer[self.start..self.start + end];
        let announced =
            head(record).and_then(|(_, bytes)| Some(bytes + http::announced_bytes(&record[bytes..])?));
        let Some(announced) = announced.filter(|bytes| (end + 1..=RECORD_BYTES_MAX).contains(bytes)) else {
            return Ok(None);
        };
        self.fill_to(announced + SEPARATOR.len())?;
        let rest = self.buffer.get(self.start + announced..);
        Ok(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR)).then_some(announced))
    }

    /// Reads until the current record has `bytes`, or the input ends.
    fn fill_to(&mut self, bytes: usize) -> io::Result<()> {
        while self.buffer.len() - self.start < bytes && !self.at_end {
            self.fill()?;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > COMPACT_BYTES {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let piece = match self.input.fill_buf() {
            Ok(piece) => piece,
            // A gzip file that was cut off; what was read of it counts.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => &[],
            Err(error) => return Err(error),
        };
        self.at_end = piece.is_empty();
        self.buffer.extend_from_slice(piece);
        let bytes = piece.len();
        self.input.consume(bytes);
        Ok(())
    }
}

fn parsed(record: &[u8]) -> Record {
    let record = record.trim_ascii_start();
    match head(record) {
        Some((payload, bytes)) => Record::Whole(Payload { bytes: record[bytes..].to_vec(), ..payload }),
        None => Record::Headless,
    }
}

/// The first line of a record, and how many bytes it takes.
fn head(record: &[u8]) -> Option<(Payload, usize)> {
    let line_end = memchr::memchr(b'\n', &record[..record.len().min(HEAD_BYTES_MAX)])?;
    let line = std::str::from_utf8(&record[..line_end]).ok()?;
    let mut fields = line.trim_end().split(' ');
    let (kind, id, at) = (fields.next()?, fields.next()?, fields.next()?);
    let took_ns = fields.next().map(str::parse::<i64>).transpose().ok()?;
    let is_kind = matches!(kind, "1" | "2" | "3") && fields.next().is_none() && !id.is_empty();
    let payload = Payload {
        kind: *kind.as_bytes().first()?,
        id: id.to_owned(),
        at_ns: at.parse().ok()?,
        took_ns: took_ns.and_then(|ns| u64::try_from(ns).ok()),
        bytes: Vec::new(),
    };
    is_kind.then_some((payload, line_end + 1))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::super::http::body_start;
    use super::*;

    fn records(bytes: &[u8], buffer: usize) -> Vec<Record> {
        let mut records = Records::new(BufReader::with_capacity(buffer, bytes));
        std::iter::from_fn(|| records.next().unwrap()).collect()
    }

    fn file(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            let head = format!(
                "1 {number:024x} {number} 7\nPOST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            file.extend_from_slice(head.as_bytes());
            file.extend_from_slice(body);
            file.extend_from_slice(SEPARATOR);
        }
        file
    }

    fn bodies(records: &[Record]) -> Vec<Vec<u8>> {
        let body = |record: &Record| match record {
            Record::Whole(payload) => payload.bytes[body_start(&payload.bytes).unwrap()..].to_vec(),
            other => panic!("{other:?}"),
        };
        records.iter().map(body).collect()
    }

    #[test]
    fn a_body_may_hold_separators_and_whole_records() {
        let nested = file(&[b"inner".to_vec()]);
        let separator_only = [SEPARATOR, b"1 x"].concat();
        let written = [nested, separator_only, SEPARATOR.to_vec(), Vec::new(), b"plain".to_vec()];
        for buffer in [1, 7, 4096] {
            assert_eq!(bodies(&records(&file(&written), buffer)), written, "{buffer}");
        }
    }

    #[test]
    fn a_file_that_was_cut_off_is_read_to_its_end() {
        let whole = file(&[b"one".to_vec(), b"two, longer".to_vec()]);
        let cut = &whole[..whole.len() - SEPARATOR.len() - 4];
        assert_eq!(bodies(&records(cut, 64)), [b"one".to_vec(), b"two, lo".to_vec()]);
    }

    #[test]
    fn a_record_without_head_is_said_and_the_next_is_read() {
        let mut bytes = b"rubbish".to_vec();
        bytes.extend_from_slice(SEPARATOR);
        bytes.extend_from_slice(&file(&[b"x".to_vec()]));
        let records = records(&bytes, 4096);
        assert!(matches!(records.as_slice(), [Record::Headless, Record::Whole(_)]), "{records:?}");
    }

    proptest! {
        #[test]
        fn bodies_come_back_whatever_they_hold(
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5),
            buffer in 1_usize..300,
        ) {
            prop_assert_eq!(bodies(&records(&file(&written), buffer)), written);
        }

        #[test]
        fn any_bytes_are_split_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..400), buffer in 1_usize..50) {
            records(&bytes, buffer);
        }
    }
}
