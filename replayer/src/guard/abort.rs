//! When a run is ended for the target's sake: `errors>10%,p95>20s,monitors=critical`, looked at every second.
//!
//! Over the last seconds (five, more where fewer than twenty requests ended in them) the share of bad requests must surely be
//! above the limit: the lower end of Wilson's interval is, and there are at least five. So a rule needs no number of
//! requests, and two failures of a dozen end nothing. "p95 above 20 s" is "more than 5 % took longer than 20 s": what is in
//! flight for longer counts too, or a target that hangs would not be noticed before its timeouts. What monitors see is held
//! against the critical levels of thresholds ([`CriticalWatch`](crate::thresholds::critical::CriticalWatch)).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kingtide_common::units::Span;
use serde::{Deserialize, Serialize};

use crate::measure::live::Counts;
use crate::statistics::wilson;

const WINDOW_S: usize = 5;
const WINDOW_S_MAX: usize = 60;
const ENDED_MIN: u64 = 20;
const BAD_MIN: u64 = 5;
const OFF: &str = "off";
pub(super) const MONITORS: &str = "monitors=critical";
const TWICE: &str = "there is one such rule already";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct AbortRules {
    /// Share of the ended requests that may fail.
    pub errors_max: Option<f64>,
    pub latency: Option<LatencyRule>,
    /// Whether a metric of a monitor that stays critical ends it.
    pub monitors_critical: bool,
}

/// At most `share` of the requests may take longer than `limit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyRule {
    pub share: f64,
    pub limit: Duration,
}

/// A part that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` ends no run ({why}): write errors>10%, p95>20s, monitors=critical, with commas between, or off"
)]
pub struct AbortError {
    part: String,
    why: &'static str,
}

/// How a run was ended before its plan was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    pub cause: Cause,
    /// `errors>10%`, `monitors=critical`, or the path of the kill file.
    pub rule: String,
    /// Seconds from the plan's zero, when nothing more was let go.
    pub at_s: u64,
    /// What was seen, for people.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Errors,
    Latency,
    Monitors,
    KillFile,
}

/// Keeps what a run did until each second.
#[derive(Debug, Clone)]
pub struct Watch {
    rules: AbortRules,
    /// At the zero, and at the end of each second.
    seen: Vec<Counts>,
}

impl AbortRules {
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// What either of them ends: of two limits the lower.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let lower = |one: LatencyRule, other: LatencyRule| if other.limit < one.limit { other } else { one };
        Self {
            errors_max: self.errors_max.into_iter().chain(other.errors_max).reduce(f64::min),
            latency: self.latency.into_iter().chain(other.latency).reduce(lower),
            monitors_critical: self.monitors_critical || other.monitors_critical,
        }
    }

    fn add(&mut self, part: &str) -> Result<(), &'static str> {
        if part == MONITORS {
            let is_first = !std::mem::replace(&mut self.monitors_critical, true);
            return if is_first { Ok(()) } else { Err(TWICE) };
        }
        let (name, limit) = part.split_once('>').ok_or("it has no >")?;
        let (name, limit) = (name.trim(), limit.trim());
        let is_first = match name.strip_prefix('p') {
            Some(percentile) => {
                let rule = latency(percentile, limit)?;
                self.latency.replace(rule).is_none()
            }
            None if name == "errors" => self.errors_max.replace(errors(limit)?).is_none(),
            None => return Err("it is neither about errors nor a percentile"),
        };
        if is_first { Ok(()) } else { Err(TWICE) }
    }
}

impl Cause {
    /// What the target did; else somebody's wish, which says nothing about it.
    pub fn is_the_targets(self) -> bool {
        self != Self::KillFile
    }
}

impl Watch {
    pub fn new(rules: AbortRules) -> Self {
        Self { rules, seen: vec![Counts::default()] }
    }

