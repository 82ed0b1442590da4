//! Orphans: sessions whose login precedes the capture, and what a user's rules make of them.
//!
//! An orphan's requests carry a credential that no captured response gave. With a rule the requests that give one
//! (mostly the login) are put before them, as another session of the capture has them; what the orphan lacks is then
//! bound to their answers: as that session binds the same place of the same route, else as any other does, else as the
//! same place of any route is bound. The session that shows most is taken, so that ids that belong together (an
//! assignment and its activity) come from one user.

use std::collections::{HashMap, HashSet};

use kingtide_common::exchange::Ending;

use super::place::RoutePattern;
use super::rules::{Given, Orphans};
use super::{Choice, Fresh, Hole, ResponsePlace, Session, Source, Step, bind, route, tokens};
use crate::report::format::counted;

/// What became of the orphans of a capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// They have a login now.
    pub repaired: usize,
    /// They are left out.
    pub dropped: usize,
    /// The rules name requests that no whole session of the capture has, so nothing was done.
    pub without_donor: bool,
}

/// From this status on an answer gives nothing.
const FAILED_STATUS_MIN: u16 = 400;
/// A user who has just logged in waits no longer than this for the next request.
const LEAD_US_MAX: u64 = 10_000_000;
/// Where no captured user shows it.
const LEAD_US: u64 = 1_000_000;

/// A UUID that an orphan sends and other sessions take from a response was no invention of its client either: that
/// response only precedes the capture.
pub(super) fn doubt_inventions(sessions: &mut [Session]) {
    let mut doubts = Doubts::default();
    for session in &*sessions {
        doubts.add_invented(session);
    }
    for session in &*sessions {
        doubts.add_given(session);
    }
    for session in sessions {
        doubts.settle(session);
    }
}

/// See [`doubt_inventions`]: its three passes over all sessions.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Routes and places of what orphans invented.
    invented: HashSet<(String, String)>,
    /// Those of them that a response fills elsewhere.
    given: HashSet<(String, String)>,
}

impl Doubts {
    pub(crate) fn add_invented(&mut self, session: &Session) {
        if session.orphan {
            let invented = holes(session).filter(|(_, hole)| is_invented(hole));
            self.invented.extend(invented.map(|(step, hole)| key(step, hole)));
        }
    }

    pub(crate) fn add_given(&mut self, session: &Session) {
        if self.invented.is_empty() {
            return;
        }
        let bound = holes(session).filter(|(_, hole)| matches!(hole.source, Source::Response { .. }));
        let keys = bound.map(|(step, hole)| key(step, hole));
        self.given.extend(keys.filter(|key| self.invented.contains(key)));
    }

    pub(crate) fn settle(&self, session: &mut Session) {
        if !session.orphan || self.given.is_empty() {
            return;
        }
        for step in &mut session.steps {
            for at in 0..step.holes.len() {
                if is_invented(&step.holes[at]) && self.given.contains(&key(step, &step.holes[at])) {
                    step.holes[at].source = Source::Unresolved;
                }
            }
        }
    }

    /// Whether an orphan invented anything: else there is nothing to look for.
    pub(crate) fn has_any(&self) -> bool {
        !self.invented.is_empty()
    }

    pub(crate) fn changes_any(&self) -> bool {
        !self.given.is_empty()
    }
}

fn holes(session: &Session) -> impl Iterator<Item = (&Step, &Hole)> {
    session.steps.iter().flat_map(|step| step.holes.iter().map(move |hole| (step, hole)))
}

fn is_invented(hole: &Hole) -> bool {
    let is_made_up = matches!(hole.source, Source::Fresh(Fresh::Uuid { .. } | Fresh::Alike { .. }));
    hole.choice.rule.is_none() && is_made_up
}

/// Route and place of a value.
fn key(step: &Step, hole: &Hole) -> (String, String) {
    (template(step), tokens::describe(&step.exchange, hole))
}

/// Does what the rules say about orphans.
pub(super) fn repair(mut sessions: Vec<Session>, given: &Given) -> (Vec<Session>, Repairs) {
    let mut repairing = Repairing::default();
    if let Some(mut donors) = Donors::wanted(given) {
        for session in &sessions {
            donors.look_at(session);
        }
        for session in &sessions {
            donors.learn(session);
        }
        repairing = donors.repairing();
    }
    sessions.retain_mut(|session| repairing.keeps(session, given));
    (sessions, repairing.repairs)
}

/// Looks for the session whose requests are put before orphans, in two passes over all.
#[derive(Debug)]
pub(crate) struct Donors<'a> {
    routes: &'a [RoutePattern],
    best: Option<(Known, Prelude)>,
}

