//! Scenarios with a user's rules.

use super::*;

fn rules(text: &str) -> Rules {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    Rules::read(file.path()).unwrap_or_else(|error| panic!("{}", error.in_one_line()))
}

fn ruled(scenes: Vec<Scene>, text: &str) -> Sessions {
    group(capture(scenes), &rules(text))
}

/// A list, and an upload that names one of its entries.
fn listed(name: &str) -> Vec<Scene> {
    vec![
        get("/api/tasks").at_s(0.0).answers(r#"{"tasks":[{"no":7},{"no":8}],"etag":"v7"}"#),
        get("/api/home").at_s(1.0).answers(&format!(r#"{{"task":{{"id":"{UUID}"}}}}"#)),
        post("/api/upload").at_s(2.0).json(&format!(r#"{{"{name}":8,"task_id":"{UUID}","tenant":"acme"}}"#)),
    ]
}

const UPLOAD: &str = "[[bindings]]\nrequest = \"POST /api/upload\"\n";

#[test]
fn a_rule_adds_a_binding_that_is_too_short_to_be_found() {
    let place = "place = \"json number\"\nresponse = \"GET /api/tasks\"\nvalue = \"/tasks/*/no\"";
    let sessions = ruled(listed("number"), &format!("{UPLOAD}{place}"));
    let step = &sessions.sessions[0].steps[2];
    assert_eq!(sources(step)[0], ("json number".to_owned(), from_json(0, "/tasks/1/no")));
    assert_eq!((step.holes[0].choice.rule, sessions.rule_uses.as_slice()), (Some(0), [1].as_slice()));
    let row = map(&sessions).bindings.into_iter().find(|row| row.place == "json number").unwrap();
    assert_eq!((row.by, row.rule), (By::Rule, Some(1)));
    assert!(row.to_string().ends_with("← GET /api/tasks · /tasks/1/no (1 use, rule 1)"), "{row}");
}

#[test]
fn a_rule_overrides_what_is_found_and_one_that_cannot_be_followed_does_not() {
    let home = from_json(1, "/task/id");
    let said = [
        ("identity = \"task\"", Some(identity("task"))),
        ("text = \"fixed\"", Some(Source::Text("fixed".to_owned()))),
        ("fresh = \"uuid\"", Some(Source::Fresh(Fresh::Uuid { slot: 0 }))),
        ("fresh = \"alike\"", Some(Source::Fresh(Fresh::Alike { slot: 0 }))),
        ("keep = true", None),
        ("response = \"GET /api/nothing\"\nvalue = \"/id\"", Some(home.clone())),
        ("fresh = \"time\"", Some(home.clone())),
        ("identity = \"task\"\nwhen = \"unresolved\"", Some(home)),
    ];
    for (says, source) in said {
        let sessions = ruled(listed("x"), &format!("{UPLOAD}place = \"json /task_id\"\n{says}"));
        let found = sources(&sessions.sessions[0].steps[2]);
        assert_eq!(
            found,
            source.map(|source| ("json task_id".to_owned(), source)).into_iter().collect::<Vec<_>>(),
            "{says}"
        );
    }
}

#[test]
fn a_forbidden_source_gives_way_to_the_next() {
    let mut scenes = listed("x");
    scenes.insert(0, get("/api/first").at_s(-1.0).answers(&format!(r#"{{"task_id":"{UUID}"}}"#)));
    let place = format!("{UPLOAD}place = \"field task_id\"\nnever = true\n");
    let by_route = ruled(scenes.clone(), &format!("{place}response = \"GET /api/h*\""));
    assert_eq!(sources(&by_route.sessions[0].steps[3]), bound(&[("json task_id", from_json(0, "/task_id"))]));
    assert_eq!(by_route.rule_uses, [1]);
    let by_value = ruled(scenes, &format!("{place}value = \"/task_id\""));
    assert_eq!(sources(&by_value.sessions[0].steps[3]), bound(&[("json task_id", from_json(2, "/task/id"))]));
}

#[test]
fn what_a_script_set_and_nothing_supplies_can_be_said() {
    let visit = || vec![get("/").header("Cookie", &format!("theme={}", secret("dark")))];
    assert_eq!(grouped(visit()).unresolved.len(), 1);
    let place = "[[bindings]]\nplace = \"cookie theme\"\nwhen = \"unresolved\"\n";
    for (says, source) in
        [("text = \"dark\"", Source::Text("dark".to_owned())), ("keep = true", Source::Filler)]
    {
        let sessions = ruled(visit(), &format!("{place}{says}"));
        assert_eq!(sources(&sessions.sessions[0].steps[0]), bound(&[("cookie theme", source)]));
        assert_eq!(sessions.unresolved, []);
    }
}

#[test]
fn a_key_says_who_the_user_is_even_where_all_share_a_credential() {
    let request = |user: &str, connection: u64, at_s: f64| {
        get("/api/me").bearer("the app's key").header("X-User", user).on(connection).at_s(at_s)
    };
    let scenes =
        || vec![request("1", 1, 0.0), request("2", 1, 1.0), request("1", 2, 2.0), request("2", 3, 3.0)];
    assert_eq!(ids(&grouped(scenes())), [[1, 2, 3, 4]]);
    let sessions = ruled(scenes(), "[sessions]\nkeys = [\"header X-User\"]");
    assert_eq!(ids(&sessions), [[1, 3], [2, 4]]);
}

#[test]
fn a_credential_of_a_name_that_nobody_knows_groups_when_a_rule_says_so() {
    let request = |user: &str, connection: u64, at_s: f64| {
        get("/api/me").header("X-Campus", &secret(user)).on(connection).at_s(at_s)
    };
    let scenes = || vec![request("a", 1, 0.0), request("b", 2, 1.0), request("a", 3, 2.0)];
    assert_eq!(ids(&grouped(scenes())).len(), 3);
    let sessions = ruled(scenes(), "[sessions]\ncredentials = [\"header X-Campus\"]");
    assert_eq!(ids(&sessions), [vec![1, 3], vec![2]]);
    assert!(sessions.sessions.iter().all(|session| session.orphan));
}

#[test]
fn an_identity_column_of_a_field_with_another_name() {
    let login =
        post("/api/login").json(&format!(r#"{{"matriculation":"S-12345678","pin":"{}"}}"#, secret("1234")));
    let sessions = ruled(vec![login], "[identities]\nmatriculation = \"username\"");
    let expected = [("json matriculation", identity("username")), ("json pin", identity("password"))];
    assert_eq!(sources(&sessions.sessions[0].steps[0]), bound(&expected));
}

/// One student whole, one whose login and lists came before the capture.
fn cut() -> Vec<Scene> {
    let mut scenes = student("1", 1, 0.0);
    scenes.extend(student("2", 2, 20.0).split_off(4));
    scenes
}

#[test]
fn an_orphan_gets_the_login_of_another_session() {
    assert!(grouped(cut()).sessions[1].orphan);
    let rule = "[orphans]\naction = \"login\"\nprepend = [\"POST /api/auth/login\"]";
    let sessions = ruled(cut(), rule);
    let repaired = &sessions.sessions[1];
    assert!(!repaired.orphan);
    assert_eq!(sessions.repairs, Repairs { repaired: 1, ..Repairs::default() });
    assert_eq!(repaired.steps.len(), 3);
    assert_eq!(
        sources(&repaired.steps[0]),
        bound(&[("json email", identity("email")), ("json password", identity("password"))])
    );
    // The whole student's request followed the login after 1 s.
    let offsets: Vec<u64> = repaired.steps.iter().map(|step| step.offset_us).collect();
    assert_eq!(offsets, [0, 1_000_000, 6_000_000]);
    assert_eq!(
        sources(&repaired.steps[1])[0],
        ("header Authorization".to_owned(), from_json(0, "/access_token"))
    );
    assert!(repaired.steps[1].holes[0].choice.is_repair);
}

#[test]
fn more_than_the_login_can_be_put_before_an_orphan() {
    let rule = "[orphans]\naction = \"login\"\nprepend = [\"POST /api/auth/login\", \
                \"GET /api/assignments\", \"GET /api/assignments/{id}/activities\"]";
    let sessions = ruled(cut(), rule);
    assert_eq!(
        sessions.unresolved.iter().map(|open| open.place.as_str()).collect::<Vec<_>>(),
        ["query student_id"]
    );
    let upload = &sessions.sessions[1].steps[3];
    let expected = [
        ("header Authorization", from_json(0, "/access_token")),
        ("part activity_id", from_json(2, "/1/id")),
        ("part assignment_id", from_json(1, "/assignments/0/id")),
    ];
    assert_eq!(sources(upload), bound(&expected));
}

/// The first user takes the second of two lists and uploads nothing, the next the first and uploads to it.
#[test]
fn what_is_put_before_an_orphan_belongs_together() {
    let lists = format!(r#"{{"lists":[{{"id":"{UUID}"}},{{"id":"{OTHER_UUID}"}}]}}"#);
    let user = |name: &str, at_s: f64, connection: u64, list: &str| {
        let token = format!("token of {name}");
        let item = format!("{}{name}", &UUID[..35]);
        let items =
            get(&format!("/lists/{list}/items")).answers(&format!(r#"{{"items":[{{"id":"{item}"}}]}}"#));
        let upload = post("/upload").upload(&[("list_id", list), ("item_id", &item)], 1000);
        let open = get("/lists").answers(&lists);
        let later = [open, items, upload].into_iter().zip([1.0, 2.0, 3.0]);
        let later = later.map(|(scene, after_s)| scene.bearer(&token).at_s(at_s + after_s));
        let all: Vec<Scene> = std::iter::once(login(name, at_s, &token)).chain(later).collect();
        all.into_iter().map(|scene| scene.on(connection)).collect::<Vec<Scene>>()
    };
    let mut scenes = user("1", 0.0, 1, OTHER_UUID);
    scenes.pop();
    scenes.extend(user("2", 20.0, 2, UUID));
    scenes.extend(user("3", 40.0, 3, OTHER_UUID).split_off(3));
    let rule = "[orphans]\naction = \"login\"\nprepend = [\"POST /api/auth/login\", \"GET /lists\", \
                \"GET /lists/{id}/items\"]";
    let sessions = ruled(scenes, rule);
    let steps = &sessions.sessions[2].steps;
    let (list, item) = (from_json(1, "/lists/0/id"), from_json(2, "/items/0/id"));
    let token = ("header Authorization", from_json(0, "/access_token"));
    assert_eq!(sources(&steps[2]), bound(&[("path after lists", list.clone()), token.clone()]));
    assert_eq!(sources(&steps[3]), bound(&[token, ("part list_id", list), ("part item_id", item)]));
}

#[test]
fn a_uuid_that_others_were_given_is_no_invention_of_an_orphan() {
    let open: Vec<String> = grouped(cut()).unresolved.into_iter().map(|open| open.place).collect();
    let upload = ["header Authorization", "part activity_id", "part assignment_id"];
    assert_eq!(open, [upload, upload].concat());
}

fn cautions(sessions: &Sessions) -> Vec<String> {
    sessions.repairs.cautions(sessions.sessions.iter().filter(|session| session.orphan).count())
}

#[test]
fn orphans_can_be_left_out_and_are_told_of() {
    let sessions = ruled(cut(), "[orphans]\naction = \"drop\"");
    assert_eq!((sessions.sessions.len(), sessions.repairs.dropped), (1, 1));
    assert_eq!(cautions(&sessions), ["1 session without login in the capture, left out by the rules"]);
    assert!(cautions(&grouped(cut()))[0].contains("[orphans] in --rules FILE"));
}

#[test]
fn a_login_that_no_session_has_is_said() {
    let sessions = ruled(cut(), "[orphans]\naction = \"login\"\nprepend = [\"POST /nowhere\"]");
    assert!(sessions.sessions[1].orphan);
    assert!(cautions(&sessions)[1].contains("nothing was put before them"), "{:?}", cautions(&sessions));
}

#[test]
fn a_token_from_the_identities_file_makes_an_orphan_whole() {
    let rule = "[[bindings]]\nplace = \"header Authorization\"\nidentity = \"token\"\nwhen = \"unresolved\"";
    let sessions = ruled(cut(), rule);
    assert!(sessions.sessions.iter().all(|session| !session.orphan));
    assert_eq!(sessions.rule_uses, [2]);
}
