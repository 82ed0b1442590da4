//! One connection of a clone, and the requests that go over it in order; side by side on HTTP/2 ([`streams`]), where each
//! is a lane to itself that shares its connection.
//!
//! Each request has its instant from the plan. It may go out later for three reasons that are kept apart:
//! an answer it needs, or its turn on the connection, is late (dependency); the target is
//! slow to accept the connection (connect); or this generator is late (lag), with the connect or with the
//! request. What a request takes to its end, over how many attempts, is [`tries`].

mod attempt;
mod streams;
mod tries;

pub(super) use streams::side_by_side;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use http::HeaderValue;

use self::attempt::{Ended, UnderWay};
use super::Clock;
use super::due::{Due, connect_due};
use super::ending::Stop;
use super::link::{Link, Way};
use super::request::{Prepared, prepare};
use super::user::{FAILED_STATUS_MIN, User};
use crate::measure::achieved::Stretch;
use crate::measure::{ErrorClass, Sample};

/// See the module.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    user: &'a User<'a>,
    steps: &'a [usize],
    way: Way<'a>,
    /// Position of the first step that has not ended.
    position: Cell<usize>,
    /// What is in flight, for the case that the run ends before it does.
    under_way: RefCell<Option<UnderWay>>,
    /// What stands if the request under way is not tried again, or not to the end.
    tried: Cell<Option<Sample>>,
    used: Cell<Stretch>,
}

/// A request that is due.
#[derive(Debug)]
struct Ready {
    due: Due,
    prepared: Result<Prepared, ErrorClass>,
    /// Of the token in it: see [`super::again::Again::renewals`].
    renewals: u32,
}

impl<'a> Lane<'a> {
    pub(super) fn new(user: &'a User<'a>, steps: &'a [usize], way: Way<'a>) -> Self {
        Self {
            user,
            steps,
            way,
            position: Cell::new(0),
            under_way: RefCell::default(),
            tried: Cell::default(),
            used: Cell::default(),
        }
    }

    /// From its first request to the end of its last answer.
    pub(super) fn used(&self) -> Stretch {
        self.used.get()
    }

    /// Sends all its requests, or accounts for those that the end of the run overtook.
    pub(super) async fn run(&self) {
        tokio::select! {
            biased;
            () = self.user.worker.ending.over() => self.give_up(),
            () = self.send_all() => {}
        }
    }

    async fn send_all(&self) {
        let mut link = Link::new(self.way);
        for (position, &step) in self.steps.iter().enumerate() {
            let ready = tokio::select! {
                biased;
                () = self.user.worker.ending.stopping() => return self.withhold_rest(),
                () = self.user.leaving() => return self.leave_rest(),
                ready = self.prepare(step, &mut link) => ready,
            };
            if let Some(repeated) = self.repeated(step) {
                self.spare(repeated, step);
            } else {
                let ended = self.send(step, ready, &mut link).await;
                link.freed = Some(ended.at);
                self.settle(step, ended);
            }
            self.position.set(position + 1);
        }
    }

    fn settle(&self, step: usize, ended: Ended) {
        let User { values, again, .. } = self.user;
        self.take_down(&ended.sample, &ended.server_timing);
        again.settle(step, ended.how.is_ok_and(|status| status < FAILED_STATUS_MIN));
        values.answers.settle(step, ended.at, ended.found, ended.sample.outcome);
    }

    /// The request that a captured retry repeats, if that has had its answer.
    fn repeated(&self, step: usize) -> Option<usize> {
        self.user.script.repeats[step].filter(|repeated| self.user.again.has_succeeded(*repeated))
    }

    /// A captured retry of a request that succeeded: nobody would have sent it.
    fn spare(&self, repeated: usize, step: usize) {
        let User { worker, values, again, .. } = self.user;
        worker.tally.attempts(|attempts| attempts.retry_not_needed += 1);
        worker.tally.spared();
        again.settle(step, true);
        values.answers.pass_on(repeated, step, Instant::now());
    }

    /// Everything that can be done before the instant, and the wait for it.
    async fn prepare(&self, step: usize, link: &mut Link<'_>) -> Ready {
        let timer = &self.user.worker.timer;
        let (intended, followed) = self.intended(step).await;
        let lane_freed = link.freed;
        let connect_due = connect_due(intended, followed.max(lane_freed));
        let warm_up = async {
            timer.sleep_until(connect_due).await;
            // Its failure counts only if it lasts beyond the instant.
            let _ = link.open(self.user, connect_due).await;
        };
        let (needed, ()) = tokio::join!(self.values_there(step), warm_up);
        let renewals = self.user.again.renewals();
        // What nobody would send needs no values.
        let is_spared = self.repeated(step).is_some();
        let prepared = if is_spared { Err(ErrorClass::NotSent) } else { self.build(step, intended) };
        timer.sleep_until(intended).await;
        self.comes_to(step, intended);
        Ready { due: Due { intended, freed: needed.max(lane_freed) }, prepared, renewals }
    }