    /// What [`Counts::late`] must count for this: latencies above it.
    pub fn late_above_ns(rules: &AbortRules) -> Option<u64> {
        let limit = rules.latency.map(|rule| rule.limit)?;
        Some(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The state at the end of the next second; the first rule that ends the run then.
    pub fn on_second(&mut self, counts: Counts) -> Option<Aborted> {
        self.seen.push(counts);
        self.errors().or_else(|| self.latency())
    }

    fn errors(&self) -> Option<Aborted> {
        let max = self.rules.errors_max?;
        let Recent { seconds, failed, ended, .. } = self.recent();
        let share = surely_above(failed, ended, max)?;
        let reason = format!("{:.1} % of {ended} requests failed in the last {seconds} s", share * 100.0);
        let rule = AbortRules { errors_max: Some(max), ..AbortRules::default() };
        Some(self.aborted(Cause::Errors, &rule, reason))
    }

    fn latency(&self) -> Option<Aborted> {
        let LatencyRule { share: max, limit } = self.rules.latency?;
        let Recent { seconds, late, ended, .. } = self.recent();
        let waiting = self.waiting_longer_than(limit);
        let share = surely_above(late + waiting, ended + waiting, max)?;
        let reason = format!(
            "{:.1} % of {} requests took longer in the last {seconds} s, {waiting} of them without an answer yet",
            share * 100.0,
            ended + waiting
        );
        let rule = AbortRules { latency: self.rules.latency, ..AbortRules::default() };
        Some(self.aborted(Cause::Latency, &rule, reason))
    }

    fn aborted(&self, cause: Cause, rule: &AbortRules, reason: String) -> Aborted {
        Aborted { cause, rule: rule.to_string(), at_s: self.seen.len() as u64 - 1, reason }
    }

    /// At least so many are in flight for longer: they were sent by then, and fewer have ended since the beginning.
    fn waiting_longer_than(&self, limit: Duration) -> u64 {
        let limit_s = usize::try_from(limit.as_millis().div_ceil(1000)).unwrap_or(usize::MAX);
        let now = self.seen.last().copied().unwrap_or_default();
        let then = self.seen.len().checked_sub(1 + limit_s).map(|index| self.seen[index]);
        then.map_or(0, |then| then.sent.saturating_sub(now.sent - now.in_flight))
    }

    /// Of the last seconds, as many as it takes.
    fn recent(&self) -> Recent {
        let last = self.seen.len() - 1;
        let now = self.seen[last];
        let since = |seconds: usize| {
            let then = self.seen[last - seconds];
            Recent {
                seconds,
                failed: now.failed - then.failed,
                late: now.late - then.late,
                ended: now.ended - then.ended,
            }
        };
        let (least, most) = (WINDOW_S.min(last), WINDOW_S_MAX.min(last));
        let enough = (least..most).map(since).find(|recent| recent.ended >= ENDED_MIN);
        enough.unwrap_or_else(|| since(most))
    }
}

struct Recent {
    seconds: usize,
    failed: u64,
    late: u64,
    ended: u64,
}

/// The share, if it is no luck.
fn surely_above(bad: u64, of: u64, max: f64) -> Option<f64> {
    let share = bad as f64 / of.max(1) as f64;
    let (surely, _) = wilson::interval(share, of as f64, wilson::Z_95);
    (bad >= BAD_MIN && surely > max).then_some(share)
}

fn errors(limit: &str) -> Result<f64, &'static str> {
    let percent = limit.strip_suffix('%').ok_or("its limit has no %")?;
    let share = percent.trim().parse::<f64>().map_err(|_| "its limit is no number")? / 100.0;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("its limit is not between 0 and 100 %") }
}

fn latency(percentile: &str, limit: &str) -> Result<LatencyRule, &'static str> {
    let percentile: f64 = percentile.parse().map_err(|_| "it is neither about errors nor a percentile")?;
    if !(1.0..=99.9).contains(&percentile) {
        return Err("percentiles are p1 to p99.9");
    }
    let has_unit = limit.ends_with(|c: char| c.is_ascii_alphabetic());
    let span: Span = limit.parse().ok().filter(|_| has_unit).ok_or("its limit is no time")?;
    if span.0.is_zero() {
        Err("its limit is no time")
    } else {
        Ok(LatencyRule { share: 1.0 - percentile / 100.0, limit: span.0 })
    }
}

impl FromStr for AbortRules {
    type Err = AbortError;

    fn from_str(text: &str) -> Result<Self, AbortError> {
        let mut rules = Self::default();
        if text.trim() == OFF {
            return Ok(rules);
        }
        for part in text.split(',') {
            rules.add(part.trim()).map_err(|why| AbortError { part: part.trim().to_owned(), why })?;
        }
        Ok(rules)
    }
}

impl TryFrom<String> for AbortRules {
    type Error = AbortError;

    fn try_from(text: String) -> Result<Self, AbortError> {
        text.parse()
    }
}

