//! The bytes of an input file: from a path or from standard input (`-`), plain or gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

const BUFFER_BYTES: usize = 256 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens one input; what is read of it moves `progress`.
pub fn open(path: &Path, progress: &ProgressBar) -> io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return decoded(io::stdin());
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    decoded(progress.wrap_read(file))
}

/// Bytes that are to be read, as far as the file system tells.
pub fn bytes(paths: &[impl AsRef<Path>]) -> u64 {
    let sizes = paths.iter().filter_map(|path| std::fs::metadata(path).ok());
    sizes.map(|metadata| metadata.len()).sum()
}

/// Compressed files are known by their first bytes, whatever they are called.
fn decoded(bytes: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut plain = BufReader::with_capacity(BUFFER_BYTES, bytes);
    if plain.fill_buf()?.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(plain))));
    }
    Ok(Box::new(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn gzip_is_known_by_its_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a line\n").unwrap();
        let compressed = io::Cursor::new(gzip.finish().unwrap());
        for bytes in [compressed, io::Cursor::new(b"a line\n".to_vec())] {
            let mut text = String::new();
            decoded(bytes).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "a line\n");
        }
    }
}