    /// A user who stays for a time has come to the step: before, nobody could know.
    fn comes_to(&self, step: usize, intended: Instant) {
        let User { worker, .. } = self.user;
        if worker.plan.has_stays() {
            let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            let at_us = worker.tally.clock.ns(intended) / 1_000;
            worker.tally.scheduled(at_us, us(self.user.upload_span(step)));
        }
    }

    /// From the plan; under [`Clock::Think`] from the answer that the captured user had seen last, and then
    /// beside the instant of that answer.
    async fn intended(&self, step: usize) -> (Instant, Option<Instant>) {
        let User { worker, script, values, .. } = self.user;
        match (worker.config.clock, script.anchors[step]) {
            (Clock::Think, Some(anchor)) => {
                let answered = values.answers.ended(anchor).await;
                let intended = answered + self.user.think(anchor, step);
                worker.ending.expect(intended + self.user.upload_span(step));
                (intended, Some(answered))
            }
            _ => (self.user.planned(step), None),
        }
    }

    /// When the last answer that the step needs was there.
    async fn values_there(&self, step: usize) -> Option<Instant> {
        let mut latest = None;
        for needed in &self.user.script.waits[step] {
            latest = latest.max(Some(self.user.values.answers.ended(*needed).await));
        }
        latest
    }

    fn build(&self, step: usize, at: Instant) -> Result<Prepared, ErrorClass> {
        let values = &self.user.values;
        let mut random = self.user.random(step);
        let mut filling = values.filling(at);
        let prepared = prepare(&self.user.step(step), self.user.purpose(step), &mut filling, &mut random);
        if matches!(prepared, Err(ErrorClass::BindingMissing)) {
            self.user.worker.tally.lacked(filling.lacked);
        }
        prepared
    }

    /// The run ends before any of it has begun.
    fn leave(&self) {
        if self.user.worker.ending.is_over() { self.give_up() } else { self.withhold_rest() }
    }

    /// The run is over: what is under way is unfinished, what waits for it was never sent.
    fn give_up(&self) {
        let stop = self.user.worker.ending.stop();
        let mut rest = &self.steps[self.position.get()..];
        if let Some((&step, later)) = rest.split_first()
            && let Some(sample) = self.overtaken(step, stop)
        {
            self.take_down(&sample, &[]);
            rest = later;
        }
        if self.user.worker.plan.has_stays() {
            return self.leave_steps(rest);
        }
        if stop > Stop::Run {
            return self.user.worker.tally.withheld(rest.len());
        }
        for &step in rest {
            let due = Due { intended: self.user.planned(step), freed: None };
            let ended = self.not_sent(step, due, ErrorClass::NotSent, None);
            self.take_down(&ended.sample, &[]);
        }
    }

    /// What becomes of the request under way at the end of the run: unfinished; or, while it waits to be tried
    /// again, as it was.
    fn overtaken(&self, step: usize, stop: Stop) -> Option<Sample> {
        let tried = self.tried.take();
        let Some(under_way) = self.under_way.take() else { return tried };
        let class = if stop == Stop::Now { ErrorClass::CutOff } else { ErrorClass::Unfinished };
        let unfinished = self.unfinished(step, &under_way, class);
        Some(tried.map_or(unfinished, |tried| unfinished.after(&tried)))
    }

    /// Counts a request that ended, and what it says of the connection and of the person.
    fn take_down(&self, sample: &Sample, server_timing: &[HeaderValue]) {
        self.user.worker.tally.ended(sample, server_timing);
        let mut used = self.used.get();
        used.join(Stretch::of(sample));
        self.used.set(used);
        self.thought(sample).into_iter().for_each(|think| self.user.worker.tally.thought(think));
    }

    /// How long after the answer that a person had seen last it went out.
    fn thought(&self, sample: &Sample) -> Option<Duration> {
        let User { worker, script, values, .. } = self.user;
        let sent = worker.tally.clock.at_us(sample.sent_ns? / 1_000);
        let answered = values.answers.ended_at(script.anchors[sample.step]?);
        Some(answered.map_or(Duration::ZERO, |answered| sent.saturating_duration_since(answered)))
    }

    fn withhold_rest(&self) {
        let rest = &self.steps[self.position.get()..];
        if self.user.worker.plan.has_stays() {
            return self.user.worker.tally.cut_stay(rest.iter().map(|step| self.user.route(*step)));
        }
        self.user.worker.tally.withheld(rest.len());
    }

    /// The user's time is over.
    fn leave_rest(&self) {
        self.leave_steps(&self.steps[self.position.get()..]);
    }

    fn leave_steps(&self, steps: &[usize]) {
        self.user.worker.tally.left(steps.iter().map(|step| self.user.route(*step)));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
