//! How much more than the plan's busiest seconds this machine can send on time: they are played against a server of its
//! own, then twice as many of each request, and so on.
//!
//! What is HTTP/2 in the run goes over HTTP/1.1 here. Server and generator share the cores, copies of a request go out at the same instant, and uploads that take longer
//! than the stretch go out within it: all of that makes it harder than the run, so what is found is a lower bound.

mod sink;
mod stretch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kingtide_common::units::{Multiple, Seed};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use self::sink::Sink;
use self::stretch::Stretch;
use crate::drive::{self, Clock, DriveConfig, DriveError, Http, Late, Retry, Stop, Target, Uplink};
use crate::measure::gates::{SENT_SHARE_MIN, validity};
use crate::measure::live::Live;
use crate::plan::{Mode, Plan, amplify};
use crate::report::format::number;
use crate::store::Store;

/// Times the plan's busiest stretch, until one is not on time.
const TIMES: [u32; 4] = [1, 2, 4, 8];
/// With less, a run that is a little unlike its plan is late.
const TIMES_ENOUGH: u32 = 2;
/// The gates that say whether a trial was on time.
const GATES: [&str; 3] = ["lag_p99_ms", "late_share", "sent_share"];
/// What is in flight after the last request of a trial says no more about the lag.
const DRAIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Headroom {
    /// Requests a second in the plan's busiest stretch.
    pub rate_peak_per_s: f64,
    /// The most times that rate at which the generator was on time; 0 when it never was.
    pub times: u32,
    /// No trial was late: it may be more.
    pub is_at_least: bool,
    pub trials: Vec<Trial>,
}

/// The busiest stretch, with so many of each request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub times: u32,
    pub lag_ms_p99: Option<f64>,
    /// Of all cores, generator and built-in server together; 0 to 1.
    pub cpu_share: f64,
    /// By the gates of a run.
    pub on_time: bool,
}

/// Takes 4 s for each trial. Sends nothing to the target.
pub fn measure(plan: &Plan, store: &Store, config: &DriveConfig) -> Result<Headroom, DriveError> {
    let stretch = Stretch::busiest(plan, store)?;
    let sink = Sink::start(stretch.answer_bytes_max())?;
    let config = trial_config(config, sink.target());
    let mut trials = Vec::new();
    for times in TIMES {
        let trial = trial(&stretch.sessions, &config, times)?;
        // What the user stopped tells nothing.
        if *config.stop.borrow() > Stop::Run {
            break;
        }
        let is_last = !trial.on_time;
        trials.push(trial);
        if is_last {
            break;
        }
    }
    Ok(Headroom::of(stretch.rate_per_s(), trials))
}

/// Nothing of the run that could wait for an answer, or be refused by this target.
fn trial_config(config: &DriveConfig, target: Target) -> DriveConfig {
    DriveConfig {
        target,
        identities: None,
        source_addresses: None,
        // The server of its own speaks nothing else.
        http: Http::Http1,
        clock: Clock::Offsets,
        late: Late::Send,
        // The curves of the stretch are its own; a link would stretch it.
        uplink: if config.uplink == Uplink::Recorded { Uplink::Recorded } else { Uplink::Unpaced },
        drain: DRAIN,
        retry: Retry::default(),
        renews: false,
        samples: None,
        ..config.clone()
    }
}

fn trial(store: &Store, config: &DriveConfig, times: u32) -> Result<Trial, DriveError> {
    let multiple = Multiple::new(times.into()).expect("a few times is a multiple");
    let plan = amplify(store.outlines(), multiple, Mode::Volley, Seed(1));
    let (began, cpu) = (Instant::now(), cpu_time());
    let measured = drive::run(&plan, store, config, &Arc::new(Live::default()))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu_share = (cpu_time().saturating_sub(cpu)).div_duration_f64(began.elapsed() * cores_of(cores));
    let planned = drive::planned_requests(&plan, store.outlines());
    let gates = validity(&measured.recorder, planned);
    // The sink shares this machine's descriptors: what it could not take was not tried.
    let is_sent = measured.recorder.total().sent as f64 >= SENT_SHARE_MIN * planned as f64;
    Ok(Trial {
        times,
        lag_ms_p99: measured.recorder.lag.pacer.quantile_ms(0.99),
        cpu_share: cpu_share.min(1.0),
        on_time: is_sent && GATES.into_iter().all(|name| gates[name].pass && gates[name].decided),
    })
}

fn cores_of(cores: usize) -> u32 {
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// Of all threads of this process.
fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default())
}

impl Headroom {
    fn of(rate_peak_per_s: f64, trials: Vec<Trial>) -> Self {
        let times = trials.iter().filter(|trial| trial.on_time).map(|trial| trial.times).max().unwrap_or(0);
        let is_at_least = trials.iter().all(|trial| trial.on_time);
        Self { rate_peak_per_s, times, is_at_least, trials }
    }

    /// In one line.
    pub fn sentence(&self) -> String {
        let peak =
            format!("the plan's busiest {} s ({}/s)", stretch::SECONDS, number(Some(self.rate_peak_per_s)));
        let Self { times, .. } = self;
        match times {
            _ if self.trials.is_empty() => format!("not tried with {peak}: it was stopped"),
            0 => format!("late with {peak} as they are, against a server on the same cores"),
            _ if self.is_at_least => {
                format!("on time at ≥ {times}× {peak}, against a server on the same cores")
            }
            _ => format!(
                "on time at {times}× {peak}, late at {}×, against a server on the same cores",
                2 * times
            ),
        }
    }

    /// What a reader of the run should know.
    pub fn caution(&self) -> Option<String> {
        let is_little = self.times < TIMES_ENOUGH && !self.is_at_least;
        is_little.then(|| format!("little headroom: {}", self.sentence()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(times: u32, on_time: bool) -> Trial {
        Trial { times, lag_ms_p99: Some(1.0), cpu_share: 0.1, on_time }
    }

    #[test]
    fn headroom_is_the_last_that_was_on_time() {
        let cases = [
            (vec![trial(1, false)], 0, true, "late with the plan's busiest 3 s (17/s) as they are"),
            (
                vec![trial(1, true), trial(2, false)],
                1,
                true,
                "on time at 1× the plan's busiest 3 s (17/s), late at 2×",
            ),
            (vec![trial(1, true), trial(2, true), trial(4, false)], 2, false, "late at 4×"),
            (vec![trial(1, true), trial(2, true)], 2, false, "on time at ≥ 2×"),
        ];
        for (trials, times, is_little, said) in cases {
            let headroom = Headroom::of(17.0, trials);
            assert_eq!((headroom.times, headroom.caution().is_some()), (times, is_little), "{said}");
            assert!(headroom.sentence().contains(said), "{}", headroom.sentence());
        }
    }
}
