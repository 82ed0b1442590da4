//! What a capture is, in one text: so that a result can say what it was made from.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// BLAKE3 over names and bytes of the segments, in the order of their names, hexadecimal.
pub fn digest(directory: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in segments(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::open(&path)?;
        hasher.update(name.as_bytes());
        hasher.update(&file.metadata()?.len().to_le_bytes());
        hasher.update_reader(file)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn segments(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "arrows"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_segments_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        put("exchanges-000001.arrows", "a");
        let before = digest(directory.path()).unwrap();
        put("lock", "");
        assert_eq!(digest(directory.path()).unwrap(), before);
        put("exchanges-000001.arrows", "b");
        assert_ne!(digest(directory.path()).unwrap(), before);
    }
}
