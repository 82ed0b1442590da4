//! Every text of every column, used by a row or not: entries of dictionaries, texts under a null, columns that a later
//! program added, and the schema's metadata.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};

use super::places::{Kind, Place};

pub(super) fn each(batch: &RecordBatch, visit: &mut dyn FnMut(&Place, &str)) {
    let schema = batch.schema_ref();
    let place = |name: &str| Place { side: None, kind: Kind::Column, name: name.to_owned() };
    for (key, value) in schema.metadata() {
        visit(&place(&format!("metadata {key}")), value);
    }
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        texts(column.as_ref(), &mut |text| visit(&place(field.name()), text));
    }
}

fn texts(array: &dyn Array, visit: &mut dyn FnMut(&str)) {
    if let Some(strings) = array.as_string_opt::<i32>() {
        strings_of(strings, visit);
    } else if let Some(dictionary) = array.as_any_dictionary_opt() {
        texts(dictionary.values().as_ref(), visit);
    } else if let Some(list) = array.as_list_opt::<i32>() {
        texts(list.values().as_ref(), visit);
    } else if let Some(fields) = array.as_struct_opt() {
        fields.columns().iter().for_each(|column| texts(column.as_ref(), visit));
    }
}

/// By their offsets, whatever the nulls say; and what no offset covers.
fn strings_of(strings: &StringArray, visit: &mut dyn FnMut(&str)) {
    let bytes = strings.value_data();
    let offsets: Vec<usize> =
        strings.value_offsets().iter().filter_map(|at| usize::try_from(*at).ok()).collect();
    let ends = [0].into_iter().chain(offsets).chain([bytes.len()]).collect::<Vec<_>>();
    for pair in ends.windows(2) {
        if let Some(text) = bytes.get(pair[0]..pair[1]).filter(|text| !text.is_empty()) {
            visit(&String::from_utf8_lossy(text));
        }
    }
}
