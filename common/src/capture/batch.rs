//! A batch: its bytes, checked and decoded, all columns of it or some.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::FileDecoder;
use arrow_ipc::{MessageHeader, MetadataVersion};
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::frame::{self, Bytes as _, Source};
use super::layout::{Extent, Layout};
use super::{Damage, decode};
use crate::exchange::{CutUser, Record};

/// Ids of later starts are moved up by this much per start, so that they stay unique in a capture.
const IDS_PER_START: u64 = 1 << 40;

/// Rows that were written together.
#[derive(Debug, Clone)]
pub struct Batch {
    columns: RecordBatch,
    start: u64,
}

/// Columns that are decoded always: they tell what a batch holds and until when.
const ALWAYS: [&str; 3] = ["kind", "started", "done_us"];

/// Which columns to decode; what is left out costs next to nothing, for columns are compressed one by one.
#[derive(Debug, Clone, Copy)]
pub enum Projection<'a> {
    All,
    /// By their names in the format, and `kind`, `started` and `done_us`; one that a segment lacks is left
    /// out.
    Only(&'a [&'a str]),
}

impl Batch {
    /// As they stand in the file, gaps and exchanges; ids as of their start.
    pub fn columns(&self) -> &RecordBatch {
        &self.columns
    }

    /// Which start of the proxy wrote it, from 1.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// What to add to the columns `id` and `connection`, so that they are unique in the capture.
    pub fn ids_from(&self) -> u64 {
        self.start.saturating_sub(1).saturating_mul(IDS_PER_START)
    }

    /// The rows in order, ids unique in the capture.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        (0..self.columns.num_rows()).map(|row| self.record(row))
    }

    /// The record in one row.
    ///
    /// # Panics
    ///
    /// When there is no such row.
    pub fn record(&self, row: usize) -> Record {
        let base = self.ids_from();
        let mut record = decode::record(&self.columns, row);
        match &mut record {
            Record::Exchange(exchange) => {
                exchange.id = exchange.id.saturating_add(base);
                exchange.connection = exchange.connection.saturating_add(base);
            }
            Record::Gap(gap) => gap.cut.iter_mut().for_each(|user| match user {
                CutUser::Connection(number) => *number = number.saturating_add(base),
                CutUser::Credential(_) => {}
            }),
        }
        record
    }
}

/// Reads one batch of a segment; the inner error tells what is damaged.
pub(super) fn read(
    layout: &Layout,
    extent: &Extent,
    columns: Option<&[usize]>,
    segment: &str,
) -> io::Result<Result<Batch, Damage>> {
    let offset = extent.range.start;
    let unreadable = |reason: String| Damage::Unreadable { segment: segment.to_owned(), offset, reason };
    let Some(bytes) = bytes_of(&layout.source, extent.range.clone())? else {
        return Ok(Err(unreadable("it is not whole".to_owned())));
    };
    if let Some(entry) = extent.entry.as_ref().filter(|entry| crc32c::crc32c(&bytes) != entry.crc) {
        return Ok(Err(Damage::BadChecksum { segment: segment.to_owned(), offset, rows: entry.rows }));
    }
    let decoded = decode_batch(&layout.schema, &bytes, columns);
    Ok(decoded
        .map(|columns| Batch { columns, start: layout.start() })
        .map_err(|error| unreadable(error.to_string())))
}

fn bytes_of(source: &Source, range: Range<u64>) -> io::Result<Option<Buffer>> {
    Ok(source.get(range)?.map(|bytes| Buffer::from_vec(bytes.into_owned())))
}

/// Places of the wanted columns in a segment's schema; `None` for all of them.
pub(super) fn projected(schema: &Schema, wanted: Projection<'_>) -> Option<Vec<usize>> {
    match wanted {
        Projection::All => None,
        Projection::Only(names) => {
            let wanted = ALWAYS.iter().chain(names).filter_map(|name| schema.index_of(name).ok());
            Some(wanted.collect::<BTreeSet<_>>().into_iter().collect())
        }
    }
}

/// Arrow's reader panics on some damaged buffers. Bytes whose checksum matched never get that far; without
/// an index this is the last defence.
fn decode_batch(
    schema: &SchemaRef,
    bytes: &Buffer,
    columns: Option<&[usize]>,
) -> Result<RecordBatch, ArrowError> {
    let decoded = std::panic::catch_unwind(|| decode_trusted(schema, bytes, columns));
    decoded.unwrap_or_else(|_| Err(damaged("its bytes are damaged")))
}

fn decode_trusted(
    schema: &SchemaRef,
    bytes: &Buffer,
    columns: Option<&[usize]>,
) -> Result<RecordBatch, ArrowError> {
    let decoder = FileDecoder::new(SchemaRef::clone(schema), MetadataVersion::V5);
    let mut decoder = match columns {
        Some(columns) => decoder.with_projection(columns.to_vec()),
        None => decoder,
    };
    for message in frame::messages(bytes) {
        let block = message.block().ok_or_else(|| damaged("a message is too large"))?;
        let start = usize::try_from(message.range().start).map_err(|_| damaged("a message is too large"))?;
        let length = block.bodyLength() + i64::from(block.metaDataLength());
        let length = usize::try_from(length).map_err(|_| damaged("a message is too large"))?;
        let body = bytes.slice_with_length(start, length);
        if message.header == MessageHeader::DictionaryBatch {
            decoder.read_dictionary(&block, &body)?;
        } else {
            return decoder.read_record_batch(&block, &body)?.ok_or_else(|| damaged("no batch"));
        }
    }
    Err(damaged("no batch"))
}

fn damaged(what: &str) -> ArrowError {
    ArrowError::IpcError(what.to_owned())
}
