//! Attempts at the upstream: which peer, over which connection, and when once more.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kingtide_common::exchange::Ending;

use super::redirect::Redirect;
use super::{Ends, Next, Tunnel};
use crate::downstream::FieldSink;
use crate::limits::LimitName;
use crate::message::{Framing, ResponseHead};
use crate::passage::Attempt;
use crate::relay::{Done, Failure, Relay, Source, Terms};
use crate::routes::Route;
use crate::spool::Upload;
use crate::upstream::{ConnectError, Group, Peer, Serving, UpstreamConnection, connect};

/// A request's way to an upstream.
struct Way<'a> {
    route: &'a Route,
    group: &'a Group,
    rewrite: Option<&'a str>,
    upload: Option<Upload>,
    framing: Framing,
    /// Peers that refused or failed.
    tried: Vec<SocketAddr>,
    /// Of a streamed body: what was sent already and can be sent again.
    replay: Option<VecDeque<Bytes>>,
    /// What the route sets of the answer's headers.
    answer_headers: Vec<(String, Vec<u8>)>,
}

impl Way<'_> {
    /// Where the next attempt finds the body.
    fn source(&mut self) -> Source {
        match (&self.upload, self.replay.take()) {
            (Some(upload), _) => Source::Spool(Some(upload.reader()), None),
            (None, Some(sent)) => Source::Replay(sent),
            (None, None) => Source::Client,
        }
    }
}

