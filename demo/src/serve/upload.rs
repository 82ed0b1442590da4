//! `POST /api/students/upload-recording`: receive, check, store, record.
//!
//! The form is received first and whole, as FastAPI does before it runs a handler, but streamed: bytes are counted
//! and hashed as they pass and never kept. Every refusal therefore comes after the client has sent everything and
//! is able to read it. From there on the work runs in a task of its own: a client that goes away does not take
//! its load with it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::auth::identify;
use super::database::{Lease, Recording, StudentRow};
use super::front::drain;
use super::refusal::{Invalid, Refusal};
use super::timing::StageTimes;
use super::{App, UploadLimits};

/// Content types an audio part may have.
pub const AUDIO_TYPES: [&str; 5] = ["audio/webm", "audio/ogg", "audio/mp4", "audio/mpeg", "audio/wav"];
/// Longest text field of the form, bytes.
const TEXT_BYTES_MAX: usize = 1024;

pub(crate) async fn upload(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let headers = request.headers().clone();
    let form = match receive(request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response(),
    };
    let work = tokio::spawn(async move {
        let mut times = StageTimes::default();
        let answer = process(&app, &headers, &form, &mut times).await;
        times.stamp(answer)
    });
    work.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The parts of the form as received.
#[derive(Debug, Default)]
struct Form {
    assignment_id: Option<String>,
    activity_id: Option<String>,
    audio: Option<Audio>,
}

#[derive(Debug)]
struct Audio {
    is_file: bool,
    content_type: String,
    bytes: u64,
    digest: String,
}

/// The form, found complete and well-typed.
struct Order<'a> {
    assignment_id: Uuid,
    activity_id: Uuid,
    audio: &'a Audio,
}

async fn receive(request: Request<Body>) -> Result<Form, Refusal> {
    if !is_multipart(request.headers()) {
        drain(request.into_body()).await;
        return Err(Refusal::missing("body/assignment_id"));
    }
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| Refusal::Unparsable)?;
    let mut form = Form::default();
    while let Some(field) = parts.next_field().await.map_err(|error| unreadable(&error))? {
        form.take(field).await?;
    }
    Ok(form)
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

fn unreadable(error: &MultipartError) -> Refusal {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE { Refusal::BodyTooLarge } else { Refusal::Unparsable }
}

impl Form {
    async fn take(&mut self, field: Field<'_>) -> Result<(), Refusal> {
        match field.name().unwrap_or_default() {
            "assignment_id" => self.assignment_id = Some(text(field).await?),
            "activity_id" => self.activity_id = Some(text(field).await?),
            "audio" => self.audio = Some(audio(field).await?),
            // Unknown parts are read past, as FastAPI does.
            _ => {}
        }
        Ok(())
    }

    fn order(&self) -> Result<Order<'_>, Refusal> {
        let assignment_id = uuid_field(self.assignment_id.as_deref(), "body/assignment_id")?;
        let activity_id = uuid_field(self.activity_id.as_deref(), "body/activity_id")?;
        let audio = self.audio.as_ref().ok_or_else(|| Refusal::missing("body/audio"))?;
        if !audio.is_file {
            let (message, kind) = ("Value error, Expected UploadFile", "value_error");
            return Err(Refusal::Invalid(Invalid { location: "body/audio".to_owned(), message, kind }));
        }
        Ok(Order { assignment_id, activity_id, audio })
    }
}

fn uuid_field(value: Option<&str>, location: &str) -> Result<Uuid, Refusal> {
    let value = value.ok_or_else(|| Refusal::missing(location))?;
    Uuid::parse_str(value).map_err(|_| Refusal::not_a_uuid(location))
}

async fn text(mut field: Field<'_>) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| unreadable(&error))? {
        if bytes.len() + chunk.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Unparsable);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Refusal::Unparsable)
}

