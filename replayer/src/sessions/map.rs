//! The binding map: every binding of a capture by route, for a person to review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::{Candidate, Fresh, Hole, ResponsePlace, Session, Sessions, Source, Step, place, route, tokens};

/// All bindings by route: routes with something unresolved first, within a route what is unresolved first, then what
/// is ambiguous, then by uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BindingMap {
    pub bindings: Vec<BoundValue>,
}

/// One kind of hole and what fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoundValue {
    /// Route template of the request: `POST /api/students/upload-recording`.
    pub request: String,
    /// Where the value stands in it: `part activity_id`.
    pub place: String,
    /// What fills it: `GET /api/assignments/{id}/activities · /*/id`, `identity email`, `fresh uuid`, `fresh time`, or
    /// `nothing`.
    pub source: String,
    /// False where nothing fills it.
    pub resolved: bool,
    pub by: By,
    /// Number of the rule in the file, from 1; `null` where none decided.
    pub rule: Option<usize>,
    /// How many requests of the capture have this hole.
    pub uses: u64,
    /// Other places that held the same value, some of them where there are many.
    pub also: Vec<String>,
    /// By its name the value could as well come from one of these.
    pub ambiguous: bool,
}

/// Who decided about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Nobody: nothing supplies it.
    Nobody,
    /// A response held the same value.
    Found,
    /// It is a login's field.
    Identity,
    /// It is of a kind that is made new.
    Fresh,
    Rule,
    /// A rule about orphans gave its session a login.
    Repair,
}

/// Collects the bindings of all sessions by route template.
///
/// An index of an array stands as `*` where several were used.
pub fn map(sessions: &Sessions) -> BindingMap {
    let mut mapping = Mapping::default();
    sessions.sessions.iter().for_each(|session| mapping.add(session));
    mapping.finish()
}

/// Collects the bindings session by session, as [`map`] does.
#[derive(Default)]
pub(crate) struct Mapping(BTreeMap<RowKey, Row>);

impl Mapping {
    pub(crate) fn add(&mut self, session: &Session) {
        for step in &session.steps {
            let request = template(step);
            for hole in &step.holes {
                let (source, exact) = source(session, hole);
                let place = tokens::describe(&step.exchange, hole);
                let key =
                    RowKey { request: request.clone(), place, source, rule: hole.choice.rule, by: by(hole) };
                self.0.entry(key).or_default().add(session, hole, exact);
            }
        }
    }
    pub(crate) fn finish(self) -> BindingMap {
        let mut bindings: Vec<BoundValue> = self.0.into_iter().map(|(key, row)| row.bound(key)).collect();
        let open: BTreeSet<String> =
            bindings.iter().filter(|bound| !bound.resolved).map(|bound| bound.request.clone()).collect();
        bindings.sort_by_cached_key(|bound| {
            let is_settled = !open.contains(&bound.request);
            (is_settled, bound.request.clone(), bound.resolved, !bound.ambiguous, u64::MAX - bound.uses)
        });
        BindingMap { bindings }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    request: String,
    place: String,
    source: String,
    rule: Option<usize>,
    by: By,
}

#[derive(Default)]
struct Row {
    uses: u64,
    /// The sources before indices became `*`.
    exact: BTreeSet<String>,
    also: BTreeSet<String>,
    ambiguous: bool,
}

impl Row {
    fn add(&mut self, session: &Session, hole: &Hole, exact: String) {
        self.uses += 1;
        self.exact.insert(exact);
        self.ambiguous |= hole.choice.is_ambiguous;
        self.also.extend(hole.choice.also.iter().map(|Candidate { step, from }| {
            format!("{} · {}", template(&session.steps[*step]), place::describe_starred(from))
        }));
    }

