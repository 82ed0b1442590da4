//! Whether the generator was on time: two points of the tail of its lag, 99 % within 5 ms and 99.5 % within 10 ms, of
//! which neither implies the other.
//!
//! In a run of under 100 or 200 sends a single late one is more than that. It proves nothing: a generator that just
//! keeps the limit has one in every 20th run of 6 or 11 sends, and in more of longer ones. So from there on one late send
//! is not held against a run; the gate says that it cannot tell. Two are, and in shorter runs one is.

use super::gate::Gate;
use super::gates::{NOTHING_SENT, share};
use super::recorder::{LATE_NS, Recorder};

/// A twentieth of the finest window in which the plan's rhythm is compared (0.1 s).
const LAG_MS_P99_MAX: f64 = 5.0;
const LAG_SHARE_MAX: f64 = 0.01;
const LATE_SHARE_MAX: f64 = 0.005;
/// Rarer is not put down to chance.
const CHANCE_MIN: f64 = 0.05;

pub(super) fn lag(recorder: &Recorder) -> Gate {
    let (lag, sent) = (&recorder.lag.pacer, recorder.lag.pacer.count());
    let meaning = "99 % of the sends were late by this generator's doing, in ms";
    let Some(lag_ms) = lag.quantile_ms(1.0 - LAG_SHARE_MAX) else {
        return Gate::at_most(0.0, LAG_MS_P99_MAX, meaning).without_value(NOTHING_SENT);
    };
    // Half a rank below the last but one, so that no rounding makes it the last.
    let but_one_ms = lag.quantile_ms((sent as f64 - 1.5) / sent as f64);
    let is_one = but_one_ms.is_some_and(|ms| ms <= LAG_MS_P99_MAX);
    judged(Gate::at_most(lag_ms, LAG_MS_P99_MAX, meaning), is_one && is_chance(sent, LAG_SHARE_MAX), sent)
}

pub(super) fn late(recorder: &Recorder) -> Gate {
    let (late, sent) = (recorder.late, recorder.lag.pacer.count());
    let meaning = format!("share of the sends that were over {} ms late", LATE_NS / 1_000_000);
    let gate = Gate::at_most(share(late, sent), LATE_SHARE_MAX, &meaning);
    if sent == 0 {
        return gate.without_value(NOTHING_SENT);
    }
    judged(gate, late == 1 && is_chance(sent, LATE_SHARE_MAX), sent)
}

fn judged(gate: Gate, is_chance: bool, sent: u64) -> Gate {
    if gate.pass || !is_chance {
        return gate;
    }
    let reason = Some(format!("one late send of {sent} may be chance"));
    Gate { pass: true, decided: false, reason, ..gate }
}

/// Whether a generator that just keeps the limit would have a late send often enough.
fn is_chance(sent: u64, limit: f64) -> bool {
    1.0 - (1.0 - limit).powf(sent as f64) >= CHANCE_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::measure::recorder::tests::answered;

    /// So many sends, of which so many were late by 7 ms and by 40.
    fn standings(sent: u64, by_7_ms: u64, by_40_ms: u64) -> [&'static str; 2] {
        let mut recorder = Recorder::new(1);
        for number in 0..sent {
            let lag_ms = match number {
                _ if number < by_40_ms => 40,
                _ if number < by_40_ms + by_7_ms => 7,
                _ => 0,
            };
            let sample = answered(200, false);
            recorder.ended(&Sample { sent_ns: Some(sample.ready_ns + lag_ms * 1_000_000), ..sample });
        }
        [lag(&recorder).standing(), late(&recorder).standing()]
    }

    #[test]
    fn one_late_send_of_a_few_is_no_late_generator() {
        const UNTOLD: &str = "too short to tell";
        let table = [
            ("all on time", (1, 0, 0), ["ok", "ok"]),
            ("the only one", (1, 0, 1), ["FAILS", "FAILS"]),
            ("one of too few", (5, 1, 0), ["FAILS", "ok"]),
            ("a little late", (6, 1, 0), [UNTOLD, "ok"]),
            ("late, of few for the share", (10, 0, 1), [UNTOLD, "FAILS"]),
            ("late", (11, 0, 1), [UNTOLD, UNTOLD]),
            ("two are no chance", (50, 0, 2), ["FAILS", "FAILS"]),
            ("one of each kind", (50, 1, 1), ["FAILS", UNTOLD]),
            ("at 1 %", (100, 0, 1), ["ok", UNTOLD]),
            ("beyond 1 %", (150, 0, 2), ["FAILS", "FAILS"]),
            ("at 0.5 %", (200, 0, 1), ["ok", "ok"]),
            ("beyond 0.5 %", (399, 0, 2), ["ok", "FAILS"]),
        ];
        for (case, (sent, by_7_ms, by_40_ms), expected) in table {
            assert_eq!(standings(sent, by_7_ms, by_40_ms), expected, "{case}");
        }
    }
}