/// What becomes of each orphan.
#[derive(Debug, Default)]
pub(crate) struct Repairing {
    donor: Option<(Known, Prelude)>,
    pub(crate) repairs: Repairs,
}

impl<'a> Donors<'a> {
    /// Where the rules say that requests are to be put before orphans.
    pub(crate) fn wanted(given: &'a Given) -> Option<Self> {
        match &given.orphans {
            Orphans::Keep | Orphans::Drop => None,
            Orphans::Prepend(routes) => Some(Self { routes, best: None }),
        }
    }

    /// The session that shows most is taken, of equal ones the earliest.
    pub(crate) fn look_at(&mut self, session: &Session) {
        let Some(prelude) = Prelude::of(session, self.routes) else { return };
        let known = Known::of_donor(session, &prelude.chosen);
        let most = self.best.as_ref().map(|(best, _)| best.exact.len());
        if most.is_none_or(|most| known.exact.len() > most) {
            self.best = Some((known, prelude));
        }
    }

    /// What the donor does not show, others may.
    pub(crate) fn learn(&mut self, session: &Session) {
        if let Some((known, _)) = &mut self.best {
            known.add_other(session, self.routes);
        }
    }

    pub(crate) fn repairing(self) -> Repairing {
        Repairing { donor: self.best, repairs: Repairs::default() }
    }
}

impl Repairing {
    /// Repairs a session that needs it; false for one that the rules leave out.
    pub(crate) fn keeps(&mut self, session: &mut Session, given: &Given) -> bool {
        if !session.orphan {
            return true;
        }
        match (&given.orphans, &self.donor) {
            (Orphans::Keep, _) => {}
            (Orphans::Drop, _) => {
                self.repairs.dropped += 1;
                return false;
            }
            (Orphans::Prepend(_), None) => self.repairs.without_donor = true,
            (Orphans::Prepend(_), Some((known, prelude))) => {
                prelude.put_before(session, known);
                session.orphan = session
                    .steps
                    .iter()
                    .any(|step| bind::lacks_credential(&step.exchange, &step.holes, given));
                self.repairs.repaired += usize::from(!session.orphan);
            }
        }
        true
    }
}

/// The requests that are put before an orphan's.
#[derive(Debug)]
struct Prelude {
    /// What they are in the session that they are taken from.
    chosen: Vec<usize>,
    steps: Vec<Step>,
    /// From its first request to the orphan's first.
    lead_us: u64,
}

impl Prelude {
    /// The wanted routes in their order, out of a session that is no orphan and has them all.
    fn of(session: &Session, routes: &[RoutePattern]) -> Option<Self> {
        let mut chosen = Vec::new();
        let mut from = 0;
        for wanted in routes.iter().filter(|_| !session.orphan) {
            let serves =
                |at: &usize| wanted.matches(&template(&session.steps[*at])) && gives(&session.steps[*at]);
            let at = (from..session.steps.len()).find(serves)?;
            chosen.push(at);
            from = at + 1;
        }
        let (first, last) = (*chosen.first()?, *chosen.last()?);
        let last_us = session.steps[last].offset_us;
        let think_us = session.steps.get(last + 1).map_or(LEAD_US, |next| next.offset_us - last_us);
        let base_us = session.steps[first].offset_us;
        let steps = chosen.iter().map(|&at| Self::step(&session.steps[at], base_us, &chosen)).collect();
        let lead_us = last_us - base_us + think_us.clamp(1, LEAD_US_MAX);
        Some(Self { chosen, steps, lead_us })
    }

    fn step(step: &Step, base_us: u64, chosen: &[usize]) -> Step {
        let mut step = Step { offset_us: step.offset_us - base_us, connection: 0, ..step.clone() };
        for hole in &mut step.holes {
            hole.choice.also.clear();
            if let Source::Response { step: from, .. } = &mut hole.source {
                match chosen.iter().position(|at| at == from) {
                    Some(position) => *from = position,
                    None => hole.source = Source::Unresolved,
                }
            }
        }
        step
    }

    fn put_before(&self, session: &mut Session, known: &Known) {
        let (shift, slots) = (self.steps.len(), slots(session));
        session.start_ns -= i64::try_from(self.lead_us).unwrap_or_default() * 1000;
        for step in &mut session.steps {
            step.offset_us += self.lead_us;
            known.supply(step, shift);
        }
        let mut steps: Vec<Step> =
            self.steps.iter().map(|step| timed(step, session.start_ns, slots)).collect();
        steps.append(&mut session.steps);
        session.steps = steps;
    }
}

/// Where sessions with a login take from its answers, by request route and place.
#[derive(Debug)]
struct Known {
    exact: HashMap<(String, String), (usize, ResponsePlace)>,
    by_place: HashMap<String, (usize, ResponsePlace)>,
}

