//! Records → Arrow batch → bytes.

use std::sync::Arc;

use arrow_array::builder::{
    ListBuilder, StringBuilder, StringDictionaryBuilder, StructBuilder, UInt64Builder,
};
use arrow_array::types::{Int32Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray,
    TimestampNanosecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, StreamWriter, write_message,
};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::attempts;
use super::columns::{KIND_EXCHANGE, KIND_GAP, SCHEMA, header_fields, known_schemas, timing_fields};
use crate::exchange::{Body, Exchange, Gap, Header, PacingPoint, Record, ServerTiming};
use crate::stages::Instants;

/// While traffic is recorded.
const ZSTD_LEVEL: i32 = 1;
/// When a sealed segment is packed, which is seldom.
const ZSTD_LEVEL_PACKED: i32 = 6;
/// Bytes that buffers are padded to: the least that Arrow allows, for a batch of a quiet second is mostly
/// padding otherwise.
const ALIGNMENT: usize = 8;
/// What programs before padded to.
const ALIGNMENT_BEFORE: usize = 64;

/// Makes batches of one start's segments. What zstd needs for it, a megabyte, is kept from batch to batch.
#[derive(Debug)]
pub(super) struct Encoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    pub(super) fn new(schema: SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self { schema, options: options(ALIGNMENT)?, context: IpcWriteContext::default() })
    }

    /// One that takes more time for fewer bytes.
    pub(super) fn thorough(schema: SchemaRef) -> Result<Self, ArrowError> {
        let encoder = Self::new(schema)?;
        let options = encoder.options.try_with_compression_level(Some(ZSTD_LEVEL_PACKED))?;
        Ok(Self { options, ..encoder })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The schema message that every segment begins with.
    pub(super) fn schema_bytes(&self) -> Result<Vec<u8>, ArrowError> {
        padded_schema_bytes(&self.schema, ALIGNMENT)
    }

    /// A batch in bytes, self-contained but for the schema.
    pub(super) fn batch_bytes(&mut self, records: &[Record]) -> Result<Vec<u8>, ArrowError> {
        let batch = batch(records)?.with_schema(Arc::clone(&self.schema))?;
        let mut dictionaries = self.dictionaries();
        let generator = IpcDataGenerator::default();
        let (before, batch) =
            generator.encode(&batch, &mut dictionaries, &self.options, &mut self.context)?;
        let mut bytes = Vec::new();
        for message in before.into_iter().chain([batch]) {
            write_message(&mut bytes, message, &self.options)?;
        }
        Ok(bytes)
    }

    /// Knows the dictionaries by the numbers that the schema message gives them, and none as written already.
    fn dictionaries(&self) -> DictionaryTracker {
        let mut dictionaries = DictionaryTracker::new(false);
        let fields = self.schema.flattened_fields();
        for _ in fields.iter().filter(|field| matches!(field.data_type(), DataType::Dictionary(..))) {
            dictionaries.next_dict_id();
        }
        dictionaries
    }
}

/// Every schema message that a segment of the given start may begin with, today's first.
pub(super) fn known_schemas_bytes(start: u32) -> impl Iterator<Item = Vec<u8>> {
    let padded = |schema: SchemaRef| {
        [ALIGNMENT, ALIGNMENT_BEFORE].into_iter().filter_map(move |to| padded_schema_bytes(&schema, to).ok())
    };
    known_schemas(start).flat_map(padded)
}

fn padded_schema_bytes(schema: &SchemaRef, alignment: usize) -> Result<Vec<u8>, ArrowError> {
    Ok(StreamWriter::try_new_with_options(Vec::new(), schema, options(alignment)?)?.get_ref().clone())
}

fn options(alignment: usize) -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::try_new(alignment, false, MetadataVersion::V5)?
        .try_with_compression(Some(CompressionType::ZSTD))?
        .try_with_compression_level(Some(ZSTD_LEVEL))
}

/// A record as columns see it: a gap is a row whose exchange is empty.
struct Row<'a> {
    exchange: &'a Exchange,
    gap: Option<&'a Gap>,
}

/// Records as a batch of today's columns.
pub fn batch(records: &[Record]) -> Result<RecordBatch, ArrowError> {
    let empty = Exchange::default();
    let rows: Vec<Row<'_>> = records.iter().map(|record| row(record, &empty)).collect();
    let mut columns = identity_columns(&rows);
    columns.extend(instant_columns(&rows));
    columns.extend(request_columns(&rows));
    columns.extend(response_columns(&rows));
    columns.extend(gap_columns(&rows));
    columns.extend(edge_columns(&rows));
    RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
}

fn row<'a>(record: &'a Record, empty: &'a Exchange) -> Row<'a> {
    match record {
        Record::Exchange(exchange) => Row { exchange, gap: None },
        Record::Gap(gap) => Row { exchange: empty, gap: Some(gap) },
    }
}

fn identity_columns(rows: &[Row<'_>]) -> Vec<ArrayRef> {
    vec![
        texts(rows, |row| Some(if row.gap.is_some() { KIND_GAP } else { KIND_EXCHANGE })),
        u64s(rows, |x| x.id),
        u64s(rows, |x| x.connection),
        timestamps(rows, |row| Some(row.gap.map_or(row.exchange.started_ns, |gap| gap.from_ns))),
        u64s(rows, |x| x.connection_age_us),
        optional_u64s(rows, |row| row.exchange.tls_us),
    ]
}

fn request_columns(rows: &[Row<'_>]) -> Vec<ArrayRef> {
    vec![
        Arc::new(rows.iter().map(|row| Some(row.exchange.upstream_reused)).collect::<BooleanArray>()),
        texts(rows, |row| Some(&row.exchange.method)),
        texts(rows, |row| Some(&row.exchange.host)),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.exchange.target))),
        texts(rows, |row| Some(&row.exchange.route)),
        texts(rows, |row| Some(&row.exchange.client)),
        Arc::new(PrimitiveArray::<UInt8Type>::from_iter_values(
            rows.iter().map(|row| row.exchange.http_version),
        )),
        headers(rows, |x| &x.request_headers),
        texts(rows, |row| Some(row.exchange.request_body.kind())),
        body_texts(rows, |x| &x.request_body),
        u64s(rows, |x| x.request_body_bytes),
        pacing(rows, |point| point.at_us),
        pacing(rows, |point| point.bytes),
    ]
}

