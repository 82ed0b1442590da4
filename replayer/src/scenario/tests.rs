use std::collections::BTreeMap;
use std::time::Duration;

use kingtide_common::units::Seed;

use super::overrides::Overrides;
use super::*;
use crate::configs;
use crate::model::Model;

/// Of one shipped file: how many users at most, seconds, requests a second that are expected, and (second, users) along the
/// curve.
type Expected = (&'static str, usize, u64, Option<f64>, &'static [(u64, usize)]);

const SHIPPED: [Expected; 10] = [
    ("breaking", 200, 600, Some(100.0), &[(5, 101), (9, 181), (10, 200), (599, 200)]),
    ("endurance", 30, 1_800, Some(15.0), &[(0, 1), (5, 16), (10, 30), (1_799, 30)]),
    ("normal", 20, 300, Some(10.0), &[(0, 1), (5, 11), (10, 20), (299, 20)]),
    ("peak", 50, 300, Some(25.0), &[(0, 1), (5, 26), (10, 50), (299, 50)]),
    ("pool-check", 30, 120, None, &[(0, 1), (1, 30), (119, 30)]),
    ("smoke", 1, 60, None, &[(0, 1), (59, 1)]),
    ("spike", 50, 180, Some(30.0), &[(0, 50), (179, 50)]),
    ("spike-ramp", 50, 70, None, &[(0, 1), (5, 26), (10, 50), (69, 50)]),
    ("stress", 100, 600, Some(50.0), &[(5, 51), (10, 100), (599, 100)]),
    ("threshold", 100, 300, None, &[(0, 10), (99, 10), (105, 31), (150, 50), (205, 76), (299, 100)]),
];

