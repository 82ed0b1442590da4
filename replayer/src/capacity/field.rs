//! Where trials are held: one load on real sockets, watched while it lasts, and what it showed.
//!
//! The thin shell around the pure search: a trial becomes a plan, the drive plays it on a thread of its own, and this
//! one looks at its counters every second, stops it when the watch says so, and ends the sending when the time is
//! over. What is then in flight is waited for: it belongs to the load that caused it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kingtide_common::units::{Multiple, Seed};
use tokio::sync::watch as channel;

use super::slo::{Ask, Slo};
use super::trial::{Count, Failures, Observation, Tick, Trial};
use super::verdict::{Judged, Verdict, Window};
use super::watch::{Abort, AbortCause, Live as Second, Watch};
use crate::bottleneck::Profile;
use crate::drive::{self, DriveConfig, DriveError, Measured, Stop};
use crate::measure::ErrorClass;
use crate::measure::attainment::{Applies, Bar, PlannedSecond};
use crate::measure::gates::{Gates, validity};
use crate::measure::live::{Counts, Live};
use crate::measure::series::ClockSecond;
use crate::plan::{self, Load, Plan};
use crate::sessions::Outlines;
use crate::store::Store;

/// Whole samples of a trial, for the diagnosis: some 10 MB.
const KEPT_MAX: usize = 20_000;
/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);
/// A target that hangs is not waited for any longer: nothing more will come.
const HANG_DRAIN: Duration = Duration::from_secs(5);
/// After a trial, so that what its last requests left behind (a pool's return, a log's flush) is not the next one's.
const REST: Duration = Duration::from_secs(1);
const MS_PER_S: f64 = 1e3;

/// What all trials of a search have in common.
#[derive(Debug)]
pub struct Field<'a> {
    store: &'a Store,
    /// Its stop is the user's.
    config: DriveConfig,
    /// Planned requests a second that 1× means.
    pub unit_per_s: f64,
    last_end: Option<Instant>,
}

/// A trial that was held.
#[derive(Debug)]
pub struct Played {
    pub observation: Observation,
    /// `None` when nothing could be sent.
    pub measured: Option<Measured>,
    /// The user wanted it to end.
    pub is_interrupted: bool,
}

/// Why no trial can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error(
        "its sessions all start at the same instant, so it says no rate to multiply; record longer, or use \
         --model with --spawn-per-s"
    )]
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
}

impl<'a> Field<'a> {
    /// The configuration is that of a replay; its service level and its end are those of each trial.
    pub fn new(store: &'a Store, config: DriveConfig, slo: &Slo) -> Result<Self, FieldError> {
        let unit_per_s = plan::unit_per_s(store.outlines()).ok_or(FieldError::NoRate)?;
        let bars = slo.criteria.iter().map(bar).collect();
        let config = DriveConfig { bars, kept_max: KEPT_MAX, ..config };
        Ok(Self { store, config, unit_per_s, last_end: None })
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
    ) -> Result<Played, DriveError> {
        self.rest();
        let rest = self.last_end.map_or(Duration::ZERO, |end| end.elapsed());
        let plan = self.plan(trial);
        let (stop, stopped) = channel::channel(Stop::Run);
        let config = DriveConfig { stop: stopped, ..self.config.clone() };
        let live = Arc::new(Live::with_late_above(ns(watch.late_above_ms())));
        let conductor = Conductor {
            live: &live,
            stop,
            user: &self.config.stop,
            planned: planned_by_second(&plan, self.store.outlines(), trial.length_s),
            length: Duration::from_secs(trial.length_s),
        };
        let (measured, end) = thread::scope(|scope| {
            let run = scope.spawn(|| drive::run(&plan, self.store, &config, &live));
            let end = conductor.conduct(watch, on_second, || run.is_finished());
            // A drive panics only on a broken invariant: go on panicking, with its message.
            (run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), end)
        });
        self.last_end = Some(Instant::now());
        let shown = Shown { unit_per_s: self.unit_per_s, rest_s: rest.as_secs(), trial, end };
        match measured {
            Ok(measured) => {
                let planned = drive::planned_requests(&plan, self.store.outlines());
                Ok(shown.played(measured, planned))
            }
            // More users than accounts: this load cannot be generated.
            Err(DriveError::Identities(lack)) => Ok(shown.unplayed(lack.to_string())),
            Err(error) => Err(error),
        }
    }

    fn rest(&self) {
        let rested = self.last_end.map_or(REST, |end| end.elapsed());
        thread::sleep(REST.saturating_sub(rested));
    }

    fn plan(&self, trial: &Trial) -> Plan {
        let load = Load { length_us: trial.length_s * 1_000_000, ramp_us: trial.ramp_s * 1_000_000 };
        let multiple =
            Multiple::new(trial.multiple).expect("a search stays within the multiples that it was given");
        plan::trial(self.store.outlines(), multiple, load, Seed(trial.seed))
            .expect("the unit is known, so there is a rate")
    }
}

