//! HAR 1.2, the export of browsers and of many proxies and load tools.
//!
//! Programs differ in what they write, so an entry is read leniently, field by field; what is not there is
//! made up by rule. The file is read as a stream: one entry is in memory at a time, whatever its size. The
//! `har` crate reads whole files into strict types and refuses what common exporters leave out.
//! Format: <http://www.softwareishard.com/blog/har-12-spec/>.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{ImportError, Sink, Source};

mod body;
mod entry;
mod message;
mod node;
mod timings;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads one HAR file; an entry after the other goes to `sink`.
pub fn read(source: Source<'_>, input: impl BufRead, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let mut reading = Reading { source, sink, entries: 0, has_list: false, stopped: None };
    let input = without_bom(input).map_err(|error| reading.broken(&error))?;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(input));
    let read = json.deserialize_map(Object { key: "log", reading: &mut reading });
    let read = read.and_then(|()| json.end());
    match (reading.stopped.take(), read) {
        (Some(stopped), _) => Err(stopped),
        (None, Err(error)) => Err(reading.broken(&error)),
        (None, Ok(())) if !reading.has_list => Err(reading.broken(&"it has no `log.entries`")),
        (None, Ok(())) => Ok(()),
    }
}

fn without_bom(mut input: impl BufRead) -> std::io::Result<impl Read> {
    let has_bom = input.fill_buf()?.starts_with(BOM);
    input.consume(if has_bom { BOM.len() } else { 0 });
    Ok(input)
}

struct Reading<'a, 's> {
    source: Source<'a>,
    sink: &'a mut Sink<'s>,
    entries: u64,
    has_list: bool,
    stopped: Option<ImportError>,
}

impl Reading<'_, '_> {
    fn place(&self) -> String {
        format!("{}: entry {}", self.source.name, self.entries)
    }

    fn broken(&self, why: &dyn fmt::Display) -> ImportError {
        let after = if self.entries > 0 { format!(" (after entry {})", self.entries) } else { String::new() };
        ImportError::Input {
            place: self.source.name.to_owned(),
            why: format!("{why}{after}; it is no HAR, or one that was cut off: export it again"),
        }
    }

    /// False when the import has to end.
    fn entry(&mut self, entry: &Value) -> bool {
        self.entries += 1;
        let finding = entry::finding(self.source, self.place(), entry);
        self.stopped = (self.sink)(finding).err();
        self.stopped.is_none()
    }
}

/// An object of which one key matters: `log` of the file, `entries` of the log.
struct Object<'r, 'a, 's> {
    key: &'static str,
    reading: &'r mut Reading<'a, 's>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the key `{}`", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match (key == self.key, self.key) {
                (true, "log") => map.next_value_seed(Object { key: "entries", reading: self.reading })?,
                (true, _) => map.next_value_seed(Entries { reading: self.reading })?,
                (false, _) => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Entries<'r, 'a, 's> {
    reading: &'r mut Reading<'a, 's>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.reading.has_list = true;
        while let Some(entry) = entries.next_element::<Value>()? {
            if !self.reading.entry(&entry) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
