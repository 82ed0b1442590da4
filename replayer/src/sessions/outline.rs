//! What planning and judging need of a session: when its requests go out, how large they are, on which connection and
//! route. 48 bytes a request, where a session with its texts takes thousands.

use rustc_hash::FxHashMap;

use super::{Session, Source, Step, route};
use crate::measure::http::Version;

/// The outlines of all sessions, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlines {
    heads: Vec<Head>,
    /// Of all sessions, one after the other.
    steps: Vec<StepOutline>,
    /// Numbered in the order of their first use.
    templates: Names<String>,
    accounts: Names<Vec<String>>,
}

/// One session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outline<'a> {
    /// First byte of its first request, nanoseconds UTC.
    pub start_ns: i64,
    /// It uses a credential whose login the capture does not hold.
    pub orphan: bool,
    /// Content of its file parts.
    pub file_bytes: u64,
    /// Columns of the identities file that its requests need, by name.
    pub account: &'a [String],
    pub steps: &'a [StepOutline],
}

/// One step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepOutline {
    /// From the session's start to the first byte of this request, microseconds.
    pub offset_us: u64,
    /// From the request's first byte to the end of its answer; 0 where that is not known.
    pub done_us: u64,
    /// How long its body took, from the headers on.
    pub upload_us: u64,
    pub body_bytes: u64,
    /// Which of [`Outlines::templates`] its route is.
    pub route: u32,
    /// Which of the session's connections carries it.
    pub connection: u32,
    /// Which captured connection carried it, numbered in the session by first use.
    pub captured: u32,
    /// What was spoken on it.
    pub version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Head {
    start_ns: i64,
    file_bytes: u64,
    first_step: usize,
    steps: u32,
    account: u32,
    orphan: bool,
}

/// Different values, each with its number.
#[derive(Debug, Clone, PartialEq)]
struct Names<T: std::hash::Hash + Eq> {
    all: Vec<T>,
    numbers: FxHashMap<T, u32>,
}

impl Outlines {
    /// Adds one that comes after.
    pub(crate) fn push(&mut self, session: &Session) {
        let first_step = self.steps.len();
        let mut captured = Names::<u64>::default();
        for step in &session.steps {
            let captured = captured.number(step.exchange.connection);
            let step = self.step(step, captured);
            self.steps.push(step);
        }
        let file_bytes = session.steps.iter().flat_map(|step| step.exchange.files()).map(|file| file.bytes);
        self.heads.push(Head {
            start_ns: session.start_ns,
            file_bytes: file_bytes.fold(0, u64::saturating_add),
            first_step,
            steps: narrow(session.steps.len()),
            account: self.accounts.number(account(session)),
            orphan: session.orphan,
        });
    }

    fn step(&mut self, step: &Step, captured: u32) -> StepOutline {
        let Step { exchange, offset_us, connection, .. } = step;
        StepOutline {
            offset_us: *offset_us,
            done_us: exchange.instants.done_us.unwrap_or(0),
            upload_us: exchange.pacing.last().map_or(0, |last| last.at_us),
            body_bytes: exchange.request_body_bytes,
            route: self.templates.number(route::template(&exchange.method, &exchange.target)),
            connection: narrow(*connection),
            captured,
            version: Version::of(exchange),
        }
    }

    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The outline of the session with this index.
    ///
    /// # Panics
    ///
    /// When there is no such session.
    pub fn get(&self, session: usize) -> Outline<'_> {
        let Head { start_ns, file_bytes, first_step, steps, account, orphan } = self.heads[session];
        let account = &self.accounts.all[account as usize];
        Outline {
            start_ns,
            orphan,
            file_bytes,
            account,
            steps: &self.steps[first_step..first_step + steps as usize],
        }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Outline<'_>> + ExactSizeIterator {
        (0..self.len()).map(|session| self.get(session))
    }

    /// The routes: methods and paths with the ids taken out, in the order of their first use.
    pub fn templates(&self) -> &[String] {
        &self.templates.all
    }

    /// Requests of all sessions.
    pub fn requests(&self) -> usize {
        self.steps.len()
    }

    pub fn orphans(&self) -> usize {
        self.heads.iter().filter(|head| head.orphan).count()
    }

    /// Puts the sessions into this order, given by their indices.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        self.heads = order.iter().map(|session| self.heads[*session]).collect();
    }
}

impl FromIterator<Session> for Outlines {
    fn from_iter<T: IntoIterator<Item = Session>>(sessions: T) -> Self {
        let mut outlines = Self::default();
        sessions.into_iter().for_each(|session| outlines.push(&session));
        outlines
    }
}

impl StepOutline {
    /// When its answer was complete, microseconds from the session's start.
    pub fn end_us(&self) -> u64 {
        self.offset_us.saturating_add(self.done_us)
    }
}

/// The columns of the identities file that a session's requests need.
fn account(session: &Session) -> Vec<String> {
    let holes = session.steps.iter().flat_map(|step| &step.holes);
    let columns = holes.filter_map(|hole| match &hole.source {
        Source::Identity { column } => Some(column.clone()),
        _ => None,
    });
    let mut columns: Vec<String> = columns.collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a session of 2^32 steps does not fit into memory")
}

impl<T: std::hash::Hash + Eq> Default for Names<T> {
    fn default() -> Self {
        Self { all: Vec::new(), numbers: FxHashMap::default() }
    }
}

impl<T: std::hash::Hash + Eq + Clone> Names<T> {
    fn number(&mut self, name: T) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = narrow(self.all.len());
        self.all.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}