impl fmt::Display for AbortRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let errors = self.errors_max.map(|max| format!("errors>{}%", rounded(max * 100.0)));
        let latency =
            self.latency.map(|rule| format!("p{}>{}", rounded((1.0 - rule.share) * 100.0), Span(rule.limit)));
        let monitors = self.monitors_critical.then(|| MONITORS.to_owned());
        let rules: Vec<String> = errors.into_iter().chain(latency).chain(monitors).collect();
        f.write_str(if rules.is_empty() { OFF.to_owned() } else { rules.join(",") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Requests of one second: sent, failed and late of those that ended in it, ended.
    #[derive(Debug, Clone, Copy)]
    struct Second(u64, u64, u64, u64);

    /// The cause and the second of the first abort.
    fn first(rules: &str, seconds: impl IntoIterator<Item = Second>) -> Option<(Cause, u64)> {
        let mut watch = Watch::new(rules.parse().unwrap());
        let mut counts = Counts::default();
        let aborted = seconds.into_iter().find_map(|Second(sent, failed, late, ended)| {
            counts.sent += sent;
            counts.failed += failed;
            counts.late += late;
            counts.ended += ended;
            counts.in_flight = counts.sent - counts.ended;
            watch.on_second(counts)
        })?;
        Some((aborted.cause, aborted.at_s))
    }

    fn steady(seconds: usize) -> impl Iterator<Item = Second> {
        std::iter::repeat_n(Second(10, 0, 0, 10), seconds)
    }

    fn then(second: Second) -> impl Iterator<Item = Second> {
        steady(30).chain(std::iter::repeat_n(second, 60))
    }

    const BOTH: &str = "errors>10%,p95>20s";

    #[test]
    fn of_two_sets_of_rules_the_lower_limits_hold() {
        let and = |one: &str, other: &str| {
            one.parse::<AbortRules>().unwrap().and(&other.parse().unwrap()).to_string()
        };
        assert_eq!(and("errors>50%", BOTH), "errors>10%,p95>20s");
        assert_eq!(and("errors>5%,p99>10s", BOTH), "errors>5%,p99>10s");
        assert_eq!(and("monitors=critical", BOTH), "errors>10%,p95>20s,monitors=critical");
        assert_eq!((and("off", "off"), and("off", BOTH)), ("off".to_owned(), BOTH.to_owned()));
    }

    #[test]
    fn a_target_that_begins_to_fail_is_left_alone_within_two_seconds() {
        assert_eq!(first(BOTH, then(Second(10, 10, 0, 10))), Some((Cause::Errors, 31)));
        assert_eq!(first(BOTH, then(Second(10, 5, 0, 10))), Some((Cause::Errors, 32)));
    }

    #[test]
    fn what_goes_well_or_is_luck_goes_on() {
        assert_eq!(first(BOTH, steady(600)), None);
        assert_eq!(first(BOTH, then(Second(10, 1, 0, 10))), None, "10 % are allowed");
        assert_eq!(
            first(BOTH, std::iter::once(Second(10, 4, 0, 10)).chain(steady(60))),
            None,
            "four are few"
        );
        assert_eq!(first("off", then(Second(10, 10, 10, 10))), None);
        assert_eq!(first("p95>20s", then(Second(10, 10, 0, 10))), None, "errors are not asked about");
    }

    #[test]
    fn where_requests_are_rare_the_window_is_longer() {
        let rare = (0..200)
            .map(|at| if at % 5 == 0 { Second(1, u64::from(at >= 100), 0, 1) } else { Second(0, 0, 0, 0) });
        assert_eq!(first("errors>10%", rare), Some((Cause::Errors, 121)));
    }

    #[test]
    fn slow_answers_and_answers_that_do_not_come_end_it() {
        assert_eq!(first(BOTH, then(Second(10, 0, 5, 10))), Some((Cause::Latency, 32)));
        // A hang at second 30: at 50 nothing was sent 20 s ago that is unanswered, at 51 ten requests were.
        assert_eq!(first(BOTH, then(Second(10, 0, 0, 0))), Some((Cause::Latency, 51)));
    }

    #[test]
    fn rules_are_read_and_written() {
        for text in [
            "errors>10%",
            "p95>20s",
            "errors>0.5%,p99.9>500ms",
            "errors>1%,monitors=critical",
            "monitors=critical",
            "off",
        ] {
            assert_eq!(text.parse::<AbortRules>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("errors<10%", "no >"),
            ("errors>10", "no %"),
            ("errors>0%", "not between"),
            ("errors>100%", "not between"),
            ("p95>20", "no time"),
            ("p95>0s", "no time"),
            ("p100>1s", "p1 to p99.9"),
            ("pq>1s", "neither"),
            ("rate>1s", "neither"),
            ("errors>1%,errors>2%", "already"),
            ("errors>1%,", "no >"),
            ("monitors=warning", "no >"),
            ("monitors=critical,monitors=critical", "already"),
        ] {
            let refused = text.parse::<AbortRules>().unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains("errors>10%"), "{text}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn nothing_ends_a_run_in_which_no_second_is_above_the_limit(
            seconds in proptest::collection::vec((0_u64..100, 0_u64..100), 1..200),
        ) {
            let seconds = seconds.into_iter().map(|(ended, bad)| {
                let bad = bad.min(ended / 10);
                Second(ended, bad, bad.min(ended / 20), ended)
            });
            prop_assert_eq!(first(BOTH, seconds), None);
        }
    }
}
