//! What a run of a scenario comes to: its criteria beside the run's own verdict.

use std::time::Duration;

use crate::drive::Measured;
use crate::guard::abort::Aborted;
use crate::measure::run::{RunReport, Second, Verdict};
use crate::monitor::timeline::Timeline;
use crate::scenario::judge::{Evidence, judge, standing};
use crate::scenario::report::{Corner, Ended, Rate, ScenarioReport, Standing, Unit};
use crate::scenario::shape::Shape;
use crate::scenario::{Load, Scenario};

pub(super) struct Judge<'a> {
    pub(super) scenario: &'a Scenario,
    /// Requests a second of one user, of a model.
    pub(super) usual_per_s: Option<f64>,
}

impl Judge<'_> {
    /// Judges the run, and makes its verdict that of the scenario where it is valid.
    pub(super) fn complete(&self, run: &mut RunReport, measured: &Measured, watched: &Timeline) {
        let aborted = run.aborted.clone();
        let aborted = aborted.as_ref();
        let Scenario { name, about, load, criteria, .. } = self.scenario;
        let (from_s, to_s) = self.window(measured, aborted);
        let seconds = measured.recorder.series.clock_seconds().map(|second| second.good);
        let good: Vec<u64> = seconds.skip(from_s).take(to_s - from_s).collect();
        let evidence = Evidence {
            planned: measured.recorder.attainment.seconds(),
            good_at_peak: &good,
            failed: run.failed,
            hung: measured.recorder.hung(),
            timeline: Some(watched),
        };
        let criteria = judge(criteria, &evidence);
        let ended = aborted.map(|by| {
            let at = Duration::from_secs(by.at_s);
            let level = load.shape().map_or(load.peak(), |shape| shape.level_at(at));
            Ended { by: by.clone(), level }
        });
        let corners = load.shape().map(Shape::corners).unwrap_or_default();
        let report = ScenarioReport {
            name: name.clone(),
            about: about.clone(),
            standing: overall(run.verdict, standing(&criteria), ended.as_ref()),
            criteria,
            unit: Unit::of(load),
            peak: load.peak(),
            planned_s: load.shape().map_or(run.duration_s, |shape| shape.duration().as_secs_f64()),
            shape: corners
                .iter()
                .map(|corner| Corner { at_s: corner.at.as_secs_f64(), level: corner.level })
                .collect(),
            rate: self.rate(&run.series, &good, from_s, to_s),
            ended,
        };
        run.verdict = verdict(run.verdict, report.standing);
        run.reasons = reasons(&report).into_iter().chain(std::mem::take(&mut run.reasons)).collect();
        run.scenario = Some(report);
    }

    /// The seconds in which the load was at its peak.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds of a run
    fn window(&self, measured: &Measured, aborted: Option<&Aborted>) -> (usize, usize) {
        let (from, to) = self.scenario.load.shape().map_or((Duration::ZERO, measured.duration), Shape::held);
        let end_s = aborted.map_or(u64::MAX, |aborted| aborted.at_s);
        let to_s = to.as_secs().min(end_s).min(measured.duration.as_secs());
        let from_s = from.as_secs_f64().ceil() as u64;
        (from_s as usize, to_s.max(from_s) as usize)
    }

    fn rate(&self, series: &[Second], good: &[u64], from_s: usize, to_s: usize) -> Rate {
        let seconds = (to_s - from_s) as f64;
        let per_s = |sum: u64| (seconds > 0.0).then(|| sum as f64 / seconds);
        let sent = series.iter().skip(from_s).take(to_s - from_s).map(|second| second.sent).sum();
        let users = match &self.scenario.load {
            Load::Users(shape) => Some(shape.peak()),
            Load::Multiples(_) | Load::Whole(_) => None,
        };
        Rate {
            from_s: from_s as f64,
            to_s: to_s as f64,
            expected_per_s: self.scenario.expect_per_s,
            users_ask_per_s: self.usual_per_s.zip(users).map(|(usual, users)| usual * users),
            reached_per_s: per_s(sent),
            good_per_s: per_s(good.iter().sum()),
        }
    }
}

/// What an invalid run shows decides nothing; one that hung, or was ended for the target's sake, has failed.
fn overall(run: Verdict, criteria: Standing, ended: Option<&Ended>) -> Standing {
    match run {
        Verdict::Undecided | Verdict::Invalid => Standing::Undecided,
        _ if ended.is_some_and(|ended| ended.by.cause.is_the_targets()) => Standing::Fail,
        Verdict::Fail => Standing::Fail,
        Verdict::Pass => criteria,
    }
}

fn verdict(run: Verdict, standing: Standing) -> Verdict {
    match (run, standing) {
        (Verdict::Invalid, _) => Verdict::Invalid,
        (_, Standing::Undecided) => Verdict::Undecided,
        (_, Standing::Fail) => Verdict::Fail,
        (_, Standing::Pass) => Verdict::Pass,
    }
}

/// What was not met, for the run's reasons.
fn reasons(report: &ScenarioReport) -> Vec<String> {
    let ended = report
        .ended
        .iter()
        .map(|ended| format!("at {} it was ended by {}", report.unit.tell(ended.level), ended.by.rule));
    let unmet = report.criteria.iter().filter(|judged| judged.standing != Standing::Pass);
    ended.chain(unmet.map(|judged| format!("{}: {}", judged.standing.name(), judged.text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::abort::Cause;

    #[test]
    fn the_verdict_is_that_of_the_criteria_where_the_run_may_speak() {
        let ended = |cause| {
            let by = Aborted { cause, rule: "errors>5%".to_owned(), at_s: 9, reason: String::new() };
            Some(Ended { by, level: 5.0 })
        };
        let cases = [
            ("all met", Verdict::Pass, Standing::Pass, None, Verdict::Pass),
            ("one missed", Verdict::Pass, Standing::Fail, None, Verdict::Fail),
            ("one undecided", Verdict::Pass, Standing::Undecided, None, Verdict::Undecided),
            ("a request hung", Verdict::Fail, Standing::Pass, None, Verdict::Fail),
            (
                "ended for the target's sake",
                Verdict::Pass,
                Standing::Undecided,
                ended(Cause::Errors),
                Verdict::Fail,
            ),
            ("ended by a kill file", Verdict::Pass, Standing::Pass, ended(Cause::KillFile), Verdict::Pass),
            ("a late generator", Verdict::Invalid, Standing::Fail, None, Verdict::Invalid),
        ];
        for (case, run, criteria, ended, expected) in cases {
            assert_eq!(verdict(run, overall(run, criteria, ended.as_ref())), expected, "{case}");
        }
    }
}
