//! One attempt of a request: on the lane's connection or on a new one, to the end of its answer.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::tries::{Progress, Sending};
use super::{Lane, nanos};
use crate::drive::Late;
use crate::drive::connection::Connection;
use crate::drive::created;
use crate::drive::due::Due;
use crate::drive::exchange::{Answer, exchange, stage};
use crate::drive::link::Link;
use crate::drive::values::Found;
use crate::drive::wire::{Marks, Wire};
use crate::measure::recorder::LATE_NS;
use crate::measure::{ClientStage, ErrorClass, Failure, Outcome, Sample, Traffic, Upload};

/// A released request.
#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    due: Due,
    ready: Instant,
    connect: Option<Duration>,
    wire: Rc<Wire>,
    wire_bytes: u64,
    upload: Upload,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) sample: Sample,
    pub(super) at: Instant,
    pub(super) found: Found,
    /// The status of its answer, or why there is none.
    pub(super) how: Result<u16, ErrorClass>,
    pub(super) retry_after: Option<Duration>,
    pub(super) marks: Marks,
    pub(super) server_timing: Vec<HeaderValue>,
    /// Its connection had carried another exchange before, and was idle between them.
    pub(super) was_kept: bool,
}

impl Lane<'_> {
    pub(super) async fn attempt(
        &self,
        step: usize,
        due: Due,
        sending: &mut Sending,
        link: &mut Link<'_>,
    ) -> Ended {
        match link.open_at(self.user, due).await {
            Ok(connection) => self.release(step, due, sending, connection, link).await,
            Err(class) => self.not_sent(step, due, class, Some(ClientStage::Connect)),
        }
    }

    async fn release(
        &self,
        step: usize,
        due: Due,
        sending: &mut Sending,
        mut connection: Connection,
        link: &mut Link<'_>,
    ) -> Ended {
        let ready = due.earliest().max(connection.openable);
        if sending.progress < Progress::Released && self.is_dropped(ready) {
            link.connection = Some(connection);
            return self.not_sent(step, due, ErrorClass::DroppedLate, None);
        }
        sending.release(self.user, step, &connection.wire, ready);
        let ended = self.exchange(step, due, ready, sending, &mut connection).await;
        if ended.marks.first_write.is_some() {
            sending.progress = Progress::Sent;
        }
        link.keep(self.user, connection, &ended.sample);
        ended
    }

    fn is_dropped(&self, ready: Instant) -> bool {
        self.user.worker.config.late == Late::Drop && nanos(ready.elapsed()) > LATE_NS
    }

    async fn exchange(
        &self,
        step: usize,
        due: Due,
        ready: Instant,
        sending: &Sending,
        connection: &mut Connection,
    ) -> Ended {
        let Sending { prepared, is_planned, .. } = sending;
        let under_way = UnderWay {
            due,
            ready,
            connect: connection.connect.take(),
            wire: Rc::clone(&connection.wire),
            wire_bytes: prepared.wire_bytes(connection.version()),
            upload: prepared.upload,
        };
        self.under_way.replace(is_planned.then(|| under_way.clone()));
        connection.wire.expects(under_way.wire_bytes);
        let worker = self.user.worker;
        // A slow uplink is the captured client's, not the target's.
        let timeout = worker.config.timeout.saturating_add(prepared.upload_span());
        let needed = &self.user.script.demands[step];
        let lists_created = worker.config.created_max > 0;
        let demands = if lists_created { created::demands(needed, prepared.method()) } else { needed.into() };
        let answered = exchange(connection, prepared, &demands, &worker.timer, timeout).await;
        self.under_way.take();
        if let (Ok(answer), Cow::Owned(_)) = (&answered, &demands)
            && let Some(id) = created::id(answer)
        {
            worker.tally.created(self.user.route(step), self.user.number, id);
        }
        if let (Ok(answer), true) = (&answered, is_planned) {
            self.count(|attempts| attempts.answered(answer.status));
        }
        Ended { was_kept: connection.was_kept(), ..self.ended(step, &under_way, answered) }
    }

    fn ended(&self, step: usize, under_way: &UnderWay, answered: Result<Answer, ErrorClass>) -> Ended {
        let at = Instant::now();
        let marks = under_way.wire.marks();
        let how = answered.as_ref().map(|answer| answer.status).map_err(|class| *class);
        let outcome = match &answered {
            Ok(answer) => self.user.answered(step, answer),
            Err(class) => Outcome::Failed(Failure { class: *class, stage: Some(under_way.stage(&marks)) }),
        };
        let sample = self.sample(step, under_way, &marks, at, outcome);
        let (retry_after, found, server_timing) = answered
            .map(|answer| (answer.retry_after, answer.found, answer.server_timing))
            .unwrap_or_default();
        Ended { sample, at, found, how, retry_after, marks, server_timing, was_kept: false }
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
        Sample {
            connect_ns: under_way.connect.map(nanos),
            ready_ns: clock.ns(marks.turn.map_or(under_way.ready, |turn| turn.max(under_way.ready))),
            sent_ns: marks.first_write.map(|at| clock.ns(at)),
            body_done_ns: marks.last_write.filter(|_| under_way.is_sent(marks)).map(|at| clock.ns(at)),
            first_byte_ns: marks.first_read.map(|at| clock.ns(at)),
            upload: under_way.upload,
            traffic: marks.traffic(),
            held_bytes: marks.held_bytes,
            ..self.unsent(step, under_way.due.waiting_for(marks.turn), at, outcome)
        }
    }

    fn unsent(&self, step: usize, due: Due, at: Instant, outcome: Outcome) -> Sample {
        let clock = self.user.worker.tally.clock;
        Sample {
            route: self.user.route(step),
            clone: self.user.number,
            step,
            intended_ns: clock.ns(due.intended),
            ready_ns: clock.ns(due.earliest()),
            dependency_ns: nanos(due.dependency()),
            connect_ns: None,
            sent_ns: None,
            resent_ns: None,
            body_done_ns: None,
            first_byte_ns: None,
            ended_ns: clock.ns(at),
            upload: Upload::default(),
            traffic: Traffic::default(),
            held_bytes: None,
            outcome,
        }
    }

    pub(super) fn not_sent(
        &self,
        step: usize,
        due: Due,
        class: ErrorClass,
        stage: Option<ClientStage>,
    ) -> Ended {
        let at = Instant::now();
        let sample = self.unsent(step, due, at, Outcome::Failed(Failure { class, stage }));
        Ended {
            sample,
            at,
            found: Found::new(),
            how: Err(class),
            retry_after: None,
            marks: Marks::default(),
            server_timing: Vec::new(),
            was_kept: false,
        }
    }

    pub(super) fn unfinished(&self, step: usize, under_way: &UnderWay, class: ErrorClass) -> Sample {
        let marks = under_way.wire.marks();
        let failure = match class {
            // Released, and still in the queue for a stream.
            ErrorClass::Unfinished if marks.is_waiting => Failure { class: ErrorClass::NotSent, stage: None },
            class => Failure { class, stage: Some(under_way.stage(&marks)) },
        };
        self.sample(step, under_way, &marks, Instant::now(), Outcome::Failed(failure))
    }
}

impl UnderWay {
    /// Whether the whole of it went out.
    fn is_sent(&self, marks: &Marks) -> bool {
        marks.written_bytes >= self.wire_bytes
    }

    fn stage(&self, marks: &Marks) -> ClientStage {
        stage(marks, self.is_sent(marks))
    }
}