impl Known {
    /// By the requests of the donor that need nothing but the prelude: what these take together belongs together.
    fn of_donor(session: &Session, chosen: &[usize]) -> Self {
        let mut known = Self { exact: HashMap::new(), by_place: HashMap::new() };
        let position = |step: &usize| chosen.iter().position(|at| at == step);
        for step in session.steps.iter().filter(|step| step.waits_for().all(|step| position(&step).is_some()))
        {
            for (hole, source, from) in responses(step) {
                if let Some(at) = position(&source) {
                    known.add(key(step, hole), at, from);
                }
            }
        }
        known
    }

    fn add_other(&mut self, session: &Session, routes: &[RoutePattern]) {
        for step in &session.steps {
            for (hole, source, from) in responses(step) {
                let given_by = template(&session.steps[source]);
                if let Some(at) = routes.iter().position(|route| route.matches(&given_by)) {
                    self.add(key(step, hole), at, from);
                }
            }
        }
    }

    /// What is known already stays.
    fn add(&mut self, key: (String, String), at: usize, from: &ResponsePlace) {
        self.by_place.entry(key.1.clone()).or_insert_with(|| (at, from.clone()));
        self.exact.entry(key).or_insert_with(|| (at, from.clone()));
    }

    /// Fills what a step of an orphan lacks; its own sources are `shift` steps later now.
    fn supply(&self, step: &mut Step, shift: usize) {
        for at in 0..step.holes.len() {
            let key = key(step, &step.holes[at]);
            let hole = &mut step.holes[at];
            hole.choice.also.iter_mut().for_each(|candidate| candidate.step += shift);
            match &mut hole.source {
                Source::Response { step, .. } => *step += shift,
                open @ Source::Unresolved => {
                    let Some((step, from)) = self.source(&key) else { continue };
                    *open = Source::Response { step, from };
                    hole.choice = Choice { is_repair: true, ..Choice::default() };
                }
                _ => {}
            }
        }
    }

    fn source(&self, key: &(String, String)) -> Option<(usize, ResponsePlace)> {
        self.exact.get(key).or_else(|| self.by_place.get(&key.1)).cloned()
    }
}

/// The holes that responses fill, with their step and place.
fn responses(step: &Step) -> impl Iterator<Item = (&Hole, usize, &ResponsePlace)> {
    step.holes.iter().filter_map(|hole| match &hole.source {
        Source::Response { step, from } => Some((hole, *step, from)),
        _ => None,
    })
}

fn template(step: &Step) -> String {
    route::template(&step.exchange.method, &step.exchange.target)
}

/// Whether an answer may give what later requests need.
fn gives(step: &Step) -> bool {
    let is_good = step.exchange.status.is_some_and(|status| status < FAILED_STATUS_MIN);
    is_good && step.exchange.ending == Ending::Complete
}

/// How many slots of fresh values a session has.
fn slots(session: &Session) -> usize {
    let holes = session.steps.iter().flat_map(|step| &step.holes);
    let slots = holes.filter_map(|hole| match hole.source {
        Source::Fresh(fresh) => Some(fresh.slot() + 1),
        _ => None,
    });
    slots.max().unwrap_or_default()
}

/// A step of the prelude at its time in a session, with slots of its own.
fn timed(step: &Step, start_ns: i64, slots: usize) -> Step {
    let mut step = step.clone();
    step.exchange.started_ns = start_ns.saturating_add_unsigned(step.offset_us * 1000);
    for hole in &mut step.holes {
        if let Source::Fresh(fresh) = &mut hole.source {
            *fresh = fresh.shifted(slots);
        }
    }
    step
}

impl Repairs {
    /// What a user must know of the orphans, of which so many are left, as sentences.
    pub fn cautions(&self, orphans: usize) -> Vec<String> {
        let Self { repaired, dropped, without_donor } = *self;
        let of = |number: usize, what: &str| {
            (number > 0).then(|| format!("{} {what}", counted(number as u64, "session")))
        };
        let lines = [
            of(
                orphans,
                "without login in the capture: requests carry filler for the credential; \
                         repair them by [orphans] in --rules FILE (configs/bindings.toml)",
            ),
            of(repaired, "without login in the capture, given one by the rules"),
            of(dropped, "without login in the capture, left out by the rules"),
        ];
        let donor = without_donor.then(|| {
            "the rules name requests to put before orphans ([orphans] prepend) that no session with its login has, in \
             this order and answered well: nothing was put before them"
                .to_owned()
        });
        lines.into_iter().flatten().chain(donor).collect()
    }
}