fn shipped() -> BTreeMap<String, PathBuf> {
    configs::all(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/scenarios")])
}

fn read(path: &Path) -> Scenario {
    Scenario::read(path).unwrap_or_else(|error| panic!("{}", error.in_one_line()))
}

fn users(load: &Load) -> &Shape {
    match load {
        Load::Users(shape) => shape,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_shipped_scenario_has_its_users() {
    let files = shipped();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, SHIPPED.map(|(name, ..)| name));
    for (name, peak, duration_s, expect_per_s, curve) in SHIPPED {
        let scenario = read(&files[name]);
        let shape = users(&scenario.load);
        let stays = shape.stays();
        assert_eq!((shape.peak(), stays.len()), (peak as f64, peak), "{name}");
        assert_eq!((shape.duration().as_secs(), scenario.expect_per_s), (duration_s, expect_per_s), "{name}");
        for (at_s, expected) in curve {
            let at = Duration::from_secs(*at_s);
            let there = stays.iter().filter(|stay| stay.comes <= at && at < stay.leaves).count();
            assert_eq!(there, *expected, "{name} at {at_s} s");
        }
        assert!(!scenario.criteria.0.is_empty() && !scenario.about.is_empty(), "{name}");
    }
}

#[test]
fn every_shipped_scenario_is_planned_and_nobody_is_done_before_their_time() {
    for (name, path) in shipped() {
        let scenario = read(&path);
        let Some(Source::Model(model)) = &scenario.source else { panic!("{name} has a model") };
        let model = Model::read(model).unwrap_or_else(|error| panic!("{}", error.in_one_line()));
        let model = model.changed(&scenario.changes).unwrap();
        let short = Overrides { duration: Some(Duration::from_secs(30)), ..Overrides::default() };
        let load = short.load(&scenario.load, scenario.source.as_ref().unwrap()).unwrap();
        let stays = users(&load).stays();
        let sessions = model.staying(&stays, Seed(1)).unwrap();
        assert_eq!(sessions.len(), stays.len(), "{name}");
        for (session, stay) in sessions.iter().zip(&stays) {
            assert_eq!(session.start_ns.unsigned_abs(), u64::try_from(stay.comes.as_nanos()).unwrap());
            assert!(!session.steps.is_empty(), "{name}: {stay:?}");
        }
    }
}

#[test]
fn rates_that_so_many_users_ask_for_follow_from_their_think_time() {
    let files = shipped();
    let Some(Source::Model(model)) = read(&files["normal"]).source else { panic!("a model") };
    // Six and a half requests a visit: 3 s of thinking each, answers of 0.3 s, 2.5 of them uploads of 3.5 s and their link's.
    let per_s = Model::read(&model).unwrap().usual_rate_per_s();
    assert!((0.18..0.24).contains(&per_s), "{per_s}");
}

#[test]
fn a_model_is_changed_where_it_has_what_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("short.toml");
    let text = "about = \"a\"\nusers = 2\nduration = \"20s\"\nthink = \"100ms\"\n\
                sizes = [{ bytes = \"20KB\", share = 1 }]\n";
    std::fs::write(&path, text).unwrap();
    let scenario = read(&path);
    let Some(Source::Model(students)) = read(&shipped()["normal"]).source else { panic!("a model") };
    let model = Model::read(&students).unwrap().changed(&scenario.changes).unwrap();
    let sessions = model.staying(&users(&scenario.load).stays(), Seed(1)).unwrap();
    let files = sessions.iter().flat_map(|session| &session.steps).flat_map(|step| step.exchange.files());
    assert!(files.map(|file| file.bytes).all(|bytes| bytes == 20_000));
    // 20 s, a tenth of a second each.
    assert!(sessions[0].steps.len() > 100, "{}", sessions[0].steps.len());
}

#[test]
fn mistakes_are_answered_with_line_and_remedy() {
    let plain = "about = \"a\"\nusers = 20\n";
    let phase = "about = \"a\"\n[[phase]]\n";
    let mistakes = [
        ("users = 20\nduration = \"5m\"".to_owned(), "about"),
        (
            "about = \"a\"".to_owned(),
            "x.toml:1: it has no load: write users = 20, multiple = 2, or [[phase]]",
        ),
        (plain.to_owned(), "write duration = \"5m\""),
        (format!("{plain}duration = \"0s\""), "x.toml:3: no request fits into no time"),
        (format!("{plain}duration = \"5m\"\nusres = 3"), "x.toml:4"),
        (format!("{plain}duration = \"5m\"\nspwan_per_s = 3"), "did you mean `spawn_per_s`?"),
        (
            format!("{plain}duration = \"9s\"\nspawn_per_s = 2"),
            "x.toml:3: the last of 20 users comes after 10s",
        ),
        (format!("{plain}duration = \"5m\"\nspawn_per_s = 0"), "x.toml:4: users must come"),
        (format!("{plain}duration = \"5m\"\nmultiple = 2"), "x.toml:2: users of a model or a multiple"),
        ("about = \"a\"\nmultiple = 2\nspawn_per_s = 2".to_owned(), "x.toml:3: spawn_per_s is of users"),
        (format!("{plain}duration = \"13h\""), "at most 12h"),
        (format!("{phase}users = 3"), "x.toml:2: a phase takes time"),
        (format!("{phase}hold = \"3s\""), "x.toml:2: a phase has users, or a multiple"),
        (format!("{phase}users = 0\nhold = \"3s\""), "the first phase must have some load"),
        (
            format!("{phase}users = 2\nhold = \"3s\"\n[[phase]]\nmultiple = 2\nhold = \"3s\""),
            "x.toml:5: a phase has users",
        ),
        (format!("users = 2\n{phase}users = 2\nhold = \"3s\""), "x.toml:1: the phases say how many"),
        (
            format!("{plain}duration = \"5m\"\nmodel = \"a\"\ncapture = \"b\""),
            "x.toml:4: a model or a capture",
        ),
        (format!("{plain}duration = \"5m\"\ncriteria = [\"p95<10\"]"), "needs a unit"),
        (format!("{plain}duration = \"5m\"\ncriteria = [\"total<=20\"]"), "<monitor>.<name>"),
        (format!("{plain}duration = \"5m\"\nstop = \"p95\""), "write errors>10%"),
        (format!("{plain}duration = \"5m\"\nexpect_per_s = 0"), "x.toml:4: a rate is above 0"),
        (format!("{plain}duration = \"5m\"\nthink = \"5s..1s\""), "write the smaller value first"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    let wrong: Vec<String> = mistakes
        .into_iter()
        .filter_map(|(text, part)| {
            std::fs::write(&path, &text).unwrap();
            let said =
                Scenario::read(&path).map_or_else(|error| error.in_one_line(), |read| format!("{read:?}"));
            (!said.contains(part)).then(|| format!("{text}\n→ {said}\nwithout {part}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_path_is_written_as_a_person_would() {
    let scenario = read(&shipped()["normal"]);
    let Some(Source::Model(path)) = scenario.source else { panic!("a model") };
    assert!(path.ends_with("configs/models/students.toml"), "{}", path.display());
}
