//! The columns of a batch by name and type. One that is missing, or of another type, reads as null.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{ArrowPrimitiveType, Int32Type};
use arrow_array::{Array as _, Int32Array, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray};

/// Numbers of one type.
pub(crate) fn numbers<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> PrimitiveArray<T> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<T>());
    column.cloned().unwrap_or_else(|| PrimitiveArray::new_null(batch.num_rows()))
}

/// The number in a row.
pub(crate) fn at<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

/// Plain texts.
pub(crate) fn texts(batch: &RecordBatch, name: &str) -> StringArray {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.cloned().unwrap_or_else(|| StringArray::new_null(batch.num_rows()))
}

/// The text in a row, empty for none.
pub(crate) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_valid(row) { column.value(row) } else { "" }
}

/// Texts of which there are few different ones, each with its number.
pub(crate) struct Words {
    numbers: Int32Array,
    words: StringArray,
}

impl Words {
    pub(crate) fn of(batch: &RecordBatch, name: &str) -> Self {
        let column = batch.column_by_name(name).and_then(|column| column.as_dictionary_opt::<Int32Type>());
        let found = column.and_then(|column| Some((column.keys(), column.values().as_string_opt::<i32>()?)));
        match found {
            Some((numbers, words)) => Self { numbers: numbers.clone(), words: words.clone() },
            None => Self { numbers: Int32Array::new_null(batch.num_rows()), words: StringArray::new_null(0) },
        }
    }

    /// All words; a number is an index of this.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        (0..self.words.len()).map(|number| text(&self.words, number))
    }

    pub(crate) fn number(&self, row: usize) -> Option<usize> {
        usize::try_from(at(&self.numbers, row)?).ok().filter(|number| *number < self.words.len())
    }

    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.number(row).map(|number| text(&self.words, number))
    }
}

/// Lists of items, one list a row.
pub(crate) struct Lists<T> {
    lists: Option<ListArray>,
    /// Of all rows, one after the other.
    pub(crate) items: T,
}

impl<T> Lists<T> {
    fn of(batch: &RecordBatch, name: &str, items: impl Fn(&ListArray) -> Option<T>, none: T) -> Self {
        let lists = batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
        match lists.and_then(|lists| Some((lists.clone(), items(lists)?))) {
            Some((lists, items)) => Self { lists: Some(lists), items },
            None => Self { lists: None, items: none },
        }
    }

    /// Which items are a row's.
    pub(crate) fn range(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.lists.as_ref().filter(|lists| lists.is_valid(row)).map(ListArray::value_offsets);
        let offset = |at: usize| offsets.and_then(|offsets| usize::try_from(offsets[at]).ok());
        offset(row).zip(offset(row + 1)).map_or(0..0, |(from, to)| from..to)
    }
}

/// Lists of texts.
pub(crate) fn text_lists(batch: &RecordBatch, name: &str) -> Lists<StringArray> {
    let items = |lists: &ListArray| lists.values().as_string_opt::<i32>().cloned();
    Lists::of(batch, name, items, StringArray::new_null(0))
}

/// Lists of numbers.
pub(crate) fn number_lists<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
) -> Lists<PrimitiveArray<T>> {
    let items = |lists: &ListArray| lists.values().as_primitive_opt::<T>().cloned();
    Lists::of(batch, name, items, PrimitiveArray::new_null(0))
}

/// Names and texts: headers.
pub(crate) struct Headers {
    pub(crate) names: StringArray,
    pub(crate) values: StringArray,
}

pub(crate) fn headers(batch: &RecordBatch, name: &str) -> Lists<Headers> {
    let items = |lists: &ListArray| {
        let fields = lists.values().as_struct_opt()?;
        Some(Headers { names: field(fields, "name")?, values: field(fields, "value")? })
    };
    let none = Headers { names: StringArray::new_null(0), values: StringArray::new_null(0) };
    Lists::of(batch, name, items, none)
}

/// Names and numbers: `Server-Timing`.
pub(crate) struct Timings<T: ArrowPrimitiveType> {
    pub(crate) names: StringArray,
    pub(crate) numbers: PrimitiveArray<T>,
}

pub(crate) fn timings<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
    number: &str,
) -> Lists<Timings<T>> {
    let items = |lists: &ListArray| {
        let fields = lists.values().as_struct_opt()?;
        let numbers = fields.column_by_name(number)?.as_primitive_opt::<T>()?.clone();
        Some(Timings { names: field(fields, "name")?, numbers })
    };
    let none = Timings { names: StringArray::new_null(0), numbers: PrimitiveArray::new_null(0) };
    Lists::of(batch, name, items, none)
}

fn field(fields: &StructArray, name: &str) -> Option<StringArray> {
    fields.column_by_name(name)?.as_string_opt::<i32>().cloned()
}

/// Indices of the texts that contain `needle`, in order: one pass over all texts at once.
pub(crate) fn holding<'a>(
    column: &'a StringArray,
    needle: &'a memchr::memmem::Finder<'_>,
) -> impl Iterator<Item = usize> + 'a {
    let (bytes, offsets) = (column.value_data(), column.value_offsets());
    let end = |index: usize| offsets.get(index + 1).and_then(|end| usize::try_from(*end).ok());
    let mut from = offsets.first().and_then(|first| usize::try_from(*first).ok()).unwrap_or_default();
    let mut index = 0;
    std::iter::from_fn(move || {
        loop {
            let hit = from + needle.find(bytes.get(from..)?)?;
            while end(index)? <= hit {
                index += 1;
            }
            let found = index;
            // What begins in one text and ends in the next is in neither.
            let is_within = hit + needle.needle().len() <= end(found)?;
            from = if is_within { end(found)? } else { hit + 1 };
            if is_within && column.is_valid(found) {
                return Some(found);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use memchr::memmem::Finder;

    use super::*;

    #[test]
    fn texts_that_hold_something_are_found_in_one_pass() {
        let column = StringArray::from(vec![
            Some("a{fp:1}b{fp:2}"),
            None,
            Some(""),
            Some("{f"),
            Some("p:x"),
            Some("none"),
            Some("{fp:"),
        ]);
        let needle = Finder::new("{fp:");
        assert_eq!(holding(&column, &needle).collect::<Vec<_>>(), [0, 6]);
        assert_eq!(holding(&column.slice(1, 6), &needle).collect::<Vec<_>>(), [5]);
        assert_eq!(holding(&column.slice(0, 3), &needle).collect::<Vec<_>>(), [0]);
        assert_eq!(holding(&StringArray::new_null(4), &needle).count(), 0);
    }
}
