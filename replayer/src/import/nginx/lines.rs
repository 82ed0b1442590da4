//! Lines of a log, bounded.

use std::io::{self, BufRead, Read};

const LINE_BYTES_MAX: u64 = 1 << 20;

/// Reads line by line; counts from 1.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, bytes: Vec::new() }
    }

    /// The number of the line that was read last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its end; `None` at the end of the file. Of a line over the bound only as much is
    /// kept, which then fits no format. What is no UTF-8 is replaced.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        self.bytes.clear();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read as u64 == LINE_BYTES_MAX && !self.bytes.ends_with(b"\n") {
            self.skip_line()?;
        }
        Ok(Some(String::from_utf8_lossy(self.bytes.trim_ascii_end()).into_owned()))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let piece = self.input.fill_buf()?;
            let end = memchr::memchr(b'\n', piece).map(|at| at + 1);
            let bytes = end.unwrap_or(piece.len());
            self.input.consume(bytes);
            if end.is_some() || bytes == 0 {
                return Ok(());
            }
        }
    }
}
