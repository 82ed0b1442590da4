//! On a connection of HTTP/2, which carries many exchanges at once: what is handed to the connection and taken from it
//! marks the wire of the exchange.
//!
//! The head is sent when the connection has it, the body when the connection has its last piece: that waits for the
//! target's flow control, and for the socket with all but the last 32 KiB of a stream. What the kernel still holds is of
//! all streams together, so nobody is asked. An answer's first byte is there when its head is whole. Bytes are those of
//! the texts of heads and of the bodies.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;

use super::{Answer, read};
use crate::drive::body::ReplayBody;
use crate::drive::http2::Http2;
use crate::drive::request::Prepared;
use crate::drive::timer::PreciseTimer;
use crate::drive::wire::{Meter as _, Wire};
use crate::measure::ErrorClass;
use crate::measure::http::Version;
use crate::sessions::ResponsePlace;

/// On a stream that the target allows.
pub(super) async fn exchange(
    http2: &Http2,
    wire: &Wire,
    prepared: &Prepared,
    demands: &[ResponsePlace],
    timer: &PreciseTimer,
) -> Result<Answer, ErrorClass> {
    let head = prepared.head_http2().ok_or(ErrorClass::Unbuildable)?;
    let body = prepared.body(timer);
    let body_bytes = body.size_hint().exact().unwrap_or_default();
    let class_of = |error: h2::Error| http2.class_of(&error);
    let (response, stream) = http2.sender().send_request(head, body_bytes == 0).map_err(class_of)?;
    wire.wrote(length(prepared.wire_bytes(Version::Http2) - body_bytes));
    // The answer says what became of an upload that was not taken.
    let uploading = async {
        let _ = upload(stream, body, wire).await;
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        answer = answer(response, wire, prepared.path(), demands) => answer.map_err(class_of),
        () = uploading => unreachable!("it never ends"),
    }
}

async fn answer(
    response: ResponseFuture,
    wire: &Wire,
    path: &str,
    demands: &[ResponsePlace],
) -> Result<Answer, h2::Error> {
    let (head, stream) = response.await?.into_parts();
    wire.read(head_bytes(&head.headers));
    read(Response::from_parts(head, Taken { stream, wire }), path, demands).await
}

/// Hands a body on, as fast as the target's windows and its own pacing let it.
async fn upload(mut stream: SendStream<Bytes>, mut body: ReplayBody, wire: &Wire) -> Option<()> {
    while let Some(Ok(frame)) = body.frame().await {
        let mut piece = frame.into_data().ok()?;
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let room = poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
            let part = piece.split_to(room.min(piece.len()));
            let (part_bytes, is_last) = (part.len(), piece.is_empty() && body.is_end_stream());
            stream.send_data(part, is_last).ok()?;
            wire.wrote(part_bytes);
        }
    }
    Some(())
}

/// The texts of an answer's head.
fn head_bytes(headers: &HeaderMap) -> usize {
    let texts: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    texts + ":status200".len()
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a head is in memory")
}

/// The body of an answer; what is taken makes room for more.
struct Taken<'a> {
    stream: RecvStream,
    wire: &'a Wire,
}

impl Body for Taken<'_> {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(data) = ready!(self.stream.poll_data(context)) else { return Poll::Ready(None) };
        let data = data?;
        // Fails only when the stream has ended, which the next piece says.
        let _ = self.stream.flow_control().release_capacity(data.len());
        self.wire.read(data.len());
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}
