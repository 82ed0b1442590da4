//! A small, quick school, and a student who is logged in to it.

use std::time::Duration;

use classroom::accounts::account;
use classroom::faults::{Fault, Faults};
use classroom::law::{ServiceLaw, StoreLatency};
use classroom::serve::{Health, RunningServer, ServeConfig, start};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::browser::{Answer, Browser};

/// How long an awaited event may take to come.
const EVENT_DEADLINE: Duration = Duration::from_secs(20);
const EVENT_POLL: Duration = Duration::from_millis(10);

pub(crate) const BOUNDARY: &str = "xyzzy";
pub(crate) const UPLOAD: &str = "/api/students/upload-recording";

/// A service that takes no time and has twelve students.
pub(crate) fn quick() -> ServeConfig {
    let law =
        ServiceLaw { store: StoreLatency::Constant(0.0), auth_ms: 0.0, db_ms: 0.0, ..ServiceLaw::default() };
    ServeConfig { students: 12, law, drain: Duration::from_secs(5), ..ServeConfig::default() }
}

/// A quick service with one fault.
pub(crate) fn faulty(fault: &str) -> ServeConfig {
    let fault: Fault = fault.parse().unwrap();
    ServeConfig { faults: Faults::of(&[fault]), ..quick() }
}

/// A service whose store calls do not end within a test.
pub(crate) fn stuck_in_store(config: ServeConfig) -> ServeConfig {
    let law = ServiceLaw { store: StoreLatency::Constant(3_600_000.0), ..config.law };
    ServeConfig { law, drain: Duration::ZERO, ..config }
}

pub(crate) async fn school(config: ServeConfig) -> RunningServer {
    start(config).await.expect("the service starts")
}

/// A student at the door, not logged in.
pub(crate) fn visitor(server: &RunningServer) -> Browser {
    Browser { addr: server.addr, token: None }
}

pub(crate) async fn health(server: &RunningServer) -> Health {
    serde_json::from_slice(&visitor(server).get("/health").await.body).unwrap()
}

/// Waits until the service's figures are as awaited.
pub(crate) async fn until(server: &RunningServer, awaited: impl Fn(&Health) -> bool) -> Health {
    let deadline = Instant::now() + EVENT_DEADLINE;
    loop {
        let figures = health(server).await;
        if awaited(&figures) {
            return figures;
        }
        assert!(Instant::now() < deadline, "never came: {figures:?}");
        sleep(EVENT_POLL).await;
    }
}

pub(crate) async fn login(browser: &Browser, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password}).to_string();
    browser.post("/api/auth/login", "application/json", body).await
}

/// A student with a token and the ids of the own first assignment and activity.
#[derive(Debug, Clone)]
pub(crate) struct Student {
    pub(crate) browser: Browser,
    pub(crate) assignment_id: String,
    pub(crate) activity_id: String,
}

/// Student number `index` of seed 1, logged in.
pub(crate) async fn student(server: &RunningServer, index: u64) -> Student {
    let account = account(1, index);
    let mut browser = visitor(server);
    let answer = login(&browser, &account.email, &account.password).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    browser.token = answer.json()["access_token"].as_str().map(str::to_owned);
    let assignment_id = first_id(&browser.get("/api/assignments").await.json());
    let path = format!("/api/assignments/{assignment_id}/activities");
    let activity_id = first_id(&browser.get(&path).await.json());
    Student { browser, assignment_id, activity_id }
}

fn first_id(list: &Value) -> String {
    list[0]["id"].as_str().expect("a list of objects with ids").to_owned()
}

/// One part of a form.
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    /// File name and content type, for files.
    pub(crate) file: Option<(&'a str, &'a str)>,
    pub(crate) content: &'a [u8],
}

pub(crate) fn text<'a>(name: &'a str, content: &'a str) -> Part<'a> {
    Part { name, file: None, content: content.as_bytes() }
}

pub(crate) fn audio<'a>(content_type: &'a str, content: &'a [u8]) -> Part<'a> {
    Part { name: "audio", file: Some(("recording.webm", content_type)), content }
}

pub(crate) fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let file = part.file.map_or(String::new(), |(name, content_type)| {
            format!("; filename=\"{name}\"\r\nContent-Type: {content_type}")
        });
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"{file}\r\n\r\n", part.name);
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

impl Student {
    /// Uploads these bytes as the given type to the student's own first activity.
    pub(crate) async fn upload(&self, content_type: &str, content: &[u8]) -> Answer {
        self.send(&[
            text("assignment_id", &self.assignment_id),
            text("activity_id", &self.activity_id),
            audio(content_type, content),
        ])
        .await
    }

    pub(crate) async fn send(&self, parts: &[Part<'_>]) -> Answer {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.browser.post(UPLOAD, &content_type, form(parts)).await
    }
}
