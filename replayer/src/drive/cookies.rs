//! The cookies of a clone, kept as a browser keeps them.
//!
//! All lanes of a clone share one jar. It knows one origin, the target, which stands for the captured host: so
//! `Domain` and `Secure` are not asked for, a staging server behind plain HTTP would get no cookie at all. No
//! stock jar leaves these out; reading `Set-Cookie` is the `cookie` crate's.

use cookie::Cookie;
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use time::OffsetDateTime;

use crate::sessions::{Hole, Session, Source, cookie_at};

/// What browsers keep of one site.
const COOKIES_MAX: usize = 180;

/// A cookie that an answer set, for paths below its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetCookie {
    pub(super) name: String,
    pub(super) value: String,
    path: String,
    /// `None`: until the session ends.
    until: Option<OffsetDateTime>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Jar {
    /// In the order in which they were first set.
    cookies: Vec<SetCookie>,
}

/// What a captured client did with the cookies that it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// It sent some, or was given none that it could have sent.
    pub(super) keeps: bool,
    /// Names of those that it was given: the capture says for each of its requests whether they went with it.
    given: Vec<String>,
}

/// Names and values of cookies that go with one request.
pub(super) type Held = Vec<(String, String)>;

/// The cookies that the answer to a request for `path` sets.
pub(super) fn set_by(headers: &HeaderMap, path: &str, now: OffsetDateTime) -> Vec<SetCookie> {
    let texts = headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts.filter_map(|text| SetCookie::parse(text, path, now)).collect()
}

impl Habits {
    pub(super) fn of(session: &Session) -> Self {
        let mut habits = Self::default();
        let mut sends = false;
        for exchange in session.steps.iter().map(|step| &step.exchange) {
            sends |= exchange.request_headers.iter().any(|recorded| is(&header::COOKIE, &recorded.name));
            let set =
                exchange.response_headers.iter().filter(|recorded| is(&header::SET_COOKIE, &recorded.name));
            habits.given.extend(set.filter_map(|recorded| Some(names(&recorded.value).next()?.to_owned())));
        }
        habits.given.sort_unstable();
        habits.given.dedup();
        habits.keeps = sends || habits.given.is_empty();
        habits
    }

    /// Adds to a request's headers what its client holds beside the captured cookies.
    pub(super) fn add(&self, headers: &mut HeaderMap, held: &Held) -> Result<(), InvalidHeaderValue> {
        if held.is_empty() {
            return Ok(());
        }
        let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let known: Vec<&str> = sent.flat_map(names).chain(self.given.iter().map(String::as_str)).collect();
        let new = held.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let new: Vec<String> = new.map(|(name, value)| format!("{name}={value}")).collect();
        if new.is_empty() {
            return Ok(());
        }
        let first = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let all: Vec<String> = first.into_iter().chain(new).collect();
        let all = HeaderValue::from_str(&all.join("; "))?;
        match headers.get_mut(header::COOKIE) {
            Some(value) => *value = all,
            None => drop(headers.insert(header::COOKIE, all)),
        }
        Ok(())
    }
}

fn is(name: &HeaderName, recorded: &str) -> bool {
    recorded.eq_ignore_ascii_case(name.as_str())
}

impl SetCookie {
    fn parse(text: &str, path: &str, now: OffsetDateTime) -> Option<Self> {
        let cookie = Cookie::parse(text).ok()?;
        let by_age = cookie.max_age().map(|age| now.saturating_add(age));
        let until = by_age.or_else(|| cookie.expires_datetime());
        let own = cookie.path().filter(|path| path.starts_with('/'));
        let path = own.unwrap_or_else(|| default_path(path)).to_owned();
        Some(Self { name: cookie.name().to_owned(), value: cookie.value().to_owned(), path, until })
    }

    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Jar {
    /// Takes in what an answer set; what is over already takes its namesake out.
    pub(super) fn set(&mut self, cookies: &[SetCookie], now: OffsetDateTime) {
        for cookie in cookies {
            let same = |held: &SetCookie| held.name == cookie.name && held.path == cookie.path;
            match (self.cookies.iter().position(same), cookie.is_over(now)) {
                (Some(index), true) => drop(self.cookies.remove(index)),
                (Some(index), false) => self.cookies[index] = cookie.clone(),
                (None, false) if self.cookies.len() < COOKIES_MAX => self.cookies.push(cookie.clone()),
                (None, _) => {}
            }
        }
    }

    /// What goes with a request, one value for each name: that of the longest path.
    pub(super) fn held(&self, path: &str, now: OffsetDateTime) -> Held {
        let fits = |cookie: &&SetCookie| !cookie.is_over(now) && is_below(path, &cookie.path);
        let mut fitting: Vec<&SetCookie> = self.cookies.iter().filter(fits).collect();
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut held = Held::new();
        for cookie in fitting {
            if !held.iter().any(|(name, _)| *name == cookie.name) {
                held.push((cookie.name.clone(), cookie.value.clone()));
            }
        }
        held
    }
}

/// A `Cookie` header, already filled, with the values that the client holds; those that the plan has from
/// elsewhere than from a cookie stay. `captured` is the text that `holes` are in.
pub(super) fn with_held(filled: &str, captured: &str, holes: &[&Hole], held: &Held) -> String {
    if held.is_empty() {
        return filled.to_owned();
    }
    let is_planned = |name: &str| {
        let mut own = holes.iter().filter(|hole| cookie_at(captured, hole.range.start) == name);
        own.any(|hole| hole.source != Source::Unresolved)
    };
    let pair = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        let value = held.iter().find(|(is, _)| is == name).filter(|_| !is_planned(name));
        value.map_or_else(|| pair.to_owned(), |(name, value)| format!("{name}={value}"))
    };
    let pairs: Vec<String> = filled.split(';').map(|text| pair(text.trim())).collect();
    pairs.join("; ")
}

