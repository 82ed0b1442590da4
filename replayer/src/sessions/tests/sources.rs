//! Scenarios of sources beyond a whole JSON value: redirects, links, longer texts, clocks, several candidates.

use super::*;

fn within(of: &ResponsePlace, part: TextPart) -> Source {
    Source::Response { step: 0, from: of.part(part) }
}

fn json(pointer: &str) -> ResponsePlace {
    ResponsePlace::Json { pointer: pointer.to_owned() }
}

fn header(name: &str) -> ResponsePlace {
    ResponsePlace::Header { name: name.to_owned() }
}

fn query(key: &str) -> TextPart {
    TextPart::Query { key: key.to_owned() }
}

#[test]
fn ids_deep_in_nested_arrays_bind() {
    let answer = format!(r#"{{"classes":[{{"groups":[[],[{{"tasks":[{{"id":"{UUID}"}}]}}]]}}]}}"#);
    let sessions = grouped(vec![
        get("/api/tree").at_s(0.0).answers(&answer),
        get(&format!("/api/tasks/{UUID}")).at_s(1.0),
    ]);
    let expected = [("path after tasks", from_json(0, "/classes/0/groups/1/0/tasks/0/id"))];
    assert_eq!(sources(&sessions.sessions[0].steps[1]), bound(&expected));
}

#[test]
fn a_cookie_set_by_a_redirect_and_its_code_are_followed() {
    let (code, sid) = (secret("code 1"), secret("0123456789"));
    let sessions = grouped(vec![
        post("/login")
            .at_s(0.0)
            .refused(302)
            .answer_header("Location", &format!("/callback?code={code}&state=a%2Fb-42-xyz")),
        get(&format!("/callback?code={code}&state=a%2Fb-42-xyz"))
            .at_s(1.0)
            .refused(302)
            .answer_header("Set-Cookie", &format!("sid={sid}; Path=/"))
            .answer_header("Location", "/home"),
        get("/home").at_s(2.0).header("Cookie", &format!("sid={sid}")),
    ]);
    let steps = &sessions.sessions[0].steps;
    let expected = [
        ("query code", within(&header("Location"), query("code"))),
        ("query state", within(&header("Location"), query("state"))),
    ];
    assert_eq!(sources(&steps[1]), bound(&expected));
    let from = ResponsePlace::Cookie { name: "sid".to_owned() };
    assert_eq!(sources(&steps[2]), bound(&[("cookie sid", Source::Response { step: 1, from })]));
    assert_eq!(sessions.unresolved, []);
}

#[test]
fn fields_of_forms_and_tokens_of_pages_bind() {
    let (form, meta) = (secret("form token"), secret("meta token"));
    let page = format!(
        r#"{{"forms":[{{"action":"/","fields":{{}}}},{{"action":"/posts/4711000","fields":{{"csrf_token":"{form}"}}}}],
            "meta":{{"csrf-token":"{meta}"}}}}"#
    );
    let sessions = grouped(vec![
        get("/edit").at_s(0.0).shows(&page),
        post("/posts/4711000").at_s(1.0).form(&format!("csrf_token={form}&title=x")),
        post("/api/like").at_s(2.0).header("X-CSRF-Token", &meta),
    ]);
    let steps = &sessions.sessions[0].steps;
    let action = within(&json("/forms/1/action"), TextPart::Segment { from_end: 0 });
    let expected =
        [("path after posts", action), ("form csrf_token", from_json(0, "/forms/1/fields/csrf_token"))];
    assert_eq!(sources(&steps[1]), bound(&expected));
    assert_eq!(sources(&steps[2]), bound(&[("header X-CSRF-Token", from_json(0, "/meta/csrf-token"))]));
    assert_eq!(sessions.unresolved, []);
}

