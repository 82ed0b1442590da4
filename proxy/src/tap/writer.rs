//! The writer's thread: redacts, batches, flushes within a second, and says what the disk refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use kingtide_common::capture::{CaptureError, CaptureWriter, Dropped};
use kingtide_common::exchange::{CutUser, Exchange, Record};
use kingtide_common::ledger::Ledger;

use super::counts::{Counts, Shed};
use super::describe::Recorder;
use super::door::Door;
use super::users::{User, credential_of};
use super::{Observation, Source, second};

/// How often waiting rows, gaps and the ledger are looked at.
const TICK: Duration = Duration::from_millis(200);

/// How long finished exchanges wait in the queue while the writer rests: the longer the fewer there are. Few at a time are
/// still in the processor's caches, and many wake-ups for one exchange each cost more than the exchanges.
const REST_MIN: Duration = Duration::from_millis(1);
const REST_MAX: Duration = Duration::from_millis(64);
/// As many are fetched at a time, if the rest can be made so.
const FETCHED: std::ops::Range<u32> = 32..128;

/// How often a disk that refused is tried again.
const PROBE: Duration = Duration::from_secs(1);

/// What reaches the thread.
pub(super) struct Inlets {
    pub(super) observations: Receiver<Observation>,
    pub(super) stop: Receiver<()>,
    pub(super) rotate: Receiver<Sender<()>>,
}

/// Writes until told to stop, then what still waits, then seals.
pub(super) fn run(
    source: Source,
    recorder: Recorder,
    (counts, door): (Arc<Counts>, Arc<Door>),
    inlets: &Inlets,
) -> Result<Ledger, CaptureError> {
    let capture = match open(source) {
        Ok(capture) => capture,
        Err(error) => {
            tracing::error!(%error, "nothing is recorded");
            counts.set_failure(Some(error.to_string()));
            counts.close();
            return Err(error);
        }
    };
    let writer = Writer { capture, recorder, counts, door, waiting: Vec::new(), next_probe: Instant::now() };
    writer.run(inlets)
}

/// How long to rest after so many were fetched.
fn next_rest(rest: Duration, fetched: u32) -> Duration {
    match fetched {
        few if few < FETCHED.start => (rest * 2).min(REST_MAX),
        many if many >= FETCHED.end => (rest / 2).max(REST_MIN),
        _ => rest,
    }
}

fn open(source: Source) -> Result<CaptureWriter, CaptureError> {
    match source {
        Source::Open(capture) => Ok(*capture),
        Source::Later(open) => {
            let capture = open()?;
            tracing::info!("the former process has closed its capture; recording");
            Ok(capture)
        }
    }
}

/// Owns the capture.
#[derive(Debug)]
struct Writer {
    capture: CaptureWriter,
    recorder: Recorder,
    counts: Arc<Counts>,
    door: Arc<Door>,
    /// Whose the rows are that the capture has not written yet, in their order; `None` for gaps.
    waiting: Vec<Option<User>>,
    /// When a disk that refuses is tried again.
    next_probe: Instant,
}

