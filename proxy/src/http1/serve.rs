//! A connection of HTTP/1: request after request, until one side has had enough.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kingtide_common::exchange::Ending;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::Http1;
use super::head::{BadHead, HeadReader, WholeHead};
use crate::config::Mode;
use crate::connection::Connection;
use crate::downstream::{BodyStep, Downstream};
use crate::exchange::{Ends, LocalAnswer, Next, answered_by};
use crate::limits::header_buffers::HeaderBuffers;
use crate::limits::{LimitName, LimitSet};
use crate::message::{Framing, RequestHead, Version};
use crate::passage::{Marks, Passage};
use crate::site::Site;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::tunnel::tunnel;
use crate::worker::Worker;

/// How HTTP/2 with prior knowledge begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Connections that may wait for their clients to read a last answer.
const LINGERING_MAX: u64 = 1024;
/// While the process drains: how long a kept connection may take to ask for one thing more, so that a request
/// that is already on its way is not cut off.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What came instead of, or as, a head.
enum Arrived {
    Head(Box<WholeHead>, u64),
    Bad(BadHead, u64),
    /// Nothing more comes, or nobody waits for it.
    Closed,
    /// `client_header_timeout`, after bytes of a head.
    TimedOut(u64),
    PriorKnowledge,
}

/// One client's connection.
struct Session {
    worker: Rc<Worker>,
    connection: Arc<Connection>,
    http: Http1,
    timer: Timer,
    would_refuse: LimitSet,
}

/// Serves until the connection ends; gives it back when HTTP/2 begins on it.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Arc<Connection>,
    stream: Stream,
    (accepted, allow_http2): (Instant, bool),
) -> Option<Stream> {
    let (http, timer) = (Http1::new(stream), Timer::new());
    let mut session = Session { worker, connection, http, timer, would_refuse: LimitSet::default() };
    let mut first = Some(accepted);
    loop {
        let site = session.worker.shared.site.load_full();
        match session.arrive(&site, first.take(), allow_http2).await {
            Arrived::Head(head, started_ns) => {
                // Not the one from before the wait: a reload meanwhile counts.
                let site = session.worker.shared.site.load_full();
                if !session.request(&site, *head, started_ns).await {
                    return None;
                }
            }
            Arrived::Bad(bad, started_ns) => {
                session.refuse(&site, bad, started_ns).await;
                return None;
            }
            Arrived::TimedOut(started_ns) => {
                session.time_out(&site, started_ns).await;
                return None;
            }
            Arrived::Closed => return None,
            Arrived::PriorKnowledge => {
                let begun = session.http.take_input();
                session.http.stream.put_back(begun);
                return Some(session.http.stream);
            }
        }
    }
}

