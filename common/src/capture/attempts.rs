//! The column `attempts`: tries at the upstream, both directions.
//!
//! An exchange with a single try has an empty list, so that the column costs next to nothing.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, ListBuilder, StringBuilder, StructBuilder, UInt16Builder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt64Type};
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::{DataType, Field, Fields};

use crate::exchange::Attempt;

pub(super) fn fields() -> Fields {
    Fields::from(vec![
        Field::new("peer", DataType::Utf8, false),
        Field::new("connect_us", DataType::UInt64, true),
        Field::new("head_us", DataType::UInt64, true),
        Field::new("reused", DataType::Boolean, false),
        Field::new("status", DataType::UInt16, false),
    ])
}

/// One list for each exchange.
pub(super) fn encode<'a>(exchanges: impl ExactSizeIterator<Item = &'a [Attempt]>) -> ArrayRef {
    let mut lists = ListBuilder::new(StructBuilder::from_fields(fields(), exchanges.len()));
    for attempts in exchanges {
        for attempt in attempts {
            append(lists.values(), attempt);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn append(item: &mut StructBuilder, attempt: &Attempt) {
    builder::<StringBuilder>(item, 0).append_value(&attempt.peer);
    builder::<UInt64Builder>(item, 1).append_option(attempt.connect_us);
    builder::<UInt64Builder>(item, 2).append_option(attempt.head_us);
    builder::<BooleanBuilder>(item, 3).append_value(attempt.reused);
    builder::<UInt16Builder>(item, 4).append_value(attempt.status);
    item.append(true);
}

fn builder<T: ArrayBuilder>(item: &mut StructBuilder, field: usize) -> &mut T {
    item.field_builder(field).expect("the builders are those of the fields above")
}

/// The attempts of one exchange.
pub(super) fn decode(items: &StructArray) -> Vec<Attempt> {
    let u64s = |name: &str| items.column_by_name(name)?.as_primitive_opt::<UInt64Type>();
    let (connect_us, head_us) = (u64s("connect_us"), u64s("head_us"));
    let peers = items.column_by_name("peer").and_then(|column| column.as_string_opt::<i32>());
    let reused = items.column_by_name("reused").and_then(|column| column.as_boolean_opt());
    let statuses = items.column_by_name("status").and_then(|column| column.as_primitive_opt::<UInt16Type>());
    (0..items.len())
        .map(|item| Attempt {
            peer: peers.map_or_else(String::new, |peers| peers.value(item).to_owned()),
            connect_us: connect_us.filter(|times| times.is_valid(item)).map(|times| times.value(item)),
            head_us: head_us.filter(|times| times.is_valid(item)).map(|times| times.value(item)),
            reused: reused.is_some_and(|reused| reused.value(item)),
            status: statuses.map_or(0, |statuses| statuses.value(item)),
        })
        .collect()
}
