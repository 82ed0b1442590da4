//! A runner without sockets: holds a trial's load against a simulated target and observes it second by second.

use super::arrivals::arrivals;
use super::backend::{Backend, Ended};
use super::random::Draws;
use super::subject::Subject;
use kingtide::capacity::trial::{Count, Observation, Tick, Trial};
use kingtide::capacity::watch::{Abort, Live};

/// A target that goes on living from trial to trial.
#[derive(Debug)]
pub(crate) struct Rig<'a> {
    subject: &'a Subject,
    backend: Backend,
    last_end_s: f64,
    /// Simulated time in all.
    pub(crate) spent_s: f64,
}

/// After the sending, answers are waited for this long, in times of the SLO's limit: what a trial leaves in the target
/// is load of the next one.
const DRAIN_LIMITS: f64 = 4.0;

impl<'a> Rig<'a> {
    pub(crate) fn new(subject: &'a Subject, seed: u64) -> Self {
        Self { subject, backend: Backend::new(subject.design.clone(), seed), last_end_s: 0.0, spent_s: 0.0 }
    }

    /// `stop` is asked after each second; what ends after `late_above_ms` is counted as late for it.
    pub(crate) fn observe(
        &mut self,
        trial: &Trial,
        late_above_ms: f64,
        stop: impl FnMut(Live) -> Option<Abort>,
    ) -> Observation {
        let from_s = self.backend.now_s();
        let rest_s = from_s - self.last_end_s;
        let mut seconds = Seconds {
            from_s,
            limit_s: self.subject.limit_s,
            late_above_ms,
            ticks: Vec::new(),
            latencies: Vec::new(),
        };
        let aborted = self.send(trial, stop, &mut seconds);
        let sending_s = seconds.ticks.len() as u64;
        self.last_end_s = self.backend.now_s();
        self.drain(&mut seconds);
        self.spent_s += self.backend.now_s() - from_s;
        let ticks = seconds.finish();
        Observation {
            unit_per_s: self.subject.unit_per_s,
            sending_s,
            ramp_s: trial.ramp_s.min(sending_s),
            rest_s: whole(rest_s),
            seconds: ticks,
            invalid: Vec::new(),
            aborted,
        }
    }

    fn send(
        &mut self,
        trial: &Trial,
        mut stop: impl FnMut(Live) -> Option<Abort>,
        seconds: &mut Seconds,
    ) -> Option<Abort> {
        let per_s = trial.multiple * self.subject.unit_per_s;
        let mut random = Draws::new(self.subject.seed ^ trial.seed.wrapping_mul(0x9e37_79b9));
        let instants =
            arrivals(self.subject.rhythm, per_s, trial.length_s as f64, trial.ramp_s as f64, &mut random);
        let mut instants = instants.into_iter().peekable();
        for second in 0..trial.length_s {
            let mut planned = 0;
            while let Some(at_s) = instants.next_if(|at_s| *at_s < (second + 1) as f64) {
                self.backend.arrive(seconds.from_s + at_s);
                planned += 1;
            }
            let abort = stop(self.end_second(seconds, planned));
            if abort.is_some() {
                return abort;
            }
        }
        None
    }

    fn drain(&mut self, seconds: &mut Seconds) {
        for _ in 0..60 + whole(DRAIN_LIMITS * self.subject.limit_s) {
            if seconds.ticks.last().is_none_or(|tick| tick.in_flight == 0) {
                break;
            }
            self.end_second(seconds, 0);
        }
    }

    fn end_second(&mut self, seconds: &mut Seconds, planned: u64) -> Live {
        self.backend.run_until(seconds.from_s + (seconds.ticks.len() + 1) as f64);
        let ended = std::mem::take(&mut self.backend.ended);
        seconds.add(planned, &ended)
    }
}

/// The ticks of a trial while it runs.
#[derive(Debug)]
struct Seconds {
    from_s: f64,
    limit_s: f64,
    late_above_ms: f64,
    ticks: Vec<Tick>,
    latencies: Vec<f64>,
}

impl Seconds {
    fn add(&mut self, planned: u64, ended: &[Ended]) -> Live {
        let before = self.ticks.last().map_or(0, |tick| tick.in_flight);
        // What came before this trial is not its own.
        let own: Vec<&Ended> = ended.iter().filter(|ended| ended.came_s >= self.from_s).collect();
        let in_flight = before + planned - own.len() as u64;
        let criteria = vec![Count { asked: planned, bad: 0 }; 2];
        self.ticks.push(Tick { planned, sent: planned, in_flight, criteria, ..Tick::default() });
        self.latencies.clear();
        for ended in &own {
            self.count(ended);
        }
        self.latencies.sort_by(f64::total_cmp);
        let last = self.ticks.len() - 1;
        let tick = &mut self.ticks[last];
        tick.done = self.latencies.len() as u64;
        tick.latency_ms_p50 = percentile(&self.latencies, 0.5);
        tick.latency_ms_p95 = percentile(&self.latencies, 0.95);
        let late = self.latencies.iter().filter(|ms| **ms > self.late_above_ms).count() as u64;
        let failed = own.len() as u64 - tick.done;
        Live { planned, sent: planned, done: tick.done, failed, in_flight, late, ..Live::default() }
    }

    fn count(&mut self, ended: &Ended) {
        let planned = whole((ended.came_s - self.from_s).floor());
        let tick = &mut self.ticks[usize::try_from(planned).expect("a second of the trial")];
        let latency_s = ended.at_s - ended.came_s;
        tick.criteria[0].bad += u64::from(ended.is_refused || latency_s > self.limit_s);
        tick.criteria[1].bad += u64::from(ended.is_refused);
        tick.failures.shed += u64::from(ended.is_refused);
        if !ended.is_refused {
            self.latencies.push(latency_s * 1e3);
        }
    }

    /// What has no answer by now never had one in time.
    fn finish(mut self) -> Vec<Tick> {
        let mut left = self.ticks.last().map_or(0, |tick| tick.in_flight);
        for tick in self.ticks.iter_mut().rev() {
            // First come first served: the last ones are those without an answer.
            let unfinished = left.min(tick.planned - tick.criteria[1].bad.min(tick.planned));
            tick.failures.unfinished += unfinished;
            tick.criteria.iter_mut().for_each(|count| count.bad = (count.bad + unfinished).min(count.asked));
            left -= unfinished;
        }
        self.ticks
    }
}

fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = whole((share * sorted.len() as f64).ceil());
    sorted.get(usize::try_from(rank).ok()?.saturating_sub(1)).copied()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}
