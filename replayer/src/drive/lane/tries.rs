//! All attempts of one request. After the first there is a further one
//!
//! - when the target closed a kept connection just as the request went out, and a repeat cannot do anything
//!   twice: not a byte had gone out, or the method is idempotent (RFC 9110, section 9.2.2). Browsers repeat a
//!   POST too; here that is a failure of the target, for nobody can tell whether it was processed.
//! - when the target refused an HTTP/2 stream and said that it had not looked at the request (RFC 9113, section 8.7): once,
//!   on a new connection.
//! - after a 401, once per request: with the token of the login that gave the old one, repeated, as apps do it.
//! - when the retry policy asks for it, after its pause.
//!
//! All are counted apart ([`crate::measure::attempts`]); the request is in flight meanwhile. When the run
//! stops, nothing is tried again by policy, and the last answer stands.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::attempt::Ended;
use super::{Lane, Ready};
use crate::drive::due::Due;
use crate::drive::link::Link;
use crate::drive::request::Prepared;
use crate::drive::user::{FAILED_STATUS_MIN, User};
use crate::drive::wire::{Marks, Wire};
use crate::measure::ErrorClass;
use crate::measure::attempts::{Attempts, Repeat};

const UNAUTHORIZED: u16 = 401;
/// A kept connection that breaks this soon, without a byte of an answer, had been closed by the target while
/// it was idle.
const STALE_WITHIN: Duration = Duration::from_millis(500);

/// How far a request has come, in its best attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    Due,
    /// Counted as prepared.
    Released,
    /// A byte of it went out.
    Sent,
}

/// A request over its attempts.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) prepared: Prepared,
    /// Of the token in it.
    renewals: u32,
    pub(super) progress: Progress,
    /// Part of the plan; else a login that is repeated for a new token, and counted by nothing else.
    pub(super) is_planned: bool,
    retries: u32,
    has_renewed: bool,
    /// By the target, which had not looked at it.
    was_refused: bool,
    jitter: Option<ChaCha8Rng>,
}

impl Sending {
    fn planned(prepared: Prepared, renewals: u32) -> Self {
        Self {
            prepared,
            renewals,
            progress: Progress::Due,
            is_planned: true,
            retries: 0,
            has_renewed: false,
            was_refused: false,
            jitter: None,
        }
    }

    fn beside_the_plan(prepared: Prepared) -> Self {
        Self { progress: Progress::Sent, is_planned: false, ..Self::planned(prepared, 0) }
    }

    /// Starts the marks of an attempt. Counts the request as prepared when it is the first, and has it counted
    /// as sent when its first byte goes out.
    pub(super) fn release(&mut self, user: &User<'_>, step: usize, wire: &Wire, ready: Instant) {
        if self.progress < Progress::Released {
            user.releases(step, &self.prepared);
            self.progress = Progress::Released;
        }
        wire.release(Some(ready).filter(|_| self.progress < Progress::Sent));
    }
}

