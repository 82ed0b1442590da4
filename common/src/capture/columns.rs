//! The columns of `exchanges-*.arrows`: their names and Arrow types, in one place for both directions.
//!
//! Readers ignore columns they do not know and take missing ones as null, so columns may be added: at the
//! end, and with their number in [`COLUMNS_BEFORE`].

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::attempts;
use crate::stages::Instants;

pub(super) const KIND_EXCHANGE: &str = "exchange";
/// What the column `kind` says of a gap.
pub const KIND_GAP: &str = "gap";
/// Key of the schema's metadata that tells which start of the proxy wrote the segment.
pub(super) const META_START: &str = "kingtide_start";
pub(super) const META_VERSION: &str = "kingtide_format_version";

/// How many columns earlier programs wrote, the latest first. Each of their schemas is the beginning of
/// today's.
const COLUMNS_BEFORE: [usize; 2] = [48, 43];

pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

pub(super) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(super) fn header_fields() -> Fields {
    Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)])
}

pub(super) fn timing_fields() -> Fields {
    Fields::from(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("duration_us", DataType::UInt64, false),
    ])
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn fields() -> Vec<Field> {
    let column = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let headers = || list_of(DataType::Struct(header_fields()));
    let mut fields = vec![
        column("kind", dictionary()),
        column("id", DataType::UInt64),
        column("connection", DataType::UInt64),
        column("started", timestamp()),
        column("connection_age_us", DataType::UInt64),
        column("tls_us", DataType::UInt64),
    ];
    fields.extend(Instants::NAMES.map(|name| column(name, DataType::UInt64)));
    fields.extend([
        column("upstream_reused", DataType::Boolean),
        column("method", dictionary()),
        column("host", dictionary()),
        column("target", DataType::Utf8),
        column("route", dictionary()),
        column("client", dictionary()),
        column("http_version", DataType::UInt8),
        column("request_headers", headers()),
        column("request_body_kind", dictionary()),
        column("request_body", DataType::Utf8),
        column("request_body_bytes", DataType::UInt64),
        column("pacing_at_us", list_of(DataType::UInt64)),
        column("pacing_bytes", list_of(DataType::UInt64)),
        column("status", DataType::UInt16),
        column("response_headers", headers()),
        column("response_body_kind", dictionary()),
        column("response_body", DataType::Utf8),
        column("response_body_bytes", DataType::UInt64),
        column("server_timing", list_of(DataType::Struct(timing_fields()))),
        column("answered_by", dictionary()),
        column("ending", dictionary()),
        column("gap_to", timestamp()),
        column("gap_count", DataType::UInt64),
        column("gap_bytes", DataType::UInt64),
        column("gap_reason", dictionary()),
        column("accept_queue_ms", DataType::UInt32),
        column("end", dictionary()),
        column("refused_by", dictionary()),
        column("would_refuse", list_of(DataType::Utf8)),
        column("attempts", list_of(DataType::Struct(attempts::fields()))),
        column("gap_cut", list_of(DataType::Utf8)),
        column("synthesised", list_of(DataType::Utf8)),
    ]);
    fields
}

/// The schema without metadata.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields())));

/// The schema as a segment of the given start carries it.
pub(super) fn segment_schema(start: u32) -> SchemaRef {
    with_metadata(&SCHEMA, start)
}

/// Every schema that a segment of this format version may carry, today's first.
pub(super) fn known_schemas(start: u32) -> impl Iterator<Item = SchemaRef> {
    let before = COLUMNS_BEFORE.into_iter().map(|columns| Schema::new(SCHEMA.fields()[..columns].to_vec()));
    std::iter::once(SCHEMA.as_ref().clone()).chain(before).map(move |schema| with_metadata(&schema, start))
}

fn with_metadata(schema: &Schema, start: u32) -> SchemaRef {
    let metadata = [(META_VERSION, super::FORMAT_VERSION.to_string()), (META_START, start.to_string())];
    let metadata: HashMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Arc::new(schema.clone().with_metadata(metadata))
}
