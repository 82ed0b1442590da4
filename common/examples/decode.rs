//! Prints every record of a capture as text, one a line, as it is after decompression. What `grep` finds in
//! the files themselves is nothing: their columns are compressed. `captures/make.sh` looks for secrets in this.

use std::io::{self, Write as _};
use std::path::PathBuf;

use kingtide_common::capture::Capture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory: PathBuf = std::env::args_os().nth(1).ok_or("usage: decode CAPTURE")?.into();
    let reading = Capture::open(&directory)?.read()?;
    let mut out = io::stdout().lock();
    for exchange in &reading.exchanges {
        writeln!(out, "{exchange:?}")?;
    }
    for gap in &reading.gaps {
        writeln!(out, "{gap:?}")?;
    }
    Ok(())
}
