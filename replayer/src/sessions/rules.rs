//! What a user says about sessions and bindings, from a TOML file (`--rules FILE`; every key: `configs/bindings.toml`).
//!
//! Routes and places are written as `kingtide plan --show-bindings` prints them, so that a line of the map becomes a
//! rule by copying. The first rule that fits a value counts. A rule that cannot be followed in a session (the response
//! it names is not there) leaves the value to what is found without it; a rule that fitted nothing at all is counted
//! with 0 in [`super::Sessions::rule_uses`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kingtide_common::config::{self, ConfigError};
use kingtide_common::units::Span;
use serde::Deserialize;

use super::names::normal;
use super::place::{PlacePattern, RoutePattern, ValuePattern};
use super::timestamp::TimeFormat;
use super::tokens::{Spot, Token};

/// Rules for grouping exchanges into sessions and for binding their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Silence after which the next exchange begins a new session, if it can stand alone; `None` takes what fits the
    /// capture ([`super::idle`]).
    pub idle_gap: Option<Duration>,
    pub given: Given,
}

/// What a user's file says; empty without one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    keys: Vec<PlacePattern>,
    credentials: Vec<PlacePattern>,
    /// By the normal form of the field's name.
    identities: BTreeMap<String, String>,
    pub(super) bindings: Vec<BindingRule>,
    pub(super) orphans: Orphans,
}

/// What is done with sessions whose login is not in the capture.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Orphans {
    #[default]
    Keep,
    Drop,
    /// Requests of these routes are put before them, taken from a session that has them.
    Prepend(Vec<RoutePattern>),
}

/// Where the values at one place come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "BindingText")]
pub(super) struct BindingRule {
    /// Requests it holds for; all when there is none.
    request: Option<RoutePattern>,
    place: PlacePattern,
    pub(super) when: When,
    pub(super) says: Says,
}

/// When a rule is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum When {
    /// Before anything is looked for.
    #[default]
    Always,
    /// For what would be unresolved without it.
    Unresolved,
}

