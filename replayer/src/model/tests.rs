use std::collections::BTreeMap;

use kingtide_common::audio::{AudioBody, AudioFormat};
use kingtide_common::exchange::{Body, Exchange, FilePart, PartContent};

use super::*;
use crate::sessions::{Escape, Fresh, Hole, Place, ResponsePlace, Source, Step, route};

const SECOND_US: u64 = 1_000_000;

fn model(text: &str) -> Result<Model, String> {
    let file = config::parse::<File>("m.toml", text).map_err(|error| error.in_one_line())?;
    Model::of(file, "m.toml", text).map_err(|error| error.in_one_line())
}

fn students() -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models/students.toml");
    Model::read(&path).unwrap_or_else(|error| panic!("{}", error.in_one_line()))
}

fn arrivals(users: usize, spawn_per_s: f64, duration_s: u64) -> Arrivals {
    let users = NonZeroUsize::new(users).unwrap();
    Arrivals { users, spawn_per_s, duration: Duration::from_secs(duration_s) }
}

fn sessions(text: &str, arrivals: &Arrivals) -> Vec<Session> {
    model(text).unwrap().sessions(arrivals, Seed(1)).unwrap()
}

fn route(step: &Step) -> String {
    route::template(&step.exchange.method, &step.exchange.target)
}

fn exchanges(sessions: &[Session]) -> impl Iterator<Item = &Exchange> {
    sessions.iter().flat_map(|session| &session.steps).map(|step| &step.exchange)
}

fn done_us(step: &Step) -> u64 {
    step.offset_us + step.exchange.instants.done_us.unwrap()
}

#[test]
fn students_log_in_look_around_and_upload() {
    let sessions = students().sessions(&arrivals(20, 2.0, 60), Seed(7)).unwrap();
    let starts_s: Vec<f64> = sessions.iter().map(|session| session.start_ns as f64 / 1e9).collect();
    assert_eq!(starts_s, (0..20).map(|user| f64::from(user) / 2.0).collect::<Vec<_>>());
    for session in &sessions {
        let routes: Vec<String> = session.steps.iter().map(route).collect();
        let visit = [
            "POST /api/auth/login",
            "GET /api/students/me",
            "GET /api/assignments",
            "GET /api/assignments/{id}/activities",
            "POST /api/students/upload-recording",
        ];
        assert_eq!(routes[..5], visit);
        let uploads = routes[4..].iter().take_while(|route| *route == visit[4]).count();
        assert!(
            (1..=4).contains(&uploads) && (routes.len() == 4 + uploads || routes[4 + uploads] == visit[0])
        );
        let stay_us = 60 * SECOND_US - session.start_ns.unsigned_abs() / 1000;
        assert!(session.steps.last().unwrap().offset_us < stay_us);
        assert!(done_us(session.steps.last().unwrap()) + 6 * SECOND_US > stay_us, "nobody leaves early");
        let thinks = session.steps.windows(2).map(|pair| pair[1].offset_us - done_us(&pair[0]));
        assert!(thinks.into_iter().all(|think_us| (SECOND_US..=5 * SECOND_US).contains(&think_us)));
    }
}

#[test]
fn every_value_has_its_source_and_a_new_visit_its_own_answers() {
    let sessions = students().sessions(&arrivals(1, 1.0, 120), Seed(1)).unwrap();
    let steps = &sessions[0].steps;
    let logins: Vec<usize> =
        (0..steps.len()).filter(|step| route(&steps[*step]).ends_with("login")).collect();
    assert!(logins.len() > 2);
    for (index, step) in steps.iter().enumerate() {
        let login = logins.iter().rfind(|login| **login <= index).unwrap();
        for hole in &step.holes {
            match &hole.source {
                Source::Response { step, .. } => assert!((*login..index).contains(step)),
                Source::Identity { .. } => assert_eq!(*login, index),
                other => panic!("{other:?}"),
            }
        }
        assert!(step.holes.is_sorted_by_key(|hole| (hole.place, hole.range.start)));
    }
    let upload = steps.iter().find(|step| step.exchange.files().next().is_some()).unwrap();
    let sources: Vec<(Place, &Source)> = upload.holes.iter().map(|hole| (hole.place, &hole.source)).collect();
    let json = |step, pointer: &str| Source::Response {
        step,
        from: ResponsePlace::Json { pointer: pointer.to_owned() },
    };
    assert_eq!(
        sources,
        [
            (Place::Header(1), &json(0, "/access_token")),
            (Place::Part(0), &json(2, "/0/id")),
            (Place::Part(1), &json(3, "/0/id")),
        ]
    );
}

