//! Answers that the edge gives itself: redirects, fixed answers, refusals, errors.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use kingtide_common::exchange::Ending;
use tokio::time::Instant;

use super::{Ends, Next};
use crate::config::{self, Limits};
use crate::downstream::{AnswerHead, FieldSink};
use crate::message::Framing;
use crate::relay::{Wait, Waits};
use crate::routes::Route;
use crate::variables::{Template, Values};

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct LocalAnswer {
    status: u16,
    body: Cow<'static, [u8]>,
    content_type: Cow<'static, str>,
    location: Option<Vec<u8>>,
    close: bool,
}

/// Statuses after which Nginx closes, since what follows cannot be trusted.
fn closes(status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 500 | 501)
}

impl LocalAnswer {
    /// A status with a line of text.
    pub(crate) fn status(status: u16) -> Self {
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let body = format!("{status} {}\n", reason.unwrap_or_default());
        Self {
            status,
            body: Cow::Owned(body.into_bytes()),
            content_type: "text/plain".into(),
            location: None,
            close: closes(status),
        }
    }

    /// The connection ends with it.
    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    pub(super) fn redirect(status: u16, to: Vec<u8>) -> Self {
        Self { location: Some(to), close: false, ..Self::status(status) }
    }

    pub(super) fn configured(answer: &config::Answer) -> Self {
        Self {
            status: answer.status,
            body: Cow::Owned(answer.body.clone().into_bytes()),
            content_type: answer.content_type.clone().into(),
            location: None,
            close: false,
        }
    }

    fn fields(&self, sink: &mut dyn FieldSink) {
        if !self.body.is_empty() {
            sink.field(b"Content-Type", self.content_type.as_bytes());
        }
        if let Some(location) = &self.location {
            sink.field(b"Location", location);
        }
    }
}

impl Ends<'_, '_> {
    pub(super) fn rendered(&self, template: &Template) -> Vec<u8> {
        let mut text = Vec::new();
        template.render(&self.values(), &mut text);
        text
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values {
            head: &self.passage.request,
            client: self.passage.client,
            trusts_client: self.passage.trusted,
            is_tls: self.passage.connection.tls.is_some(),
            server_port: self.passage.connection.local.port(),
            request_id: &self.passage.request_id,
        }
    }

    /// An answer with the headers that the route sets.
    pub(super) async fn answer_by_route(&mut self, answer: LocalAnswer, route: &Route) -> Next {
        if answer.status == 444 {
            self.passage.ending = Ending::Complete;
            return Next::Close;
        }
        let more = route.response_headers.rendered(&self.values());
        self.answer_with(&answer, &route.limits, &more).await
    }

    pub(crate) async fn answer(&mut self, answer: &LocalAnswer, limits: &Limits) -> Next {
        self.answer_with(answer, limits, &[]).await
    }

    async fn answer_with(
        &mut self,
        answer: &LocalAnswer,
        limits: &Limits,
        more: &[(String, Vec<u8>)],
    ) -> Next {
        // A client that waits for `100 Continue` and gets this instead may or may not send its body.
        let unclear = self.passage.request.facts.expects_continue && !self.client.body_is_done();
        let head = AnswerHead {
            status: answer.status,
            framing: if answer.status == 204 {
                Framing::None
            } else {
                Framing::Length(answer.body.len() as u64)
            },
            close: answer.close || unclear,
        };
        self.client.begin_answer(head, |sink| {
            answer.fields(sink);
            for (name, value) in more {
                sink.field(name.as_bytes(), value);
            }
        });
        self.passage.status = Some(answer.status);
        if self.passage.request.method() != "HEAD" && answer.status != 204 {
            self.client.push(Bytes::copy_from_slice(&answer.body));
        }
        self.client.finish(&[]);
        self.passage.ending = match self.flush(limits).await {
            Ok(()) => Ending::Complete,
            Err(ending) => ending,
        };
        match self.passage.ending {
            Ending::Complete if !head.close => Next::Keep,
            _ => Next::Close,
        }
    }

    /// Hands the answer over, within `send_timeout`.
    async fn flush(&mut self, limits: &Limits) -> Result<(), Ending> {
        let mut waits = Waits::default();
        poll_fn(|cx| {
            loop {
                waits.begin_pass();
                loop {
                    match self.client.poll_send(cx) {
                        Poll::Pending => break waits.blocked(Wait::ClientSend),
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Ok(bytes)) => {
                            waits.progress(Wait::ClientSend);
                            self.passage.note_sent(bytes, self.worker.shared.clock.now_ns());
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::ClientAbort)),
                    }
                }
                let now = Instant::now();
                waits.end_pass(now);
                if waits.expired(limits, now, &mut self.passage.would_refuse).is_some() {
                    return Poll::Ready(Err(Ending::ClientTimeout));
                }
                let deadline = waits.next_deadline(limits, self.passage.would_refuse);
                if self.timer.poll(deadline, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
