//! Routes and places as people write them: one notation for the map of bindings and for rules.
//!
//! `POST /api/items/{id}` is a route (`*` stands for any stretch), `part activity_id` a place in a request,
//! `/0/id` or `header Location, parameter code` a place in a response.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::names::normal;
use super::tokens::{Spot, Token};
use super::{ResponsePlace, TextPart};

/// Which routes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RoutePattern(String);

/// Which values of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PlacePattern {
    text: String,
    /// `None` for a field of any body.
    spot: Option<Spot>,
    /// In normal form.
    name: String,
    /// Of JSON, where the place was given by a pointer.
    pointer: Option<String>,
}

/// Which values of a response: a place in whose JSON pointer `*` stands for any index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ValuePattern(ResponsePlace);

impl RoutePattern {
    pub(super) fn matches(&self, route: &str) -> bool {
        is_like(&self.0, route)
    }
}

impl PlacePattern {
    pub(super) fn spot(&self) -> Option<Spot> {
        self.spot
    }

    pub(super) fn is(&self, spot: Spot, name: &str) -> bool {
        self.spot == Some(spot) && self.name == normal(name)
    }

    pub(super) fn holds(&self, token: &Token) -> bool {
        let is_spot = self.spot.map_or(token.spot.is_field(), |spot| spot == token.spot);
        is_spot
            && match &self.pointer {
                Some(pointer) => is_same_pointer(pointer, &token.pointer),
                None => self.name == normal(&token.name),
            }
    }
}

impl ValuePattern {
    pub(super) fn matches(&self, from: &ResponsePlace) -> bool {
        is_same_place(&self.0, from)
    }

    /// The places it means in a response with this body; the pattern with 0 for `*` where there is no body to look at.
    pub(super) fn places(&self, body: Option<&Value>) -> Vec<ResponsePlace> {
        expanded(&self.0, body)
    }
}

/// One place of a response, by its notation.
pub(crate) fn response_place(text: &str) -> Result<ResponsePlace, String> {
    let ValuePattern(place) = ValuePattern::try_from(text.to_owned())?;
    if text.split(['/', ',']).any(|key| key == "*") {
        return Err(format!("`{text}` may be many values; write a number for `*`, as in `/0/id`"));
    }
    Ok(place)
}

impl TryFrom<String> for RoutePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_route = text.split_once(' ').is_some_and(|(method, path)| {
            !method.is_empty() && !path.contains(' ') && path.starts_with(['/', '*'])
        });
        if is_route {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is no route; write method and path as `GET /api/items/{{id}}`, `*` for any stretch"
            ))
        }
    }
}

impl TryFrom<String> for PlacePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no place; write one as `header X-Device`, `cookie sid`, `query page`, `json id`, \
                 `json /user/id`, `form id`, `part id`, `field id` (json, form or part) or `path after items`"
            )
        };
        let (kind, name) = text.split_once(' ').ok_or_else(wrong)?;
        let spot = match kind {
            "header" => Some(Spot::Header),
            "cookie" => Some(Spot::Cookie),
            "query" => Some(Spot::Query),
            "json" => Some(Spot::Json),
            "form" => Some(Spot::Form),
            "part" => Some(Spot::Part),
            "path" => Some(Spot::Path),
            "field" => None,
            _ => return Err(wrong()),
        };
        let name = if kind == "path" { name.strip_prefix("after ").ok_or_else(wrong)? } else { name };
        let pointer = (kind == "json" && name.starts_with('/')).then(|| name.to_owned());
        Ok(Self { spot, name: normal(name), pointer, text })
    }
}

impl TryFrom<String> for ValuePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        place_of(&text).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no place of a response; write one as `/0/id`, `/items/*/id`, `header ETag`, `cookie sid`, \
                 `header Location, last segment` or `/next, parameter cursor`"
            )
        })
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PlacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A place of a response for people.
pub(super) fn describe(from: &ResponsePlace) -> String {
    match from {
        ResponsePlace::Json { pointer } => pointer.clone(),
        ResponsePlace::Header { name } => format!("header {name}"),
        ResponsePlace::Cookie { name } => format!("cookie {name}"),
        ResponsePlace::Within { of, part } => format!("{}, {}", describe(of), part.describe()),
    }
}

/// The same with `*` for each index of an array.
pub(super) fn describe_starred(from: &ResponsePlace) -> String {
    match from {
        ResponsePlace::Json { pointer } => starred(pointer),
        ResponsePlace::Within { of, part } => format!("{}, {}", describe_starred(of), part.describe()),
        ResponsePlace::Header { .. } | ResponsePlace::Cookie { .. } => describe(from),
    }
}

/// Whether two places are the same but for indices of arrays.
pub(super) fn is_same_place(one: &ResponsePlace, other: &ResponsePlace) -> bool {
    match (one, other) {
        (ResponsePlace::Json { pointer: one }, ResponsePlace::Json { pointer: other }) => {
            is_same_pointer(one, other)
        }
        (ResponsePlace::Header { name: one }, ResponsePlace::Header { name: other }) => {
            one.eq_ignore_ascii_case(other)
        }
        (ResponsePlace::Within { of: one, part }, ResponsePlace::Within { of: other, part: other_part }) => {
            part == other_part && is_same_place(one, other)
        }
        _ => one == other,
    }
}

fn starred(pointer: &str) -> String {
    let keys: Vec<&str> = pointer.split('/').map(|key| if is_index(key) { "*" } else { key }).collect();
    keys.join("/")
}