#[test]
fn the_same_seed_gives_the_same_sessions_and_each_user_its_own() {
    let of = |users, seed| students().sessions(&arrivals(users, 2.0, 120), Seed(seed)).unwrap();
    assert_eq!(of(5, 7), of(5, 7));
    assert_eq!(of(5, 7), of(9, 7)[..5]);
    assert_ne!(of(5, 7), of(5, 8));
    let thinks = |session: &Session| session.steps.iter().map(|step| step.offset_us).collect::<Vec<_>>();
    assert_ne!(thinks(&of(2, 7)[0]), thinks(&of(2, 7)[1]));
}

#[test]
fn sizes_uploads_and_links_have_their_shares() {
    let sessions = students().sessions(&arrivals(400, 100.0, 300), Seed(3)).unwrap();
    let uploads: Vec<&Exchange> = exchanges(&sessions).filter(|upload| upload.files().count() == 1).collect();
    let files: Vec<&FilePart> = uploads.iter().flat_map(|upload| upload.files()).collect();
    assert!(files.len() > 9_000, "{}", files.len());
    let share = |count: usize, of: usize| count as f64 / of as f64;
    // Four standard deviations √(p(1 − p) / 9000) each.
    for (bytes, expected, off_max) in
        [(50_000, 0.26, 0.0185), (200_000, 0.53, 0.0210), (500_000, 0.16, 0.0155), (2_000_000, 0.05, 0.0092)]
    {
        let found = share(files.iter().filter(|file| file.bytes == bytes).count(), files.len());
        assert!((found - expected).abs() < off_max, "{bytes}: {found}");
    }
    let is_slow = |session: &&Session| {
        let mut exchanges = session.steps.iter().map(|step| &step.exchange);
        let upload = exchanges.find(|exchange| exchange.files().next().is_some()).unwrap();
        upload.request_body_bytes * 8 * SECOND_US / upload.pacing[0].at_us < 4_000_000
    };
    // 400 users: 60, four standard deviations of 7.14.
    let slow = sessions.iter().filter(is_slow).count();
    assert!((31..=89).contains(&slow), "{slow}");
}

const ALL_BODIES: &str = r#"
    uplinks = [{ rate = "80kbps", share = 1 }]
    answer = "100ms"
    [headers]
    X-Id = "{fresh.uuid}"
    accept = "*/*"
    [[step]]
    name = "create"
    request = "PUT /api/things?at={fresh.epoch_ms}"
    headers = { Accept = "text/plain" }
    json = '{"id":"{fresh.uuid}","n":[1,{"at":{fresh.epoch_s}}]}'
    [[step]]
    name = "change"
    request = "POST {create:header Location}"
    form = "a=1&etag={create:header ETag}"
    think = 2
    [[step]]
    name = "look"
    request = "GET /things/{create:/id}"
    once = true
    [[step]]
    name = "send"
    request = "POST /upload"
    repeat = "0..0"
    [[step.part]]
    name = "photo"
    file = "image/png"
    extension = "png"
    sizes = [{ bytes = 1_000, share = 1 }]
"#;

