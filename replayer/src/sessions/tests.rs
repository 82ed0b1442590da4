//! Scenarios of grouping and binding.

use kingtide_common::exchange::{Body, Ending};
use proptest::prelude::*;

mod ruled;
mod sources;

use super::scene::{Scene, capture, get, post, secret};
use super::*;

const UUID: &str = "6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11";
const OTHER_UUID: &str = "0b5a3f5e-93a1-4f0e-8d1f-6f5d8c7b2e90";

fn grouped(scenes: Vec<Scene>) -> Sessions {
    group(capture(scenes), &Rules::default())
}

/// Ids of the exchanges of each session.
fn ids(sessions: &Sessions) -> Vec<Vec<u64>> {
    let ids = |session: &Session| session.steps.iter().map(|step| step.exchange.id).collect();
    sessions.sessions.iter().map(ids).collect()
}

fn login(user: &str, at_s: f64, token: &str) -> Scene {
    let body = format!(r#"{{"email":"{}","password":"{}"}}"#, secret(user), secret("hunter2"));
    let answer = format!(r#"{{"access_token":"{}","token_type":"bearer"}}"#, secret(token));
    post("/api/auth/login").at_s(at_s).json(&body).answers(&answer)
}

/// Login → profile → assignments → activities → two uploads, as the reference application does.
fn student(user: &str, connection: u64, at_s: f64) -> Vec<Scene> {
    let token = format!("token of {user}");
    let (assignment, activity) = (format!("{}{user}", &UUID[..35]), format!("{}{user}", &OTHER_UUID[..35]));
    let upload = |after_s: f64| {
        let fields = [("activity_id", activity.as_str()), ("assignment_id", assignment.as_str())];
        let answer = format!(r#"{{"activity_id":"{activity}","status":"submitted"}}"#);
        post("/api/students/upload-recording").at_s(at_s + after_s).upload(&fields, 50_000).answers(&answer)
    };
    let profile = format!(r#"{{"id":4711,"email":"{}","name":"{}"}}"#, secret(user), secret("Ann"));
    let scenes = vec![
        login(user, at_s, &token),
        get("/api/students/profile").at_s(at_s + 1.0).answers(&profile),
        get("/api/assignments?student_id=4711")
            .at_s(at_s + 2.0)
            .answers(&format!(r#"{{"assignments":[{{"id":"{assignment}","kind":"speaking"}}]}}"#)),
        get(&format!("/api/assignments/{assignment}/activities"))
            .at_s(at_s + 3.0)
            .answers(&format!(r#"[{{"id":"{UUID}"}},{{"id":"{activity}"}}]"#)),
        upload(4.0),
        upload(9.0),
    ];
    let authorized = |(at, scene): (usize, Scene)| if at == 0 { scene } else { scene.bearer(&token) };
    scenes.into_iter().enumerate().map(authorized).map(|scene| scene.on(connection)).collect()
}

fn sources(step: &Step) -> Vec<(String, Source)> {
    let hole = |hole: &Hole| (tokens::describe(&step.exchange, hole), hole.source.clone());
    step.holes.iter().map(hole).collect()
}

fn from_json(step: usize, pointer: &str) -> Source {
    Source::Response { step, from: ResponsePlace::Json { pointer: pointer.to_owned() } }
}

fn identity(column: &str) -> Source {
    Source::Identity { column: column.to_owned() }
}

fn bound(pairs: &[(&str, Source)]) -> Vec<(String, Source)> {
    pairs.iter().map(|(place, source)| ((*place).to_owned(), source.clone())).collect()
}

#[test]
fn as_many_users_as_are_shared_between_threads_keep_their_order() {
    let users = 0..2_500_u32;
    let scenes = users.clone().map(|user| get("/a").at_s(f64::from(user)).on(u64::from(user)));
    let sessions = group(capture(scenes.collect::<Vec<_>>()), &Rules::default()).sessions;
    let keys: Vec<_> = sessions.iter().map(|session| session.key.clone()).collect();
    assert_eq!(keys, users.map(|user| format!("connection {user}")).collect::<Vec<_>>());
}

#[test]
fn a_students_day_is_bound_without_a_rest() {
    let sessions = grouped(student("1", 1, 0.0));
    assert_eq!(ids(&sessions), [[1, 2, 3, 4, 5, 6]]);
    assert_eq!(sessions.unresolved, []);
    let session = &sessions.sessions[0];
    assert!(!session.orphan);
    assert_eq!(session.steps[3].offset_us, 3_000_000);
    let token = ("header Authorization", from_json(0, "/access_token"));
    let steps: Vec<_> = session.steps.iter().map(sources).collect();
    assert_eq!(
        steps[0],
        bound(&[("json email", identity("email")), ("json password", identity("password"))])
    );
    assert_eq!(steps[1], bound(std::slice::from_ref(&token)));
    assert_eq!(steps[2], bound(&[("query student_id", from_json(1, "/id")), token.clone()]));
    let assignment = from_json(2, "/assignments/0/id");
    assert_eq!(steps[3], bound(&[("path after assignments", assignment.clone()), token.clone()]));
    let upload = [token, ("part activity_id", from_json(3, "/1/id")), ("part assignment_id", assignment)];
    assert_eq!(steps[4], bound(&upload));
    // The first upload only repeats the ids; the second does not wait for it.
    assert_eq!(steps[5], bound(&upload));
}

#[test]
fn the_map_names_routes_and_counts_uses() {
    let mut scenes = student("1", 1, 0.0);
    scenes.extend(student("2", 2, 1.0));
    let map: Vec<String> = map(&grouped(scenes)).bindings.iter().map(ToString::to_string).collect();
    let lines = [
        "POST /api/auth/login · json email ← identity email (2 uses)",
        "POST /api/students/upload-recording · part activity_id ← GET /api/assignments/{id}/activities · /1/id (4 uses)",
        "POST /api/students/upload-recording · header Authorization ← POST /api/auth/login · /access_token (4 uses)",
    ];
    for line in lines {
        assert!(map.iter().any(|is| is == line), "{line} is not in\n{map:#?}");
    }
}

#[test]
fn filling_every_hole_with_its_own_value_gives_the_captured_text() {
    for step in &grouped(student("1", 1, 0.0)).sessions[0].steps {
        let target = &step.exchange.target;
        let holes = step.holes.iter().filter(|hole| hole.place == Place::Target);
        assert_eq!(&fill(target, holes, |hole| Some(target[hole.range.clone()].to_owned())), target);
    }
}

#[test]
fn two_users_behind_one_address_are_two_sessions() {
    let mut scenes = student("1", 1, 0.0);
    scenes.extend(student("2", 2, 0.5));
    let sessions = grouped(scenes);
    assert_eq!(ids(&sessions), [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]);
    assert_eq!(sessions.unresolved, []);
}

#[test]
fn one_user_on_two_connections_is_one_session() {
    let mut scenes = student("1", 1, 0.0);
    scenes[4].0.connection = 9;
    let sessions = grouped(scenes);
    assert_eq!(ids(&sessions).len(), 1);
    let connections: Vec<usize> = sessions.sessions[0].steps.iter().map(|step| step.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1, 0]);
}

#[test]
fn users_sharing_a_connection_are_told_apart_and_what_is_between_them_is_nobodys() {
    let sessions = grouped(vec![
        get("/").at_s(0.0),
        login("a", 1.0, "ta"),
        get("/api/me").bearer("ta").at_s(2.0),
        get("/logo.png").at_s(3.0),
        login("b", 4.0, "tb"),
        get("/api/me").bearer("tb").at_s(5.0),
        get("/logo.png").at_s(6.0),
    ]);
    assert_eq!(ids(&sessions), [vec![1, 2, 3], vec![4], vec![5, 6, 7]]);
}

#[test]
fn a_session_without_its_login_is_an_orphan() {
    let sessions = grouped(vec![get("/api/me").bearer("t").at_s(0.0), get("/api/me").bearer("t").at_s(1.0)]);
    assert!(sessions.sessions[0].orphan);
    let open: Vec<_> = sessions.unresolved.iter().map(|open| (open.exchange, open.place.as_str())).collect();
    assert_eq!(open, [(1, "header Authorization"), (2, "header Authorization")]);
}

#[test]
fn a_renewed_token_replaces_the_old_one_in_mid_session() {
    let tokens = |access: &str, refresh: &str| {
        format!(r#"{{"access_token":"{}","refresh_token":"{}"}}"#, secret(access), secret(refresh))
    };
    let sessions = grouped(vec![
        login("a", 0.0, "").answers(&tokens("access 1", "refresh 1")),
        get("/api/me").bearer("access 1").at_s(1.0),
        post("/api/auth/refresh")
            .json(&format!(r#"{{"refresh_token":"{}"}}"#, secret("refresh 1")))
            .answers(&tokens("access 2", "refresh 2"))
            .on(2)
            .at_s(2.0),
        get("/api/me").bearer("access 2").on(2).at_s(3.0),
    ]);
    assert_eq!(ids(&sessions), [[1, 2, 3, 4]]);
    let steps = &sessions.sessions[0].steps;
    assert_eq!(sources(&steps[2]), bound(&[("json refresh_token", from_json(0, "/refresh_token"))]));
    assert_eq!(sources(&steps[3]), bound(&[("header Authorization", from_json(2, "/access_token"))]));
    assert_eq!(sessions.unresolved, []);
}

#[test]
fn a_refused_login_belongs_to_the_user_who_then_succeeds() {
    let sessions = grouped(vec![
        login("a", 0.0, "").answers(r#"{"detail":"wrong password"}"#).refused(401),
        login("a", 5.0, "ta"),
        get("/api/me").bearer("ta").at_s(6.0),
        login("a", 7.0, "ta2"),
        get("/api/me").bearer("ta2").at_s(8.0),
    ]);
    assert_eq!(ids(&sessions), [[1, 2, 3, 4, 5]]);
    assert_eq!(sessions.unresolved, []);
}

#[test]
fn session_cookies_group_and_bind_and_preferences_do_not() {
    let cookies = |sid: &str| format!("theme={}; sid={}", secret("dark"), secret(sid));
    let visit = |sid: &str, connection: u64, at_s: f64| {
        let set = format!("sid={}; Path=/; HttpOnly", secret(sid));
        let login = login("a", at_s, "").answers("{}").answer_header("Set-Cookie", &set).on(connection);
        vec![login, get("/home").header("Cookie", &cookies(sid)).on(connection + 100).at_s(at_s + 1.0)]
    };
    let (one, other) = (visit("0123456789", 1, 0.0), visit("9876543210", 2, 0.5));
    let sessions = grouped([one, other].concat());
    assert_eq!(ids(&sessions), [[1, 2], [3, 4]]);
    let from = ResponsePlace::Cookie { name: "sid".to_owned() };
    let expected = [("cookie theme", Source::Unresolved), ("cookie sid", Source::Response { step: 0, from })];
    assert_eq!(sources(&sessions.sessions[0].steps[1]), bound(&expected));
    assert!(!sessions.sessions[0].orphan);
}

#[test]
fn of_two_responses_with_a_value_the_latest_complete_one_supplies_it() {
    let list = |at_s: f64| get("/api/files").at_s(at_s).answers(&format!(r#"[{{"id":"{UUID}"}}]"#));
    let sessions = grouped(vec![
        list(0.0),
        list(1.0),
        list(2.0).taking_ms(60_000),
        get(&format!("/api/files/{UUID}")).at_s(3.0),
    ]);
    let expected = [("path after files", from_json(1, "/0/id"))];
    assert_eq!(sources(&sessions.sessions[0].steps[3]), bound(&expected));
}

#[test]
fn among_equal_values_of_one_response_the_name_decides() {
    let answer = format!(r#"{{"a":"{UUID}","z":{{"activities":[{{"id":"{UUID}"}}]}}}}"#);
    let sessions = grouped(vec![
        get("/api/x").at_s(0.0).answers(&answer),
        post("/api/y").at_s(1.0).json(&format!(r#"{{"activity_id":"{UUID}"}}"#)),
    ]);
    let expected = [("json activity_id", from_json(0, "/z/activities/0/id"))];
    assert_eq!(sources(&sessions.sessions[0].steps[1]), bound(&expected));
}

#[test]
fn a_location_supplies_the_id_of_what_was_made() {
    let sessions = grouped(vec![
        post("/api/files").at_s(0.0).answer_header("Location", &format!("http://h/api/files/{UUID}?v=1")),
        get(&format!("/api/files/{UUID}/status")).at_s(1.0),
    ]);
    let location = ResponsePlace::Header { name: "Location".to_owned() };
    let from = location.part(TextPart::Segment { from_end: 0 });
    let expected = [("path after files", Source::Response { step: 0, from })];
    assert_eq!(sources(&sessions.sessions[0].steps[1]), bound(&expected));
}

#[test]
fn uuids_that_a_client_invents_are_made_fresh_and_stay_equal() {
    let sessions = grouped(vec![
        post("/api/files").at_s(0.0).json(&format!(r#"{{"client_id":"{UUID}"}}"#)),
        post("/api/files").at_s(1.0).form(&format!("ref={UUID}")).header("Idempotency-Key", "my-key-0001"),
        get(&format!("/api/files/{UUID}")).at_s(2.0),
    ]);
    let fresh = |slot| Source::Fresh(Fresh::Uuid { slot });
    let steps = &sessions.sessions[0].steps;
    assert_eq!(sources(&steps[0]), bound(&[("json client_id", fresh(0))]));
    let key = Source::Fresh(Fresh::Alike { slot: 1 });
    assert_eq!(sources(&steps[1]), bound(&[("header Idempotency-Key", key), ("form ref", fresh(0))]));
    assert_eq!(sources(&steps[2]), bound(&[("path after files", fresh(0))]));
}

#[test]
fn a_uuid_in_a_path_that_nothing_supplied_is_unresolved_unless_all_use_it() {
    let alone = grouped(vec![get(&format!("/t/{UUID}"))]);
    assert_eq!(alone.unresolved[0].place, "path after t");
    assert!(!alone.sessions[0].orphan);
    let shared = grouped(vec![get(&format!("/t/{UUID}")), get(&format!("/t/{UUID}")).on(2)]);
    assert_eq!(shared.unresolved, []);
    assert!(shared.sessions.iter().all(|session| session.steps[0].holes.is_empty()));
}

#[test]
fn chance_equality_does_not_bind() {
    let answer = r#"{"kind":"recordings","limit":2000,"max":999,"etag":"abcdefg"}"#;
    let sessions = grouped(vec![
        get("/api/x").at_s(0.0).answers(answer),
        post("/api/recordings?n=999")
            .at_s(1.0)
            .json(r#"{"duration_ms":2000,"tag":"abcdefg"}"#)
            .header("User-Agent", "recordings"),
    ]);
    assert_eq!(sources(&sessions.sessions[0].steps[1]), []);
}

#[test]
fn a_password_never_binds_to_a_response() {
    let password = secret("hunter2");
    let sessions = grouped(vec![
        get("/api/suggest").at_s(0.0).answers(&format!(r#"{{"password":"{password}"}}"#)),
        login("a", 1.0, "t"),
        post("/api/password").at_s(2.0).bearer("t").form(&format!("old_password={password}&x={password}")),
    ]);
    let steps = &sessions.sessions[0].steps;
    let expected = [
        ("header Authorization", from_json(1, "/access_token")),
        ("form old_password", identity("password")),
        ("form x", identity("password")),
    ];
    assert_eq!(sources(&steps[2]), bound(&expected));
}

#[test]
fn a_silence_splits_only_where_the_rest_can_log_in_itself() {
    let day =
        |at_s: f64, token: &str| vec![login("a", at_s, token), get("/me").bearer(token).at_s(at_s + 1.0)];
    let twice = [day(0.0, "t1"), day(4000.0, "t2")].concat();
    assert_eq!(ids(&grouped(twice)), [[1, 2], [3, 4]]);
    let returning = [day(0.0, "t1"), vec![get("/me").bearer("t1").at_s(4000.0)]].concat();
    assert_eq!(ids(&grouped(returning)), [[1, 2, 3]]);
}

#[test]
fn a_login_in_mid_work_on_a_new_connection_stays_the_same_user() {
    let expired = |mut scenes: Vec<Scene>| {
        scenes.truncate(5);
        scenes[4] = scenes[4].clone().refused(401).answers("{}");
        scenes
    };
    let again = |at_s: f64| {
        let upload = student("1", 2, 0.0).remove(4);
        let mut upload = upload.at_s(at_s + 1.0);
        upload.0.request_headers.clear();
        vec![login("1", at_s, "t2").on(2), upload.bearer("t2")]
    };
    let sessions = grouped([expired(student("1", 1, 0.0)), again(10.0)].concat());
    assert_eq!(ids(&sessions), [[1, 2, 3, 4, 5, 6, 7]]);
    assert_eq!(sessions.unresolved, []);
}

#[test]
fn an_account_used_twice_is_two_sessions() {
    let visit = |token: &str, connection: u64, at_s: f64| {
        let list = get("/files").bearer(token).at_s(at_s + 1.0).answers(&format!(r#"[{{"id":"{UUID}"}}]"#));
        let open = get(&format!("/files/{UUID}")).bearer(token).at_s(at_s + 2.0);
        [login("a", at_s, token), list, open].map(|scene| scene.on(connection)).to_vec()
    };
    let sessions = grouped([visit("t1", 1, 0.0), visit("t2", 2, 60.0)].concat());
    assert_eq!(ids(&sessions), [[1, 2, 3], [4, 5, 6]]);
}

#[test]
fn exchanges_that_cannot_be_replayed_stay_steps() {
    let mut broken = post("/api/files").bearer("t").at_s(2.0);
    broken.0.request_body = Body::Unread("broken off".to_owned());
    broken.0.ending = Ending::ClientAbort;
    broken.0.status = None;
    let sessions = grouped(vec![login("a", 0.0, "t"), broken]);
    assert_eq!(ids(&sessions), [[1, 2]]);
}

#[test]
fn nothing_is_no_session() {
    assert_eq!(group(Vec::new(), &Rules::default()), Sessions::default());
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let word = prop_oneof![Just("t1"), Just("t2"), Just("0123456789abcdef")];
    (word.clone(), word, 0_u64..4, 0..10_000_u32, 0..4_u8).prop_map(|(one, other, on, at_s, kind)| {
        let scene = match kind {
            0 => login(one, 0.0, other),
            1 => get("/a").bearer(one).answers(&format!(r#"{{"token":"{}"}}"#, secret(other))),
            2 => get("/a").header("Cookie", &format!("v={}", secret(one))),
            _ => get(&format!("/x/{UUID}/{}", secret(one))),
        };
        scene.on(on).at_s(f64::from(at_s))
    })
}

fn in_order(pair: &[Hole]) -> bool {
    pair[0].place < pair[1].place || pair[0].range.end <= pair[1].range.start
}

proptest! {
    #[test]
    fn every_exchange_is_in_one_session_and_every_hole_in_its_text(
        scenes in prop::collection::vec(any_scene(), 0..40),
    ) {
        let count = scenes.len() as u64;
        let sessions = grouped(scenes);
        let mut all: Vec<u64> = ids(&sessions).concat();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=count).collect::<Vec<_>>());
        for session in &sessions.sessions {
            for (at, step) in session.steps.iter().enumerate() {
                prop_assert!(step.waits_for().all(|source| source < at));
                prop_assert!(step.holes.windows(2).all(in_order));
            }
        }
    }
}
