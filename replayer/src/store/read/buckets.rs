//! Exchanges sorted into buckets of neighbouring sessions, so that one bucket at a time fits into memory.

use super::super::code::{Broken, Coded, Decoder, Encoder};
use super::super::pile::{Extent, Pile};
use super::super::words::Words;
use super::super::{StoreError, broken, unreadable, unwritable};
use crate::sessions::User;
use kingtide_common::exchange::Exchange;

/// What waits to be written of all buckets together, about.
const PENDING_BYTES: usize = 32 << 20;
/// As many stay in memory once they are compressed.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// What is written at a time of one; in smaller blocks little is alike.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 4 << 10..=64 << 10;
/// Of zstd: the file is to be smaller, not small.
const LEVEL: i32 = 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The first session of each.
    firsts: Vec<u32>,
    all: Vec<Bucket>,
    block_bytes: usize,
    pile: Pile,
}

#[derive(Debug, Default)]
struct Bucket {
    pending: Vec<u8>,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    extent: Extent,
    /// Before they were compressed.
    bytes: usize,
}

impl Buckets {
    /// For sessions with so many exchanges, each bucket for so many at most.
    pub(super) fn of(sizes: Vec<u32>, exchanges_max: u32) -> Self {
        let mut firsts = Vec::new();
        let mut free = 0_u32;
        for (session, size) in (0..).zip(sizes) {
            if firsts.is_empty() || size > free {
                firsts.push(session);
                free = exchanges_max;
            }
            free = free.saturating_sub(size);
        }
        let block_bytes =
            (PENDING_BYTES / firsts.len().max(1)).clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
        let all = firsts.iter().map(|_| Bucket::default()).collect();
        Self { firsts, all, block_bytes, pile: Pile::keeping(MEMORY_BYTES_MAX) }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds an exchange, as bytes.
    pub(super) fn push(&mut self, session: u32, exchange: &[u8]) -> Result<(), StoreError> {
        let bucket = self.firsts.partition_point(|first| *first <= session) - 1;
        let bucket = &mut self.all[bucket];
        let mut to = Encoder::default();
        session.put(&mut to);
        bucket.pending.extend_from_slice(&to.bytes);
        bucket.pending.extend_from_slice(exchange);
        if bucket.pending.len() >= self.block_bytes { bucket.write(&mut self.pile) } else { Ok(()) }
    }

    /// From now on all can be read.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        self.all.iter_mut().try_for_each(|bucket| bucket.write(&mut self.pile))?;
        self.pile.settle().map_err(unwritable)
    }

    /// The users of a bucket, their keys taken out of those of all.
    pub(super) fn users(&self, bucket: usize, keys: &mut [String]) -> Result<Vec<User>, StoreError> {
        let mut exchanges: Vec<(u32, Exchange)> = Vec::new();
        for block in &self.all[bucket].blocks {
            let packed = self.pile.read(block.extent).map_err(unreadable)?;
            let bytes = zstd::bulk::decompress(&packed, block.bytes).map_err(|_| broken(Broken))?;
            read_all(&bytes, &mut exchanges).map_err(broken)?;
        }
        // As a capture's evidence is sorted, of equal ones the first to be recorded first.
        exchanges.sort_by_key(|(session, exchange)| (*session, exchange.started_ns, exchange.id));
        let mut users: Vec<(u32, User)> = Vec::new();
        for (session, exchange) in exchanges {
            if let Some((_, user)) = users.last_mut().filter(|(last, _)| *last == session) {
                user.exchanges.push(exchange);
            } else {
                let key = std::mem::take(&mut keys[session as usize]);
                users.push((session, User { key, exchanges: vec![exchange] }));
            }
        }
        Ok(users.into_iter().map(|(_, user)| user).collect())
    }
}

impl Bucket {
    fn write(&mut self, pile: &mut Pile) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let packed = zstd::bulk::compress(&self.pending, LEVEL).map_err(unwritable)?;
        let extent = pile.push(&packed).map_err(unwritable)?;
        self.blocks.push(Block { extent, bytes: self.pending.len() });
        // Sessions end, and their bucket is not written to again: the room is for others.
        self.pending = Vec::new();
        Ok(())
    }
}

fn read_all(bytes: &[u8], exchanges: &mut Vec<(u32, Exchange)>) -> Result<(), Broken> {
    let words = Words::default();
    let mut from = Decoder::new(bytes, &words);
    while !from.rest().is_empty() {
        exchanges.push(Coded::take(&mut from)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_bucket_and_a_large_session_has_its_own() {
        let firsts = |sizes: &[u32]| Buckets::of(sizes.to_vec(), 10).firsts;
        assert_eq!(firsts(&[]), [0; 0]);
        assert_eq!(firsts(&[4, 6, 1, 1]), [0, 2]);
        assert_eq!(firsts(&[30, 1, 30, 2, 9]), [0, 1, 2, 3, 4]);
    }
}