impl Lane<'_> {
    /// Sends a request to the end of its last attempt.
    pub(super) async fn send(&self, step: usize, ready: Ready, link: &mut Link<'_>) -> Ended {
        let Ready { due, prepared, renewals } = ready;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(class) => return self.not_sent(step, due, class, None),
        };
        let Some(_flight) = self.user.worker.flights.begin() else {
            return self.not_sent(step, due, ErrorClass::InFlightCap, None);
        };
        let mut sending = Sending::planned(prepared, renewals);
        let mut ended = self.attempt(step, due, &mut sending, link).await;
        while self.is_tried_again(step, &ended, &mut sending, link).await {
            self.count(|attempts| attempts.sent_again_bytes += ended.marks.written_bytes);
            let later = self.attempt(step, now(), &mut sending, link).await;
            ended = Ended { sample: later.sample.after(&ended.sample), ..later };
        }
        self.tried.take();
        self.count_end(&sending, &ended);
        // A renewal that failed held the lane and what waits for it, too: that is not this generator's lateness.
        let at = if sending.has_renewed { Instant::now() } else { ended.at };
        Ended { at, ..ended }
    }

    /// Decides whether there is a further attempt, and does all that comes before it.
    async fn is_tried_again(
        &self,
        step: usize,
        ended: &Ended,
        sending: &mut Sending,
        link: &mut Link<'_>,
    ) -> bool {
        self.tried.set(Some(ended.sample));
        let is_idempotent = sending.prepared.is_idempotent();
        if let Some(repeat) =
            repeat(ended.how, &ended.marks, ended.was_kept, is_idempotent, sending.was_refused)
        {
            link.reconnects(self.user);
            sending.was_refused |= repeat == Repeat::Refused;
            self.count(|attempts| attempts.repeats.add(repeat));
            return true;
        }
        if self.user.worker.ending.is_stopping() {
            return false;
        }
        if self.is_expired(step, ended, sending) {
            return self.renew(step, sending, link).await;
        }
        let retry = &self.user.worker.config.retry;
        retry.wants(ended.how) && sending.retries < retry.times_max && self.pause(step, ended, sending).await
    }

    /// Waits for the instant of a retry; false when the run stops before.
    async fn pause(&self, step: usize, ended: &Ended, sending: &mut Sending) -> bool {
        let worker = self.user.worker;
        let random = sending.jitter.get_or_insert_with(|| self.user.jitter(step)).random();
        let pause = worker.config.retry.pause(sending.retries, ended.retry_after, random);
        let is_on = tokio::select! {
            biased;
            () = worker.ending.stopping() => false,
            () = worker.timer.sleep_until(ended.at + pause) => true,
        };
        if is_on {
            sending.retries += 1;
            self.count(|attempts| attempts.retries.tried(ended.how));
        }
        is_on
    }

    fn is_expired(&self, step: usize, ended: &Ended, sending: &Sending) -> bool {
        let was_refused = self.user.captured_status(step) == Some(UNAUTHORIZED);
        let has_login = self.user.script.logins[step].is_some();
        let may_renew = self.user.worker.config.renews && has_login && !sending.has_renewed;
        ended.how == Ok(UNAUTHORIZED) && may_renew && !was_refused
    }

    /// Gets a new token, or the one that another lane has got meanwhile, and makes the request anew with it.
    async fn renew(&self, step: usize, sending: &mut Sending, link: &mut Link<'_>) -> bool {
        sending.has_renewed = true;
        let again = &self.user.again;
        let Some(_turn) = again.turn().await else { return false };
        let has_older = again.renewals() == sending.renewals;
        if let Some(login) = self.user.script.logins[step].filter(|_| has_older)
            && !Box::pin(self.log_in(login, link)).await
        {
            return false;
        }
        sending.renewals = again.renewals();
        let made = self.build(step, Instant::now()).map(|prepared| sending.prepared = prepared);
        made.is_ok()
    }

    async fn log_in(&self, login: usize, link: &mut Link<'_>) -> bool {
        let Ok(prepared) = self.build(login, Instant::now()) else { return false };
        self.count(|attempts| attempts.renewals.logins += 1);
        let ended = self.attempt(login, now(), &mut Sending::beside_the_plan(prepared), link).await;
        self.user.worker.tally.beside_the_plan(self.user.route(login), ended.sample.traffic);
        let is_renewed = has_succeeded(ended.how) && !ended.found.is_empty();
        if is_renewed {
            self.user.values.answers.renew(login, ended.found);
            self.user.again.renewed();
        }
        is_renewed
    }

    fn count_end(&self, sending: &Sending, ended: &Ended) {
        if sending.has_renewed {
            self.user.again.helped(ended.how != Ok(UNAUTHORIZED));
            self.count(|attempts| attempts.renewals.ended(!has_succeeded(ended.how)));
        }
        if sending.retries > 0 {
            self.count(|attempts| attempts.retries.ended(!has_succeeded(ended.how)));
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Attempts)) {
        self.user.worker.tally.attempts(count);
    }
}

fn has_succeeded(how: Result<u16, ErrorClass>) -> bool {
    how.is_ok_and(|status| status < FAILED_STATUS_MIN)
}

fn now() -> Due {
    Due { intended: Instant::now(), freed: None }
}

/// Whether an attempt was refused unseen, for the first time, or met a connection that the target had closed while it was
/// idle, and may be repeated.
fn repeat(
    how: Result<u16, ErrorClass>,
    marks: &Marks,
    was_kept: bool,
    is_idempotent: bool,
    was_refused: bool,
) -> Option<Repeat> {
    if how == Err(ErrorClass::StreamRefused) {
        return (!was_refused).then_some(Repeat::Refused);
    }
    let is_broken = matches!(how, Err(ErrorClass::Reset | ErrorClass::ClosedEarly));
    if !is_broken || !was_kept || marks.first_read.is_some() {
        return None;
    }
    match marks.first_write {
        None => Some(Repeat::Unsent),
        Some(at) => (is_idempotent && at.elapsed() < STALE_WITHIN).then_some(Repeat::SentTwice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_idle_close_broke_and_can_be_repeated_goes_out_again() {
        let now = Some(Instant::now());
        let unsent = Marks::default();
        let sent = Marks { first_write: now, ..unsent };
        let answered = Marks { first_read: now, ..sent };
        let closed = Err(ErrorClass::ClosedEarly);
        let reset = Err(ErrorClass::Reset);
        let cases = [
            ("a POST, closed before a byte went out", closed, unsent, true, false, Some(Repeat::Unsent)),
            ("a GET, closed as it went out", reset, sent, true, true, Some(Repeat::SentTwice)),
            ("a POST that may have been processed", reset, sent, true, false, None),
            ("broken within the answer", reset, answered, true, true, None),
            ("broken on the connection's first request", reset, sent, false, true, None),
            ("timed out", Err(ErrorClass::Timeout), sent, true, true, None),
            ("answered", Ok(200), answered, true, true, None),
        ];
        for (case, how, marks, was_kept, is_idempotent, expected) in cases {
            assert_eq!(repeat(how, &marks, was_kept, is_idempotent, false), expected, "{case}");
        }
        let refused = |was_refused| repeat(Err(ErrorClass::StreamRefused), &sent, false, false, was_refused);
        assert_eq!([refused(false), refused(true)], [Some(Repeat::Refused), None]);
    }
}
