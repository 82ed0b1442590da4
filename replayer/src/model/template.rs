//! Texts with placeholders: `{login:/access_token}`, `{identity.email}`, `{fresh.uuid}`.
//!
//! A placeholder begins with `{` and a letter, which JSON never has outside of strings. Written into a request it becomes
//! a hole in the place of a value that was not recorded, with the fingerprint of one, as a capture would have it.

use std::collections::HashMap;
use std::ops::Range;

use kingtide_common::fingerprint::Fingerprint;
use serde::Deserialize;

use crate::sessions::{
    Choice, Escape, Fresh, Hole, Place, ResponsePlace, Source, TimeFormat, response_place,
};

/// What values are taken to be long where their length counts beforehand, bytes: a UUID's.
const VALUE_BYTES: usize = 36;

/// See the module.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Value(Value),
}

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Of the answer to the latest request of the step with this name.
    Response {
        step: String,
        from: ResponsePlace,
    },
    Identity {
        column: String,
    },
    /// One for each request.
    Uuid,
    /// When the request goes out.
    Time(TimeFormat),
}

/// What a template is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Headers and fields of multipart bodies.
    Plain,
    /// Path and query. A value at its beginning is a whole path or URL.
    Target,
    Form,
    Json,
}

/// The holes of one request, in the order in which its templates are written.
#[derive(Debug)]
pub(super) struct Holes<'a> {
    /// The request's number within its session, which its fresh values go by.
    pub(super) step: usize,
    /// The latest request of a named step.
    pub(super) latest: &'a HashMap<&'a str, usize>,
    pub(super) list: Vec<Hole>,
}

impl Template {
    /// The names of the steps whose answers it needs.
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(Value::Response { step, .. }) => Some(step.as_str()),
            _ => None,
        })
    }

    /// As a request holds it, each placeholder a hole.
    pub(super) fn written(&self, place: Place, kind: Kind, holes: &mut Holes<'_>) -> String {
        self.with_values(kind, |value, range, escape| {
            holes.list.push(Hole {
                place,
                range,
                escape,
                source: holes.source(value),
                choice: Choice::default(),
            });
        })
    }

    /// The same for who looks at the text alone.
    pub(super) fn text(&self, kind: Kind) -> String {
        self.with_values(kind, |_, _, _| ())
    }

    fn with_values(&self, kind: Kind, mut hole: impl FnMut(&Value, Range<usize>, Escape)) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Value(value) => {
                    let (start, escape) = (text.len(), kind.escape(&text));
                    text.push_str(&stand_in(escape));
                    hole(value, start..text.len(), escape);
                }
            }
        }
        text
    }
}

impl Kind {
    /// Of a value that stands after this text.
    fn escape(self, before: &str) -> Escape {
        match self {
            Self::Plain => Escape::Raw,
            Self::Target if before.is_empty() => Escape::Raw,
            Self::Target | Self::Form => Escape::Percent,
            Self::Json if is_in_string(before) => Escape::JsonString,
            Self::Json => Escape::JsonScalar,
        }
    }
}

/// What a capture would hold of a value. Where a JSON number may stand, a number.
fn stand_in(escape: Escape) -> String {
    match escape {
        Escape::JsonScalar => "0".to_owned(),
        _ => Fingerprint { hash: 0, bytes: VALUE_BYTES }.to_string(),
    }
}

/// Whether a JSON text breaks off within a string.
fn is_in_string(json: &str) -> bool {
    let mut is_inside = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_inside = !is_inside,
            b'\\' if is_inside => drop(bytes.next()),
            _ => {}
        }
    }
    is_inside
}

impl Holes<'_> {
    fn source(&self, value: &Value) -> Source {
        let slot = self.step;
        match value {
            Value::Response { step, from } => match self.latest.get(step.as_str()) {
                Some(step) => Source::Response { step: *step, from: from.clone() },
                None => Source::Unresolved,
            },
            Value::Identity { column } => Source::Identity { column: column.clone() },
            Value::Uuid => Source::Fresh(Fresh::Uuid { slot }),
            Value::Time(format) => Source::Fresh(Fresh::Time { slot, format: *format, ahead_us: 0 }),
        }
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text.as_str());
        while let Some(start) = placeholder(rest) {
            let length =
                rest[start..].find('}').ok_or_else(|| format!("`{}` lacks its }}", &rest[start..]))?;
            pieces.push(Piece::Text(rest[..start].to_owned()));
            pieces.push(Piece::Value(value(&rest[start + 1..start + length])?));
            rest = &rest[start + length + 1..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }
}

fn placeholder(text: &str) -> Option<usize> {
    let begins = |at: &usize| text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic());
    text.match_indices('{').map(|(at, _)| at).find(begins)
}