fn is_index(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

/// `*` in the first stands for any index; two indices are alike.
fn is_same_pointer(one: &str, other: &str) -> bool {
    let is_any = |key: &str| key == "*" || is_index(key);
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other || (is_any(one) && is_any(other)) => {}
            _ => return false,
        }
    }
}

fn place_of(text: &str) -> Option<ResponsePlace> {
    if let Some((of, part)) = text.rsplit_once(", ")
        && let Some(part) = part_of(part)
    {
        return Some(place_of(of)?.part(part));
    }
    if text.is_empty() || text.starts_with('/') {
        return Some(ResponsePlace::Json { pointer: text.to_owned() });
    }
    let (kind, name) = text.split_once(' ')?;
    let name = name.trim().to_owned();
    match kind {
        "header" => Some(ResponsePlace::Header { name }),
        "cookie" => Some(ResponsePlace::Cookie { name }),
        _ => None,
    }
}

fn part_of(text: &str) -> Option<TextPart> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["last", "segment"] => Some(TextPart::Segment { from_end: 0 }),
        ["segment", number, "before", "the", "last"] => {
            Some(TextPart::Segment { from_end: number.parse().ok()? })
        }
        ["parameter", key] => Some(TextPart::Query { key: (*key).to_owned() }),
        ["link", relation] => Some(TextPart::Link { relation: (*relation).to_owned() }),
        ["uuid", "in", "it"] => Some(TextPart::Uuid { nth: 0 }),
        ["uuid", number, "in", "it"] => {
            Some(TextPart::Uuid { nth: number.parse::<usize>().ok()?.checked_sub(1)? })
        }
        _ => None,
    }
}

/// Indices that `*` may stand for, at most.
const PLACES_MAX: usize = 1000;

fn expanded(place: &ResponsePlace, body: Option<&Value>) -> Vec<ResponsePlace> {
    match (place, body) {
        (ResponsePlace::Json { pointer }, Some(body)) => {
            let mut pointers = Vec::new();
            expand(body, "", pointer.split('/').skip(1).collect::<Vec<_>>().as_slice(), &mut pointers);
            pointers.into_iter().map(|pointer| ResponsePlace::Json { pointer }).collect()
        }
        (ResponsePlace::Json { pointer }, None) => {
            let keys: Vec<&str> = pointer.split('/').map(|key| if key == "*" { "0" } else { key }).collect();
            vec![ResponsePlace::Json { pointer: keys.join("/") }]
        }
        (ResponsePlace::Within { of, part }, body) => {
            expanded(of, body).into_iter().map(|of| of.part(part.clone())).collect()
        }
        (ResponsePlace::Header { .. } | ResponsePlace::Cookie { .. }, _) => vec![place.clone()],
    }
}

fn expand(value: &Value, pointer: &str, keys: &[&str], found: &mut Vec<String>) {
    let Some((key, rest)) = keys.split_first() else { return found.push(pointer.to_owned()) };
    match value.as_array().filter(|_| *key == "*") {
        Some(items) => {
            for (index, item) in items.iter().enumerate().take(PLACES_MAX) {
                expand(item, &format!("{pointer}/{index}"), rest, found);
            }
        }
        None => {
            if let Some(below) = value.pointer(&format!("/{key}")) {
                expand(below, &format!("{pointer}/{key}"), rest, found);
            }
        }
    }
}

/// `*` stands for any stretch.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| is_like(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_of_responses_are_read_as_they_are_printed() {
        for text in [
            "/0/id",
            "/items/*/id",
            "header ETag",
            "cookie sid",
            "header Location, last segment",
            "header Location, segment 2 before the last",
            "/next, parameter cursor",
            "header Link, link next, parameter page",
            "/message, uuid in it",
            "/message, uuid 2 in it",
        ] {
            assert_eq!(describe(&ValuePattern::try_from(text.to_owned()).unwrap().0), text);
        }
        for text in ["id", "body /id", "header", "/next, of it, nonsense x"] {
            let place = ValuePattern::try_from(text.to_owned());
            assert!(place.is_err() || text.starts_with('/'), "{text}");
        }
    }

    #[test]
    fn a_star_is_every_index() {
        let pattern = ValuePattern::try_from("/items/*/id".to_owned()).unwrap();
        let body = json!({"items": [{"id": 1}, {"x": 2}, {"id": 3}]});
        let shown: Vec<String> = pattern.places(Some(&body)).iter().map(describe).collect();
        assert_eq!(shown, ["/items/0/id", "/items/2/id"]);
        let unseen: Vec<String> = pattern.places(None).iter().map(describe).collect();
        assert_eq!(unseen, ["/items/0/id"]);
        let at = |pointer: &str| ResponsePlace::Json { pointer: pointer.to_owned() };
        assert!(pattern.matches(&at("/items/7/id")) && !pattern.matches(&at("/items/7/name")));
    }

    #[test]
    fn routes_match_with_stars() {
        let routes = [
            ("GET /api/items/{id}", "GET /api/items/{id}", true),
            ("* /api/*", "POST /api/items", true),
            ("GET *", "POST /api", false),
            ("GET /api/*/x", "GET /api/a/b/x", true),
            ("GET /api", "GET /api/x", false),
        ];
        for (pattern, route, fits) in routes {
            assert_eq!(RoutePattern::try_from(pattern.to_owned()).unwrap().matches(route), fits, "{pattern}");
        }
    }
}