/// Names of a `Cookie` header.
pub(super) fn names(header: &str) -> impl Iterator<Item = &str> {
    header.split(';').map(|pair| pair.split('=').next().unwrap_or_default().trim())
}

/// RFC 6265, section 5.1.4.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// RFC 6265, section 5.1.4.
fn is_below(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::sessions::{Choice, Escape, Place, ResponsePlace};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn jar(answers: &[(&str, &str)]) -> Jar {
        let mut jar = Jar::default();
        for (path, text) in answers {
            let cookie = SetCookie::parse(text, path, NOW).into_iter();
            jar.set(&cookie.collect::<Vec<_>>(), NOW);
        }
        jar
    }

    fn shown(held: &Held) -> String {
        let pairs: Vec<String> = held.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    #[test]
    fn cookies_go_where_a_browser_sends_them() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: [Case<'_>; 9] = [
            ("for all", &[("/login", "sid=1; Path=/; HttpOnly")], "/api/me", "sid=1"),
            ("replaced", &[("/", "sid=1; Path=/"), ("/", "sid=2; Path=/")], "/", "sid=2"),
            ("deleted by age", &[("/", "sid=1; Path=/"), ("/", "sid=; Path=/; Max-Age=0")], "/", ""),
            (
                "deleted by date",
                &[("/", "a=1; Path=/"), ("/", "a=x; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT")],
                "/",
                "",
            ),
            ("below its path", &[("/", "a=1; Path=/api")], "/api/x", "a=1"),
            ("beside its path", &[("/", "a=1; Path=/api")], "/apix", ""),
            ("path of the request", &[("/auth/login", "a=1")], "/auth/me", "a=1"),
            ("not above it", &[("/auth/login", "a=1")], "/api", ""),
            ("longest path first", &[("/", "a=1; Path=/"), ("/", "a=2; Path=/api")], "/api", "a=2"),
        ];
        for (case, answers, path, expected) in cases {
            assert_eq!(shown(&jar(answers).held(path, NOW)), expected, "{case}");
        }
    }

    #[test]
    fn domain_and_secure_are_those_of_the_captured_host() {
        let jar = jar(&[("/", "sid=1; Domain=learn.example; Secure; SameSite=Strict; Path=/")]);
        assert_eq!(shown(&jar.held("/", NOW)), "sid=1");
    }

    #[test]
    fn cookies_expire() {
        let jar = jar(&[("/", "a=1; Max-Age=60; Path=/")]);
        assert_eq!(jar.held("/", NOW + Duration::seconds(59)).len(), 1);
        assert_eq!(jar.held("/", NOW + Duration::seconds(60)).len(), 0);
    }

    #[test]
    fn only_what_the_capture_does_not_know_is_added() {
        let habits = Habits { keeps: true, given: vec!["ab".to_owned()] };
        let held: Held = ["theme", "ab", "lb"].map(|name| (name.to_owned(), "new".to_owned())).to_vec();
        let added = |captured: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in captured {
                headers.append(header::COOKIE, HeaderValue::from_static(value));
            }
            habits.add(&mut headers, &held).unwrap();
            headers
                .get_all(header::COOKIE)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(added(&["theme=dark"]), ["theme=dark; lb=new"]);
        assert_eq!(added(&["a=1", "lb=2"]), ["a=1; theme=new", "lb=2"]);
        assert_eq!(added(&[]), ["theme=new; lb=new"]);
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        for number in 0..2 * COOKIES_MAX {
            let cookie = SetCookie::parse(&format!("c{number}=1; Path=/"), "/", NOW).unwrap();
            jar.set(&[cookie], NOW);
        }
        assert_eq!(jar.held("/", NOW).len(), COOKIES_MAX);
    }

    #[test]
    fn what_the_client_holds_takes_the_place_of_what_was_captured() {
        let captured = "theme=dark; sid=OLD; csrf=XXX; page=YYY";
        let hole = |text: &str, source| {
            let start = captured.find(text).unwrap();
            let (range, escape, choice) = (start..start + text.len(), Escape::Raw, Choice::default());
            Hole { place: Place::Header(0), range, escape, source, choice }
        };
        let from = ResponsePlace::Json { pointer: "/sid".to_owned() };
        let holes = [hole("OLD", Source::Response { step: 0, from }), hole("XXX", Source::Unresolved)];
        let holes: Vec<&Hole> = holes.iter().collect();
        let held: Held =
            ["theme", "sid", "csrf", "other"].map(|name| (name.to_owned(), "new".to_owned())).to_vec();
        assert_eq!(
            with_held("theme=dark; sid=live; csrf=xxx; page=YYY", captured, &holes, &held),
            "theme=new; sid=live; csrf=new; page=YYY"
        );
        assert_eq!(with_held("a=1;b=2", "a=1;b=2", &[], &Held::new()), "a=1;b=2", "as it was");
        assert_eq!(names(captured).collect::<Vec<_>>(), ["theme", "sid", "csrf", "page"]);
    }
}
