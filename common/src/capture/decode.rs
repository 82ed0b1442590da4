//! Arrow batch → records. Columns are found by name; a missing one reads as null.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch, StringArray, StructArray};
use serde::de::DeserializeOwned;

use super::attempts;
use super::columns::KIND_GAP;
use crate::exchange::{
    Attempt, Body, CutUser, Exchange, Gap, Header, Multipart, PacingPoint, Record, ServerTiming,
};
use crate::stages::Instants;

/// All rows of a batch, in order.
pub(super) fn records(batch: &RecordBatch) -> impl Iterator<Item = Record> {
    (0..batch.num_rows()).map(|row| record(batch, row))
}

/// The record in one row.
pub(super) fn record(batch: &RecordBatch, row: usize) -> Record {
    Columns { batch }.record(row)
}

/// When each exchange of a batch was over, nanoseconds UTC.
pub(super) fn done_ns(batch: &RecordBatch) -> impl Iterator<Item = i64> {
    let columns = || Columns { batch };
    (0..batch.num_rows()).filter(move |row| !columns().is_gap(*row)).map(move |row| {
        let columns = columns();
        let done_us = columns.u64("done_us", row).unwrap_or_default();
        let started_ns = columns.timestamp("started", row).unwrap_or_default();
        started_ns.saturating_add_unsigned(done_us.saturating_mul(1000))
    })
}

struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl Columns<'_> {
    fn record(&self, row: usize) -> Record {
        if self.is_gap(row) {
            Record::Gap(self.gap(row))
        } else {
            Record::Exchange(Box::new(self.exchange(row)))
        }
    }

    fn is_gap(&self, row: usize) -> bool {
        self.text("kind", row).as_deref() == Some(KIND_GAP)
    }

    fn gap(&self, row: usize) -> Gap {
        Gap {
            from_ns: self.timestamp("started", row).unwrap_or_default(),
            to_ns: self.timestamp("gap_to", row).unwrap_or_default(),
            count: self.u64("gap_count", row).unwrap_or_default(),
            bytes: self.u64("gap_bytes", row).unwrap_or_default(),
            reason: self.text("gap_reason", row).unwrap_or_default(),
            cut: self.text_list("gap_cut", row).iter().filter_map(|user| CutUser::parse(user)).collect(),
        }
    }

    fn exchange(&self, row: usize) -> Exchange {
        Exchange {
            id: self.u64("id", row).unwrap_or_default(),
            connection: self.u64("connection", row).unwrap_or_default(),
            started_ns: self.timestamp("started", row).unwrap_or_default(),
            connection_age_us: self.u64("connection_age_us", row).unwrap_or_default(),
            tls_us: self.u64("tls_us", row),
            accept_queue_ms: self.u32("accept_queue_ms", row),
            instants: self.instants(row),
            upstream_reused: self.flag("upstream_reused", row),
            method: self.text("method", row).unwrap_or_default(),
            host: self.text("host", row).unwrap_or_default(),
            target: self.text("target", row).unwrap_or_default(),
            route: self.text("route", row).unwrap_or_default(),
            client: self.text("client", row).unwrap_or_default(),
            http_version: self.http_version(row),
            request_headers: self.headers("request_headers", row),
            request_body: self.body("request_body_kind", "request_body", row),
            request_body_bytes: self.u64("request_body_bytes", row).unwrap_or_default(),
            pacing: self.pacing(row),
            status: self.status(row),
            response_headers: self.headers("response_headers", row),
            response_body: self.body("response_body_kind", "response_body", row),
            response_body_bytes: self.u64("response_body_bytes", row).unwrap_or_default(),
            server_timing: self.server_timing(row),
            answered_by: self.word("answered_by", row),
            ending: self.word("ending", row),
            end: self.text("end", row),
            refused_by: self.text("refused_by", row),
            would_refuse: self.text_list("would_refuse", row),
            attempts: self.attempts(row),
            synthesised: self.text_list("synthesised", row),
        }
    }

    fn instants(&self, row: usize) -> Instants {
        Instants::from(Instants::NAMES.map(|name| self.u64(name, row)))
    }

    fn column(&self, name: &str, row: usize) -> Option<&dyn Array> {
        let column = self.batch.column_by_name(name)?;
        (!column.is_null(row)).then_some(column.as_ref())
    }

    fn u64(&self, name: &str, row: usize) -> Option<u64> {
        Some(self.column(name, row)?.as_primitive_opt::<UInt64Type>()?.value(row))
    }

    fn u32(&self, name: &str, row: usize) -> Option<u32> {
        Some(self.column(name, row)?.as_primitive_opt::<UInt32Type>()?.value(row))
    }

    fn timestamp(&self, name: &str, row: usize) -> Option<i64> {
        Some(self.column(name, row)?.as_primitive_opt::<TimestampNanosecondType>()?.value(row))
    }

    fn status(&self, row: usize) -> Option<u16> {
        Some(self.column("status", row)?.as_primitive_opt::<UInt16Type>()?.value(row))
    }

    fn http_version(&self, row: usize) -> u8 {
        let column = self.column("http_version", row);
        column
            .and_then(|column| column.as_primitive_opt::<UInt8Type>())
            .map_or(0, |versions| versions.value(row))
    }

    fn flag(&self, name: &str, row: usize) -> bool {
        let column = self.column(name, row);
        column.and_then(|column| column.as_boolean_opt()).is_some_and(|flags| flags.value(row))
    }

    /// A text, plain or in a dictionary.
    fn text(&self, name: &str, row: usize) -> Option<String> {
        let column = self.column(name, row)?;
        if let Some(plain) = column.as_string_opt::<i32>() {
            return Some(plain.value(row).to_owned());
        }
        let dictionary = column.as_dictionary_opt::<Int32Type>()?;
        let values: &StringArray = dictionary.values().as_string_opt()?;
        Some(values.value(dictionary.key(row)?).to_owned())
    }

    fn word<T: DeserializeOwned + Default>(&self, name: &str, row: usize) -> T {
        let word = self.text(name, row).map(serde_json::Value::String);
        word.and_then(|word| serde_json::from_value(word).ok()).unwrap_or_default()
    }

    fn list(&self, name: &str, row: usize) -> Option<arrow_array::ArrayRef> {
        Some(self.column(name, row)?.as_list_opt::<i32>()?.value(row))
    }

    fn headers(&self, name: &str, row: usize) -> Vec<Header> {
        let Some(list) = self.list(name, row) else { return Vec::new() };
        let Some(items) = list.as_struct_opt() else { return Vec::new() };
        let text = |field: &str, item: usize| struct_text(items, field, item);
        (0..items.len()).map(|item| Header { name: text("name", item), value: text("value", item) }).collect()
    }

    fn server_timing(&self, row: usize) -> Vec<ServerTiming> {
        let Some(list) = self.list("server_timing", row) else { return Vec::new() };
        let Some(items) = list.as_struct_opt() else { return Vec::new() };
        let durations =
            items.column_by_name("duration_us").and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let duration_us = |item: usize| durations.map_or(0, |durations| durations.value(item));
        (0..items.len())
            .map(|item| ServerTiming {
                name: struct_text(items, "name", item),
                duration_us: duration_us(item),
            })
            .collect()
    }

    fn attempts(&self, row: usize) -> Vec<Attempt> {
        let list = self.list("attempts", row);
        list.and_then(|list| Some(attempts::decode(list.as_struct_opt()?))).unwrap_or_default()
    }

    fn text_list(&self, name: &str, row: usize) -> Vec<String> {
        let Some(list) = self.list(name, row) else { return Vec::new() };
        let Some(texts) = list.as_string_opt::<i32>() else { return Vec::new() };
        texts.iter().flatten().map(str::to_owned).collect()
    }

    fn u64_list(&self, name: &str, row: usize) -> Vec<u64> {
        let list = self.list(name, row);
        list.and_then(|list| Some(list.as_primitive_opt::<UInt64Type>()?.values().to_vec()))
            .unwrap_or_default()
    }

    fn pacing(&self, row: usize) -> Vec<PacingPoint> {
        let (at_us, bytes) = (self.u64_list("pacing_at_us", row), self.u64_list("pacing_bytes", row));
        at_us.into_iter().zip(bytes).map(|(at_us, bytes)| PacingPoint { at_us, bytes }).collect()
    }

    fn body(&self, kind: &str, text: &str, row: usize) -> Body {
        let kind = self.text(kind, row).unwrap_or_default();
        body(&kind, self.text(text, row).as_deref().unwrap_or_default())
    }
}

/// A body as the columns of its kind and its text tell it.
pub fn body(kind: &str, text: &str) -> Body {
    match kind {
        "json" => Body::Json(text.to_owned()),
        "form" => Body::Form(text.to_owned()),
        "html" => Body::Html(text.to_owned()),
        "multipart" => multipart(text),
        "opaque" => Body::Opaque,
        "unread" => Body::Unread(text.to_owned()),
        _ => Body::Empty,
    }
}

fn struct_text(items: &StructArray, field: &str, item: usize) -> String {
    let column = items.column_by_name(field).and_then(|column| column.as_string_opt::<i32>());
    column.map_or_else(String::new, |texts| texts.value(item).to_owned())
}

fn multipart(text: &str) -> Body {
    match serde_json::from_str::<Multipart>(text) {
        Ok(multipart) => Body::Multipart(multipart),
        Err(error) => Body::Unread(format!("its description cannot be read: {error}")),
    }
}