impl Ends<'_, '_> {
    pub(super) async fn proxy(
        &mut self,
        route: &Route,
        (group, rewrite): (&Arc<Group>, Option<&str>),
        upload: Option<Upload>,
    ) -> Result<Next, Failure> {
        let replay = if upload.is_some() { None } else { self.take_held(&route.limits).await? };
        let mut way = Way {
            route,
            group,
            rewrite,
            framing: self.framing_upwards(upload.as_ref().map(Upload::bytes)),
            upload,
            tried: Vec::new(),
            replay,
            answer_headers: route.response_headers.rendered(&self.values()),
        };
        let mut failed = Failure::UpstreamClosed;
        while let Some(peer) = group.pick(self.worker.shared.clock.now_ns(), &way.tried) {
            let peer = Arc::clone(peer);
            let serving = peer.begin();
            let (connection, reused) = match self.connection(&peer, &mut way).await {
                Ok(connection) => connection,
                Err(failure @ (Failure::ClientGone | Failure::Edge)) => return Err(failure),
                Err(failure) => {
                    failed = failure;
                    continue;
                }
            };
            match self.attempt(serving, (connection, reused), &mut way).await {
                Ok(next) => return Ok(next),
                Err(failure) if self.may_try_again(failure, reused, &way) => {
                    failed = failure;
                    if !reused {
                        way.tried.push(peer.address);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(failed)
    }

    /// From the pool, or a fresh one.
    async fn connection(
        &mut self,
        peer: &Peer,
        way: &mut Way<'_>,
    ) -> Result<(UpstreamConnection, bool), Failure> {
        let clock = self.worker.shared.clock;
        let picked_ns = clock.now_ns();
        self.passage.marks.upstream_pick_ns = Some(picked_ns);
        let kept = self.worker.pool.borrow_mut().take(peer);
        let reused = kept.is_some();
        let attempt =
            Attempt { peer: peer.address, picked_ns, connected_ns: None, head_ns: None, reused, status: 502 };
        self.passage.attempts.push(attempt);
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect(peer, way).await?,
        };
        let connected_ns = clock.now_ns();
        self.passage.marks.upstream_connected_ns = Some(connected_ns);
        if let Some(attempt) = self.passage.attempts.last_mut() {
            attempt.connected_ns = Some(connected_ns);
        }
        Ok((connection, reused))
    }

    async fn connect(&mut self, peer: &Peer, way: &mut Way<'_>) -> Result<UpstreamConnection, Failure> {
        let mut would_refuse = self.passage.would_refuse;
        let connected = self.wait_unless_gone(connect(peer, &way.route.limits, &mut would_refuse)).await?;
        self.passage.would_refuse = would_refuse;
        connected.map_err(|error| {
            way.tried.push(peer.address);
            self.note_failure(peer, if error == ConnectError::Timeout { 504 } else { 502 });
            match error {
                ConnectError::Refused => Failure::UpstreamClosed,
                ConnectError::Timeout => Failure::UpstreamTimeout(LimitName::ProxyConnectTimeout),
                ConnectError::Exhausted => Failure::Edge,
            }
        })
    }

    async fn attempt(
        &mut self,
        serving: Serving,
        (mut connection, reused): (UpstreamConnection, bool),
        way: &mut Way<'_>,
    ) -> Result<Next, Failure> {
        let peer = Arc::clone(serving.peer());
        self.write_head(&mut connection.output.text, way.route, way.rewrite, way.framing);
        self.passage.marks.upstream_send_first_ns = Some(self.worker.shared.clock.now_ns());
        let source = way.source();
        let answer_headers = &way.answer_headers;
        let edits = &way.route.response_headers;
        let (site, group) = (self.site_url(), format!("http://{}", way.group.name));
        let redirect = Redirect {
            upstreams: [&peer.url, &group],
            paths: [way.rewrite.unwrap_or(&way.route.prefix), &way.route.prefix],
            site: &site,
        };
        let fields = |head: &ResponseHead, sink: &mut dyn FieldSink| {
            for (name, value) in
                head.fields.iter().filter(|(name, _)| is_returned(name, head) && !edits.names(name))
            {
                match redirect.of(name, value) {
                    Some(value) => sink.field(name, &value),
                    None => sink.field(name, value),
                }
            }
            for (name, value) in answer_headers {
                sink.field(name.as_bytes(), value);
            }
        };
        let terms = Terms {
            limits: &way.route.limits,
            clock: self.worker.shared.clock,
            fields: &fields,
            is_draining: &|| self.worker.shared.is_draining(),
            framing: way.framing,
            tells_waits: way.route.server_timing,
            keep_sent: way.upload.is_none() && self.passage.request.is_idempotent(),
        };
        let relay = Relay::new(terms, (self.client, &mut connection), self.passage, self.timer, source);
        let (ended, sent) = relay.run().await;
        way.replay = sent;
        match ended {
            Ok(done) => Ok(self.done(done, serving, connection, way)),
            Err(failure) => {
                match failure {
                    // A kept connection that died says nothing about its peer.
                    Failure::UpstreamClosed if reused && self.passage.marks.response_head_ns.is_none() => {}
                    Failure::UpstreamTimeout(_) => self.note_failure(&peer, 504),
                    Failure::UpstreamClosed | Failure::UpstreamMalformed => self.note_failure(&peer, 502),
                    _ => {}
                }
                Err(failure)
            }
        }
    }

    /// Scheme and host as the client asked for them.
    fn site_url(&self) -> String {
        let scheme = if self.passage.connection.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.passage.request.host())
    }

    fn done(&mut self, done: Done, serving: Serving, connection: UpstreamConnection, way: &Way<'_>) -> Next {
        serving.peer().note_success();
        self.passage.ending = Ending::Complete;
        match done {
            Done::Upgraded => {
                let limits = way.route.limits.clone();
                Next::Tunnel(Box::new(Tunnel { upstream: connection, limits, serving, permit: None }))
            }
            Done::Answered { reusable } => {
                if reusable {
                    let group = way.group;
                    let mut pool = self.worker.pool.borrow_mut();
                    pool.put(serving.peer(), connection, group.keepalive, group.keepalive_timeout);
                }
                // A request that was not read to its end says nothing about where the next one begins.
                if self.client.body_is_done() { Next::Keep } else { Next::Close }
            }
        }
    }

    fn note_failure(&mut self, peer: &Peer, status: u16) {
        peer.note_failure(self.worker.shared.clock.now_ns());
        if let Some(attempt) = self.passage.attempts.last_mut().filter(|attempt| attempt.head_ns.is_none()) {
            attempt.status = status;
        }
    }

    /// Nothing of an answer has come, the whole request can be sent again, and doing it twice is harmless
    /// (RFC 9110, 9.2.2; Nginx: `proxy_next_upstream error timeout`).
    fn may_try_again(&self, failure: Failure, reused: bool, way: &Way<'_>) -> bool {
        let upstream = matches!(failure, Failure::UpstreamClosed | Failure::UpstreamTimeout(_));
        let closed_while_idle = reused && failure == Failure::UpstreamClosed;
        let nothing_came = self.passage.marks.response_head_ns.is_none();
        let can_repeat = way.framing.is_empty() || way.upload.is_some() || way.replay.is_some();
        let another = way.group.peers.len() > way.tried.len() + usize::from(!reused);
        upstream
            && nothing_came
            && can_repeat
            && self.passage.request.is_idempotent()
            && (closed_while_idle || another)
    }
}

/// What belongs to the upstream's connection only stays there. Framing is written anew, but where there is
/// no body the length is that of the body there would have been.
fn is_returned(name: &[u8], head: &ResponseHead) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let for_nginx = |name: &[u8]| name.len() > 8 && name[..8].eq_ignore_ascii_case(b"x-accel-");
    match name.len() {
        5 => !is("x-pad"),
        // Beside 426 it says what to upgrade to.
        7 => !(is("upgrade") && head.status == 101 || is("trailer")),
        10 => !(is("connection") || is("keep-alive")),
        14 if is("content-length") => head.framing == Framing::None && head.status >= 200,
        16 => !is("proxy-connection"),
        17 if is("transfer-encoding") => false,
        _ => !for_nginx(name),
    }
}
