//! The capture of a process: begun with it or on command, closed with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use kingtide_common::capture::{CaptureError, CaptureWriter, Retention, Rotation, Upkeep, WriterOptions};
use kingtide_common::config::ConfigError;
use kingtide_common::fingerprint::Fingerprinter;
use kingtide_common::ledger::Ledger;

use crate::admin::{CaptureCommand, CaptureFacts, CaptureState};
use crate::config::Config;
use crate::tap::{self, Source, TapOptions, TapWriter};
use crate::worker::Shared;
use kingtide_common::redact::{Redactor, Rules};

const PROGRAM: &str = concat!("kingtide-proxy ", env!("CARGO_PKG_VERSION"));
/// How long the writer may take for what still waits when the traffic is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

pub(super) fn rules(config: &Config) -> Result<Rules, ConfigError> {
    config.capture.redaction.as_deref().map_or_else(|| Ok(Rules::built_in()), Rules::load)
}

/// Starts and stops the capture.
#[derive(Debug)]
pub(super) struct Recorder {
    config: Config,
    digest: String,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writer: Option<TapWriter>,
    since_ns: Option<u64>,
    /// Of the captures that were closed.
    closed: Ledger,
    /// Nothing more is to be started.
    over: bool,
}

impl Recorder {
    pub(super) fn new(config: &Config, digest: String, shared: Arc<Shared>) -> Self {
        Self { config: config.clone(), digest, shared, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to record.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        let (capture, upkeep) = (&self.config.capture, upkeep(&self.config));
        let options = self.writer_options();
        self.start_from(|| {
            let writer = CaptureWriter::create(&capture.directory, options)?.with_upkeep(upkeep);
            Ok(Source::Open(Box::new(writer)))
        })
    }

    /// Begins although the process whose place was taken has not closed the same capture: until it has, what
    /// is recorded waits in the queue.
    pub(super) fn start_after_the_former(&self) -> anyhow::Result<()> {
        let (directory, upkeep) = (self.config.capture.directory.clone(), upkeep(&self.config));
        let options = self.writer_options();
        let open = move || Ok(CaptureWriter::create_after_others(&directory, options)?.with_upkeep(upkeep));
        self.start_from(|| Ok(Source::Later(Box::new(open))))
    }

    fn start_from(&self, source: impl FnOnce() -> Result<Source, CaptureError>) -> anyhow::Result<()> {
        let mut state = self.state();
        anyhow::ensure!(state.writer.is_none(), "the capture is recording already");
        anyhow::ensure!(!state.over, "the process is ending");
        let (capture, clock) = (&self.config.capture, self.shared.clock);
        let rules = rules(&self.config)?;
        let key = Fingerprinter::with_random_key().context("no random key for the fingerprints")?;
        let redactor = Redactor::new(rules, capture.privacy, key);
        let (tap, writer) = tap::start(tap_options(&self.config), redactor, source()?, clock)?;
        *state =
            State { writer: Some(writer), since_ns: Some(clock.now_ns()), ..std::mem::take(&mut *state) };
        self.shared.tap.store(Some(tap));
        Ok(())
    }

    fn writer_options(&self) -> WriterOptions {
        let (capture, clock) = (&self.config.capture, self.shared.clock);
        WriterOptions {
            program: PROGRAM.to_owned(),
            config_digest: self.digest.clone(),
            privacy: format!("{:?}", capture.privacy).to_lowercase(),
            started_ns: clock.utc_ns(clock.now_ns()),
            rotation: Rotation { bytes: capture.segment_size.0, age: capture.segment_age.0 },
        }
    }

    /// Seals the capture. What is in flight counts as too late.
    pub(super) fn stop(&self) -> anyhow::Result<Option<Ledger>> {
        let mut state = self.state();
        let Some(writer) = state.writer.take() else { return Ok(None) };
        state.since_ns = None;
        self.shared.tap.store(None);
        let ledger =
            writer.close(CLOSE_DEADLINE).context("the capture's writer did not finish in time")??;
        state.closed = state.closed + ledger;
        tracing::info!(
            accepted = ledger.accepted,
            recorded = ledger.recorded,
            lost = ledger.lost(),
            filtered = ledger.filtered,
            "capture closed"
        );
        Ok(Some(ledger))
    }

    /// Stops for good.
    pub(super) fn close(&self) -> anyhow::Result<()> {
        self.state().over = true;
        self.stop().map(drop)
    }

    pub(super) fn command(&self, command: CaptureCommand) -> Result<String, String> {
        let shown = |error: anyhow::Error| format!("{error:#}");
        match command {
            CaptureCommand::Start => {
                self.start().map_err(shown)?;
                Ok(format!("recording into {}", self.config.capture.directory.display()))
            }
            CaptureCommand::Stop => match self.stop().map_err(shown)? {
                Some(ledger) => {
                    Ok(format!("stopped; {} of {} requests recorded", ledger.recorded, ledger.accepted))
                }
                None => Err("nothing is being recorded".to_owned()),
            },
            CaptureCommand::Rotate => match &self.state().writer {
                Some(writer) if writer.rotate(CLOSE_DEADLINE) => {
                    Ok("the segment is sealed, the next one begins".to_owned())
                }
                Some(_) => Err("the capture's writer did not answer in time".to_owned()),
                None => Err("nothing is being recorded".to_owned()),
            },
        }
    }

    /// Of all captures of this process.
    pub(super) fn ledger(&self) -> Ledger {
        let open = self.shared.tap.load().as_ref().map(|tap| tap.ledger());
        self.state().closed + open.unwrap_or_default()
    }

    pub(super) fn facts(&self) -> CaptureFacts {
        let state = self.state();
        let tap = self.shared.tap.load();
        let Some(tap) = tap.as_ref() else { return CaptureFacts::default() };
        CaptureFacts {
            state: if tap.is_failing() { CaptureState::Failed } else { CaptureState::Recording },
            directory: Some(self.config.capture.directory.clone()),
            since_ns: state.since_ns,
            error: tap.failure(),
            users_forgotten: tap.forgotten(),
            queue: tap.queue_facts(),
        }
    }
}

fn tap_options(config: &Config) -> TapOptions {
    let capture = &config.capture;
    TapOptions {
        queue_slots: capture.queue_slots,
        memory_bytes: capture.memory.0,
        body_bytes_max: usize::try_from(capture.body_limit.0).unwrap_or(usize::MAX),
        hash_bytes_max: capture.file_hash.bytes_max(),
        exclude: capture.exclude.clone(),
        sample: capture.sample.0,
        per_s_max: capture.exchanges_per_s_max,
    }
}

fn upkeep(config: &Config) -> Upkeep {
    let capture = &config.capture;
    Upkeep {
        sync: capture.sync.into(),
        retention: Retention {
            bytes: Some(capture.retain_size.0).filter(|bytes| *bytes > 0),
            age: Some(capture.retain_age.0).filter(|age| !age.is_zero()),
        },
    }
}