fn value(inner: &str) -> Result<Value, String> {
    if let Some((step, place)) = inner.split_once(':') {
        return Ok(Value::Response { step: step.to_owned(), from: response_place(place)? });
    }
    let value = match inner.split_once('.') {
        Some(("identity", column)) if !column.is_empty() => {
            Some(Value::Identity { column: column.to_owned() })
        }
        Some(("fresh", "uuid")) => Some(Value::Uuid),
        Some(("fresh", name)) => TimeFormat::named(name).map(Value::Time),
        _ => None,
    };
    value.ok_or_else(|| {
        format!(
            "`{{{inner}}}` is no placeholder; write {{STEP:/pointer}}, {{STEP:header NAME}} or {{STEP:cookie NAME}} for a \
             value of an answer, {{identity.COLUMN}}, or {{fresh.KIND}} with uuid, epoch_s, epoch_ms, epoch_us, iso or date; \
             a brace of the text itself has a space after it"
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sessions::fill;

    const STANDS: &str = "{fp:0000000000000000.36}";

    fn template(text: &str) -> Template {
        Template::try_from(text.to_owned()).unwrap()
    }

    /// The text, and of each hole what stands there and how it is filled.
    fn written(text: &str, kind: Kind) -> (String, Vec<(String, Escape, Source)>) {
        let latest = HashMap::from([("login", 4)]);
        let mut holes = Holes { step: 7, latest: &latest, list: Vec::new() };
        let text = template(text).written(Place::Body, kind, &mut holes);
        let holes = holes.list.into_iter();
        let holes = holes.map(|hole| (text[hole.range].to_owned(), hole.escape, hole.source)).collect();
        (text, holes)
    }

    #[test]
    fn placeholders_become_holes_with_the_escape_of_their_place() {
        let uuid = Source::Fresh(Fresh::Uuid { slot: 7 });
        let id = Source::Response { step: 4, from: ResponsePlace::Json { pointer: "/0/id".to_owned() } };
        let table = [
            ("Bearer {fresh.uuid}", Kind::Plain, format!("Bearer {STANDS}"), Escape::Raw, uuid.clone()),
            ("/a/{login:/0/id}/b", Kind::Target, format!("/a/{STANDS}/b"), Escape::Percent, id.clone()),
            ("{login:/0/id}", Kind::Target, STANDS.to_owned(), Escape::Raw, id.clone()),
            ("a={login:/0/id}", Kind::Form, format!("a={STANDS}"), Escape::Percent, id.clone()),
            (
                r#"{"a \" b": "x{login:/0/id}"}"#,
                Kind::Json,
                format!(r#"{{"a \" b": "x{STANDS}"}}"#),
                Escape::JsonString,
                id.clone(),
            ),
            (r#"{"a":{login:/0/id}}"#, Kind::Json, r#"{"a":0}"#.to_owned(), Escape::JsonScalar, id),
        ];
        for (text, kind, expected, escape, source) in table {
            let (written, holes) = written(text, kind);
            assert_eq!(written, expected, "{text}");
            assert_eq!(
                holes.iter().map(|hole| (hole.1, &hole.2)).collect::<Vec<_>>(),
                [(escape, &source)],
                "{text}"
            );
            assert!(holes[0].0 == STANDS || holes[0].0 == "0", "{text}");
        }
    }

    #[test]
    fn places_are_written_as_in_rules() {
        let from = |text: &str| template(text).pieces[1].clone();
        let Piece::Value(Value::Response { step, from }) = from("{create:header Location, last segment}")
        else {
            panic!("a place of a response")
        };
        assert_eq!(
            (step.as_str(), from),
            ("create", response_place("header Location, last segment").unwrap())
        );
    }

    #[test]
    fn braces_of_json_are_no_placeholders() {
        for text in [r#"{"a": {}, "b": [{"c": 1}]}"#, "{ }", "{1}", ""] {
            assert_eq!(written(text, Kind::Json), (text.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_no_placeholder_is_answered_with_what_would_be() {
        for (text, remedy) in [
            ("{login}", "{STEP:/pointer}"),
            ("{identity.}", "{identity.COLUMN}"),
            ("{fresh.guid}", "uuid, epoch_s"),
            ("{login:access_token}", "`/0/id`"),
            ("{login:/*/id}", "write a number for `*`"),
            ("{login:/id", "lacks its }"),
        ] {
            let said = Template::try_from(text.to_owned()).unwrap_err();
            assert!(said.contains(remedy), "{text}: {said}");
        }
    }
    proptest! {
        #[test]
        fn a_filled_json_text_is_json_whatever_the_value(value in ".*") {
            let (text, fresh) = (r#"{"a":["\\","x{fresh.uuid}"],"b":{fresh.uuid}}"#, HashMap::new());
            let mut holes = Holes { step: 0, latest: &fresh, list: Vec::new() };
            let text = template(text).written(Place::Body, Kind::Json, &mut holes);
            let filled = fill(&text, &holes.list, |_| Some(value.clone()));
            let json: serde_json::Value = serde_json::from_str(&filled).unwrap();
            prop_assert_eq!(&json["a"][1], &format!("x{value}"));
        }

        #[test]
        fn reading_never_panics(text in "[{}:./a-zé*\", ]{0,24}") {
            let _ = Template::try_from(text);
        }
    }
}
