//! Where a document goes: a file that is there whole or not at all, or stdout.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::unfinished;

/// A document's bytes on their way. Dropped before [`Output::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    to: To,
}

#[derive(Debug)]
enum To {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, beside: PathBuf, path: PathBuf },
}

impl Output {
    pub fn stdout() -> Self {
        Self { to: To::Stdout(BufWriter::new(io::stdout())) }
    }

    /// Writes beside the path until the document is whole; what stood there stays until then.
    pub fn file(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let mut turn = unfinished::turn();
        let file = BufWriter::new(File::create(&beside)?);
        turn.begin(&beside);
        Ok(Self { to: To::File { file, beside, path: path.to_owned() } })
    }

    /// The document is whole: it takes its place, and is on the disk when this returns.
    pub fn commit(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Stdout(stdout) => stdout.flush(),
            To::File { file, beside, path } => {
                file.flush()?;
                file.get_ref().sync_all()?;
                let mut turn = unfinished::turn();
                fs::rename(&*beside, path)?;
                turn.end(beside);
                Ok(())
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Stdout(stdout) => stdout.write(bytes),
            To::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Stdout(stdout) => stdout.flush(),
            To::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let To::File { beside, .. } = &self.to {
            let mut turn = unfinished::turn();
            // After a commit there is no such file any more.
            let _ = fs::remove_file(beside);
            turn.end(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.csv");
        fs::write(&path, "before").unwrap();
        let mut given_up = Output::file(&path).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        let mut whole = Output::file(&path).unwrap();
        whole.write_all(b"after").unwrap();
        whole.commit().unwrap();
        drop(whole);
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
