//! One exchange: route → limits → upload → upstream → answer, the same for every protocol.

mod attempt;
mod local;
mod redirect;
mod request;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kingtide_common::exchange::{AnsweredBy, Ending};

use crate::config::Limits;
use crate::downstream::Downstream;
use crate::limits::connections::Permit;
use crate::limits::rate::{self, Decision};
use crate::limits::{LimitName, connections};
use crate::passage::Passage;
use crate::relay::{Failure, check_size};
use crate::routes::{Action, Asked, Route, host_name};
use crate::site::Site;
use crate::timer::Timer;
use crate::trace::{self, TraceContext};
use crate::upstream::{Serving, UpstreamConnection};
use crate::uri;
use crate::worker::Worker;
pub(crate) use local::LocalAnswer;

/// What becomes of the client's connection.
#[derive(Debug)]
pub(crate) enum Next {
    /// It can take another request, once the body of this one is read.
    Keep,
    Close,
    /// Both sides speak something else from here.
    Tunnel(Box<Tunnel>),
}

/// An upstream's connection after `101`, with what counts the request while it lasts.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) upstream: UpstreamConnection,
    /// Of its route.
    limits: Limits,
    serving: Serving,
    permit: Option<Permit>,
}

impl Tunnel {
    /// The connection, and what is to be held until the tunnel ends.
    pub(crate) fn into_parts(self) -> (UpstreamConnection, Limits, impl Sized) {
        (self.upstream, self.limits, (self.serving, self.permit))
    }
}

/// The two ends of an exchange that its steps hand around.
pub(crate) struct Ends<'a, 'c> {
    pub(crate) worker: &'a Worker,
    pub(crate) client: &'a mut Downstream<'c>,
    pub(crate) passage: &'a mut Passage,
    pub(crate) timer: &'a mut Timer,
}

impl Ends<'_, '_> {
    /// Serves the request; its passage says afterwards what happened.
    pub(crate) async fn run(mut self, site: &Arc<Site>) -> Next {
        self.begin(site);
        match self.serve(site).await {
            Ok(next) => next,
            Err((failure, limits)) => self.fail(site, failure, &limits).await,
        }
    }

    /// Who asks, and what is recorded.
    fn begin(&mut self, site: &Site) {
        let passage = &mut *self.passage;
        let peer = passage.connection.client.ip();
        let trusted = site.trusts(peer);
        let fields = &passage.request.fields;
        passage.trusted = trusted;
        passage.client = site.client(peer, fields.text("x-forwarded-for"));
        let given = fields.text("x-request-id").filter(|id| trusted && is_request_id(id));
        passage.request_id = given.map_or_else(trace::request_id, str::to_owned);
        let traces = fields.all("traceparent").filter(|_| trusted);
        let trace = TraceContext::continue_or_start(traces);
        passage.traceparent = trace.to_string();
        passage.trace_continued = trace.is_continued();
        let tap = self.worker.shared.tap.load();
        if let Some(tap) = tap.as_ref() {
            passage.recording = tap.begin(passage);
        }
    }