impl Writer {
    fn run(mut self, inlets: &Inlets) -> Result<Ledger, CaptureError> {
        let Inlets { observations, stop, rotate } = inlets;
        let (mut next_tick, mut rest) = (Instant::now() + TICK, REST_MAX);
        loop {
            // Looked for now and then rather than waited for: whom nobody waits for, nobody has to wake.
            let mut fetched = 0_u32;
            while let Ok(observation) = observations.try_recv() {
                self.write(observation);
                fetched += 1;
                if Instant::now() >= next_tick {
                    break;
                }
            }
            rest = next_rest(rest, fetched);
            if Instant::now() >= next_tick {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
            let pause = if observations.is_empty() { rest } else { Duration::ZERO };
            select! {
                recv(rotate) -> asked => {
                    self.drain(observations);
                    self.rotate();
                    // Who asked may have given up.
                    let _ = asked.map(|done| done.send(()));
                }
                recv(stop) -> _ => break,
                default(pause) => {}
            }
        }
        self.drain(observations);
        self.close()
    }

    /// While the disk refuses nothing is tried but a probe: a batch that happens to fit would be the end of
    /// sessions whose rest does not.
    fn write(&mut self, observation: Observation) {
        let user = observation.standing.user;
        let exchange = self.recorder.exchange(observation);
        if self.counts.is_failing() {
            return self.shed(&exchange, &user);
        }
        self.waiting.push(Some(user));
        let written = self.capture.push(Record::Exchange(Box::new(exchange)), Instant::now());
        self.account(written);
    }

    fn rotate(&mut self) {
        let written = self.capture.flush(Instant::now());
        self.account(written);
        if let Err(error) = self.capture.rotate() {
            self.note_failure(&error);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let ledger = self.counts.ledger();
        if self.counts.is_failing() {
            self.try_again(now);
            // It is small, and may fit where no batch does.
            let _ = self.capture.note_ledger(ledger, now);
            return;
        }
        self.write_gaps(now);
        if self.capture.flush_due().is_some_and(|due| due <= now + TICK) {
            let written = self.capture.flush(now);
            self.account(written);
        }
        let kept = self.capture.note_ledger(ledger, now).and_then(|()| self.capture.look_after(now));
        if let Err(error) = kept {
            self.note_failure(&error);
            // What waits is tried at once, and left out with its users if it fails: as long as the disk refuses, nothing
            // waits.
            let written = self.capture.flush(now);
            self.account(written);
        }
    }

    fn try_again(&mut self, now: Instant) {
        if now < self.next_probe {
            return;
        }
        self.next_probe = now + PROBE;
        match self.capture.probe() {
            Ok(()) => self.note_success(),
            Err(error) => self.note_failure(&error),
        }
    }

    fn write_gaps(&mut self, now: Instant) {
        for gap in self.counts.take_gaps() {
            self.waiting.push(None);
            let written = self.capture.push(Record::Gap(gap), now);
            self.account(written);
        }
    }

    /// What is queued now is written: it belongs before a rotation, and what comes after a stop is too late.
    fn drain(&mut self, observations: &Receiver<Observation>) {
        for observation in observations.try_iter().take(observations.len()) {
            self.write(observation);
        }
    }

    fn close(mut self) -> Result<Ledger, CaptureError> {
        let now = Instant::now();
        self.write_gaps(now);
        let written = self.capture.flush(now);
        self.account(written);
        let ledger = self.counts.close();
        let clock = self.recorder.clock;
        self.capture.close(ledger, clock.utc_ns(clock.now_ns()))?;
        Ok(ledger)
    }

    fn account(&mut self, written: Result<u64, Dropped>) {
        match written {
            Ok(rows) => {
                self.counts.recorded(rows);
                if self.capture.flush_due().is_none() {
                    self.waiting.clear();
                }
            }
            Err(dropped) => {
                self.note_failure(&dropped.error);
                let users = std::mem::take(&mut self.waiting);
                for (record, user) in dropped.records.into_iter().zip(users) {
                    self.drop(record, user);
                }
            }
        }
    }

    fn drop(&self, record: Record, user: Option<User>) {
        match (record, user) {
            (Record::Exchange(exchange), Some(user)) => self.shed(&exchange, &user),
            (Record::Gap(gap), _) => self.counts.reopen(&gap),
            (Record::Exchange(_), None) => unreachable!("every exchange is pushed with its user"),
        }
    }

    /// Counts what the disk did not take, and leaves the rest of its user out too.
    fn shed(&self, exchange: &Exchange, user: &User) {
        let clock = self.recorder.clock;
        if self.door.shed(user, Shed::Disk, second(clock.now_ns())) {
            let credential = credential_of(exchange).map(CutUser::Credential);
            let names = credential.into_iter().chain([CutUser::Connection(exchange.connection)]);
            self.counts.cut(Shed::Disk, exchange.started_ns, names.collect());
        }
        self.counts.shed(Shed::Disk, exchange.started_ns, exchange.request_body_bytes);
    }

    /// Says once that recording stands still, not for each batch.
    fn note_failure(&mut self, error: &CaptureError) {
        if !self.counts.set_failure(Some(error.to_string())) {
            tracing::error!(%error, "the capture cannot be written; traffic goes on unrecorded");
            self.next_probe = Instant::now() + PROBE;
        }
    }

    fn note_success(&self) {
        if self.counts.set_failure(None) {
            tracing::info!("the capture is written again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rests, fetches what has come meanwhile, and so on.
    fn rest_at(per_s: u32, from: Duration) -> Duration {
        (0..20).fold(from, |rest, _| next_rest(rest, u32::try_from((rest * per_s).as_secs()).unwrap()))
    }

    #[test]
    fn the_writer_rests_long_where_little_comes_and_short_where_much_does() {
        for from in [REST_MIN, REST_MAX] {
            assert_eq!(rest_at(10, from), REST_MAX);
            assert!((32.0..=128.0).contains(&(rest_at(20_000, from) * 20_000).as_secs_f64()), "{from:?}");
            assert_eq!(rest_at(1_000_000, from), REST_MIN);
        }
    }
}
