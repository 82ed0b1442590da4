//! The writer's thread: redacts, batches, flushes within a second, and says what the disk refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use kingtide_common::body::describe::Describer;
use kingtide_common::capture::{CaptureError, CaptureWriter, Dropped};
use kingtide_common::exchange::Record;
use kingtide_common::ledger::Ledger;
use kingtide_common::redact::Redactor;

use super::Observation;
use super::counts::{Counts, Shed};
use super::describe::Recorder;
use crate::clock::Clock;

/// How often waiting rows, gaps and the ledger are looked at.
const TICK: Duration = Duration::from_millis(200);

/// How long finished exchanges wait in the queue at most while the writer rests.
const PAUSE: Duration = Duration::from_millis(20);

/// Owns the capture.
#[derive(Debug)]
pub(super) struct Writer {
    capture: CaptureWriter,
    recorder: Recorder,
    counts: Arc<Counts>,
}

impl Writer {
    pub(super) fn new(
        capture: CaptureWriter,
        redactor: Redactor,
        counts: Arc<Counts>,
        clock: Clock,
        body_bytes_max: usize,
    ) -> Self {
        let recorder = Recorder { describer: Describer { redactor, body_bytes_max }, clock };
        Self { capture, recorder, counts }
    }

    /// Writes until told to stop, then what still waits, then seals.
    pub(super) fn run(
        mut self,
        observations: &Receiver<Observation>,
        stop: &Receiver<()>,
        rotate: &Receiver<Sender<()>>,
    ) -> Result<Ledger, CaptureError> {
        let mut next_tick = Instant::now() + TICK;
        loop {
            // Looked for now and then rather than waited for: whom nobody waits for, nobody has to wake.
            while let Ok(observation) = observations.try_recv() {
                self.write(observation);
                if Instant::now() >= next_tick {
                    break;
                }
            }
            if Instant::now() >= next_tick {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
            let pause = if observations.is_empty() { PAUSE } else { Duration::ZERO };
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

    fn write(&mut self, observation: Observation) {
        let exchange = self.recorder.exchange(observation);
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
        for gap in self.counts.take_gaps() {
            let written = self.capture.push(Record::Gap(gap), now);
            self.account(written);
        }
        if self.capture.flush_due().is_some_and(|due| due <= now + TICK) {
            let written = self.capture.flush(now);
            self.account(written);
        }
        if let Err(error) = self.capture.note_ledger(self.counts.ledger(), now) {
            self.note_failure(&error);
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
        for gap in self.counts.take_gaps() {
            let written = self.capture.push(Record::Gap(gap), now);
            self.account(written);
        }
        let written = self.capture.flush(now);
        self.account(written);
        let ledger = self.counts.close();
        let clock = self.recorder.clock;
        self.capture.close(ledger, clock.utc_ns(clock.now_ns()))?;
        Ok(ledger)
    }

    fn account(&mut self, written: Result<u64, Dropped>) {
        match written {
            Ok(0) => {}
            Ok(rows) => {
                self.counts.recorded(rows);
                self.note_success();
            }
            Err(dropped) => {
                self.note_failure(&dropped.error);
                dropped.records.into_iter().for_each(|record| self.shed(record));
            }
        }
    }

    fn shed(&self, record: Record) {
        match record {
            Record::Exchange(exchange) => {
                self.counts.shed(Shed::Disk, exchange.started_ns, exchange.request_body_bytes);
            }
            Record::Gap(gap) => self.counts.reopen(&gap),
        }
    }

    /// Says once that recording stands still, not for each batch.
    fn note_failure(&self, error: &CaptureError) {
        if !self.counts.set_failing(true) {
            tracing::error!(%error, "the capture cannot be written; traffic goes on unrecorded");
        }
    }

    fn note_success(&self) {
        if self.counts.set_failing(false) {
            tracing::info!("the capture is written again");
        }
    }
}
