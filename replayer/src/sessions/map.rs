//! The binding map: every binding of a capture by route, for a person to review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Fresh, Hole, ResponsePlace, Session, Sessions, Source, Step, route, tokens};

/// All bindings, most used first.
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
    /// What fills it: `GET /api/assignments/{id}/activities · /*/id`, `identity email`, `fresh uuid` or
    /// `nothing`.
    pub source: String,
    /// False where nothing fills it.
    pub resolved: bool,
    /// How many requests of the capture have this hole.
    pub uses: u64,
}

/// Collects the bindings of all sessions by route template.
///
/// An index of an array stands as `*` where several were used.
pub fn map(sessions: &Sessions) -> BindingMap {
    let mut rows: BTreeMap<(String, String, String), Row> = BTreeMap::new();
    for session in &sessions.sessions {
        for step in &session.steps {
            let request = template(step);
            for hole in &step.holes {
                let place = tokens::describe(&step.exchange, hole);
                let (source, exact) = source(session, hole);
                let row = rows.entry((request.clone(), place, source)).or_default();
                row.uses += 1;
                row.resolved = hole.source != Source::Unresolved;
                row.exact.insert(exact);
            }
        }
    }
    let mut bindings: Vec<BoundValue> = rows.into_iter().map(bound_value).collect();
    bindings.sort_by(|one, other| (&one.request, other.uses).cmp(&(&other.request, one.uses)));
    BindingMap { bindings }
}

#[derive(Default)]
struct Row {
    uses: u64,
    resolved: bool,
    /// The sources before indices became `*`.
    exact: BTreeSet<String>,
}

fn bound_value(((request, place, source), row): ((String, String, String), Row)) -> BoundValue {
    let Row { uses, resolved, exact } = row;
    let only = exact.first().filter(|_| exact.len() == 1).cloned();
    BoundValue { request, place, source: only.unwrap_or(source), resolved, uses }
}

fn template(step: &Step) -> String {
    route::template(&step.exchange.method, &step.exchange.target)
}

/// A hole's source for people, with and without `*` for indices.
fn source(session: &Session, hole: &Hole) -> (String, String) {
    let text = match &hole.source {
        Source::Response { step, from } => {
            let route = template(&session.steps[*step]);
            let exact = place(from);
            let starred = starred(&exact);
            return (format!("{route} · {starred}"), format!("{route} · {exact}"));
        }
        Source::Identity { column } => format!("identity {column}"),
        Source::Fresh(Fresh::Uuid { .. }) => "fresh uuid".to_owned(),
        Source::Unresolved => "nothing".to_owned(),
    };
    (text.clone(), text)
}

fn place(from: &ResponsePlace) -> String {
    match from {
        ResponsePlace::Json { pointer } => pointer.clone(),
        ResponsePlace::Header { name } => format!("header {name}"),
        ResponsePlace::HeaderSegment { name, from_end: 0 } => format!("header {name}, last segment"),
        ResponsePlace::HeaderSegment { name, from_end } => {
            format!("header {name}, segment {from_end} before the last")
        }
        ResponsePlace::HeaderQuery { name, key } => format!("header {name}, parameter {key}"),
        ResponsePlace::Cookie { name } => format!("cookie {name}"),
    }
}

fn starred(pointer: &str) -> String {
    let is_index = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let keys: Vec<&str> = pointer.split('/').map(|key| if is_index(key) { "*" } else { key }).collect();
    keys.join("/")
}

impl fmt::Display for BindingMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bindings.iter().try_for_each(|binding| writeln!(f, "{binding}"))
    }
}

impl fmt::Display for BoundValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, place, source, uses, .. } = self;
        let plural = if *uses == 1 { "use" } else { "uses" };
        write!(f, "{request} · {place} ← {source} ({uses} {plural})")
    }
}
