//! From a capture to a store, in memory that follows what is being bound and not the capture.
//!
//! Two passes. The first looks at the columns that tell whose an exchange is ([`whose`]): 200 bytes an exchange while it
//! lasts, 16 after it. The second takes every exchange to the bucket of its session ([`buckets`]), in a temporary file
//! where they are many; then one bucket at a time is bound. What sessions must know of each other is kept small: which
//! UUIDs several users send as digests, and what orphans lack by route and place.
//!
//! The result is that of [`group`](crate::sessions::group) over all exchanges, which a test holds it to.

mod buckets;
mod repair;
#[cfg(test)]
mod tests;
mod whose;

use kingtide_common::capture::{Batch, Capture, CaptureError, Damage, Projection};
use kingtide_common::exchange::{Exchange, Gap, Record};

use self::buckets::Buckets;
use self::whose::Whose;
use super::code::{Coded as _, Encoder};
use super::{Filling, Store, StoreError, Stored};
use crate::sessions::{Binding, Doubts, Rules, UuidSenders, Uuids};

/// Exchanges that are bound at a time, some 3 KB each; a session with more is bound by itself.
const BUCKET_EXCHANGES: u32 = 16_384;

/// All that a replay needs of a capture.
#[derive(Debug)]
pub struct Reading {
    pub sessions: Stored,
    pub gaps: Vec<Gap>,
    pub damage: Vec<Damage>,
}

/// Why a capture cannot be read into a store.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a capture as sessions.
pub fn read(capture: &Capture, rules: &Rules) -> Result<Reading, ReadError> {
    read_in_buckets(capture, rules, BUCKET_EXCHANGES)
}

fn read_in_buckets(capture: &Capture, rules: &Rules, bucket_exchanges: u32) -> Result<Reading, ReadError> {
    let mut whose = Whose::of(capture, rules)?;
    let mut buckets = Buckets::of(whose.sizes(), bucket_exchanges);
    let (mut senders, mut gaps) = (UuidSenders::default(), Vec::new());
    let parts = |batch: Batch| batch.records().map(Part::of).collect::<Vec<_>>();
    let damage = capture.map_batches(Projection::All, parts, |parts| {
        parts.into_iter().try_for_each(|part| match part {
            Part::Gap(gap) => {
                gaps.push(gap);
                Ok(())
            }
            Part::Exchange { id, bytes, uuids } => {
                let Some(session) = whose.next(id) else { return Ok(()) };
                senders.add(session, &uuids);
                buckets.push(session, &bytes).map_err(ReadError::from)
            }
        })
    })?;
    buckets.settle()?;
    let Whose { keys, idle_gap, .. } = whose;
    let mut binding = Binding::new(&rules.given, senders.shared());
    let (store, doubts) = bound(&buckets, keys, &mut binding)?;
    let (sessions, repairs) = repair::repaired(store, doubts, &rules.given)?;
    let sessions = Stored { sessions, rule_uses: binding.rule_uses, repairs, idle_gap };
    Ok(Reading { sessions, gaps, damage })
}

/// The sessions of all buckets, which are in the order of their start.
fn bound(
    buckets: &Buckets,
    mut keys: Vec<String>,
    binding: &mut Binding<'_>,
) -> Result<(Store, Doubts), StoreError> {
    let (mut filling, mut doubts) = (Filling::default(), Doubts::default());
    for bucket in 0..buckets.len() {
        for user in buckets.users(bucket, &mut keys)? {
            let session = binding.session(user);
            doubts.add_invented(&session);
            filling.push(&session)?;
        }
    }
    Ok((filling.finish()?, doubts))
}

/// A record on its way into a bucket.
enum Part {
    Gap(Gap),
    Exchange { id: u64, bytes: Vec<u8>, uuids: Uuids },
}

impl Part {
    fn of(record: Record) -> Self {
        match record {
            Record::Gap(gap) => Self::Gap(gap),
            Record::Exchange(exchange) => {
                Self::Exchange { id: exchange.id, uuids: Uuids::of(&exchange), bytes: encoded(&exchange) }
            }
        }
    }
}

fn encoded(exchange: &Exchange) -> Vec<u8> {
    let mut to = Encoder::default();
    exchange.put(&mut to);
    to.bytes
}
