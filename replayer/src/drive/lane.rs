//! One connection of a clone, and the requests that go over it in order.
//!
//! Each request has its instant from the plan. It may go out later for three reasons that are kept apart:
//! an answer it needs, or the request before it on the connection, is late (dependency); the target is
//! slow to accept the connection (connect); or this generator is late (lag), with the connect or with the
//! request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::due::{Due, connect_due};
use super::ending::Stop;
use super::exchange::{Answer, exchange, stage};
use super::link::Link;
use super::request::{Prepared, Purpose, prepare};
use super::user::User;
use super::values::Found;
use super::wire::{Marks, Wire};
use super::{Clock, Late};
use crate::measure::recorder::LATE_NS;
use crate::measure::{ClientStage, ErrorClass, Failure, Outcome, Sample, Upload};

/// A kept connection that fails this soon, without a byte of an answer, had been closed by the target
/// while it was idle: the request goes out again on a new one, once, as browsers do.
const STALE_WITHIN: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    user: &'a User<'a>,
    steps: &'a [usize],
    /// Position of the first step that has not ended.
    position: Cell<usize>,
    under_way: RefCell<Option<UnderWay>>,
}

/// A released request, for the case that the run ends before it does.
#[derive(Debug, Clone)]
struct UnderWay {
    due: Due,
    ready: Instant,
    connect: Option<Duration>,
    wire: Rc<Wire>,
    wire_bytes: u64,
    upload: Upload,
}

/// How a request ended.
#[derive(Debug)]
struct Ended {
    sample: Sample,
    at: Instant,
    found: Found,
}

impl<'a> Lane<'a> {
    pub(super) fn new(user: &'a User<'a>, steps: &'a [usize]) -> Self {
        Self { user, steps, position: Cell::new(0), under_way: RefCell::default() }
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
        let mut link = Link::default();
        for (position, &step) in self.steps.iter().enumerate() {
            let prepared = tokio::select! {
                biased;
                () = self.user.worker.ending.stopping() => return self.withhold_rest(),
                prepared = self.prepare(step, &mut link) => prepared,
            };
            let ended = self.send(step, prepared, &mut link).await;
            self.under_way.take();
            link.freed = Some(ended.at);
            self.user.worker.tally.ended(&ended.sample);
            self.user.values.answers.settle(step, ended.at, ended.found, ended.sample.outcome);
            self.position.set(position + 1);
        }
    }

    /// Everything that can be done before the instant, and the wait for it.
    async fn prepare(&self, step: usize, link: &mut Link) -> (Due, Result<Prepared, ErrorClass>) {
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
        let prepared = self.build(step, intended);
        timer.sleep_until(intended).await;
        (Due { intended, freed: needed.max(lane_freed) }, prepared)
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
        let User { worker, session, script, values, .. } = self.user;
        let purpose = Purpose {
            target: &worker.config.target,
            needs_json: script.needs_json(step),
            uplink: worker.config.uplink,
        };
        let mut random = self.user.random(step);
        let mut filling = values.filling(at);
        let prepared = prepare(&session.steps[step], purpose, &mut filling, &mut random);
        if matches!(prepared, Err(ErrorClass::BindingMissing)) {
            worker.tally.lacked(filling.lacked);
        }
        prepared
    }

