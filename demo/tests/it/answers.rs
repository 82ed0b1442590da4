//! Each answer of the service without faults: statuses, bodies, headers and counts.

use classroom::accounts::account;
use classroom::serve::{AUDIO_TYPES, ServeConfig, UploadLimits};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};
use uuid::Uuid;

use crate::school::{Student, UPLOAD, audio, health, login, quick, school, student, text, visitor};

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| Uuid::parse_str(text).is_ok())
}

#[tokio::test]
async fn a_login_gives_a_bearer_token_and_the_user() {
    let server = school(quick()).await;
    let account = account(1, 0);
    let answer = login(&visitor(&server), &account.email, &account.password).await;
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["user"]["email"], account.email);
    assert_eq!(body["user"]["name"], account.name);
    assert!(is_uuid(&body["user"]["id"]));
    assert!(answer.stage_ms("auth").is_some() && answer.stage_ms("store").is_none());
}

#[tokio::test]
async fn two_logins_get_two_tokens() {
    let server = school(quick()).await;
    let (first, second) = (student(&server, 0).await, student(&server, 0).await);
    assert_ne!(first.browser.token, second.browser.token);
}

#[tokio::test]
async fn wrong_credentials_are_401_and_malformed_ones_422() {
    let server = school(quick()).await;
    let browser = visitor(&server);
    let account = account(1, 0);
    assert_eq!(login(&browser, &account.email, "not-the-one").await.status, 401);
    assert_eq!(login(&browser, "nobody@school.example", &account.password).await.status, 401);
    for body in ["{", "[]", "{\"email\": \"a@b\"}", "{\"email\": 3, \"password\": \"x\"}"] {
        let answer = browser.post("/api/auth/login", "application/json", body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.json()["detail"][0]["loc"].is_array(), "{body}");
    }
    let huge = vec![b' '; 100_000];
    assert_eq!(browser.post("/api/auth/login", "application/json", huge).await.status, 413);
}

#[tokio::test]
async fn without_a_valid_token_everything_is_401() {
    let server = school(quick()).await;
    let own = student(&server, 0).await;
    for token in [None, Some("garbage".to_owned()), own.browser.token.clone().map(|token| token + "x")] {
        let mut stranger = own.clone();
        stranger.browser.token = token;
        for path in ["/api/students/me", "/api/assignments"] {
            let answer = stranger.browser.get(path).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{path}");
        }
        assert_eq!(stranger.upload("audio/webm", &[7; 6_000]).await.status, 401);
    }
    assert_eq!(health(&server).await.uploads.accepted, 0);
}

