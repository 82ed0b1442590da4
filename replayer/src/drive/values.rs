//! The values of one clone: what the answers to its earlier requests held, its account, and what is made fresh
//! for it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use uuid::Uuid;

use super::cookies::Held;
use crate::identities::Identity;
use crate::measure::Outcome;
use crate::measure::distinct::Print;
use crate::measure::run::BindingCounts;
use crate::sessions::credentials::Credentials;
use crate::sessions::{Fresh, Hole, ResponsePlace, Source, alike};

/// What later steps need of one answer.
pub(super) type Found = Vec<(ResponsePlace, String)>;

/// The ended steps of a clone, for those that wait for them.
#[derive(Debug)]
pub(super) struct Answers {
    settled: RefCell<Vec<Option<Settled>>>,
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Settled {
    at: Instant,
    found: Found,
    outcome: Outcome,
}

impl Answers {
    pub(super) fn new(steps: usize) -> Self {
        Self { settled: RefCell::new(vec![None; steps]), changed: Notify::new() }
    }

    /// A step ended, with or without the values it should have had.
    pub(super) fn settle(&self, step: usize, at: Instant, found: Found, outcome: Outcome) {
        self.settled.borrow_mut()[step] = Some(Settled { at, found, outcome });
        self.changed.notify_waiters();
    }

    /// When a step ended, if it has.
    pub(super) fn ended_at(&self, step: usize) -> Option<Instant> {
        self.settled.borrow()[step].as_ref().map(|settled| settled.at)
    }

    /// When a step ended; waits until it has.
    pub(super) async fn ended(&self, step: usize) -> Instant {
        loop {
            let changed = self.changed.notified();
            match self.ended_at(step) {
                Some(at) => return at,
                None => changed.await,
            }
        }
    }

    /// Ends when a further step has ended.
    pub(super) async fn change(&self) {
        self.changed.notified().await;
    }

    /// A login was repeated: its values are new, its instant is not.
    pub(super) fn renew(&self, step: usize, found: Found) {
        let mut settled = self.settled.borrow_mut();
        let Some(settled) = settled[step].as_mut() else { return };
        settled.found.retain(|(old, _)| found.iter().all(|(new, _)| new != old));
        settled.found.extend(found);
    }

    /// A step is not needed, because the one that it repeats has had the answer.
    pub(super) fn pass_on(&self, repeated: usize, step: usize, at: Instant) {
        let settled = self.settled.borrow()[repeated].clone();
        let settled = settled.expect("only what has ended well spares its repeat");
        self.settle(step, at, settled.found, settled.outcome);
    }

    fn outcome(&self, step: usize) -> Option<Outcome> {
        self.settled.borrow()[step].as_ref().map(|settled| settled.outcome)
    }

    fn value(&self, step: usize, from: &ResponsePlace) -> Option<String> {
        let settled = self.settled.borrow();
        let found = &settled.get(step)?.as_ref()?.found;
        found.iter().find(|(place, _)| place == from).map(|(_, value)| value.clone())
    }
}

/// Everything that fills the holes of one clone.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) answers: Answers,
    identity: Option<Identity<'a>>,
    credentials: &'a Credentials,
    /// UUIDs and texts made for a slot.
    texts: RefCell<HashMap<usize, String>>,
    /// Microseconds since 1970, UTC.
    times: RefCell<HashMap<usize, i64>>,
}

/// What a request shows of its user.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Of each column of the identity: whether it names the user, and its value.
    pub(super) identity: BTreeSet<(bool, Print)>,
    pub(super) tokens: Vec<Print>,
}

/// Fills the holes of one request, and counts.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    values: &'a Values<'a>,
    pub(super) bindings: BindingCounts,
    /// An answer that should have had a value did not.
    pub(super) is_missing: bool,
    /// Values that a good answer should have had.
    pub(super) lacked: u64,
    /// The request that would have got that answer was kept back by this machine.
    pub(super) is_kept_back: bool,
    pub(super) shown: Shown,
    /// Cookies that go with the request.
    pub(super) held: Held,
    /// What the user's clock shows when the request goes out, microseconds since 1970, UTC.
    now_us: i64,
}