fn bar(criterion: &super::slo::Criterion) -> Bar {
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

/// Requests that the plan has in each second of its length.
fn planned_by_second(plan: &Plan, sessions: &Outlines, length_s: u64) -> Vec<u64> {
    let mut planned = vec![0; usize::try_from(length_s).expect("a trial's seconds are few")];
    for at_us in plan.instants_us(sessions) {
        let second = usize::try_from(at_us / 1_000_000).unwrap_or(usize::MAX);
        planned.get_mut(second).into_iter().for_each(|planned| *planned += 1);
    }
    planned
}

/// Watches a run and ends its sending.
struct Conductor<'a> {
    live: &'a Live,
    stop: channel::Sender<Stop>,
    user: &'a channel::Receiver<Stop>,
    planned: Vec<u64>,
    length: Duration,
}

/// How the sending of a trial ended.
#[derive(Debug, Default)]
struct End {
    aborted: Option<Abort>,
    /// When the user stopped it, seconds from the plan's zero.
    interrupted_s: Option<u64>,
}

impl Conductor<'_> {
    fn conduct(
        &self,
        mut watch: Watch,
        on_second: &mut dyn FnMut(&Second),
        is_over: impl Fn() -> bool,
    ) -> End {
        let mut end = End::default();
        let mut seen = Counts::default();
        let mut seconds = 0;
        let mut hung_until = None;
        while !is_over() {
            thread::sleep(LOOK);
            let Some(since) = self.live.zero().and_then(|zero| Instant::now().checked_duration_since(zero))
            else {
                self.follow_user(0, &mut end);
                continue;
            };
            self.follow_user(since.as_secs(), &mut end);
            if since >= self.length {
                self.ask(Stop::Drain);
            }
            if since.as_secs() > seconds {
                seconds += 1;
                let second = self.second(seconds, &mut seen);
                on_second(&second);
                if end.aborted.is_none() && since < self.length {
                    end.aborted = watch.on_second(second);
                }
            }
            if let Some(abort) = &end.aborted {
                self.ask(Stop::Drain);
                let is_hung = abort.cause == AbortCause::Hang;
                let until = *hung_until.get_or_insert_with(|| Instant::now() + HANG_DRAIN);
                if is_hung && Instant::now() >= until {
                    self.ask(Stop::Now);
                }
            }
        }
        end
    }

    fn follow_user(&self, at_s: u64, end: &mut End) {
        let wish = *self.user.borrow();
        if wish > Stop::Run {
            end.interrupted_s.get_or_insert(at_s);
            self.ask(wish);
        }
    }

    fn ask(&self, wish: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_more = wish > *stop;
            *stop = wish.max(*stop);
            is_more
        });
    }

    /// What happened since the last look, and what is under way.
    fn second(&self, seconds: u64, seen: &mut Counts) -> Second {
        let counts = self.live.counts();
        let index = usize::try_from(seconds - 1).unwrap_or(usize::MAX);
        let due: u64 = self.planned.iter().take(index + 1).sum();
        let second = Second {
            planned: self.planned.get(index).copied().unwrap_or_default(),
            sent: counts.sent - seen.sent,
            done: counts.good - seen.good,
            failed: counts.failed - seen.failed,
            in_flight: due.saturating_sub(counts.ended).max(counts.in_flight),
            late: counts.late - seen.late,
        };
        *seen = counts;
        second
    }
}

