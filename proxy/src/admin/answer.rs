//! Requests of the admin listener and their answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::Sources;
use super::access::{Access, Refusal};
use super::control::CaptureCommand;
use super::status::Status;
use crate::metrics::exposition;

const PAGE: &str = include_str!("page.html");
/// Everything the page needs is in it, and it asks nobody but us. It has buttons: nobody may frame it.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Page,
    Health,
    Metrics,
    Status,
    Capture(CaptureCommand),
}

impl Resource {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Page,
            "/health" => Self::Health,
            "/metrics" => Self::Metrics,
            "/status" => Self::Status,
            "/capture/start" => Self::Capture(CaptureCommand::Start),
            "/capture/stop" => Self::Capture(CaptureCommand::Stop),
            "/capture/rotate" => Self::Capture(CaptureCommand::Rotate),
            _ => return None,
        })
    }

    /// Asked for without a token too. The page is the same everywhere and asks for the token itself (a
    /// browser cannot send one with a first request); `/health` says that the process lives.
    fn is_public(self) -> bool {
        matches!(self, Self::Page | Self::Health)
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Capture(_) => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }

    fn allowed(self) -> &'static str {
        if let Self::Capture(_) = self { "POST" } else { "GET, HEAD" }
    }
}

pub(super) struct Answers {
    access: Access,
    sources: Sources,
}

impl Answers {
    pub(super) fn new(access: Access, sources: Sources) -> Self {
        Self { access, sources }
    }

    pub(super) async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
        let Some(resource) = Resource::at(path) else {
            let refused = self.access.check(method, headers).err();
            return refused.map_or_else(|| failed(StatusCode::NOT_FOUND, "no such page"), refuse);
        };
        match self.access.check(method, headers) {
            Err(Refusal::Unauthorized) if resource.is_public() => {}
            Err(refusal) => return refuse(refusal),
            Ok(()) => {}
        }
        if !resource.takes(method) {
            return not_allowed(resource);
        }
        self.give(resource).await
    }

    async fn give(&self, resource: Resource) -> Answer {
        match resource {
            Resource::Page => page(),
            Resource::Health => answer(StatusCode::OK, TEXT, "ok\n"),
            Resource::Metrics => self.metrics(),
            Resource::Status => self.status(),
            Resource::Capture(command) => self.capture(command).await,
        }
    }

    fn metrics(&self) -> Answer {
        let Sources { control, metrics, clock } = &self.sources;
        let text = exposition(&metrics.snapshot(), &metrics.gauges, &control.facts(), clock);
        answer(StatusCode::OK, PROMETHEUS, text)
    }

    fn status(&self) -> Answer {
        let Sources { control, metrics, clock } = &self.sources;
        let (snapshot, facts) = (metrics.snapshot(), control.facts());
        json(StatusCode::OK, &Status::new(&snapshot, &metrics.gauges, &facts, clock))
    }

    /// On a thread of its own: it may wait for the disk.
    async fn capture(&self, command: CaptureCommand) -> Answer {
        #[derive(Serialize)]
        struct Done {
            done: String,
        }
        let control = Arc::clone(&self.sources.control);
        match tokio::task::spawn_blocking(move || control.capture(command)).await {
            Ok(Ok(done)) => json(StatusCode::OK, &Done { done }),
            Ok(Err(why)) => failed(StatusCode::CONFLICT, &why),
            Err(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, "the command broke off; see the log"),
        }
    }
}

fn page() -> Answer {
    let mut page = answer(StatusCode::OK, HTML, PAGE);
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    page
}

fn refuse(refusal: Refusal) -> Answer {
    let mut answer = failed(refusal.status(), refusal.reason());
    if refusal == Refusal::Unauthorized {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn not_allowed(resource: Resource) -> Answer {
    let allowed = resource.allowed();
    let mut answer = failed(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn failed(status: StatusCode, why: &str) -> Answer {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: &'a str,
    }
    json(status, &Failed { error: why })
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => answer(status, JSON, text),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