/// What a rule says about a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Says {
    /// From the latest such response.
    Response {
        response: RoutePattern,
        value: ValuePattern,
    },
    Identity {
        column: String,
    },
    FreshUuid,
    /// As long as captured and of the same make.
    FreshAlike,
    /// `None`: in the captured value's own format.
    FreshTime(Option<TimeFormat>),
    Text(String),
    /// As captured: a constant of the application.
    Keep,
    /// Not from these.
    Never {
        response: Option<RoutePattern>,
        value: Option<ValuePattern>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RulesText {
    sessions: SessionsText,
    identities: BTreeMap<String, String>,
    orphans: OrphansText,
    bindings: Vec<BindingRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SessionsText {
    idle_gap: Option<Span>,
    keys: Vec<PlacePattern>,
    credentials: Vec<PlacePattern>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OrphansText {
    action: OrphanAction,
    prepend: Vec<RoutePattern>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OrphanAction {
    #[default]
    Keep,
    Drop,
    Login,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BindingText {
    request: Option<RoutePattern>,
    place: PlacePattern,
    #[serde(default)]
    when: When,
    response: Option<RoutePattern>,
    value: Option<ValuePattern>,
    identity: Option<String>,
    fresh: Option<String>,
    text: Option<String>,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    never: bool,
}

impl Rules {
    /// Reads a user's file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (text, source) = config::load::<RulesText>(path)?;
        Self::of(text).map_err(|(key, why)| config::wrong(&path.display().to_string(), &source, key, why))
    }

    /// Or the key that makes no sense, and why.
    fn of(text: RulesText) -> Result<Self, (&'static str, &'static str)> {
        let RulesText { sessions, identities, orphans, bindings } = text;
        let SessionsText { idle_gap, keys, credentials } = sessions;
        let mut marks = keys.iter().chain(&credentials);
        if marks.any(|place| !matches!(place.spot(), Some(Spot::Header | Spot::Cookie))) {
            return Err(("sessions.keys", "what identifies a user is a `header NAME` or a `cookie NAME`"));
        }
        let identities = identities.into_iter().map(|(field, column)| (normal(&field), column)).collect();
        let orphans = orphans.checked()?;
        let given = Given { keys, credentials, identities, bindings, orphans };
        Ok(Self { idle_gap: idle_gap.map(|gap| gap.0), given })
    }
}

impl OrphansText {
    fn checked(self) -> Result<Orphans, (&'static str, &'static str)> {
        match (self.action, self.prepend.is_empty()) {
            (OrphanAction::Keep, true) => Ok(Orphans::Keep),
            (OrphanAction::Drop, true) => Ok(Orphans::Drop),
            (OrphanAction::Login, false) => Ok(Orphans::Prepend(self.prepend)),
            (OrphanAction::Login, true) => {
                Err(("orphans.action", "which login? add prepend = [\"POST /api/auth/login\"]"))
            }
            (_, false) => Err(("orphans.prepend", "needs action = \"login\"")),
        }
    }
}

impl Given {
    pub(crate) fn keeps_orphans(&self) -> bool {
        self.orphans == Orphans::Keep
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// For who looks at the capture as it is.
    #[must_use]
    pub fn without_repairs(self) -> Self {
        Self { orphans: Orphans::Keep, ..self }
    }

    /// Whether a header or cookie alone says who the user is.
    pub(super) fn is_key(&self, spot: Spot, name: &str) -> bool {
        self.keys.iter().any(|place| place.is(spot, name))
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether a header or cookie carries a user's credential, beside those known by their names.
    pub(super) fn is_credential(&self, spot: Spot, name: &str) -> bool {
        self.credentials.iter().chain(&self.keys).any(|place| place.is(spot, name))
    }

    /// The column of the identities file that fills a login field, beside those known by their names.
    pub(super) fn identity_column(&self, field: &str) -> Option<&str> {
        if self.identities.is_empty() {
            return None;
        }
        self.identities.get(&normal(field)).map(String::as_str)
    }

    /// The rules that are about a value, with their index.
    pub(super) fn about<'a>(
        &'a self,
        route: &'a str,
        token: &'a Token,
    ) -> impl Iterator<Item = (usize, &'a BindingRule)> {
        self.bindings.iter().enumerate().filter(move |(_, rule)| rule.is_about(route, token))
    }

    /// Each binding rule as a sentence's subject: `POST /api/x · part y`.
    pub fn rules(&self) -> impl Iterator<Item = String> {
        self.bindings.iter().map(|rule| match &rule.request {
            Some(request) => format!("{request} · {}", rule.place),
            None => rule.place.to_string(),
        })
    }
}

impl BindingRule {
    fn is_about(&self, route: &str, token: &Token) -> bool {
        self.place.holds(token) && self.request.as_ref().is_none_or(|request| request.matches(route))
    }
}

impl TryFrom<BindingText> for BindingRule {
    type Error = String;

    fn try_from(text: BindingText) -> Result<Self, String> {
        let BindingText { request, place, when, response, value, identity, fresh, text, keep, never } = text;
        let mut said = Vec::new();
        match (never, response, value) {
            (true, response, value) if response.is_some() || value.is_some() => {
                said.push(Says::Never { response, value });
            }
            (true, ..) => return Err("never: add the `response` or `value` it must not come from".to_owned()),
            (false, Some(response), Some(value)) => said.push(Says::Response { response, value }),
            (false, None, None) => {}
            (false, ..) => {
                return Err("`response` (a route) and `value` (a place in it) go together".to_owned());
            }
        }
        said.extend(identity.map(|column| Says::Identity { column }));
        said.extend(fresh.as_deref().map(fresh_of).transpose()?);
        said.extend(text.map(Says::Text));
        said.extend(keep.then_some(Says::Keep));
        match <[Says; 1]>::try_from(said) {
            Ok([says]) => Ok(Self { request, place, when, says }),
            Err(_) => Err("say one of: response and value, identity, fresh, text, keep = true; \
                           or never = true with response or value"
                .to_owned()),
        }
    }
}

fn fresh_of(name: &str) -> Result<Says, String> {
    match name {
        "uuid" => Ok(Says::FreshUuid),
        "alike" => Ok(Says::FreshAlike),
        "time" => Ok(Says::FreshTime(None)),
        _ => TimeFormat::named(name).map(|format| Says::FreshTime(Some(format))).ok_or_else(|| {
            format!(
                "`{name}` cannot be made fresh; write uuid, alike, time, epoch_s, epoch_ms, epoch_us, iso or date"
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Rules, String> {
        let parsed = config::parse::<RulesText>("rules.toml", text).map_err(|error| error.in_one_line())?;
        Rules::of(parsed).map_err(|(key, why)| format!("{key}: {why}"))
    }

    #[test]
    fn the_shipped_file_is_read_and_uses_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/bindings.toml");
        let rules = Rules::read(&path).unwrap_or_else(|error| panic!("{}", error.in_one_line()));
        assert!(rules.given.is_empty(), "the example changes nothing until its lines are uncommented");
        let text = std::fs::read_to_string(&path).unwrap();
        let uncommented: String =
            text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n").collect();
        let rules = super::tests::rules(&uncommented).unwrap();
        let Given { keys, credentials, identities, bindings, orphans } = &rules.given;
        assert!(!keys.is_empty() && !credentials.is_empty() && !identities.is_empty());
        assert!(matches!(orphans, Orphans::Prepend(_)));
        let has = |is: fn(&Says) -> bool| assert!(bindings.iter().any(|rule| is(&rule.says)));
        has(|says| matches!(says, Says::Response { .. }));
        has(|says| matches!(says, Says::Identity { .. }));
        has(|says| matches!(says, Says::FreshUuid));
        has(|says| matches!(says, Says::FreshAlike));
        has(|says| matches!(says, Says::FreshTime(None)));
        has(|says| matches!(says, Says::FreshTime(Some(_))));
        has(|says| matches!(says, Says::Text(_)));
        has(|says| matches!(says, Says::Keep));
        has(|says| matches!(says, Says::Never { .. }));
        assert!(bindings.iter().any(|rule| rule.when == When::Unresolved));
    }

    #[test]
    fn mistakes_are_answered_with_line_and_remedy() {
        let mistakes = [
            ("[session]\n", "rules.toml:1", "did you mean `sessions`?"),
            (
                "\n[[bindings]]\nplace = \"part id\"\nresponse = \"GET /x\"\nvalu = \"/id\"",
                "rules.toml:5",
                "did you mean `value`?",
            ),
            ("[[bindings]]\nplace = \"prat id\"\nkeep = true", "rules.toml:2", "part id"),
            ("[[bindings]]\nplace = \"part id\"", "rules.toml:1", "say one of"),
            ("[[bindings]]\nplace = \"part id\"\nkeep = true\ntext = \"x\"", "rules.toml:1", "say one of"),
            ("[[bindings]]\nplace = \"part id\"\nresponse = \"GET /x\"", "rules.toml:1", "go together"),
            (
                "[[bindings]]\nplace = \"part id\"\nresponse = \"/x\"\nvalue = \"/id\"",
                "rules.toml:3",
                "GET /api/items",
            ),
            (
                "[[bindings]]\nplace = \"part id\"\nresponse = \"GET /x\"\nvalue = \"id\"",
                "rules.toml:4",
                "/0/id",
            ),
            ("[[bindings]]\nplace = \"part id\"\nfresh = \"date_time\"", "rules.toml:1", "epoch_s"),
            ("[orphans]\naction = \"login\"", "orphans.action", "which login?"),
            ("[orphans]\nprepend = [\"POST /login\"]", "orphans.prepend", "action"),
            ("[sessions]\nkeys = [\"json id\"]", "sessions.keys", "header NAME"),
        ];
        for (text, place, remedy) in mistakes {
            let said = rules(text).unwrap_err();
            assert!(said.contains(place) && said.contains(remedy), "{text}: {said}");
        }
    }
}
