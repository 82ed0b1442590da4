//! One request on an open connection, to the last byte of its answer.
//!
//! What an answer holds is read here for both versions of HTTP; how a request gets to it, and what an error of it says,
//! is each one's own.

mod http1;
mod http2;

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body;
use http_body_util::BodyExt;
use kingtide_common::html::Page;
use time::OffsetDateTime;

use super::connection::{Connection, Sender};
use super::cookies::{self, SetCookie};
use super::request::Prepared;
use super::retry::retry_after;
use super::timer::PreciseTimer;
use super::values::Found;
use super::wire::Marks;
use crate::measure::{ClientStage, ErrorClass};
use crate::sessions::{ResponsePlace, extract};

/// Bytes of an answer that are kept when a later step needs a value of it.
const KEPT_BYTES_MAX: usize = 256 * 1024;
const SERVER_TIMING: &str = "server-timing";

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// How long the target wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) found: Found,
    pub(super) cookies: Vec<SetCookie>,
    /// What the target says that its own stages took, as it says it.
    pub(super) server_timing: Vec<HeaderValue>,
}

/// Sends a request and reads its answer to the end, within `timeout` from when it can go out. An answer before the end
/// of the upload counts; the rest of the upload is then not waited for.
pub(super) async fn exchange(
    connection: &mut Connection,
    prepared: &Prepared,
    demands: &[ResponsePlace],
    timer: &PreciseTimer,
    timeout: Duration,
) -> Result<Answer, ErrorClass> {
    let wire = &*connection.wire;
    let http2 = match &mut connection.sender {
        Sender::Http1 { sender, .. } => {
            let answer = http1::exchange(sender, wire, prepared, demands, timer);
            return within(timeout, answer).await;
        }
        Sender::Http2(http2) => http2,
    };
    wire.waits();
    // On the heap, so that an exchange of HTTP/1.1 is no larger for it.
    let (_turn, free) = Box::pin(http2.turn()).await?;
    wire.has_turn(free);
    within(timeout, Box::pin(http2::exchange(http2, wire, prepared, demands, timer))).await
}

async fn within<F>(timeout: Duration, answer: F) -> Result<Answer, ErrorClass>
where
    F: Future<Output = Result<Answer, ErrorClass>>,
{
    tokio::time::timeout(timeout, answer).await.unwrap_or(Err(ErrorClass::Timeout))
}

/// An answer whose head is there.
async fn read<B>(response: Response<B>, path: &str, demands: &[ResponsePlace]) -> Result<Answer, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut kept = Kept::new(demands.iter().any(ResponsePlace::is_in_body), is_page(&head.headers));
    while let Some(frame) = body.frame().await {
        frame?.data_ref().into_iter().for_each(|data| kept.add(data));
    }
    let found = found(&head.headers, kept.json().as_ref(), demands);
    let wished = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = wished.and_then(|text| retry_after(text, SystemTime::now()));
    let cookies = cookies::set_by(&head.headers, path, OffsetDateTime::now_utc());
    let server_timing = head.headers.get_all(SERVER_TIMING).iter().cloned().collect();
    Ok(Answer { status: head.status.as_u16(), retry_after, found, cookies, server_timing })
}

/// The bytes of an answer, as long as they are few and wanted; of a page its beginning.
struct Kept {
    bytes: Option<Vec<u8>>,
    is_page: bool,
}

impl Kept {
    fn new(is_wanted: bool, is_page: bool) -> Self {
        Self { bytes: is_wanted.then(Vec::new), is_page }
    }

    fn add(&mut self, data: &[u8]) {
        if let Some(bytes) = &mut self.bytes {
            let left = if self.is_page { KEPT_BYTES_MAX.saturating_sub(bytes.len()) } else { data.len() };
            bytes.extend_from_slice(&data[..data.len().min(left)]);
        }
        self.bytes.take_if(|bytes| bytes.len() > KEPT_BYTES_MAX);
    }

    /// Its JSON, or the description of its page.
    fn json(self) -> Option<serde_json::Value> {
        let bytes = self.bytes?;
        if self.is_page {
            return Some(Page::of(&String::from_utf8_lossy(&bytes)).to_json());
        }
        serde_json::from_slice(&bytes).ok()
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "text/html" || essence == "application/xhtml+xml"
}

fn found(headers: &HeaderMap, json: Option<&serde_json::Value>, demands: &[ResponsePlace]) -> Found {
    if demands.is_empty() {
        return Found::new();
    }
    let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let texts: Vec<(&str, &str)> = texts.collect();
    let value = |place: &ResponsePlace| Some((place.clone(), extract(place, texts.iter().copied(), json)?));
    demands.iter().filter_map(value).collect()
}

/// The stage in which an exchange stood that had come this far.
pub(super) fn stage(marks: &Marks, is_sent: bool) -> ClientStage {
    match (is_sent, marks.first_read) {
        (_, Some(_)) => ClientStage::Receive,
        (true, None) => ClientStage::Wait,
        (false, None) => ClientStage::Send,
    }
}

/// The peer is not there any more.
pub(super) fn is_reset(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}