/// What is known of a trial beside what was measured.
struct Shown<'a> {
    unit_per_s: f64,
    rest_s: u64,
    trial: &'a Trial,
    end: End,
}

impl Shown<'_> {
    fn played(self, mut measured: Measured, planned: u64) -> Played {
        let invalid = invalid(&mut measured, planned);
        let recorder = &measured.recorder;
        let seconds = ticks(recorder.attainment.seconds(), recorder.series.clock_seconds());
        self.finish(seconds, invalid, Some(measured))
    }

    fn unplayed(self, reason: String) -> Played {
        self.finish(Vec::new(), vec![reason], None)
    }

    fn finish(self, seconds: Vec<Tick>, invalid: Vec<String>, measured: Option<Measured>) -> Played {
        let stopped_s = self.end.aborted.as_ref().map(|abort| abort.at_s).or(self.end.interrupted_s);
        Played {
            observation: Observation {
                unit_per_s: self.unit_per_s,
                sending_s: stopped_s.unwrap_or(self.trial.length_s).min(self.trial.length_s),
                ramp_s: self.trial.ramp_s,
                rest_s: self.rest_s,
                seconds,
                invalid,
                aborted: self.end.aborted,
            },
            measured,
            is_interrupted: self.end.interrupted_s.is_some(),
        }
    }
}

/// The failed gates. What was withheld is what lay beyond the trial's end, and what was cut off had no answer when a
/// target that hangs was left alone: no gate is to see them.
fn invalid(measured: &mut Measured, planned: u64) -> Vec<String> {
    let withheld = std::mem::take(&mut measured.recorder.withheld);
    measured.recorder.failures.retain(|failure, _| failure.class != ErrorClass::CutOff);
    let mut gates: Gates = validity(&measured.recorder, planned.saturating_sub(withheld));
    gates.insert("in_flight".to_owned(), measured.in_flight.gate());
    gates.iter().filter(|(_, gate)| !gate.pass).map(|(name, gate)| gate.failure(name)).collect()
}

/// By planned and by clock second, side by side.
fn ticks(planned: &[PlannedSecond], clock: impl Iterator<Item = ClockSecond>) -> Vec<Tick> {
    let clock: Vec<ClockSecond> = clock.collect();
    let (mut due, mut ended) = (0_u64, 0_u64);
    let seconds = 0..planned.len().max(clock.len());
    let tick = |second: usize| {
        let (planned, clock) = (planned.get(second), clock.get(second).copied().unwrap_or_default());
        due += planned.map_or(0, |planned| planned.planned);
        ended += clock.ended;
        Tick {
            planned: planned.map_or(0, |planned| planned.planned),
            criteria: planned.map_or_else(Vec::new, counts),
            failures: planned.map_or_else(Failures::default, failures),
            sent: clock.sent,
            done: clock.good,
            in_flight: due.saturating_sub(ended),
            latency_ms_p50: clock.latency_ms_p50,
            latency_ms_p95: clock.latency_ms_p95,
        }
    };
    seconds.map(tick).collect()
}

fn counts(second: &PlannedSecond) -> Vec<Count> {
    second.shares.iter().map(|share| Count { asked: share.asked, bad: share.bad }).collect()
}

fn failures(second: &PlannedSecond) -> Failures {
    let kinds = second.failures;
    Failures {
        shed: kinds.shed,
        error: kinds.error,
        timeout: kinds.timeout,
        connect: kinds.connect,
        unfinished: kinds.unfinished,
    }
}
