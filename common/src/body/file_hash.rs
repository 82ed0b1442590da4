//! The keyed hash of a file's beginning and size.
//!
//! Up to [`AT_ONCE_MAX`] bytes are gathered and hashed at once: BLAKE3 takes several blocks of 1 KiB in one
//! go that way, where pieces would go one after the other.

use std::sync::Arc;

use blake3::Hasher;

use crate::fingerprint::leading_u64;

/// Bytes that are gathered before they are hashed.
const AT_ONCE_MAX: usize = 4 << 10;

/// Hashes one file after the other.
#[derive(Debug)]
pub(super) struct FileHash {
    /// Keyed and fresh.
    hasher: Arc<Hasher>,
    /// Bytes of each file that count.
    bytes_max: u64,
    left: u64,
    begun: Begun,
}

#[derive(Debug)]
enum Begun {
    Gathered(Vec<u8>),
    /// More than is gathered.
    Running(Box<Hasher>),
}

impl FileHash {
    pub(super) fn new(hasher: Arc<Hasher>, bytes_max: u64) -> Self {
        Self { hasher, bytes_max, left: bytes_max, begun: Begun::Gathered(Vec::new()) }
    }

    /// The next piece of the file.
    pub(super) fn take(&mut self, content: &[u8]) {
        let counted = content.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= counted as u64;
        let content = &content[..counted];
        match &mut self.begun {
            Begun::Gathered(bytes) if bytes.len() + content.len() <= AT_ONCE_MAX => {
                bytes.extend_from_slice(content);
            }
            Begun::Gathered(bytes) => {
                let mut hasher = Box::new(Hasher::clone(&self.hasher));
                hasher.update(bytes).update(content);
                self.begun = Begun::Running(hasher);
            }
            Begun::Running(hasher) => drop(hasher.update(content)),
        }
    }

    /// The hash of the file, whose size it was; the next one begins.
    pub(super) fn finish(&mut self, file_bytes: u64) -> u64 {
        self.left = self.bytes_max;
        let hash = match std::mem::replace(&mut self.begun, Begun::Gathered(Vec::new())) {
            Begun::Gathered(mut bytes) => {
                bytes.extend_from_slice(&file_bytes.to_le_bytes());
                Hasher::clone(&self.hasher).update(&bytes).finalize()
            }
            Begun::Running(mut hasher) => hasher.update(&file_bytes.to_le_bytes()).finalize(),
        };
        leading_u64(&hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(content: &[u8], bytes_max: usize) -> u64 {
        let mut hasher = Hasher::new_keyed(&[7; 32]);
        hasher.update(&content[..content.len().min(bytes_max)]);
        leading_u64(&hasher.update(&(content.len() as u64).to_le_bytes()).finalize())
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 1..3),
            piece in 1..5000_usize,
            bytes_max in prop::sample::select(vec![0, 1, 1024, 4096, 5000, 1 << 20]),
        ) {
            let mut hash = FileHash::new(Arc::new(Hasher::new_keyed(&[7; 32])), bytes_max as u64);
            for content in files {
                content.chunks(piece).for_each(|piece| hash.take(piece));
                prop_assert_eq!(hash.finish(content.len() as u64), plainly(&content, bytes_max));
            }
        }
    }
}
