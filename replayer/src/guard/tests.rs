use std::path::Path;

use time::macros::datetime;

use super::*;

/// A Monday.
const NOW: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);
const ALONE: Load = Load { multiple: 1.0, users: 1, body_bytes: 0, duration: Duration::ZERO };

fn guard(kind: Kind, rules: Rules) -> Guard {
    let caps = Rules {
        multiple_max: Some(Multiple::new(5.0).unwrap()),
        users_max: Some(50),
        bytes_max: Some(ByteSize(2_000_000)),
        duration_max: Some(Span(Duration::from_mins(10))),
        ..rules
    };
    let rules = caps.completed(kind, "app.example").unwrap();
    Guard { kind: Some(kind), rules, file: Some("production.toml".into()) }
}

fn visit<'a>() -> Visit<'a> {
    Visit {
        host: "app.example",
        authority: "app.example",
        is_private: false,
        word: Some("app.example"),
        now: NOW,
        kill_file: None,
    }
}

/// The rules that refuse, and what they say together.
fn refused(decisions: &[Decision]) -> (Vec<&'static str>, String) {
    let text = admit(decisions).map_or_else(|refused| refused.to_string(), |()| String::new());
    let rules = decisions.iter().filter(|decision| !decision.is_allowed).map(|decision| decision.rule);
    (rules.collect(), text)
}

#[test]
fn production_whose_name_was_typed_is_let_in() {
    let decisions = guard(Kind::Production, Rules::default()).at_the_door(&visit());
    assert_eq!(refused(&decisions).0, [""; 0]);
    assert_eq!(decisions.iter().map(|decision| decision.rule).collect::<Vec<_>>(), ["word", "targets"]);
}

#[test]
fn the_door_refuses_with_place_value_and_remedy() {
    let production = || guard(Kind::Production, Rules::default());
    let hours = Rules { hours: Some(vec!["Mon 18:00-23:00 +01:00".parse().unwrap()]), ..Rules::default() };
    let kill_file = PathBuf::from("/tmp/stop");
    let cases = [
        (
            production(),
            Visit { word: None, ..visit() },
            "word",
            "--yes-this-is: app.example is production; if you may",
        ),
        (
            production(),
            Visit { word: Some("app"), is_private: true, ..visit() },
            "word",
            "--yes-this-is app.example",
        ),
        (
            Guard::default(),
            Visit { word: None, ..visit() },
            "word",
            "neither this machine nor in a private network",
        ),
        (Guard::default(), Visit { word: Some("other"), ..visit() }, "word", "--yes-this-is app.example"),
        (
            production(),
            Visit { host: "b.example", authority: "b.example:1", word: Some("b.example"), ..visit() },
            "targets",
            "production.toml: guard.targets: b.example:1 is not in the list (app.example)",
        ),
        (
            guard(Kind::Production, hours),
            visit(),
            "hours",
            "production.toml: guard.hours: it is Mon 13:00 +01:00, allowed is Mon 18:00-23:00 +01:00",
        ),
        (
            production(),
            Visit { kill_file: Some(&kill_file), ..visit() },
            "kill_file",
            "production.toml: guard.kill_file: /tmp/stop is there",
        ),
        (
            guard(Kind::Local, Rules::default()),
            visit(),
            "kind",
            "production.toml: kind: app.example is neither this machine nor in a private network",
        ),
    ];
    for (guard, visit, rule, part) in cases {
        let (rules, text) = refused(&guard.at_the_door(&visit));
        assert_eq!(rules, [rule], "{text}");
        assert!(text.contains(part), "{rule}: {text}");
    }
}

#[test]
fn who_need_not_be_named_is_let_in_without_a_word() {
    let silent = Visit { word: None, ..visit() };
    let private = Visit { is_private: true, ..silent };
    for (guard, visit) in [
        (Guard::default(), private),
        (guard(Kind::Local, Rules::default()), private),
        (guard(Kind::Staging, Rules::default()), silent),
    ] {
        assert_eq!(refused(&guard.at_the_door(&visit)).1, "");
    }
}

#[test]
fn a_plan_above_a_cap_is_refused() {
    let guard = guard(Kind::Production, Rules::default());
    let fresh = Some(Duration::from_mins(59));
    let plan = Load { multiple: 5.0, users: 50, body_bytes: 2_000_000, duration: Duration::from_mins(10) };
    assert_eq!(refused(&guard.on_plan(&plan, NOW, fresh)).1, "");
    let cases = [
        (Load { multiple: 5.1, ..plan }, fresh, "multiple_max", "-x 5.1 is above 5; give -x 5 or less"),
        (Load { users: 51, ..plan }, fresh, "users_max", "51 users are above 50; lower -x or --users"),
        (Load { body_bytes: 2_000_001, ..plan }, fresh, "bytes_max", "2.00 MB are above 2.00 MB"),
        (Load { duration: Duration::from_secs(601), ..plan }, fresh, "duration_max", "601s is above 600s"),
        (plan, Some(Duration::from_mins(61)), "smoke_within", "within 3600s (the last did 3660s ago)"),
        (plan, None, "smoke_within", "(none has yet); first let one through"),
    ];
    for (load, smoke, rule, part) in cases {
        let (rules, text) = refused(&guard.on_plan(&load, NOW, smoke));
        assert_eq!(rules, [rule], "{text}");
        assert!(text.contains(part) && text.contains(&format!("production.toml: guard.{rule}: ")), "{text}");
    }
}

#[test]
fn the_smoke_run_itself_needs_none_before() {
    let guard = guard(Kind::Production, Rules::default());
    assert_eq!(refused(&guard.on_plan(&ALONE, NOW, None)).1, "");
    assert_eq!(refused(&guard.on_search(Duration::from_mins(9), NOW, None)).0, ["smoke_within"]);
}

#[test]
fn a_plan_that_ends_after_hours_is_refused() {
    let hours = Rules { hours: Some(vec!["Mon 12:00-12:05 UTC".parse().unwrap()]), ..Rules::default() };
    let guard = guard(Kind::Staging, hours);
    let lasts = |minutes| Load { duration: Duration::from_mins(minutes), ..ALONE };
    assert_eq!(refused(&guard.on_plan(&lasts(4), NOW, None)).1, "");
    let (rules, text) = refused(&guard.on_plan(&lasts(6), NOW, None));
    assert!(rules == ["hours"] && text.contains("the plan ends Mon 12:06 +00:00"), "{text}");
    assert_eq!(refused(&guard.on_search(Duration::from_mins(6), NOW, None)).0, ["hours"]);
}

#[test]
fn everything_that_is_refused_is_said_at_once() {
    let load = Load { multiple: 9.0, users: 99, ..ALONE };
    let (rules, text) = refused(&guard(Kind::Production, Rules::default()).on_plan(&load, NOW, None));
    assert_eq!(rules, ["multiple_max", "users_max", "smoke_within"]);
    assert_eq!(text.matches("production.toml: guard.").count(), 3, "{text}");
}

#[test]
fn a_search_goes_as_far_as_multiple_and_users_allow() {
    let guard = guard(Kind::Staging, Rules::default());
    assert_eq!([guard.multiple_max(None), guard.multiple_max(Some(20))], [Some(5.0), Some(2.5)]);
    assert_eq!(Guard::default().multiple_max(Some(20)), None);
    assert_eq!(guard.file.as_deref(), Some(Path::new("production.toml")));
}
