//! Where trials are held: one load on real sockets, watched while it lasts, and what it showed.
//!
//! The thin shell around the pure search: a trial becomes a plan, the drive plays it on a thread of its own, and this
//! one looks at its counters every second, and stops it when the watch says so. The plan ends with the trial; what
//! is then under way is waited for: it belongs to the load that caused it.

mod conductor;
mod shown;
mod source;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch as channel;

use self::conductor::Conductor;
use self::shown::Shown;
use self::source::Prepared;
pub use self::source::Source;
use super::cold_start::{ColdStart, cold_start};
use super::slo::{Ask, Slo};
use super::trial::{Observation, Trial};
use super::verdict::{Judged, Verdict, Window};
use super::watch::{Live as Second, Watch};
use crate::bottleneck::Profile;
use crate::drive::{self, DriveConfig, DriveError, Measured, Stop};
use crate::identities::IdentityError;
use crate::measure::attainment::{Applies, Bar};
use crate::measure::live::Live;
use crate::model::ArrivalsError;
use crate::store::StoreError;

/// Whole samples of a trial that a worker keeps, for the diagnosis: some 5 MB.
const KEPT_MAX: usize = 20_000;
/// After a trial, so that what its last requests left behind (a pool's return, a log's flush) is not the next one's.
const REST: Duration = Duration::from_secs(1);
const MS_PER_S: f64 = 1e3;

/// What all trials of a search have in common.
#[derive(Debug)]
pub struct Field<'a> {
    source: Source<'a>,
    /// Its stop is the user's.
    config: DriveConfig,
    /// Planned requests a second that 1× means.
    pub unit_per_s: f64,
    last_end: Option<Instant>,
    /// When the sending of the last trial ended; its drain came after.
    last_sent: Option<Instant>,
}

/// A trial that was held.
#[derive(Debug)]
pub struct Played {
    pub observation: Observation,
    /// `None` when nothing could be sent.
    pub measured: Option<Measured>,
    /// The user wanted it to end before its time.
    pub is_interrupted: bool,
}

/// Why a trial could not be held.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    #[error(transparent)]
    Drive(#[from] DriveError),
    #[error(transparent)]
    Model(#[from] ArrivalsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no trial can be held.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    #[error(transparent)]
    Model(#[from] ArrivalsError),
    #[error("its sessions all start at the same instant, so it says no rate to multiply; record longer")]
    NoRate,
}

impl Played {
    /// Where the time went, in the seconds that were judged; `None` when nothing was sent.
    pub fn profile(&self, judged: &Judged) -> Option<Profile> {
        let measured = self.measured.as_ref()?;
        let Window { from_s, to_s } = judged.window;
        let seconds = from_s as u64..to_s as u64;
        let is_failing = matches!(judged.verdict, Verdict::Fail(_));
        let (samples, labels) = (measured.recorder.kept.samples(), measured.routes.labels());
        Some(Profile::of(samples, labels, &seconds, judged.multiple, judged.completed_per_s, is_failing))
    }

    /// Of a trial that came after idleness.
    pub fn cold_start(&self) -> Option<ColdStart> {
        let measured = self.measured.as_ref()?;
        cold_start(measured.recorder.kept.samples(), measured.routes.labels())
    }
}

impl<'a> Field<'a> {
    /// The configuration is that of a replay; its service level and its end are those of each trial.
    pub fn new(source: Source<'a>, config: DriveConfig, slo: &Slo) -> Result<Self, FieldError> {
        let unit_per_s = source.unit_per_s()?;
        let bars = slo.criteria.iter().map(bar).collect();
        let config = DriveConfig { bars, kept_max: KEPT_MAX, ..config };
        Ok(Self { source, config, unit_per_s, last_end: None, last_sent: None })
    }

    /// Whether the user wants no more of it.
    pub fn is_stopped(&self) -> bool {
        *self.config.stop.borrow() > Stop::Run
    }

    /// Holds the load; `on_second` is told of each second of it. What this machine lacks makes the trial invalid.
    pub fn play(
        &mut self,
        trial: &Trial,
        watch: Watch,
        on_second: &mut dyn FnMut(&Second),
    ) -> Result<Played, PlayError> {
        self.rest();
        let Prepared { plan, store, planned } = self.source.prepare(trial)?;
        let (stop, stopped) = channel::channel(Stop::Run);
        let config = DriveConfig { stop: stopped, ..self.config.clone() };
        let live = Arc::new(Live::with_late_above(ns(watch.late_above_ms())));
        let conductor = Conductor {
            live: &live,
            stop,
            user: &self.config.stop,
            planned,
            length: Duration::from_secs(trial.length_s),
            has_end: matches!(self.source, Source::Sessions(_)),
        };
        let (measured, end) = thread::scope(|scope| {
            let run = scope.spawn(|| drive::run(&plan, store.as_ref(), &config, &live));
            let end = conductor.conduct(watch, on_second, || run.is_finished());
            // A drive panics only on a broken invariant: go on panicking, with its message.
            (run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), end)
        });
        let (zero, before) = (live.zero(), self.last_sent);
        let rest =
            zero.zip(before).map_or(Duration::ZERO, |(zero, sent)| zero.saturating_duration_since(sent));
        (self.last_end, self.last_sent) = (Some(Instant::now()), end.sent_until.or(self.last_sent));
        let shown =
            Shown { source: self.source, unit_per_s: self.unit_per_s, rest_s: rest.as_secs(), trial, end };
        match measured {
            Ok(measured) => {
                let planned = drive::planned_requests(&plan, store.as_ref().outlines());
                Ok(shown.played(measured, planned))
            }
            // More users than accounts: this load cannot be generated.
            Err(DriveError::Identities(lack @ IdentityError::TooFew { .. })) => {
                Ok(shown.unplayed(lack.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn rest(&self) {
        let rested = self.last_end.map_or(REST, |end| end.elapsed());
        thread::sleep(REST.saturating_sub(rested));
    }
}

/// By which a drive counts what the criterion finds bad.
pub(crate) fn bar(criterion: &super::slo::Criterion) -> Bar {
    let applies = criterion.route.clone().map_or(Applies::All, Applies::Route);
    match criterion.ask {
        Ask::Latency { limit, .. } => {
            Bar { applies, latency_ns_max: Some(ns(limit.as_secs_f64() * MS_PER_S)) }
        }
        Ask::Errors { .. } => Bar { applies, latency_ns_max: None },
        Ask::Throughput { .. } => Bar { applies: Applies::Nothing, latency_ns_max: None },
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // times are not negative; a float beyond u64 saturates
fn ns(ms: f64) -> u64 {
    (ms * 1e6) as u64
}
