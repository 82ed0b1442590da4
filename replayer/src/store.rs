//! Where the sessions of a capture are while they are replayed: not in memory.
//!
//! Of each session an [`Outlines`] keeps what planning and judging need, in a few dozen bytes a request. The whole of it
//! stands as bytes in memory while all of them are few, else in a temporary file, and is read when a clone of it begins,
//! or when somebody goes through all sessions. So memory follows the clones under way: the outlines of a million sessions
//! of six requests take 0.3 GB, where the sessions themselves would take 10, and their entries 3 GB of disk.
//!
//! capture → [`read`] → [`Filling`] → [`Store`]; `entry` says what a session is as bytes (`code`, `words`), `pile` where they are.

mod code;
mod entry;
mod pile;
mod read;
mod words;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use self::code::Broken;
use self::entry::Sent;
use self::pile::{Extent, Pile};
pub use self::read::{ReadError, Reading, read};
use self::words::Words;
use crate::inspect::synthesised::Synthesised;
use crate::sessions::credentials::{self, Credentials, Holders, Shared};
use crate::sessions::{IdleGap, Outlines, Repairs, Session, Source, Step};

/// The sessions of a capture or a model, in order of their start. See the module.
#[derive(Debug, Default)]
pub struct Store {
    outlines: Outlines,
    entries: Vec<Extent>,
    pile: Pile,
    words: Words,
    /// Credentials that several sessions were given alike.
    shared: Shared,
    /// Of their exchanges.
    synthesised: Synthesised,
    unresolved: usize,
}

/// A capture as [`group`](crate::sessions::group) has it, its sessions in a store.
#[derive(Debug, Default)]
pub struct Stored {
    pub sessions: Store,
    /// For each binding rule, how many values it decided.
    pub rule_uses: Vec<u64>,
    pub repairs: Repairs,
    /// The silence that parted the sessions.
    pub idle_gap: IdleGap,
}

/// Why sessions cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the sessions of this capture need a temporary file in {}: {source}; make room there, or name a directory on \
         another disk: TMPDIR=/path kingtide …",
        directory.display()
    )]
    Unwritable { directory: PathBuf, source: io::Error },
    #[error("cannot read back a session from the temporary file in {}: {source}", directory.display())]
    Unreadable { directory: PathBuf, source: io::Error },
    #[error("the temporary file in {} gives other bytes than were written: is that disk damaged?", directory.display())]
    Broken { directory: PathBuf },
}

/// A store that is being filled, with sessions in any order.
#[derive(Debug, Default)]
pub struct Filling {
    store: Store,
    holders: Holders,
    /// Ids of the sessions' first exchanges.
    ids: Vec<u64>,
}

/// What is sent of a session, still as bytes.
#[derive(Debug)]
pub(crate) struct Entry(Sent);

impl Filling {
    pub fn push(&mut self, session: &Session) -> Result<(), StoreError> {
        let Store { outlines, entries, pile, words, synthesised, unresolved, shared: _ } = &mut self.store;
        let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        entries.push(pile.push(&entry::encoded(session, words, number)).map_err(unwritable)?);
        outlines.push(session);
        session.steps.iter().for_each(|step| synthesised.add_exchange(&step.exchange));
        let holes = session.steps.iter().flat_map(|step| &step.holes);
        *unresolved += holes.filter(|hole| hole.source == Source::Unresolved).count();
        self.holders.add(session);
        self.ids.push(session.steps.first().map_or(0, |step| step.exchange.id));
        Ok(())
    }

    /// The store, its sessions in the order of their start.
    pub fn finish(mut self) -> Result<Store, StoreError> {
        self.store.pile.settle().map_err(unwritable)?;
        let outlines = &self.store.outlines;
        let mut order: Vec<usize> = (0..outlines.len()).collect();
        order.sort_by_key(|session| (outlines.get(*session).start_ns, self.ids[*session]));
        let entries = order.iter().map(|session| self.store.entries[*session]).collect();
        self.store.outlines.reorder(&order);
        Ok(Store { entries, shared: self.holders.shared(), ..self.store })
    }
}

impl Store {
    /// Keeps these sessions.
    pub fn of(sessions: impl IntoIterator<Item = Session>) -> Result<Self, StoreError> {
        let mut filling = Filling::default();
        sessions.into_iter().try_for_each(|session| filling.push(&session))?;
        filling.finish()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn outlines(&self) -> &Outlines {
        &self.outlines
    }

    /// What an import made up of its exchanges; `None` when nothing was.
    pub(crate) fn synthesised(&self) -> Option<&Synthesised> {
        Some(&self.synthesised).filter(|synthesised| synthesised.exchanges > 0)
    }

    /// Holes that nothing fills.
    pub fn unresolved(&self) -> usize {
        self.unresolved
    }

    /// The session with this index.
    pub fn session(&self, session: usize) -> Result<Session, StoreError> {
        let bytes = self.pile.read(self.entries[session]).map_err(unreadable)?;
        entry::decoded(&bytes, &self.words).map_err(broken)
    }

    /// All sessions, read one by one.
    pub fn sessions(&self) -> impl Iterator<Item = Result<Session, StoreError>> {
        (0..self.len()).map(|session| self.session(session))
    }

    /// A session, and what can be kept of it for less.
    pub(crate) fn read(&self, session: usize) -> Result<(Session, Entry), StoreError> {
        let bytes = self.pile.read(self.entries[session]).map_err(unreadable)?;
        let session = entry::decoded(&bytes, &self.words).map_err(broken)?;
        Ok((session, Entry(Sent::of(&bytes, &self.words).map_err(broken)?)))
    }

    /// A step of what was read here, without its answer.
    pub(crate) fn step(&self, entry: &Entry, step: usize) -> Step {
        entry.0.step(step, &self.words).expect("the whole session was decoded when it was read")
    }

    /// The places of a session's answers that hold a credential of its own.
    pub(crate) fn credentials(&self, session: &Session) -> Credentials {
        credentials::of(session, &self.shared)
    }
}

fn unwritable(source: io::Error) -> StoreError {
    StoreError::Unwritable { directory: pile::directory(), source }
}

fn unreadable(source: io::Error) -> StoreError {
    StoreError::Unreadable { directory: pile::directory(), source }
}

fn broken(Broken: Broken) -> StoreError {
    StoreError::Broken { directory: pile::directory() }
}
