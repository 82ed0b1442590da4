//! Parquet: the capture's own columns and one more, `start`, for DuckDB, pandas, polars and Spark.
//!
//! The columns are those of captures/README.md. `id` and `connection` are unique in the file. Gaps are rows,
//! as in the capture: `kind = 'gap'`. Memory is bounded by a row group, whatever the capture's size: a
//! Parquet file is written group by group and can only be read once its footer is there, which is why it is
//! an export and not the capture.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use kingtide_common::capture::{Damage, to_batch};
use kingtide_common::exchange::{Exchange, Gap, Record};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Document;

/// Rows handed to the encoder at once.
const BATCH_ROWS: usize = 1024;
/// zstd: small, and still faster than a disk.
const LEVEL: i32 = 3;

/// A Parquet file under way.
#[derive(Debug)]
pub struct Columns<W: Write + Send> {
    writer: Option<ArrowWriter<W>>,
    schema: SchemaRef,
    waiting: Vec<Record>,
    starts: Vec<u32>,
}

impl<W: Write + Send> Columns<W> {
    /// Row groups are what readers skip and read in parallel; and what this holds in memory.
    pub fn begin(out: W, group_rows: usize) -> io::Result<Self> {
        let schema = with_start(to_batch(&[]).map_err(io::Error::other)?.schema_ref());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL).map_err(io::Error::other)?))
            .set_max_row_group_row_count(Some(group_rows))
            .set_created_by(concat!("kingtide ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, SchemaRef::clone(&schema), Some(properties));
        let writer = Some(writer.map_err(io::Error::other)?);
        Ok(Self { writer, schema, waiting: Vec::new(), starts: Vec::new() })
    }

    fn push(&mut self, start: u64, record: Record) -> io::Result<()> {
        self.waiting.push(record);
        self.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        if self.waiting.len() < BATCH_ROWS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        let (records, starts) = (mem::take(&mut self.waiting), mem::take(&mut self.starts));
        let batch = batch(&records, starts, &self.schema).map_err(io::Error::other)?;
        match &mut self.writer {
            Some(writer) if batch.num_rows() > 0 => writer.write(&batch).map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}

impl<W: Write + Send> Document for Columns<W> {
    fn exchange(&mut self, start: u64, exchange: Exchange) -> io::Result<()> {
        self.push(start, Record::Exchange(Box::new(exchange)))
    }

    fn gap(&mut self, start: u64, gap: Gap) -> io::Result<()> {
        self.push(start, Record::Gap(gap))
    }

    fn finish(&mut self, _: &[Damage]) -> io::Result<()> {
        self.flush()?;
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        writer.finish().map_err(io::Error::other)?;
        writer.inner_mut().flush()
    }
}

fn with_start(schema: &Schema) -> SchemaRef {
    let start = Arc::new(Field::new("start", DataType::UInt32, true));
    let fields = schema.fields().iter().map(Arc::clone).chain([start]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch(records: &[Record], starts: Vec<u32>, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let batch = to_batch(records)?;
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(UInt32Array::from(starts)));
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::metadata::RowGroupMetaData;

    use super::*;
    use crate::sessions::scene::post;

    fn document(rows: u64, group_rows: usize) -> Bytes {
        let mut bytes = Vec::new();
        let mut columns = Columns::begin(&mut bytes, group_rows).unwrap();
        for id in 1..=rows {
            // Each batch has a dictionary of its own, of other words.
            let scene = post("/api/upload").upload(&[("x", "1")], id);
            columns.exchange(1, Exchange { id, host: format!("host-{id}"), ..scene.0 }).unwrap();
        }
        let gap =
            Gap { from_ns: 1, to_ns: 2, count: 3, bytes: 4, reason: "queue".to_owned(), cut: Vec::new() };
        columns.gap(2, gap).unwrap();
        columns.finish(&[]).unwrap();
        drop(columns);
        bytes.into()
    }

    #[test]
    fn every_row_is_there_in_groups_of_the_given_size() {
        let reader = ParquetRecordBatchReaderBuilder::try_new(document(2_500, 1_000)).unwrap();
        let groups = reader.metadata().row_groups();
        assert_eq!(groups.iter().map(RowGroupMetaData::num_rows).collect::<Vec<_>>(), [1_000, 1_000, 501]);
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let sum = |batch: &RecordBatch| {
            let bytes = batch.column_by_name("request_body_bytes").unwrap();
            bytes.as_primitive::<UInt64Type>().iter().flatten().sum::<u64>()
        };
        assert_eq!(batches.iter().map(sum).sum::<u64>(), 2_500 * 2_501 / 2);
    }

    #[test]
    fn a_file_without_rows_is_a_file() {
        let mut bytes = Vec::new();
        Columns::begin(&mut bytes, 10).unwrap().finish(&[]).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
        assert!(reader.schema().field_with_name("start").is_ok());
    }
}
