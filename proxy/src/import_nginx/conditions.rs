//! The `if`s that can be said with routes: on the method, the host or plain HTTP, answering with `return`.

use super::context::Context;
use super::read::Directive;
use super::rewrites;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Methods(Vec<String>),
    Host(String),
    /// Not over TLS.
    PlainHttp,
}

pub(super) const WHY_NOT: &str = "an `if` is carried over when it compares $request_method, $host or $scheme and \
     only sets headers and returns: write a route with `methods`, `hosts` or `ports`";

/// What an `if` asks; none when it cannot be said with routes.
pub(super) fn condition(directive: &Directive) -> Option<Condition> {
    let returns = directive.directives().iter().any(|inner| inner.name == "return");
    let only_answers =
        directive.directives().iter().all(|inner| matches!(inner.name.as_str(), "return" | "add_header"));
    let args: Vec<&str> = directive.args.iter().map(String::as_str).collect();
    let condition = match args[..] {
        ["$request_method", "=", method] => Some(Condition::Methods(vec![method.to_owned()])),
        ["$request_method", "~" | "~*", pattern] => methods(pattern).map(Condition::Methods),
        ["$host" | "$http_host", "=", host] => Some(Condition::Host(host.to_owned())),
        ["$scheme", "=", "http"]
        | ["$scheme", "!=", "https"]
        | ["$https", "!=", "on"]
        | ["$https", "=", ""] => Some(Condition::PlainHttp),
        _ => None,
    };
    condition.filter(|_| returns && only_answers)
}

/// The `if`s of a level in the order in which they are asked; none is after a `return`.
pub(super) fn asked<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Directive> {
    let own = context.own().iter().take_while(|found| !rewrites::is_answer(found));
    own.filter(|found| found.name == "if")
}

/// `^(GET|POST)$` and the like.
fn methods(pattern: &str) -> Option<Vec<String>> {
    let names = pattern.trim_start_matches('^').trim_end_matches('$');
    let names = names.strip_prefix('(').and_then(|names| names.strip_suffix(')')).unwrap_or(names);
    let names: Vec<String> = names.split('|').map(str::to_owned).collect();
    let are_plain =
        names.iter().all(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase()));
    are_plain.then_some(names)
}

/// A name, or `*.example.com` for all below it.
pub(super) fn covers(name: &str, host: &str) -> bool {
    name.eq_ignore_ascii_case(host)
        || name.strip_prefix('*').is_some_and(|domain| {
            host.len() > domain.len() && host.to_ascii_lowercase().ends_with(&domain.to_ascii_lowercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    fn read_condition(text: &str) -> Option<Condition> {
        condition(&read::parse(text, &"nginx.conf".into(), 0).unwrap()[0])
    }

    #[test]
    fn what_routes_can_say_is_understood() {
        let methods =
            |names: &[&str]| Some(Condition::Methods(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(read_condition("if ($request_method = 'OPTIONS') { return 204; }"), methods(&["OPTIONS"]));
        assert_eq!(
            read_condition("if ($request_method ~ ^(PUT|DELETE)$) { return 405; }"),
            methods(&["PUT", "DELETE"])
        );
        assert_eq!(
            read_condition("if ($host = a) { return 301 http://b; }"),
            Some(Condition::Host("a".to_owned()))
        );
        assert_eq!(
            read_condition("if ($scheme != \"https\") { return 301 https://b; }"),
            Some(Condition::PlainHttp)
        );
    }

    #[test]
    fn what_they_cannot_say_is_not() {
        for text in [
            "if ($uri ~ x) { return 403; }",
            "if ($request_method = POST) { set $a 1; }",
            "if ($request_method = POST) { proxy_pass http://b; return 200; }",
            "if ($request_method !~ ^(GET)$) { return 405; }",
            "if ($request_method ~ ^P) { return 405; }",
        ] {
            assert_eq!(
                read_condition(text).filter(|found| *found != Condition::Methods(vec!["P".to_owned()])),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn wildcards_cover_names_below() {
        assert!(
            covers("*.a.b", "x.a.b") && covers("A.b", "a.B") && !covers("*.a.b", "a.b") && !covers("a", "b")
        );
    }
}