impl Session {
    /// Waits for the next head. `accepted` is there for the first one, whose time runs from the accept.
    async fn arrive(&mut self, site: &Site, accepted: Option<Instant>, allow_http2: bool) -> Arrived {
        let clock = self.worker.shared.clock;
        let may_be_http2 = allow_http2 && accepted.is_some();
        let header_timeout = site.limits.client_header_timeout;
        let after = |from: Instant| {
            let until = from.checked_add(header_timeout.value.0);
            until.filter(|_| header_timeout.mode != Mode::Off)
        };
        let mut started_ns = (!self.http.input.bytes.is_empty()).then(|| clock.now_ns());
        let mut deadline = match accepted {
            Some(accepted) => after(accepted),
            None if started_ns.is_some() => after(Instant::now()),
            None => Instant::now().checked_add(site.limits.keepalive_timeout.0),
        };
        let large = site.limits.large_client_header_buffers;
        let small = usize::try_from(site.limits.client_header_buffer_size.0).unwrap_or(usize::MAX);
        let size = usize::try_from(large.value.size.0).unwrap_or(usize::MAX);
        let mut reader = HeadReader::new(HeaderBuffers::new(small, large.value.count, size), large.mode);
        let mut draining = self.worker.shared.draining.clone();
        let mut drain_begins = pin!(async move { drop(draining.wait_for(|draining| *draining).await) });
        let mut drain_known = false;
        let Self { http, timer, would_refuse, .. } = self;
        poll_fn(|cx| {
            loop {
                if let Some(started_ns) = started_ns {
                    let input = &http.input.bytes;
                    let known = input.len().min(PREFACE.len());
                    if may_be_http2 && input[..known] == PREFACE[..known] {
                        if known == PREFACE.len() {
                            return Poll::Ready(Arrived::PriorKnowledge);
                        }
                    } else {
                        match reader.advance(input) {
                            Ok(Some(head)) => return Poll::Ready(Arrived::Head(Box::new(head), started_ns)),
                            Err(bad) => return Poll::Ready(Arrived::Bad(bad, started_ns)),
                            Ok(None) => {}
                        }
                    }
                }
                match http.input.poll_fill(&mut http.stream, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Arrived::Closed),
                    Poll::Ready(Ok(_)) => {
                        if started_ns.is_none() {
                            started_ns = Some(clock.now_ns());
                            if accepted.is_none() {
                                deadline = after(Instant::now());
                            }
                        }
                        continue;
                    }
                    Poll::Pending => {}
                }
                if started_ns.is_none() && !drain_known && drain_begins.as_mut().poll(cx).is_ready() {
                    drain_known = true;
                    let grace = Instant::now() + DRAIN_GRACE;
                    deadline = Some(deadline.map_or(grace, |deadline| deadline.min(grace)));
                }
                if timer.poll(deadline, cx).is_pending() {
                    return Poll::Pending;
                }
                let Some(started_ns) = started_ns else { return Poll::Ready(Arrived::Closed) };
                if header_timeout.mode == Mode::Enforce {
                    return Poll::Ready(Arrived::TimedOut(started_ns));
                }
                would_refuse.insert(LimitName::ClientHeaderTimeout);
                deadline = None;
            }
        })
        .await
    }

    fn passage(&mut self, request: RequestHead, started_ns: u64, whole: bool) -> Passage {
        let head_done_ns = whole.then(|| self.worker.shared.clock.now_ns());
        let body_done_ns = head_done_ns.filter(|_| request.facts.framing.is_empty());
        let marks = Marks { started_ns, head_done_ns, body_done_ns, ..Marks::default() };
        let mut passage = Passage::new(Arc::clone(&self.connection), request, marks);
        passage.would_refuse = std::mem::take(&mut self.would_refuse);
        passage
    }

    /// One request; whether the connection stays.
    async fn request(&mut self, site: &Arc<Site>, whole: WholeHead, started_ns: u64) -> bool {
        let _ = self.http.input.bytes.split_to(whole.bytes);
        let facts = whole.head.facts;
        self.would_refuse = self.would_refuse.union(whole.would_refuse);
        let keep_alive = facts.keep_alive && self.may_ask_again(site);
        self.http.begin(facts.version, facts.framing, keep_alive);
        let mut passage = self.passage(whole.head, started_ns, true);
        let _in_flight = self.worker.shared.metrics.gauges.requests_in_flight.raise();
        let mut client = Downstream::Http1(&mut self.http);
        let ends =
            Ends { worker: &self.worker, client: &mut client, passage: &mut passage, timer: &mut self.timer };
        let next = ends.run(site).await;
        passage.answered_by = answered_by(&passage);
        match next {
            Next::Tunnel(through) => {
                let (upstream, limits, _counted) = through.into_parts();
                tunnel(&mut self.http, upstream, &limits, &mut passage, self.worker.shared.clock).await;
                self.worker.finish(passage);
                false
            }
            Next::Keep if !self.http.close && self.http.body_is_done() => {
                self.worker.finish(passage);
                self.http.input.rest();
                true
            }
            Next::Keep if !self.http.close => {
                self.worker.finish(passage);
                self.discard_body(site).await
            }
            Next::Keep | Next::Close => {
                let answered = passage.status.is_some();
                let body_untouched = !self.http.body_was_read && !self.http.body_is_done();
                self.worker.finish(passage);
                if answered && body_untouched {
                    self.discard_body(site).await;
                } else if answered {
                    self.close(site).await;
                }
                false
            }
        }
    }

    /// `keepalive_requests`, and the drain.
    fn may_ask_again(&mut self, site: &Site) -> bool {
        let limit = site.limits.keepalive_requests;
        let reached = self.connection.requests() + 1 >= limit.value;
        if reached && limit.mode == Mode::Shadow {
            self.would_refuse.insert(LimitName::KeepaliveRequests);
        }
        let asked_not_to = site.limits.keepalive_timeout.0.is_zero() || self.worker.shared.is_draining();
        !asked_not_to && (!reached || limit.mode != Mode::Enforce)
    }

    /// Reads past a body that nobody wanted, so that the connection can be used again.
    async fn discard_body(&mut self, site: &Site) -> bool {
        let end = Instant::now() + site.lingering_time;
        loop {
            let deadline = end.min(Instant::now() + site.lingering_timeout);
            let (http, timer) = (&mut self.http, &mut self.timer);
            let step = poll_fn(|cx| match http.poll_body(cx) {
                Poll::Ready(step) => Poll::Ready(step.ok()),
                Poll::Pending => timer.poll(Some(deadline), cx).map(|()| None),
            });
            match step.await {
                Some(BodyStep::End) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// A head that is none.
    async fn refuse(&mut self, site: &Arc<Site>, bad: BadHead, started_ns: u64) {
        self.http.begin(Version::Http11, Framing::None, false);
        let mut passage = self.passage(RequestHead::default(), started_ns, false);
        passage.refused_by = bad.limit;
        let status = bad.status;
        self.answer(site, passage, &LocalAnswer::status(status).closing(), None).await;
        self.close(site).await;
    }

    /// `client_header_timeout`: Nginx closes without a word.
    async fn time_out(&mut self, site: &Arc<Site>, started_ns: u64) {
        self.http.begin(Version::Http11, Framing::None, false);
        let mut passage = self.passage(RequestHead::default(), started_ns, false);
        passage.refused_by = Some(LimitName::ClientHeaderTimeout);
        passage.ending = Ending::ClientTimeout;
        if site.answer_timeouts {
            let answer = LocalAnswer::status(408).closing();
            self.answer(site, passage, &answer, Some(Ending::ClientTimeout)).await;
            self.close(site).await;
        } else {
            self.worker.finish(passage);
        }
    }

    async fn answer(
        &mut self,
        site: &Site,
        mut passage: Passage,
        answer: &LocalAnswer,
        ending: Option<Ending>,
    ) {
        let mut client = Downstream::Http1(&mut self.http);
        let mut ends =
            Ends { worker: &self.worker, client: &mut client, passage: &mut passage, timer: &mut self.timer };
        ends.answer(answer, &site.limits).await;
        passage.ending = ending.unwrap_or(passage.ending);
        passage.answered_by = answered_by(&passage);
        self.worker.finish(passage);
    }

    /// Says the end and reads on for a while: bytes that nobody reads would make the kernel reset the
    /// connection and destroy the answer that the client has not read yet (Nginx: `lingering_close`).
    async fn close(&mut self, site: &Site) {
        let lingering = &self.worker.shared.metrics.gauges.lingering;
        let stream = &mut self.http.stream;
        let end = Instant::now() + site.lingering_time;
        let _ = tokio::time::timeout(site.lingering_timeout, stream.shutdown()).await;
        if lingering.get() < LINGERING_MAX {
            let _one_more = lingering.raise();
            let mut input = std::mem::take(&mut self.http.input);
            loop {
                input.bytes.clear();
                let deadline = end.min(Instant::now() + site.lingering_timeout);
                let timer = &mut self.timer;
                let read = poll_fn(|cx| match input.poll_fill(stream, cx) {
                    Poll::Ready(read) => Poll::Ready(read.unwrap_or(0)),
                    Poll::Pending => timer.poll(Some(deadline), cx).map(|()| 0),
                });
                if read.await == 0 {
                    break;
                }
            }
        }
    }
}
