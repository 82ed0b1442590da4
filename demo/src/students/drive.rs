//! Lets the planned students visit: one task each, login → profile → assignments → activities → uploads.
//!
//! A student waits for each answer, as a browser does; what a failed step makes impossible stays unsent and counts
//! as a failure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use url::Url;

use super::body::UploadForm;
use super::client::{Answer, Client, OutBody};
use super::plan::{Cue, PlannedStudent, PlannedUpload};
use super::report::{Outcome, Report, Route};
use super::tally::Tally;
use super::{StudentsConfig, StudentsError};
use crate::accounts::{Account, account};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
const USER_AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 8a) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
];

/// Drives all students and returns what they saw.
pub(crate) async fn visit(
    config: &StudentsConfig,
    planned: &[PlannedStudent],
) -> Result<Report, StudentsError> {
    let authority = authority(&config.target)?;
    let tally = Arc::new(Tally::new(planned));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for student in planned {
        let visitor = Visitor::new(config, &authority, student.clone(), Arc::clone(&tally), start);
        tasks.spawn(visitor.visit());
    }
    let end = start + config.plan.duration + config.grace;
    let interrupted = wait(&mut tasks, &tally, start, end).await?;
    tasks.shutdown().await;
    Ok(tally.report(config, start.elapsed(), interrupted))
}

fn authority(target: &Url) -> Result<String, StudentsError> {
    let host = target.host_str().filter(|_| target.scheme() == "http");
    let host = host.ok_or_else(|| StudentsError::Target(target.clone()))?;
    Ok(format!("{host}:{}", target.port_or_known_default().unwrap_or(80)))
}

/// Waits until all are done, time is over, or a signal comes; true for the signal.
async fn wait(tasks: &mut JoinSet<()>, tally: &Tally, start: Instant, end: Instant) -> std::io::Result<bool> {
    let mut interrupt: Signal = signal(SignalKind::interrupt())?;
    let mut terminate: Signal = signal(SignalKind::terminate())?;
    let mut progress = interval(PROGRESS_INTERVAL);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            joined = tasks.join_next() => if joined.is_none() { return Ok(false) },
            () = sleep_until(end) => return Ok(false),
            _ = interrupt.recv() => return Ok(true),
            _ = terminate.recv() => return Ok(true),
            _ = progress.tick() => eprintln!("students {}", tally.progress(start.elapsed())),
        }
    }
}

/// One student on the way.
struct Visitor {
    planned: PlannedStudent,
    account: Account,
    client: Client,
    base_path: String,
    tally: Arc<Tally>,
    start: Instant,
    seed: u64,
    token: Option<HeaderValue>,
}

/// Where a student's recordings belong.
struct Homework {
    assignment_id: String,
    activity_ids: Vec<String>,
}

impl Visitor {
    fn new(
        config: &StudentsConfig,
        authority: &str,
        planned: PlannedStudent,
        tally: Arc<Tally>,
        start: Instant,
    ) -> Self {
        Self {
            account: account(config.plan.seed, planned.account),
            client: Client::new(authority.to_owned(), config.timeout),
            base_path: config.target.path().trim_end_matches('/').to_owned(),
            seed: config.plan.seed,
            token: None,
            planned,
            tally,
            start,
        }
    }

    async fn visit(mut self) {
        sleep_until(self.start + self.planned.start).await;
        self.tally.arrive();
        if let Some(homework) = self.prepare().await {
            for (number, upload) in self.planned.uploads.clone().into_iter().enumerate() {
                self.wait_for(upload.cue).await;
                self.upload(&homework, number, &upload).await;
            }
        }
        self.tally.leave();
    }

    async fn wait_for(&self, cue: Cue) {
        match cue {
            Cue::After(think) => sleep(think).await,
            Cue::At(instant) => sleep_until(self.start + instant).await,
        }
    }

    async fn prepare(&mut self) -> Option<Homework> {
        self.token = Some(self.login().await?);
        sleep(self.planned.pauses[0]).await;
        self.read(Route::Profile, "/api/students/me", |body| body.get("id").cloned()).await?;
        sleep(self.planned.pauses[1]).await;
        let assignments = self.read(Route::Assignments, "/api/assignments", ids).await?;
        let assignment_id = assignments[self.choose(assignments.len())].clone();
        sleep(self.planned.pauses[2]).await;
        let path = format!("/api/assignments/{assignment_id}/activities");
        let activity_ids = self.read(Route::Activities, &path, ids).await?;
        Some(Homework { assignment_id, activity_ids })
    }

    fn choose(&self, of: usize) -> usize {
        self.planned.choice as usize % of.max(1)
    }