#[tokio::test]
async fn a_token_expires() {
    let server = school(ServeConfig { token_ttl_s: 2, ..quick() }).await;
    let own = student(&server, 0).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while own.browser.get("/api/students/me").await.status != 401 {
        assert!(Instant::now() < deadline, "the token never expires");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(own.upload("audio/webm", &[7; 6_000]).await.status, 401);
}

#[tokio::test]
async fn each_student_sees_the_own_nested_lists() {
    let server = school(quick()).await;
    let own = student(&server, 0).await;
    let assignments = own.browser.get("/api/assignments").await;
    assert!(assignments.stage_ms("auth").is_some() && assignments.stage_ms("db").is_some());
    let assignments = assignments.json();
    assert_eq!(assignments.as_array().unwrap().len(), 3);
    for assignment in assignments.as_array().unwrap() {
        assert!(is_uuid(&assignment["id"]));
        let path = format!("/api/assignments/{}/activities", assignment["id"].as_str().unwrap());
        let activities = own.browser.get(&path).await.json();
        assert!(activities.as_array().unwrap().len() > 1);
        assert!(activities.as_array().unwrap().iter().all(|activity| is_uuid(&activity["id"])));
    }
}

#[tokio::test]
async fn another_students_ids_are_404() {
    let server = school(quick()).await;
    let (own, other) = (student(&server, 0).await, student(&server, 1).await);
    let path = format!("/api/assignments/{}/activities", other.assignment_id);
    assert_eq!(own.browser.get(&path).await.status, 404);
    assert_eq!(own.browser.get("/api/assignments/seven/activities").await.status, 422);
    let strays = [
        Student { browser: own.browser.clone(), ..other.clone() },
        Student { activity_id: other.activity_id.clone(), ..own.clone() },
        Student { assignment_id: other.assignment_id.clone(), ..own.clone() },
    ];
    for stray in strays {
        assert_eq!(stray.upload("audio/webm", &[7; 6_000]).await.status, 404);
    }
    assert_eq!(health(&server).await.uploads.accepted, 0);
}

#[tokio::test]
async fn uploads_are_counted_exactly() {
    let server = school(quick()).await;
    let own = student(&server, 3).await;
    let sizes = [5_000, 5_001, 70_000, 1_999_999, 2_000_000];
    for (size, content_type) in sizes.into_iter().zip(AUDIO_TYPES) {
        let content = vec![7; size];
        let answer = own.upload(content_type, &content).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let body = answer.json();
        assert!(is_uuid(&body["recording_id"]));
        assert_eq!(body["bytes"], size);
        assert_eq!(body["digest"], format!("blake3:{}", blake3::hash(&content).to_hex()));
        assert!(["auth", "store", "db"].iter().all(|stage| answer.stage_ms(stage).is_some()));
    }
    let uploads = health(&server).await.uploads;
    assert_eq!((uploads.accepted, uploads.bytes), (5, sizes.iter().sum::<usize>() as u64));
    let profile = own.browser.get("/api/students/me").await.json();
    assert_eq!(
        (profile["recordings"].as_u64(), profile["recorded_bytes"].as_u64()),
        (Some(5), Some(uploads.bytes))
    );
}

#[tokio::test]
async fn a_type_with_a_codec_is_the_same_type() {
    let server = school(quick()).await;
    let own = student(&server, 0).await;
    assert_eq!(own.upload("audio/webm;codecs=opus", &[1; 9_000]).await.status, 201);
    assert_eq!(own.upload("Audio/WAV", &[1; 9_000]).await.status, 201);
}

#[tokio::test]
async fn sizes_and_types_outside_the_limits_are_refused() {
    let server = school(quick()).await;
    let own = student(&server, 0).await;
    assert_eq!(own.upload("audio/webm", &[1; 4_999]).await.status, 400);
    assert_eq!(own.upload("audio/webm", &vec![1; 2_000_001]).await.status, 413);
    assert_eq!(own.upload("audio/webm", &vec![1; 9_000_000]).await.status, 413);
    assert_eq!(own.upload("video/mp4", &[1; 9_000]).await.status, 415);
    assert_eq!(health(&server).await.uploads.accepted, 0);
}

#[tokio::test]
async fn limits_are_settable() {
    let limits = UploadLimits { min_bytes: 10, max_bytes: 20 };
    let server = school(ServeConfig { limits, ..quick() }).await;
    let own = student(&server, 0).await;
    let mut statuses = Vec::new();
    for size in [9, 10, 20, 21] {
        statuses.push(own.upload("audio/ogg", &vec![1; size]).await.status);
    }
    assert_eq!(statuses, [400, 201, 201, 413]);
}

#[tokio::test]
async fn malformed_forms_get_what_fastapi_gives_them() {
    let server = school(quick()).await;
    let own = student(&server, 0).await;
    let (assignment, activity) =
        (text("assignment_id", &own.assignment_id), text("activity_id", &own.activity_id));
    let content = [1; 6_000];
    let no_file = own.send(&[text("assignment_id", &own.assignment_id), activity]).await;
    assert_eq!((no_file.status, &no_file.json()["detail"][0]["loc"][1]), (422, &Value::from("audio")));
    let no_activity = own.send(&[assignment, audio("audio/webm", &content)]).await;
    assert_eq!(no_activity.json()["detail"][0]["type"], "missing");
    let bad_id = Student { activity_id: "seven".to_owned(), ..own.clone() };
    assert_eq!(bad_id.upload("audio/webm", &content).await.status, 422);
    let text_for_file = [
        text("assignment_id", &own.assignment_id),
        text("activity_id", &own.activity_id),
        text("audio", "not a file"),
    ];
    assert_eq!(own.send(&text_for_file).await.status, 422);
    assert_eq!(own.browser.post(UPLOAD, "application/json", "{}").await.status, 422);
    assert_eq!(own.browser.post(UPLOAD, "multipart/form-data", "x").await.status, 400);
    let torn =
        own.browser.post(UPLOAD, "multipart/form-data; boundary=xyzzy", "--xyzzy\r\nContent-Dis").await;
    assert_eq!(torn.status, 400);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_as_json() {
    let server = school(quick()).await;
    let browser = visitor(&server);
    let nowhere = browser.get("/api/nothing").await;
    assert_eq!((nowhere.status, &nowhere.json()["detail"]), (404, &Value::from("Not Found")));
    assert_eq!(browser.get(UPLOAD).await.status, 405);
}

#[tokio::test]
async fn the_page_and_its_sample_are_there() {
    let server = school(quick()).await;
    let page = visitor(&server).get("/?auto=0").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(String::from_utf8_lossy(&page.body).contains("id=\"result\""));
    let sample = visitor(&server).get("/sample.webm").await;
    assert_eq!(sample.header("content-type"), "audio/webm");
    let own = student(&server, 0).await;
    assert_eq!(own.upload("audio/webm", &sample.body).await.status, 201);
}