#[test]
fn bodies_and_headers_are_as_clients_write_them() {
    let text = ALL_BODIES.replace("0..0", "1");
    let sessions = sessions(&text, &arrivals(1, 1.0, 60));
    let [create, change, look, send] = sessions[0].steps.as_slice() else { panic!("no `again`, one visit") };
    let headers = |step: &Step| {
        let headers = step.exchange.request_headers.iter();
        headers.map(|header| format!("{}: {}", header.name, header.value)).collect::<Vec<_>>()
    };
    let stand_in = "{fp:0000000000000000.36}";
    let id = format!("X-Id: {stand_in}");
    let json = "Content-Type: application/json";
    assert_eq!(headers(create), ["Accept: text/plain", &id, json, "Content-Length: 0"]);
    assert_eq!(headers(look), [&id, "accept: */*"]);
    assert_eq!(
        headers(change)[2..],
        ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"]
    );
    let slot = |hole: &Hole| match hole.source {
        Source::Fresh(Fresh::Uuid { slot } | Fresh::Time { slot, .. }) => slot,
        ref other => panic!("{other:?}"),
    };
    let holes: Vec<(Place, Escape, usize)> =
        create.holes.iter().map(|hole| (hole.place, hole.escape, slot(hole))).collect();
    let expected = [
        (Place::Target, Escape::Percent, 0),
        (Place::Header(1), Escape::Raw, 0),
        (Place::Body, Escape::JsonString, 0),
        (Place::Body, Escape::JsonScalar, 0),
    ];
    assert_eq!(holes, expected);
    assert_eq!((slot(&look.holes[1]), change.holes[0].escape), (2, Escape::Raw));
    let Body::Json(text) = &create.exchange.request_body else {
        panic!("{:?}", create.exchange.request_body)
    };
    assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
    let Body::Multipart(multipart) = &send.exchange.request_body else {
        panic!("{:?}", send.exchange.request_body)
    };
    let PartContent::File { file } = &multipart.parts[0].content else { panic!("{multipart:?}") };
    assert_eq!((file.content_type.as_deref(), file.extension.as_deref()), (Some("image/png"), Some("png")));
}

#[test]
fn uploads_take_the_time_of_their_link_and_what_follows_comes_after() {
    let sessions = sessions(&ALL_BODIES.replace("0..0", "1"), &arrivals(1, 1.0, 60));
    let [create, change, look, send] = sessions[0].steps.as_slice() else { panic!("one visit") };
    // 80 kbit/s are 10 bytes a millisecond; `{"id":"…36…","n":[1,{"at":0}]}` has 62 bytes.
    assert_eq!(create.exchange.request_body_bytes, 62);
    assert_eq!(create.exchange.instants.done_us, Some(6_200 + 100_000));
    assert_eq!(change.offset_us, 106_200 + 2_000_000);
    assert_eq!(look.exchange.pacing, []);
    let send = &send.exchange;
    assert_eq!(send.pacing[0].bytes, send.request_body_bytes);
    assert_eq!(send.pacing[0].at_us, send.request_body_bytes * 100);
    let framing = send.request_body_bytes - 1_000;
    assert!((150..250).contains(&framing), "{framing}");
}

#[test]
fn what_is_done_once_is_not_done_again() {
    let again = format!("again = \"1s\"\n{ALL_BODIES}");
    let sessions = sessions(&again, &arrivals(1, 1.0, 20));
    let routes: Vec<String> = sessions[0].steps.iter().map(route).collect();
    assert_eq!(routes.iter().filter(|route| *route == "GET /things/{id}").count(), 1);
    assert_eq!(routes[3], "PUT /api/things", "the second visit: {routes:?}");
    let Source::Response { step, .. } = sessions[0].steps[4].holes[0].source else { panic!("the Location") };
    assert_eq!(step, 3);
}

#[test]
fn a_user_who_thinks_for_ever_sends_nothing_more() {
    const ONCE: &str = "[[step]]\nname = \"a\"\nrequest = \"GET /\"\n";
    for (text, sent) in [
        (format!("again = \"9999999999999h\"\n{ONCE}"), 1),
        (format!("{ONCE}repeat = 3\nthink = \"9999999999999h\""), 1),
    ] {
        let sessions = sessions(&text, &arrivals(2, 2.0, 60));
        assert!(sessions.iter().all(|session| session.steps.len() == sent), "{text}");
    }
}

#[test]
fn arrivals_that_cannot_be_are_refused() {
    let refused = |arrivals: &Arrivals| students().sessions(arrivals, Seed(1)).unwrap_err().to_string();
    let late = refused(&arrivals(20, 0.5, 30));
    assert!(late.contains("of 20 users at 0.5 a second the last comes after 30s"), "{late}");
    let text = "again = \"0s\"\nanswer = \"1ms\"\n[[step]]\nname = \"x\"\nrequest = \"GET /\"";
    let many = model(text).unwrap().sessions(&arrivals(3, 1.0, 1_200), Seed(1)).unwrap_err();
    assert!(matches!(many, ArrivalsError::TooMany { users: 3, .. }), "{many}");
}

