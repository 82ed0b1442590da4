//! `GET /`: a page that records in the browser and uploads by `fetch`, and the sample it falls back to.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

use super::App;
use crate::students::body::sample_webm;

const PAGE: &str = include_str!("page.html");
/// Size of the fallback recording where the limits allow it, bytes.
const SAMPLE_BYTES: u64 = 20_000;

pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

pub(crate) async fn sample(State(app): State<Arc<App>>) -> Response {
    let limits = app.config.limits;
    let bytes = sample_webm(SAMPLE_BYTES.max(limits.min_bytes).min(limits.max_bytes));
    ([(header::CONTENT_TYPE, "audio/webm")], bytes).into_response()
}