    async fn login(&mut self) -> Option<HeaderValue> {
        let body = json!({"email": self.account.email, "password": self.account.password}).to_string();
        let body = Full::new(Bytes::from(body)).boxed_unsync();
        let request = self.request(Method::POST, "/api/auth/login", Some("application/json"), body);
        self.ask(Route::Login, request, |answer| {
            let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "bad_answer")?;
            let token = body["access_token"].as_str().ok_or("bad_answer")?;
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "bad_answer")
        })
        .await
    }

    /// A GET whose JSON answer must hold what `pick` looks for.
    async fn read<T>(&mut self, route: Route, path: &str, pick: fn(&Value) -> Option<T>) -> Option<T> {
        let request = self.request(Method::GET, path, None, Empty::new().boxed_unsync());
        self.ask(route, request, |answer| {
            let body = serde_json::from_slice(&answer.body).map_err(|_| "bad_answer")?;
            pick(&body).ok_or("bad_answer")
        })
        .await
    }

    async fn upload(&mut self, homework: &Homework, number: usize, upload: &PlannedUpload) {
        let activity = (self.choose(homework.activity_ids.len()) + number) % homework.activity_ids.len();
        let form = UploadForm {
            assignment_id: homework.assignment_id.clone(),
            activity_id: homework.activity_ids[activity].clone(),
            file_name: file_name(OffsetDateTime::now_utc()),
            file_bytes: upload.file_bytes,
            seed: self.seed,
            content: upload.content,
        };
        let (content_type, body) = form.into_body(self.planned.uplink);
        let (body_bytes, digest) = (body.total_bytes(), body.digest());
        let path = "/api/students/upload-recording";
        let request = self.request(Method::POST, path, Some(&content_type), body.boxed_unsync());
        let file_bytes = upload.file_bytes;
        self.tally.start_upload(file_bytes, body_bytes);
        let kept =
            self.ask(Route::Upload, request, |answer| check_upload(answer, file_bytes, digest.get())).await;
        if kept.is_some() {
            self.tally.keep_upload(file_bytes, body_bytes);
        }
    }

    /// Sends, waits, counts, and reads a good answer.
    async fn ask<T>(
        &mut self,
        route: Route,
        request: Request<OutBody>,
        read: impl FnOnce(&Answer) -> Result<T, &'static str>,
    ) -> Option<T> {
        self.tally.send(route);
        let sent = Instant::now();
        let (status, found) = match self.client.exchange(request).await {
            Ok(answer) if (200..300).contains(&answer.status) => (Some(answer.status), read(&answer)),
            Ok(answer) => (Some(answer.status), Err("status")),
            Err(failure) => (None, Err(failure.class())),
        };
        let error = found.as_ref().err().copied();
        self.tally.finish(route, &Outcome { status, error, latency: sent.elapsed() });
        found.ok()
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: OutBody,
    ) -> Request<OutBody> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            format!("{}{path}", self.base_path).parse().expect("paths here are made of ids and slashes");
        *request.headers_mut() = self.headers(content_type);
        request
    }

    fn headers(&self, content_type: Option<&str>) -> HeaderMap {
        let agent = USER_AGENTS[self.choose(USER_AGENTS.len())];
        let mut headers = HeaderMap::new();
        let mut set = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        set(header::HOST, self.client.authority());
        set(header::USER_AGENT, agent);
        set(header::ACCEPT, "application/json, text/plain, */*");
        set(header::ACCEPT_LANGUAGE, "en-GB,en;q=0.9");
        set(header::REFERER, &format!("http://{}/", self.client.authority()));
        if let Some(content_type) = content_type {
            set(header::CONTENT_TYPE, content_type);
            set(header::ORIGIN, &format!("http://{}", self.client.authority()));
        }
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        headers
    }
}

/// The ids of a non-empty list of objects, with the characters of an id only.
fn ids(list: &Value) -> Option<Vec<String>> {
    let ids: Option<Vec<String>> =
        list.as_array()?.iter().map(|item| item["id"].as_str().map(str::to_owned)).collect();
    let clean = |id: &String| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ids.filter(|ids| !ids.is_empty() && ids.iter().all(clean))
}

fn check_upload(answer: &Answer, file_bytes: u64, digest: Option<&String>) -> Result<(), &'static str> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "bad_answer")?;
    if body["bytes"].as_u64() != Some(file_bytes) {
        return Err("wrong_bytes");
    }
    if digest.is_none() || body["digest"].as_str() != digest.map(String::as_str) {
        return Err("wrong_digest");
    }
    Ok(())
}

fn file_name(now: OffsetDateTime) -> String {
    let format = format_description!("recording-[year]-[month]-[day]T[hour]-[minute]-[second].webm");
    now.format(format).expect("a date and time have all the parts of this format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_second() {
        let instant = OffsetDateTime::from_unix_timestamp(1_795_428_082).unwrap();
        assert_eq!(file_name(instant), "recording-2026-11-23T10-01-22.webm");
    }

    #[test]
    fn an_id_that_would_change_the_path_is_not_used() {
        assert_eq!(ids(&json!([{"id": "a-1"}, {"id": "b"}])).unwrap(), ["a-1", "b"]);
        for bad in [json!([]), json!([{"id": "../x y"}]), json!([{"id": 3}]), json!({"id": "a"})] {
            assert!(ids(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_plain_http_targets_are_accepted() {
        let of = |text: &str| authority(&Url::parse(text).unwrap());
        assert_eq!(of("http://127.0.0.1:8080").unwrap(), "127.0.0.1:8080");
        assert_eq!(of("http://localhost").unwrap(), "localhost:80");
        assert!(of("https://localhost").is_err());
    }
}
