//! `GET /`: a page that records in the browser and uploads by `fetch`, and the sample it falls back to.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use kingtide_common::audio::{AudioBody, AudioFormat};

use super::App;

const PAGE: &str = include_str!("page.html");
/// Size of the fallback recording where the limits allow it, bytes.
const SAMPLE_BYTES: u64 = 60_000;
/// Bytes of it that are made at a time.
const SAMPLE_PIECE_BYTES: usize = 64 * 1024;

pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

pub(crate) async fn sample(State(app): State<Arc<App>>) -> Response {
    let limits = app.config.limits;
    let bytes = SAMPLE_BYTES.max(limits.min_bytes).min(limits.max_bytes);
    let recording = AudioBody::new(Some(AudioFormat::WebmOpus), bytes, 0);
    let content: Vec<u8> = recording.pieces(SAMPLE_PIECE_BYTES).flatten().collect();
    ([(header::CONTENT_TYPE, "audio/webm")], content).into_response()
}