#[test]
fn recordings_of_the_shipped_sizes_are_real_ones() {
    let sessions = students().sessions(&arrivals(20, 2.0, 60), Seed(1)).unwrap();
    let mut sizes = BTreeMap::new();
    for file in exchanges(&sessions).flat_map(Exchange::files) {
        let format = AudioFormat::of(file.content_type.as_deref(), file.extension.as_deref());
        assert!(AudioBody::new(format, file.bytes, 1).is_valid_audio());
        *sizes.entry(file.bytes).or_insert(0) += 1;
    }
    assert!(sizes.len() >= 3, "{sizes:?}");
}

#[test]
fn mistakes_are_answered_with_line_and_remedy() {
    let login = "[[step]]\nname = \"login\"\nrequest = \"POST /login\"\n";
    let upload = |sizes: &str| {
        format!("{login}[[step.part]]\nname = \"audio\"\nfile = \"audio/webm\"\nsizes = [{sizes}]")
    };
    let with = |more: &str| format!("{login}{more}");
    let mistakes = [
        (String::new(), "m.toml", "step"),
        ("step = []".to_owned(), "m.toml:1", "add [[step]]"),
        (with("wait = \"1s\""), "m.toml:4: step[0].wait", "unknown field `wait`"),
        (with("thnik = \"1s\""), "m.toml:4", "did you mean `think`?"),
        (with("think = \"5s..1s\""), "m.toml:4", "write the smaller value first"),
        (with("think = \"a while\""), "m.toml:4", "write 500ms, 30s"),
        (with("repeat = \"1..x\""), "m.toml:4", "`1..x`"),
        (with("status = 99"), "m.toml:4", "100 to 599"),
        (with("answer = \"0s\""), "m.toml:4", "write 300ms"),
        (with("json = '{\"a\":}'"), "m.toml:4", "json: expected value"),
        (with("json = '{\"a\":\"{identity}\"}'"), "m.toml:4", "{identity.COLUMN}"),
        (with("json = '{}'\nform = \"\""), "m.toml:2", "one body"),
        (with("headers = { Host = \"x\" }"), "m.toml:4", "leave it out"),
        (with("headers = { \"a b\" = \"x\" }"), "m.toml:4", "no name of a header"),
        (with("headers = { A = \"{login:/id}\" }"), "m.toml:4", "use a step before this one"),
        (with("headers = { A = \"{logon:/id}\" }"), "m.toml:4", "`logon` is no step"),
        (with("[headers]\nA = \"{login:/id}\""), "m.toml:5", "use a step before this one"),
        (with(login), "m.toml:5", "give each its own"),
        (login.replace("\"login\"", "\"log in\""), "m.toml:2", "write a letter"),
        (login.replace("POST /login", "/login"), "m.toml:3", "write method and path"),
        (login.replace("POST /login", "post /login"), "m.toml:3", "write method and path"),
        (login.replace("/login", "login"), "m.toml:3", "write method and path"),
        (
            with("repeat = \"0..2\"\n[[step]]\nname = \"b\"\nrequest = \"GET /{login:/id}\""),
            "m.toml:7",
            "left out",
        ),
        (format!("again = \"1s\"\n{login}once = true"), "m.toml:1", "done again"),
        (
            format!("uplinks = [{{ rate = \"5g\", share = 1 }}]\n{login}"),
            "m.toml:1",
            "write recorded, unpaced, 3g",
        ),
        (format!("uplinks = [{{ rate = \"recorded\", share = 1 }}]\n{login}"), "m.toml:1", "write a speed"),
        (
            upload("{ bytes = \"50KB\", share = 0.5 }, { bytes = \"1MB\", share = 0.4 }"),
            "m.toml:7",
            "0.9 together",
        ),
        (upload("{ bytes = \"1KB\", share = 1 }"), "m.toml:7", "write 1119 or more"),
        (upload("{ bytes = \"1KB\" }"), "m.toml:7", "share"),
        (with("[[step.part]]\nname = \"a\""), "m.toml:5", "a value, or a file"),
    ];
    let answered = |(text, place, remedy): (String, &str, &str)| {
        let said = model(&text).unwrap_err();
        (!said.starts_with(place) || !said.contains(remedy)).then(|| format!("{text}\n→ {said}"))
    };
    let wrong: Vec<String> = mistakes.into_iter().filter_map(answered).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
