//! What a student may read: the own profile, assignments, and the activities of an assignment.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::App;
use super::auth::check_token;
use super::database::ListRow;
use super::refusal::Refusal;
use super::timing::StageTimes;

/// `GET /api/students/me`
pub(crate) async fn profile(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let mut times = StageTimes::default();
    let answer = read_profile(&app, &headers, &mut times).await;
    times.stamp(answer)
}

/// `GET /api/assignments`
pub(crate) async fn assignments(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let mut times = StageTimes::default();
    let answer = read_assignments(&app, &headers, &mut times).await;
    times.stamp(answer)
}

/// `GET /api/assignments/{assignment_id}/activities`
pub(crate) async fn activities(
    State(app): State<Arc<App>>,
    Path(assignment_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut times = StageTimes::default();
    let answer = read_activities(&app, &headers, &assignment_id, &mut times).await;
    times.stamp(answer)
}

async fn read_profile(app: &App, headers: &HeaderMap, times: &mut StageTimes) -> Result<Response, Refusal> {
    let (lease, student) = check_token(app, headers, times).await?;
    lease.commit().await?;
    Ok(Json(json!({
        "id": student.id,
        "name": student.name,
        "email": student.email,
        "recordings": student.recordings,
        "recorded_bytes": student.recorded_bytes,
    }))
    .into_response())
}

async fn read_assignments(
    app: &App,
    headers: &HeaderMap,
    times: &mut StageTimes,
) -> Result<Response, Refusal> {
    let (mut lease, student) = check_token(app, headers, times).await?;
    let started = Instant::now();
    let rows = lease.assignments(&student.id).await?;
    lease.commit().await?;
    times.db = Some(started.elapsed());
    Ok(Json(list(&rows, "due")).into_response())
}

async fn read_activities(
    app: &App,
    headers: &HeaderMap,
    assignment_id: &str,
    times: &mut StageTimes,
) -> Result<Response, Refusal> {
    let (mut lease, student) = check_token(app, headers, times).await?;
    let id = Uuid::parse_str(assignment_id).map_err(|_| Refusal::not_a_uuid("path/assignment_id"))?;
    let started = Instant::now();
    let rows = lease.activities(&student.id, &id.to_string()).await?;
    lease.commit().await?;
    times.db = Some(started.elapsed());
    if rows.is_empty() {
        return Err(Refusal::NotFound("Assignment"));
    }
    Ok(Json(list(&rows, "kind")).into_response())
}

fn list(rows: &[ListRow], detail: &str) -> Vec<Value> {
    rows.iter().map(|row| json!({"id": row.id, "title": row.title, detail: row.detail})).collect()
}