fn response_columns(rows: &[Row<'_>]) -> Vec<ArrayRef> {
    vec![
        Arc::new(rows.iter().map(|row| row.exchange.status).collect::<PrimitiveArray<UInt16Type>>()),
        headers(rows, |x| &x.response_headers),
        texts(rows, |row| Some(row.exchange.response_body.kind())),
        body_texts(rows, |x| &x.response_body),
        u64s(rows, |x| x.response_body_bytes),
        server_timings(rows),
        texts(rows, |row| Some(row.exchange.answered_by.word())),
        texts(rows, |row| Some(row.exchange.ending.word())),
    ]
}

fn gap_columns(rows: &[Row<'_>]) -> Vec<ArrayRef> {
    vec![
        timestamps(rows, |row| row.gap.map(|gap| gap.to_ns)),
        optional_u64s(rows, |row| row.gap.map(|gap| gap.count)),
        optional_u64s(rows, |row| row.gap.map(|gap| gap.bytes)),
        texts(rows, |row| row.gap.map(|gap| gap.reason.as_str())),
    ]
}

fn edge_columns(rows: &[Row<'_>]) -> Vec<ArrayRef> {
    let waits = rows.iter().map(|row| row.exchange.accept_queue_ms);
    vec![
        Arc::new(waits.collect::<PrimitiveArray<UInt32Type>>()),
        texts(rows, |row| row.exchange.end.as_deref()),
        texts(rows, |row| row.exchange.refused_by.as_deref()),
        text_lists(rows, |x| &x.would_refuse),
        attempts::encode(rows.iter().map(|row| row.exchange.attempts.as_slice())),
        cut_users(rows),
        text_lists(rows, |x| &x.synthesised),
    ]
}

fn instant_columns(rows: &[Row<'_>]) -> impl Iterator<Item = ArrayRef> {
    (0..Instants::NAMES.len())
        .map(move |which| optional_u64s(rows, |row| row.exchange.instants.values()[which]))
}

fn u64s(rows: &[Row<'_>], value: impl Fn(&Exchange) -> u64) -> ArrayRef {
    let values = rows.iter().map(|row| value(row.exchange));
    Arc::new(PrimitiveArray::<UInt64Type>::from_iter_values(values))
}

fn optional_u64s(rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<PrimitiveArray<UInt64Type>>())
}

fn timestamps(rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> Option<i64>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<TimestampNanosecondArray>().with_timezone("UTC"))
}

fn texts<'a>(rows: &[Row<'a>], value: impl Fn(&Row<'a>) -> Option<&'a str>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    builder.extend(rows.iter().map(value));
    Arc::new(builder.finish())
}

/// Built from its parts: a builder of structs looks its fields up for each header.
fn headers(rows: &[Row<'_>], of: impl Fn(&Exchange) -> &Vec<Header>) -> ArrayRef {
    let all = || rows.iter().flat_map(|row| of(row.exchange));
    let names = StringArray::from_iter_values(all().map(|header| &header.name));
    let values = StringArray::from_iter_values(all().map(|header| &header.value));
    let items = StructArray::new(header_fields(), vec![Arc::new(names), Arc::new(values)], None);
    let lengths = OffsetBuffer::from_lengths(rows.iter().map(|row| of(row.exchange).len()));
    let item = Field::new("item", items.data_type().clone(), true);
    Arc::new(ListArray::new(Arc::new(item), lengths, Arc::new(items), None))
}

fn server_timings(rows: &[Row<'_>]) -> ArrayRef {
    let mut lists = ListBuilder::new(StructBuilder::from_fields(timing_fields(), rows.len()));
    for row in rows {
        for ServerTiming { name, duration_us } in &row.exchange.server_timing {
            let item = lists.values();
            append_text(item, 0, name);
            let durations =
                item.field_builder::<UInt64Builder>(1).expect("the schema's second field is UInt64");
            durations.append_value(*duration_us);
            item.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn text_lists(rows: &[Row<'_>], of: impl Fn(&Exchange) -> &Vec<String>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        lists.append_value(of(row.exchange).iter().map(Some));
    }
    Arc::new(lists.finish())
}

/// Null where there is no gap.
fn cut_users(rows: &[Row<'_>]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        lists.append_option(row.gap.map(|gap| gap.cut.iter().map(|user| Some(user.to_string()))));
    }
    Arc::new(lists.finish())
}

fn append_text(item: &mut StructBuilder, field: usize, text: &str) {
    item.field_builder::<StringBuilder>(field).expect("the schema's field is Utf8").append_value(text);
}

fn pacing(rows: &[Row<'_>], value: impl Fn(&PacingPoint) -> u64) -> ArrayRef {
    let mut lists = ListBuilder::new(UInt64Builder::new());
    for row in rows {
        lists.append_value(row.exchange.pacing.iter().map(|point| Some(value(point))));
    }
    Arc::new(lists.finish())
}

fn body_texts(rows: &[Row<'_>], of: impl Fn(&Exchange) -> &Body) -> ArrayRef {
    Arc::new(rows.iter().map(|row| of(row.exchange).text()).collect::<StringArray>())
}
