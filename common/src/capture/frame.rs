//! The framing of an Arrow IPC stream, as far as finding whole batches needs it.
//!
//! A message is `0xFFFFFFFF`, the metadata's length (i32, little-endian), the metadata (a flatbuffer that
//! names the body's length), the body. Length 0 ends the stream. Bodies are stepped over, not read.
//! Source: Arrow columnar format, "Encapsulated message format".

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use arrow_ipc::{Block, MessageHeader, root_as_message};

const CONTINUATION: [u8; 4] = [0xFF; 4];
const PREFIX_BYTES: u64 = 8;
/// What a sealed segment ends with.
pub(super) const END_OF_STREAM: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// What stands at an offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Schema(Range<u64>),
    /// Dictionaries and the record batch that follows them.
    Batch(Range<u64>),
    EndOfStream,
    /// The file ends here.
    EndOfFile,
    /// Not a whole frame: the file was cut, or the bytes are damaged.
    Torn,
}

/// Bytes that can be read at any place.
pub(super) trait Bytes {
    fn len(&self) -> u64;
    /// The bytes of a range, or `None` when it is not wholly within.
    fn get(&self, range: Range<u64>) -> io::Result<Option<Cow<'_, [u8]>>>;
}

/// A file as long as it was when it was opened: a writer may still be adding to it.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    len: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// Whether the path leads to this very file still.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let (own, found) = (self.file.metadata(), std::fs::metadata(path));
        matches!((own, found), (Ok(own), Ok(found)) if (own.dev(), own.ino()) == (found.dev(), found.ino()))
    }
}

impl Bytes for Source {
    fn len(&self) -> u64 {
        self.len
    }

    fn get(&self, range: Range<u64>) -> io::Result<Option<Cow<'_, [u8]>>> {
        let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|_| range.end <= self.len) else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(Some(Cow::Owned(bytes)))
    }
}

impl Bytes for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn get(&self, range: Range<u64>) -> io::Result<Option<Cow<'_, [u8]>>> {
        let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
        let (Ok(start), Ok(end)) = (start, end) else { return Ok(None) };
        Ok(<[u8]>::get(self, start..end).map(Cow::Borrowed))
    }
}

/// Reads the frame at `offset`.
pub(super) fn at(bytes: &(impl Bytes + ?Sized), offset: u64) -> io::Result<Frame> {
    let mut end = offset;
    loop {
        match piece(bytes, end)? {
            Piece::Message(message) if message.header == MessageHeader::DictionaryBatch => {
                end = message.end();
            }
            Piece::Message(message) if message.header == MessageHeader::RecordBatch => {
                return Ok(Frame::Batch(offset..message.end()));
            }
            Piece::Message(message) if message.header == MessageHeader::Schema && end == offset => {
                return Ok(Frame::Schema(offset..message.end()));
            }
            Piece::EndOfStream if end == offset => return Ok(Frame::EndOfStream),
            Piece::EndOfFile if end == offset => return Ok(Frame::EndOfFile),
            _ => return Ok(Frame::Torn),
        }
    }
}

/// The messages that follow each other from the beginning of `bytes`, up to the first that is not whole.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message> {
    let mut offset = 0;
    std::iter::from_fn(move || match piece(bytes, offset) {
        Ok(Piece::Message(message)) => {
            offset = message.end();
            Some(message)
        }
        _ => None,
    })
}

/// A whole message and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) header: MessageHeader,
    start: u64,
    /// Prefix and metadata.
    head_bytes: u64,
    body_bytes: u64,
}

impl Message {
    pub(super) fn end(&self) -> u64 {
        self.start + self.head_bytes + self.body_bytes
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.end()
    }

    /// As Arrow's decoders want it. `None` for sizes that their type cannot say.
    pub(super) fn block(&self) -> Option<Block> {
        let body_bytes = i64::try_from(self.body_bytes).ok()?;
        Some(Block::new(i64::try_from(self.start).ok()?, i32::try_from(self.head_bytes).ok()?, body_bytes))
    }
}

enum Piece {
    Message(Message),
    EndOfStream,
    EndOfFile,
    Torn,
}

fn piece(bytes: &(impl Bytes + ?Sized), offset: u64) -> io::Result<Piece> {
    if offset == bytes.len() {
        return Ok(Piece::EndOfFile);
    }
    let Some(prefix) = bytes.get(offset..offset.saturating_add(PREFIX_BYTES))? else {
        return Ok(Piece::Torn);
    };
    let (mark, length) = prefix.split_at(4);
    let metadata_bytes =
        length.try_into().ok().and_then(|length| u64::try_from(i32::from_le_bytes(length)).ok());
    match metadata_bytes.filter(|_| mark == CONTINUATION) {
        None => Ok(Piece::Torn),
        Some(0) => Ok(Piece::EndOfStream),
        Some(metadata_bytes) => {
            let metadata_at = offset + PREFIX_BYTES;
            let metadata = bytes.get(metadata_at..metadata_at.saturating_add(metadata_bytes))?;
            let message = metadata.and_then(|metadata| message(&metadata, offset));
            Ok(message.filter(|message| message.end() <= bytes.len()).map_or(Piece::Torn, Piece::Message))
        }
    }
}

fn message(metadata: &[u8], start: u64) -> Option<Message> {
    let message = root_as_message(metadata).ok()?;
    let body_bytes = u64::try_from(message.bodyLength()).ok()?;
    let head_bytes = PREFIX_BYTES + metadata.len() as u64;
    start.checked_add(head_bytes)?.checked_add(body_bytes)?;
    Some(Message { header: message.header_type(), start, head_bytes, body_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of_stream_after(bytes: &[u8]) -> Vec<u8> {
        [bytes, &END_OF_STREAM].concat()
    }

    #[test]
    fn what_is_no_message_is_torn() {
        for bytes in [&b"x"[..], b"not a message at all", &[0xFF; 8], &[0xFF, 0xFF, 0xFF, 0xFF, 9, 0, 0, 0]] {
            assert_eq!(at(bytes, 0).unwrap(), Frame::Torn, "{bytes:?}");
        }
        assert_eq!(at(&END_OF_STREAM[..], 0).unwrap(), Frame::EndOfStream);
        assert_eq!(at(&END_OF_STREAM[..], 8).unwrap(), Frame::EndOfFile);
        assert_eq!(at(&END_OF_STREAM[..], 9).unwrap(), Frame::Torn);
    }

    #[test]
    fn a_file_reads_as_its_bytes_up_to_the_length_it_had() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segment");
        let bytes = end_of_stream_after(b"12345678");
        std::fs::write(&path, &bytes).unwrap();
        let source = Source::open(&path).unwrap();
        std::fs::write(&path, end_of_stream_after(&bytes)).unwrap();
        for range in [0..8, 8..16, 3..3, 15..16, 15..17, 16..24] {
            assert_eq!(source.get(range.clone()).unwrap(), Bytes::get(&bytes[..], range.clone()).unwrap());
        }
        assert_eq!(at(&source, 8).unwrap(), Frame::EndOfStream);
        assert_eq!(at(&source, 16).unwrap(), Frame::EndOfFile);
    }
}
