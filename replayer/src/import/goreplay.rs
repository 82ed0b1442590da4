//! GoReplay's files (`.gor`): requests, and answers where it was told to track them.
//!
//! ```text
//! 1 <id> <ns UTC> [<ns>]⏎ <request as sent> ⏎🐵🙈🙉⏎ 2 <id> <ns UTC> [<ns>]⏎ <answer as sent> ⏎🐵🙈🙉⏎ …
//! ```
//!
//! The separator may occur in a body: a record ends at one that a record's head follows, or the file's end,
//! and not before the length that its body announces, if a separator stands there. A file that was cut off
//! is read to its end. Answers wait for nothing; requests wait for their answer up to bounds.

use std::io::BufRead;

use super::{Finding, ImportError, Sink, Source};

mod exchange;
mod http;
mod pairs;
mod records;

use pairs::Pairs;
use records::{Record, Records};

const REPLAYED: &str = "answer of a replay (type 3)";
const NO_REQUEST: &str = "answer without its request";

/// Reads one file; an exchange after the other goes to `sink`.
pub fn read(source: Source<'_>, input: impl BufRead, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let mut records = Records::new(input);
    let mut pairs = Pairs::default();
    let mut number = 0_u64;
    loop {
        let record = records.next().map_err(|error| ImportError::Input {
            place: source.name.to_owned(),
            why: format!("cannot be read after record {number}: {error}"),
        })?;
        let Some(record) = record else { break };
        number += 1;
        take(source, number, record, &mut pairs, sink)?;
    }
    pairs.drain().try_for_each(|pair| sink(exchange::finding(source, pair)))?;
    (0..pairs.answers_left()).try_for_each(|_| sink(Finding::LeftOut(NO_REQUEST)))
}

fn take(
    source: Source<'_>,
    number: u64,
    record: Record,
    pairs: &mut Pairs,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let unreadable = |why: &str| Finding::Unreadable {
        place: format!("{}: record {number}", source.name),
        why: why.to_owned(),
    };
    match record {
        Record::TooLarge => sink(unreadable("larger than 64 MiB")),
        Record::Headless => sink(unreadable("it does not begin with type, id and time")),
        Record::Whole(payload) if payload.kind == b'3' => sink(Finding::LeftOut(REPLAYED)),
        Record::Whole(payload) => match http::parsed(payload.kind, &payload.bytes) {
            None => sink(unreadable("it holds no HTTP head")),
            Some(message) => {
                let ready = pairs.take(payload, message);
                ready.into_iter().try_for_each(|pair| sink(exchange::finding(source, pair)))
            }
        },
    }
}

#[cfg(test)]
mod tests;