    async fn serve<'s>(
        &mut self,
        site: &'s Arc<Site>,
    ) -> Result<Next, (Failure, std::borrow::Cow<'s, Limits>)> {
        let server = |failure| (failure, std::borrow::Cow::Borrowed(&site.limits));
        let Some(route) = self.find_route(site) else {
            return Ok(self.answer(&LocalAnswer::status(404), &site.limits).await);
        };
        self.passage.route = Arc::clone(&route.name);
        let own = |failure| (failure, std::borrow::Cow::Borrowed(&route.limits));
        if let Some(bytes) = self.passage.request.facts.framing.length() {
            check_size(bytes, &route.limits, self.passage).map_err(own)?;
        }
        let (group, rewrite, spool_memory) = match &route.action {
            Action::Proxy { group, rewrite, spool_memory } => (group, rewrite.as_deref(), *spool_memory),
            Action::Redirect { status, to } => {
                let answer = LocalAnswer::redirect(*status, self.rendered(to));
                return Ok(self.answer_by_route(answer, route).await);
            }
            Action::Answer(answer) => {
                return Ok(self.answer_by_route(LocalAnswer::configured(answer), route).await);
            }
        };
        let permit = match self.admit(route).await.map_err(server)? {
            Ok(permit) => permit,
            Err(refused) => return Ok(self.answer_by_route(refused, route).await),
        };
        if self.passage.request.facts.expects_continue {
            self.send_continue().await.map_err(own)?;
        }
        let gauges = &self.worker.shared.metrics.gauges;
        let _uploading = (!self.client.body_is_done()).then(|| gauges.uploads_in_flight.raise());
        let upload = match spool_memory.filter(|_| !self.client.body_is_done()) {
            Some(memory) => Some(self.spool_upload(&route.limits, memory).await.map_err(own)?),
            None => None,
        };
        let next = self.proxy(route, (group, rewrite), upload).await.map_err(own)?;
        Ok(match next {
            Next::Tunnel(tunnel) => Next::Tunnel(Box::new(Tunnel { permit: Some(permit), ..*tunnel })),
            next => next,
        })
    }

    fn find_route<'s>(&self, site: &'s Site) -> Option<&'s Route> {
        let request = &self.passage.request;
        let path = if request.path().is_empty() { b"/" } else { request.path() };
        let path = uri::normalize(path).unwrap_or_default();
        site.routes.find(&Asked {
            host: host_name(request.host()),
            port: self.passage.connection.local.port(),
            method: request.method(),
            path: &path,
        })
    }

    /// `limit_req`, which may make the request wait, then `limit_conn`, in Nginx's order.
    async fn admit(&mut self, route: &Route) -> Result<Result<Permit, LocalAnswer>, Failure> {
        let verdict = self.rate(route, self.passage.client);
        if verdict.shadow == Decision::Refuse {
            self.passage.would_refuse.insert(LimitName::LimitReq);
        }
        match verdict.enforced {
            Decision::Pass => {}
            Decision::Refuse => return Ok(Err(self.refuse(LimitName::LimitReq, verdict.status))),
            Decision::Delay(delay_ms) => {
                self.wait_unless_gone(tokio::time::sleep(Duration::from_millis(delay_ms))).await?;
            }
        }
        match connections::admit(&route.connections, &self.passage.request, self.passage.client) {
            Ok(permit) => {
                if permit.shadow_refused {
                    self.passage.would_refuse.insert(LimitName::LimitConn);
                }
                Ok(Ok(permit))
            }
            Err(status) => Ok(Err(self.refuse(LimitName::LimitConn, status))),
        }
    }

    fn rate(&self, route: &Route, client: IpAddr) -> rate::Verdict {
        if route.rates.is_empty() {
            return rate::Verdict::default();
        }
        let now_ms = self.worker.shared.clock.now_ns() / 1_000_000;
        rate::admit(&route.rates, &self.passage.request, client, now_ms)
    }

    fn refuse(&mut self, limit: LimitName, status: u16) -> LocalAnswer {
        self.passage.refused_by = Some(limit);
        LocalAnswer::status(status)
    }

    /// Waits for something else than the client, which may leave meanwhile.
    async fn wait_unless_gone<T>(&mut self, other: impl Future<Output = T>) -> Result<T, Failure> {
        let mut other = std::pin::pin!(other);
        let watched = self.client.body_is_done();
        std::future::poll_fn(|cx| {
            use std::task::Poll;
            if let Poll::Ready(value) = other.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            let gone = watched && self.client.poll_gone(cx).is_ready();
            if gone { Poll::Ready(Err(Failure::ClientGone)) } else { Poll::Pending }
        })
        .await
    }

    /// Tells the client what went wrong, if it can still be told.
    async fn fail(&mut self, site: &Site, failure: Failure, limits: &Limits) -> Next {
        let Verdict { ending, limit, status } = verdict(failure);
        self.passage.ending = ending;
        self.passage.refused_by = limit;
        let silent = ending == Ending::ClientTimeout && !site.answer_timeouts;
        let begun = self.passage.status.is_some();
        match status.filter(|_| !silent && !begun) {
            Some(status) => {
                let body_unread = !self.client.body_is_done();
                let answer = LocalAnswer::status(status);
                let answer = if body_unread { answer.closing() } else { answer };
                let next = self.answer(&answer, limits).await;
                self.passage.ending = ending;
                next
            }
            None => Next::Close,
        }
    }
}

/// Short and plain: it goes into logs and headers.
fn is_request_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a failure means.
struct Verdict {
    ending: Ending,
    limit: Option<LimitName>,
    /// For the client; `None` when it is gone.
    status: Option<u16>,
}

/// The one map from what went wrong to what the capture says and the client is told.
fn verdict(failure: Failure) -> Verdict {
    let (ending, limit, status) = match failure {
        Failure::ClientGone => (Ending::ClientAbort, None, None),
        Failure::ClientMalformed => (Ending::ClientAbort, None, Some(400)),
        Failure::ClientTimeout(limit) => (Ending::ClientTimeout, Some(limit), Some(408)),
        Failure::TooLarge => (Ending::EdgeFailure, Some(LimitName::ClientMaxBodySize), Some(413)),
        Failure::UpstreamClosed | Failure::UpstreamMalformed => (Ending::UpstreamReset, None, Some(502)),
        Failure::UpstreamTimeout(limit) => (Ending::UpstreamTimeout, Some(limit), Some(504)),
        Failure::Edge => (Ending::EdgeFailure, None, Some(500)),
    };
    Verdict { ending, limit, status }
}

/// Who answered, from what is known at the end.
pub(crate) fn answered_by(passage: &Passage) -> AnsweredBy {
    match (passage.status, &passage.response, passage.refused_by, passage.ending) {
        (None, ..) => AnsweredBy::Nobody,
        (Some(_), Some(_), ..) => AnsweredBy::Upstream,
        (Some(_), None, _, Ending::UpstreamReset | Ending::UpstreamTimeout)
        | (Some(500..), None, None, Ending::EdgeFailure) => AnsweredBy::EdgeError,
        (Some(_), None, ..) => AnsweredBy::EdgeLimit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_statuses_of_nginx() {
        let body = LimitName::ClientBodyTimeout;
        let read = LimitName::ProxyReadTimeout;
        let cases = [
            (Failure::ClientGone, Ending::ClientAbort, None),
            (Failure::ClientMalformed, Ending::ClientAbort, Some(400)),
            (Failure::ClientTimeout(body), Ending::ClientTimeout, Some(408)),
            (Failure::TooLarge, Ending::EdgeFailure, Some(413)),
            (Failure::UpstreamClosed, Ending::UpstreamReset, Some(502)),
            (Failure::UpstreamMalformed, Ending::UpstreamReset, Some(502)),
            (Failure::UpstreamTimeout(read), Ending::UpstreamTimeout, Some(504)),
            (Failure::Edge, Ending::EdgeFailure, Some(500)),
        ];
        for (failure, ending, status) in cases {
            let verdict = verdict(failure);
            assert_eq!((verdict.ending, verdict.status), (ending, status), "{failure:?}");
        }
    }
}