async fn audio(mut field: Field<'_>) -> Result<Audio, Refusal> {
    let is_file = field.file_name().is_some();
    let content_type = essence(field.content_type().unwrap_or_default());
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| unreadable(&error))? {
        hasher.update(&chunk);
    }
    let digest = format!("blake3:{}", hasher.finalize().to_hex());
    Ok(Audio { is_file, content_type, bytes: hasher.count(), digest })
}

/// `audio/webm;codecs=opus` → `audio/webm`.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn check_audio(audio: &Audio, limits: UploadLimits) -> Result<(), Refusal> {
    if !AUDIO_TYPES.contains(&audio.content_type.as_str()) {
        return Err(Refusal::UnsupportedType(audio.content_type.clone()));
    }
    if audio.bytes > limits.max_bytes {
        return Err(Refusal::TooLarge(limits.max_bytes));
    }
    if audio.bytes < limits.min_bytes {
        return Err(Refusal::TooSmall(limits.min_bytes));
    }
    Ok(())
}

async fn process(
    app: &App,
    headers: &HeaderMap,
    form: &Form,
    times: &mut StageTimes,
) -> Result<Response, Refusal> {
    let arrival = Instant::now();
    let checked = check(app, headers, form).await;
    times.auth = Some(arrival.elapsed());
    let (lease, student, order) = checked?;
    let authorized = lease.booked();
    let lease = if app.config.faults.held_transaction {
        Some(lease)
    } else {
        lease.commit().await?;
        None
    };

    let arrival = Instant::now();
    let stored = store(app, authorized).await;
    times.store = Some(arrival.elapsed());

    let arrival = Instant::now();
    let recording = recording(&student, &order);
    record(app, lease, &recording, stored).await?;
    times.db = Some(arrival.elapsed());
    let answer =
        json!({"recording_id": recording.id, "bytes": order.audio.bytes, "digest": order.audio.digest});
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// The object-store call; returns when it was meant to end.
async fn store(app: &App, arrival: Instant) -> Instant {
    let mut slot = app.slots.enter(arrival).await;
    slot.pass(app.store_time()).await;
    slot.booked()
}

/// Token, form and ownership, all within the auth stage and on one connection.
async fn check<'a>(
    app: &App,
    headers: &HeaderMap,
    form: &'a Form,
) -> Result<(Lease, StudentRow, Order<'a>), Refusal> {
    let (mut lease, student) = identify(app, headers).await?;
    let order = form.order();
    let owned = match &order {
        Ok(order) => {
            let (assignment, activity) = (order.assignment_id.to_string(), order.activity_id.to_string());
            lease.owns(&student.id, &assignment, &activity).await?
        }
        Err(_) => false,
    };
    lease.settle(app.auth_time()).await?;
    let order = order?;
    check_audio(order.audio, app.config.limits)?;
    if !owned {
        return Err(Refusal::NotFound("Activity"));
    }
    Ok((lease, student, order))
}

fn recording(student: &StudentRow, order: &Order<'_>) -> Recording {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Recording {
        id: Uuid::new_v4().to_string(),
        student_id: student.id.clone(),
        activity_id: order.activity_id.to_string(),
        content_type: order.audio.content_type.clone(),
        bytes: order.audio.bytes.cast_signed(),
        digest: order.audio.digest.clone(),
        created_us: i64::try_from(created.as_micros()).unwrap_or(i64::MAX),
    }
}

/// Writes the row on the held connection, or on one of its own; `stored` is when the store call was meant to end.
async fn record(
    app: &App,
    held: Option<Lease>,
    recording: &Recording,
    stored: Instant,
) -> Result<(), Refusal> {
    let mut lease = match held {
        Some(mut held) => {
            held.resume(stored);
            held
        }
        None => app.database.lease(stored).await?,
    };
    app.pass_hang_point().await;
    lease.keep(recording).await?;
    lease.settle(app.db_time()).await?;
    lease.commit().await?;
    app.accept(recording.bytes.cast_unsigned());
    Ok(())
}