    async fn send(&self, step: usize, due: (Due, Result<Prepared, ErrorClass>), link: &mut Link) -> Ended {
        let (due, prepared) = due;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(class) => return self.not_sent(step, due, class, None),
        };
        match link.open_at(self.user, due).await {
            Ok(connection) => self.release(step, due, &prepared, connection, link).await,
            Err(class) => self.not_sent(step, due, class, Some(ClientStage::Connect)),
        }
    }

    async fn release(
        &self,
        step: usize,
        due: Due,
        prepared: &Prepared,
        mut connection: Connection,
        link: &mut Link,
    ) -> Ended {
        let ready = due.earliest().max(connection.openable);
        if self.is_dropped(ready) {
            link.connection = Some(connection);
            return self.not_sent(step, due, ErrorClass::DroppedLate, None);
        }
        self.user.releases(prepared);
        connection.wire.release(ready);
        let mut answered = self.attempt(step, due, ready, prepared, &mut connection).await;
        let marks = connection.wire.marks();
        if is_stale(&answered, &marks, connection.exchanges) {
            answered = match link.reopen(self.user, ready).await {
                Ok(fresh) => {
                    connection = fresh;
                    let ready = connection.release_again(&marks, ready);
                    self.attempt(step, due, ready, prepared, &mut connection).await
                }
                Err(class) => Err(class),
            };
        }
        let ended = self.ended(step, answered);
        link.keep(connection, &ended.sample);
        ended
    }

    fn is_dropped(&self, ready: Instant) -> bool {
        self.user.worker.config.late == Late::Drop && nanos(ready.elapsed()) > LATE_NS
    }

    async fn attempt(
        &self,
        step: usize,
        due: Due,
        ready: Instant,
        prepared: &Prepared,
        connection: &mut Connection,
    ) -> Result<Answer, ErrorClass> {
        self.under_way.replace(Some(UnderWay {
            due,
            ready,
            connect: connection.connect.take(),
            wire: Rc::clone(&connection.wire),
            wire_bytes: prepared.wire_bytes(),
            upload: prepared.upload,
        }));
        let worker = self.user.worker;
        let demands = &self.user.script.demands[step];
        let answer = exchange(connection, prepared, demands, &worker.timer);
        // A slow uplink is the captured client's, not the target's.
        let timeout = worker.config.timeout.saturating_add(prepared.upload_span());
        tokio::time::timeout(timeout, answer).await.unwrap_or(Err(ErrorClass::Timeout))
    }

    /// The end of the request that is under way.
    fn ended(&self, step: usize, answered: Result<Answer, ErrorClass>) -> Ended {
        let at = Instant::now();
        let under_way = self.under_way.borrow();
        let under_way = under_way.as_ref().expect("a request that ends was released");
        let marks = under_way.wire.marks();
        let is_sent = marks.written_bytes >= under_way.wire_bytes;
        let (outcome, found) = match answered {
            Ok(answer) => (self.user.judged(step, answer.status), answer.found),
            Err(class) => {
                let stage = Some(stage(&marks, is_sent));
                (Outcome::Failed(Failure { class, stage }), Found::new())
            }
        };
        Ended { sample: self.sample(step, under_way, &marks, at, outcome), at, found }
    }

    fn sample(
        &self,
        step: usize,
        under_way: &UnderWay,
        marks: &Marks,
        at: Instant,
        outcome: Outcome,
    ) -> Sample {
        let clock = self.user.worker.tally.clock;
        let is_sent = marks.written_bytes >= under_way.wire_bytes;
        Sample {
            route: self.user.route(step),
            intended_ns: clock.ns(under_way.due.intended),
            ready_ns: clock.ns(under_way.ready),
            dependency_ns: nanos(under_way.due.dependency()),
            connect_ns: under_way.connect.map(nanos),
            sent_ns: marks.first_write.map(|at| clock.ns(at)),
            body_done_ns: marks.last_write.filter(|_| is_sent).map(|at| clock.ns(at)),
            first_byte_ns: marks.first_read.map(|at| clock.ns(at)),
            ended_ns: clock.ns(at),
            upload: under_way.upload,
            outcome,
        }
    }

    fn not_sent(&self, step: usize, due: Due, class: ErrorClass, stage: Option<ClientStage>) -> Ended {
        let at = Instant::now();
        let clock = self.user.worker.tally.clock;
        let sample = Sample {
            route: self.user.route(step),
            intended_ns: clock.ns(due.intended),
            ready_ns: clock.ns(due.earliest()),
            dependency_ns: nanos(due.dependency()),
            connect_ns: None,
            sent_ns: None,
            body_done_ns: None,
            first_byte_ns: None,
            ended_ns: clock.ns(at),
            upload: Upload::default(),
            outcome: Outcome::Failed(Failure { class, stage }),
        };
        Ended { sample, at, found: Found::new() }
    }

    /// The run is over: what is under way is unfinished, what waits for it was never sent.
    fn give_up(&self) {
        let by_user = self.user.worker.ending.by_user();
        let under_way = self.under_way.take();
        let mut rest = &self.steps[self.position.get()..];
        if let (Some(under_way), Some((&step, later))) = (under_way, rest.split_first()) {
            let class = if by_user == Stop::Now { ErrorClass::CutOff } else { ErrorClass::Unfinished };
            self.user.worker.tally.ended(&self.unfinished(step, &under_way, class));
            rest = later;
        }
        if by_user > Stop::Run {
            return self.user.worker.tally.withheld(rest.len());
        }
        for &step in rest {
            let due = Due { intended: self.user.planned(step), freed: None };
            let ended = self.not_sent(step, due, ErrorClass::NotSent, None);
            self.user.worker.tally.ended(&ended.sample);
        }
    }

    fn unfinished(&self, step: usize, under_way: &UnderWay, class: ErrorClass) -> Sample {
        let marks = under_way.wire.marks();
        let stage = Some(stage(&marks, marks.written_bytes >= under_way.wire_bytes));
        let outcome = Outcome::Failed(Failure { class, stage });
        self.sample(step, under_way, &marks, Instant::now(), outcome)
    }

    fn withhold_rest(&self) {
        self.user.worker.tally.withheld(self.steps.len() - self.position.get());
    }
}

/// Whether the connection had been closed while it was idle, before the request went out or as it did.
fn is_stale(answered: &Result<Answer, ErrorClass>, marks: &Marks, exchanges: u32) -> bool {
    let is_broken = matches!(answered, Err(ErrorClass::Reset | ErrorClass::ClosedEarly));
    let was_idle = exchanges > 0 && marks.first_read.is_none();
    is_broken && was_idle && marks.first_write.is_none_or(|at| at.elapsed() < STALE_WITHIN)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_idle_close_broke_goes_out_again() {
        let now = Some(Instant::now());
        let unsent = Marks::default();
        let sent = Marks { first_write: now, ..unsent };
        let answered = Marks { first_read: now, ..sent };
        let cases = [
            ("closed before a byte went out", unsent, 1, ErrorClass::ClosedEarly, true),
            ("closed as the first bytes went out", sent, 3, ErrorClass::Reset, true),
            ("broken within the answer", answered, 3, ErrorClass::Reset, false),
            ("broken on its first request", sent, 0, ErrorClass::Reset, false),
            ("timed out", sent, 3, ErrorClass::Timeout, false),
        ];
        for (case, marks, exchanges, class, expected) in cases {
            assert_eq!(is_stale(&Err(class), &marks, exchanges), expected, "{case}");
        }
    }
}