#[test]
fn what_stands_within_a_url_of_json_or_of_a_link_header_binds() {
    let sessions = grouped(vec![
        get("/items")
            .at_s(0.0)
            .answers(&format!(
                r#"{{"next":"/items?cursor=abc1%2Bxyz&limit=20","self":"https://h/lists/{UUID}/items"}}"#
            ))
            .answer_header("Link", "</items?after=4711000>; rel=\"next\""),
        get("/items?cursor=abc1%2Bxyz&limit=20").at_s(1.0),
        get(&format!("/lists/{UUID}")).at_s(2.0),
        get("/items?after=4711000").at_s(3.0),
    ]);
    let steps = &sessions.sessions[0].steps;
    assert_eq!(sources(&steps[1]), bound(&[("query cursor", within(&json("/next"), query("cursor")))]));
    let list = within(&json("/self"), TextPart::Segment { from_end: 1 });
    assert_eq!(sources(&steps[2]), bound(&[("path after lists", list)]));
    let link = header("Link").part(TextPart::Link { relation: "next".to_owned() });
    assert_eq!(sources(&steps[3]), bound(&[("query after", within(&link, query("after")))]));
}

#[test]
fn a_uuid_within_a_longer_text_binds_and_the_rest_of_the_text_stays() {
    let sessions = grouped(vec![
        post("/files").at_s(0.0).answers(&format!(r#"{{"message":"stored as {UUID}."}}"#)),
        post("/notes")
            .at_s(1.0)
            .json(&format!(r#"{{"path":"recordings/{UUID}.webm","other":"x/{OTHER_UUID}.webm"}}"#)),
    ]);
    let step = &sessions.sessions[0].steps[1];
    assert_eq!(sources(step), bound(&[("json path", within(&json("/message"), TextPart::Uuid { nth: 0 }))]));
    let Body::Json(text) = &step.exchange.request_body else { panic!("no JSON") };
    let live = fill(text, &step.holes, |_| Some("NEW".to_owned()));
    assert_eq!(live, format!(r#"{{"path":"recordings/NEW.webm","other":"x/{OTHER_UUID}.webm"}}"#));
}

#[test]
fn a_fingerprint_within_a_text_is_taken_from_between_its_neighbours() {
    let ticket = secret("ticket 1");
    let sessions = grouped(vec![
        get("/queue").at_s(0.0).answers(&format!(r#"{{"hint":"your ticket is {ticket}, keep it"}}"#)),
        get("/enter").header("X-Ticket", &ticket).at_s(1.0),
    ]);
    let steps = &sessions.sessions[0].steps;
    let Source::Response { from, .. } = &steps[1].holes[0].source else { panic!("{:?}", steps[1].holes) };
    let live = serde_json::json!({"hint": "your ticket is T-99, keep it"});
    assert_eq!(extract(from, [], Some(&live)).as_deref(), Some("T-99"));
}

/// 2023-11-14T22:13:20Z, the scenes' beginning.
#[test]
fn what_the_clients_clock_wrote_is_made_fresh_and_stays_equal() {
    let sessions = grouped(vec![
        post("/a")
            .at_s(0.0)
            .json(r#"{"recorded_at":"2023-11-14T22:13:19.500Z","due":"2023-11-20T08:00:00Z"}"#),
        post("/b?_=1700000060000").at_s(60.0).form("recorded_at=2023-11-14T22%3A13%3A19.500Z"),
    ]);
    let iso = TimeFormat::Iso { separator: 'T', digits: 3, zone: Zone::Utc };
    let recorded = Source::Fresh(Fresh::Time { slot: 0, format: iso, ahead_us: -500_000 });
    let millis = TimeFormat::Epoch { per_second: 1000, digits: 0 };
    let steps = &sessions.sessions[0].steps;
    assert_eq!(sources(&steps[0]), bound(&[("json recorded_at", recorded.clone())]));
    let now = Source::Fresh(Fresh::Time { slot: 1, format: millis, ahead_us: 0 });
    assert_eq!(sources(&steps[1]), bound(&[("query _", now), ("form recorded_at", recorded)]));
}

#[test]
fn a_time_that_a_response_gave_is_the_responses() {
    let sessions = grouped(vec![
        get("/clock").at_s(0.0).answers(r#"{"now":"2023-11-14T22:13:20.010Z"}"#),
        post("/sync").at_s(1.0).json(r#"{"since":"2023-11-14T22:13:20.010Z"}"#),
    ]);
    assert_eq!(sources(&sessions.sessions[0].steps[1]), bound(&[("json since", from_json(0, "/now"))]));
}

#[test]
fn of_several_candidates_the_latest_wins_and_the_others_are_reported() {
    let list = |at_s: f64| get("/api/files").at_s(at_s).answers(&format!(r#"[{{"id":"{UUID}"}}]"#));
    let sessions = grouped(vec![
        get("/api/home").at_s(0.0).answers(&format!(r#"{{"last":{{"file_id":"{UUID}"}}}}"#)),
        list(1.0),
        list(2.0),
        post("/api/share").at_s(3.0).json(&format!(r#"{{"file_id":"{UUID}"}}"#)),
    ]);
    let hole = &sessions.sessions[0].steps[3].holes[0];
    assert_eq!(hole.source, from_json(2, "/0/id"));
    // The list before the last is the same place, only earlier.
    let home = Candidate { step: 0, from: json("/last/file_id") };
    assert_eq!((hole.choice.also.as_slice(), hole.choice.is_ambiguous), ([home].as_slice(), true));
    let map = map(&sessions);
    let [row] = map.bindings.as_slice() else { panic!("{map:?}") };
    assert_eq!(
        (row.also.as_slice(), row.ambiguous),
        (["GET /api/home · /last/file_id".to_owned()].as_slice(), true)
    );
    let text = map.to_text(80);
    assert!(
        text.contains("  ? json file_id ← GET /api/files · /0/id (1 use)\n      also in GET /api/home"),
        "{text}"
    );
}

#[test]
fn a_candidate_whose_name_fits_worse_makes_nothing_ambiguous() {
    let answer = format!(r#"{{"a":"{UUID}","z":{{"activities":[{{"id":"{UUID}"}}]}}}}"#);
    let sessions = grouped(vec![
        get("/api/x").at_s(0.0).answers(&answer),
        post("/api/y").at_s(1.0).json(&format!(r#"{{"activity_id":"{UUID}"}}"#)),
    ]);
    let choice = &sessions.sessions[0].steps[1].holes[0].choice;
    assert_eq!((choice.also.len(), choice.is_ambiguous), (1, false));
}

#[test]
fn requests_side_by_side_wait_for_nothing_but_what_they_use() {
    let token = |scene: Scene| scene.bearer("t");
    let sessions = grouped(vec![
        login("a", 0.0, "t"),
        token(get("/a").at_s(1.0).taking_ms(900)).answers(&format!(r#"{{"id":"{UUID}"}}"#)),
        token(get("/b").at_s(1.1).taking_ms(900)).on(2),
        token(get("/c").at_s(1.2).taking_ms(900)).on(3),
        token(get(&format!("/d/{UUID}")).at_s(3.0)).on(2),
    ]);
    let steps = &sessions.sessions[0].steps;
    let waits: Vec<Vec<usize>> = steps.iter().map(|step| step.waits_for().collect()).collect();
    assert_eq!(waits, [vec![], vec![0], vec![0], vec![0], vec![1, 0]]);
    let connections: Vec<usize> = steps.iter().map(|step| step.connection).collect();
    assert_eq!(connections, [0, 0, 1, 2, 1]);
}

#[test]
fn streams_of_one_http_2_connection_that_overlap_get_connections_of_their_own() {
    let h2 = |mut scene: Scene| {
        scene.0.http_version = 20;
        scene.bearer("t")
    };
    let sessions = grouped(vec![
        h2(get("/a").at_s(0.0).taking_ms(500)),
        h2(get("/b").at_s(0.1).taking_ms(100)),
        h2(get("/c").at_s(0.3).taking_ms(500)),
        h2(get("/d").at_s(0.4).taking_ms(10)),
        h2(get("/e").at_s(2.0)),
    ]);
    let steps = &sessions.sessions[0].steps;
    assert_eq!(steps.iter().map(|step| step.connection).collect::<Vec<_>>(), [0, 1, 1, 2, 0]);
}