    fn bound(self, key: RowKey) -> BoundValue {
        let RowKey { request, place, source, rule, by } = key;
        let only = self.exact.first().filter(|_| self.exact.len() == 1).cloned();
        BoundValue {
            request,
            place,
            also: self.also.into_iter().filter(|also| *also != source).collect(),
            source: only.unwrap_or(source),
            resolved: by != By::Nobody,
            by,
            rule: rule.map(|index| index + 1),
            uses: self.uses,
            ambiguous: self.ambiguous,
        }
    }
}

fn by(hole: &Hole) -> By {
    match &hole.source {
        _ if hole.choice.rule.is_some() => By::Rule,
        _ if hole.choice.is_repair => By::Repair,
        Source::Response { .. } => By::Found,
        Source::Identity { .. } => By::Identity,
        Source::Fresh(_) | Source::Text(_) | Source::Filler => By::Fresh,
        Source::Unresolved => By::Nobody,
    }
}

fn template(step: &Step) -> String {
    route::template(&step.exchange.method, &step.exchange.target)
}

/// A hole's source for people, with and without `*` for indices.
fn source(session: &Session, hole: &Hole) -> (String, String) {
    let from = |step: &usize, from: &ResponsePlace| {
        let route = template(&session.steps[*step]);
        (
            format!("{route} · {}", place::describe_starred(from)),
            format!("{route} · {}", place::describe(from)),
        )
    };
    let text = match &hole.source {
        Source::Response { step, from: place } => return from(step, place),
        Source::Identity { column } => format!("identity {column}"),
        Source::Fresh(Fresh::Uuid { .. }) => "fresh uuid".to_owned(),
        Source::Fresh(Fresh::Alike { .. }) => "fresh text".to_owned(),
        Source::Fresh(Fresh::Time { .. }) => "fresh time".to_owned(),
        Source::Text(text) => format!("text `{text}`"),
        Source::Filler => "filler".to_owned(),
        Source::Unresolved => "nothing".to_owned(),
    };
    (text.clone(), text)
}

impl BindingMap {
    /// For people, in lines of at most `columns` characters where words allow it.
    pub fn to_text(&self, columns: usize) -> String {
        let mut text = self.summary();
        for group in self.bindings.chunk_by(|one, other| one.request == other.request) {
            text.push('\n');
            text.push_str(&group[0].request);
            text.push('\n');
            let widths = group.iter().map(|bound| bound.place.chars().count());
            let width = widths.filter(|width| *width <= PLACE_COLUMNS_MAX).max().unwrap_or_default();
            for bound in group {
                bound.write(&mut text, width, columns);
            }
        }
        text
    }

    fn summary(&self) -> String {
        let count = |is: fn(&BoundValue) -> bool| self.bindings.iter().filter(|bound| is(bound)).count();
        let (all, open) = (self.bindings.len(), count(|bound| !bound.resolved));
        let (ruled, ambiguous) = (count(|bound| bound.rule.is_some()), count(|bound| bound.ambiguous));
        let mut line = format!("{all} kinds of values");
        if open == 0 {
            line.push_str(", each with a source");
        }
        for (number, what) in [(open, "! unresolved"), (ambiguous, "? ambiguous"), (ruled, "by rules")] {
            if number > 0 {
                let _ = write!(line, ", {number} {what}");
            }
        }
        line + "\n"
    }
}

/// Longer places do not widen the column.
const PLACE_COLUMNS_MAX: usize = 32;

impl BoundValue {
    fn write(&self, text: &mut String, width: usize, columns: usize) {
        let mark = match (self.resolved, self.ambiguous) {
            (false, _) => '!',
            (true, true) => '?',
            (true, false) => ' ',
        };
        let source = format!("← {} ({})", self.source, self.notes());
        let line = format!("  {mark} {:width$} {source}", self.place);
        let is_short = line.chars().count() <= columns;
        let _ = if is_short {
            writeln!(text, "{line}")
        } else {
            writeln!(text, "  {mark} {}\n      {source}", self.place)
        };
        for also in &self.also {
            let _ = writeln!(text, "      also in {also}");
        }
    }

    fn notes(&self) -> String {
        let plural = if self.uses == 1 { "use" } else { "uses" };
        let rule = match self.rule {
            Some(number) => format!(", rule {number}"),
            None if self.by == By::Repair => ", repaired".to_owned(),
            None => String::new(),
        };
        format!("{} {plural}{rule}", self.uses)
    }
}

impl fmt::Display for BoundValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {} ← {} ({})", self.request, self.place, self.source, self.notes())
    }
}
