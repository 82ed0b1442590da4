//! The framing of an Arrow IPC stream, as far as finding whole batches needs it.
//!
//! A message is `0xFFFFFFFF`, the metadata's length (i32, little-endian), the metadata (a flatbuffer that
//! names the body's length), the body. Length 0 ends the stream.
//! Source: Arrow columnar format, "Encapsulated message format".

use std::ops::Range;

use arrow_ipc::{MessageHeader, root_as_message};

const CONTINUATION: [u8; 4] = [0xFF; 4];
const PREFIX_BYTES: usize = 8;
/// What a sealed segment ends with.
pub(super) const END_OF_STREAM: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// What stands at an offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Schema(Range<usize>),
    /// Dictionaries and the record batch that follows them.
    Batch(Range<usize>),
    EndOfStream,
    /// The file ends here.
    EndOfFile,
    /// Not a whole frame: the file was cut, or the bytes are damaged.
    Torn,
}

/// Reads the frame at `offset`.
pub(super) fn at(bytes: &[u8], offset: usize) -> Frame {
    let mut end = offset;
    loop {
        match message(bytes, end) {
            Message::Whole(MessageHeader::DictionaryBatch, next) => end = next,
            Message::Whole(MessageHeader::RecordBatch, next) => return Frame::Batch(offset..next),
            Message::Whole(MessageHeader::Schema, next) if end == offset => {
                return Frame::Schema(offset..next);
            }
            Message::EndOfStream if end == offset => return Frame::EndOfStream,
            Message::EndOfFile if end == offset => return Frame::EndOfFile,
            _ => return Frame::Torn,
        }
    }
}

enum Message {
    Whole(MessageHeader, usize),
    EndOfStream,
    EndOfFile,
    Torn,
}

fn message(bytes: &[u8], offset: usize) -> Message {
    if offset == bytes.len() {
        return Message::EndOfFile;
    }
    whole_message(bytes, offset).unwrap_or(Message::Torn)
}

fn whole_message(bytes: &[u8], offset: usize) -> Option<Message> {
    let prefix = bytes.get(offset..offset.checked_add(PREFIX_BYTES)?)?;
    let (mark, length) = prefix.split_at(4);
    let metadata_bytes = usize::try_from(i32::from_le_bytes(length.try_into().ok()?)).ok()?;
    match (mark == CONTINUATION, metadata_bytes) {
        (false, _) => None,
        (true, 0) => Some(Message::EndOfStream),
        (true, _) => sized_message(bytes, offset + PREFIX_BYTES, metadata_bytes),
    }
}

fn sized_message(bytes: &[u8], start: usize, metadata_bytes: usize) -> Option<Message> {
    let body_start = start.checked_add(metadata_bytes)?;
    let message = root_as_message(bytes.get(start..body_start)?).ok()?;
    let end = body_start.checked_add(usize::try_from(message.bodyLength()).ok()?)?;
    (end <= bytes.len()).then(|| Message::Whole(message.header_type(), end))
}
