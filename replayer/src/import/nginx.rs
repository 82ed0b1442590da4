//! Nginx's access logs: `combined`, JSON with Nginx's names of variables, or whatever a `log_format` says.
//!
//! A log tells when a request ended, how long it took and how large it was; not what was in it. So an upload
//! is a size and a time, and everything else of it is made up by rule. A parser driven by the log's own
//! format, since no format but `combined` is fixed.

use std::io::BufRead;

use super::{Finding, ImportError, Sink, Source};

mod exchange;
mod fields;
mod lines;
mod log_format;
mod spread;

use fields::Fields;
use lines::Lines;
pub use log_format::{LogFormat, WrongFormat};
use spread::Spread;

/// How lines are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LineFormat {
    /// JSON where a line begins with `{`, else `combined`.
    #[default]
    Auto,
    Json,
    Of(LogFormat),
}

/// Reads one log; a line after the other goes to `sink`.
pub fn read(
    source: Source<'_>,
    input: impl BufRead,
    format: &LineFormat,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let combined = LogFormat::combined();
    let mut lines = Lines::new(input);
    let mut spread = Spread::default();
    loop {
        let line = lines.next().map_err(|error| ImportError::Input {
            place: format!("{}:{}", source.name, lines.number()),
            why: format!("cannot be read on: {error}"),
        })?;
        let Some(line) = line else { break };
        if line.trim().is_empty() {
            continue;
        }
        let finding = match fields(&line, format, &combined) {
            Ok(fields) => exchange::finding(&fields),
            Err(why) => Err(why),
        };
        match finding {
            Ok(exchange::Line::Left(reason)) => sink(Finding::LeftOut(reason))?,
            Ok(exchange::Line::Exchange(foreign)) => {
                spread.take(*foreign).try_for_each(|foreign| sink(Finding::Exchange(Box::new(foreign))))?;
            }
            Err(why) => sink(Finding::Unreadable {
                place: format!("{}:{}", source.name, lines.number()),
                why: why.to_owned(),
            })?,
        }
    }
    spread.flush().try_for_each(|foreign| sink(Finding::Exchange(Box::new(foreign))))
}

fn fields(line: &str, format: &LineFormat, combined: &LogFormat) -> Result<Fields, &'static str> {
    let is_json = matches!(format, LineFormat::Auto) && line.starts_with('{');
    match format {
        LineFormat::Json => Fields::of_json(line),
        LineFormat::Auto if is_json => Fields::of_json(line),
        LineFormat::Auto => {
            combined.fields(line).ok_or("it does not fit the format `combined`; name yours with --log-format")
        }
        LineFormat::Of(format) => format.fields(line).ok_or("it does not fit the log format"),
    }
}

#[cfg(test)]
mod tests;