impl<'a> Values<'a> {
    pub(super) fn new(identity: Option<Identity<'a>>, credentials: &'a Credentials) -> Self {
        let answers = Answers::new(credentials.len());
        Self { answers, identity, credentials, texts: RefCell::default(), times: RefCell::default() }
    }

    /// For a request that goes out at an instant.
    pub(super) fn filling(&'a self, at: Instant) -> Filling<'a> {
        Filling {
            values: self,
            bindings: BindingCounts::default(),
            is_missing: false,
            lacked: 0,
            is_kept_back: false,
            shown: Shown::default(),
            held: Held::new(),
            now_us: utc_us(at),
        }
    }

    fn fresh(&self, fresh: Fresh, captured: &str, now_us: i64) -> String {
        let text = |slot, make: &dyn Fn() -> String| {
            self.texts.borrow_mut().entry(slot).or_insert_with(make).clone()
        };
        match fresh {
            Fresh::Uuid { slot } => text(slot, &|| Uuid::new_v4().to_string()),
            Fresh::Alike { slot } => text(slot, &|| alike(captured, &mut rand::rng())),
            Fresh::Time { slot, format, ahead_us } => {
                let mut times = self.times.borrow_mut();
                format.write(*times.entry(slot).or_insert(now_us.saturating_add(ahead_us)))
            }
        }
    }
}

/// Wall clock at an instant that is not far off.
fn utc_us(at: Instant) -> i64 {
    let ahead = at.saturating_duration_since(Instant::now());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((now + ahead).as_micros()).unwrap_or(i64::MAX)
}

impl Filling<'_> {
    /// The value of a hole in which `captured` stood; `None` leaves filler of the captured length.
    pub(super) fn value(&mut self, hole: &Hole, captured: &str) -> Option<String> {
        let value = match &hole.source {
            Source::Response { step, from } => match self.response(*step, from) {
                Some(value) => Some(value),
                None => return self.lacking(*step),
            },
            Source::Identity { column } => self.identity(column, captured),
            Source::Fresh(fresh) => Some(self.values.fresh(*fresh, captured, self.now_us)),
            Source::Text(text) => Some(text.clone()),
            Source::Filler | Source::Unresolved => None,
        };
        let is_resolved = value.is_some() || hole.source == Source::Filler;
        self.bindings.resolved += u64::from(is_resolved);
        self.bindings.unresolved += u64::from(!is_resolved);
        value
    }

    /// Of a cookie the latest value that the target set: an answer that the capture does not have may have
    /// renewed it.
    fn response(&mut self, step: usize, from: &ResponsePlace) -> Option<String> {
        let value = self.held(from).or_else(|| self.values.answers.value(step, from));
        if self.values.credentials[step].contains(from) {
            self.shown.tokens.extend(value.as_deref().map(Print::of));
        }
        value
    }

    fn held(&self, from: &ResponsePlace) -> Option<String> {
        let ResponsePlace::Cookie { name } = from else { return None };
        self.held.iter().find(|(held, _)| held == name).map(|(_, value)| value.clone())
    }

    fn identity(&mut self, column: &str, captured: &str) -> Option<String> {
        let value = self.values.identity?.value(column, captured)?;
        self.shown.identity.insert((Identity::is_naming(column), Print::of((column, &value))));
        Some(value)
    }

    /// A value that the answer to a step does not hold. Only a good answer lacks it: where there was none, the
    /// target failed or this machine did, and that is counted there.
    fn lacking(&mut self, step: usize) -> Option<String> {
        let outcome = self.values.answers.outcome(step);
        self.is_missing = true;
        self.is_kept_back |= outcome.is_some_and(|outcome| outcome.is_generators());
        self.lacked += u64::from(outcome.is_some_and(|outcome| !outcome.is_failed()));
        None
    }
}
