//! Where the time of one request went: stages that add up to its latency.

use crate::measure::kept::KeptSample;
use crate::measure::{ClientStage, Outcome, Sample};

/// The stages of a client, in the order in which a request passes through them; the target's own lie within the wait.
pub const TURN: &str = "turn";
pub const GENERATOR: &str = "generator";
pub const CONNECT: &str = "connect";
pub const SEND: &str = "send";
pub const WAIT: &str = "wait";
pub const RECEIVE: &str = "receive";
pub const RETRIES: &str = "retries";

/// All of them: other names are the target's.
pub const CLIENT: [&str; 7] = [TURN, GENERATOR, CONNECT, SEND, WAIT, RECEIVE, RETRIES];

/// What a proxy tells of the wait (`server_timing` of kingtide-proxy): before the upstream had the whole request, and then
/// until it answered. The upstream's own stages lie within the latter.
pub const EDGE: &str = "edge";
pub const UPSTREAM: &str = "upstream";
/// Metrics by which a target tells all of its time, whatever else it tells: the rest lies within.
const ENCLOSING: [&str; 5] = [UPSTREAM, "total", "app", "request", "response"];

const MS_PER_NS: f64 = 1e-6;
const MS_PER_US: f64 = 1e-3;

/// Milliseconds by stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    pub total_ms: f64,
    /// It has no answer: what the target did with it nobody tells.
    pub is_given_up: bool,
    /// Each stage once. Where the target tells its own, [`WAIT`] is what they do not account for.
    pub stages: Vec<(String, f64)>,
}

/// The split of an answered request, or of one that was given up: that waits to its end. `None` for what was answered worse
/// than captured, broke off, was refused a connection or never went out: its time says nothing of where a good one's goes.
pub fn split(kept: &KeptSample) -> Option<Split> {
    let sample = &kept.sample;
    let is_hung = match sample.outcome {
        Outcome::Answered { worse: false, .. } => false,
        Outcome::Failed(failure) if failure.class.is_hang() => true,
        // A refusal is quick whatever is full.
        Outcome::Answered { .. } | Outcome::Failed(_) => return None,
    };
    let total_ms = sample.latency_ns() as f64 * MS_PER_NS;
    let stage_ms = |stage| sample.stage_ns(stage).unwrap_or_default() as f64 * MS_PER_NS;
    let (turn_ms, connect_ms, generator_ms) = before_sending_ms(sample);
    let (send_ms, receive_ms) = (stage_ms(ClientStage::Send), stage_ms(ClientStage::Receive));
    let answered_ms = stage_ms(ClientStage::Wait);
    let known_ms = turn_ms + connect_ms + generator_ms + send_ms + receive_ms;
    let rest_ms = (total_ms - known_ms - answered_ms).max(0.0);
    // Of a request that was given up the rest is its wait; of one that was tried again it is the tries before.
    let (wait_ms, retries_ms) = if is_hung { (answered_ms + rest_ms, 0.0) } else { (answered_ms, rest_ms) };
    let mut stages = vec![(TURN, turn_ms), (GENERATOR, generator_ms), (CONNECT, connect_ms), (SEND, send_ms)]
        .into_iter()
        .map(|(name, ms)| (name.to_owned(), ms))
        .collect::<Vec<_>>();
    let server = server_ms(kept, wait_ms);
    let explained_ms: f64 = server.iter().map(|(_, ms)| ms).sum();
    stages.extend(server);
    let after = [(WAIT, wait_ms - explained_ms), (RECEIVE, receive_ms), (RETRIES, retries_ms)];
    stages.extend(after.map(|(name, ms)| (name.to_owned(), ms)));
    Some(Split { total_ms, is_given_up: is_hung, stages })
}

/// For its turn or a value, for a connection, and for this machine.
fn before_sending_ms(sample: &Sample) -> (f64, f64, f64) {
    let Some(parts) = sample.lag_parts() else {
        return (sample.dependency_ns as f64 * MS_PER_NS, 0.0, 0.0);
    };
    let ms = |ns: u64| ns as f64 * MS_PER_NS;
    (ms(parts.dependency_ns), ms(parts.connect_ns), ms(parts.pacer_ns))
}

/// What the target says, cut to what the client waited: its clock may tick otherwise, and its stages may overlap.
fn server_ms(kept: &KeptSample, wait_ms: f64) -> Vec<(String, f64)> {
    let said: Vec<(String, f64)> = kept
        .server
        .iter()
        .map(|timing| (timing.name.clone(), timing.duration_us as f64 * MS_PER_US))
        .collect();
    let said = nested(said);
    let sum: f64 = said.iter().map(|(_, ms)| ms).sum();
    let scale = if sum > wait_ms { wait_ms / sum } else { 1.0 };
    said.into_iter().map(|(name, ms)| (name, ms * scale)).collect()
}

/// Of what encloses others only what they do not account for, the edge's first: in the order of the request.
fn nested(mut said: Vec<(String, f64)>) -> Vec<(String, f64)> {
    let encloses = |name: &str| ENCLOSING.contains(&name);
    let inner_ms: f64 =
        said.iter().filter(|(name, _)| name != EDGE && !encloses(name)).map(|(_, ms)| ms).sum();
    // Of several the smallest is the innermost; the others are told twice.
    let outer = said.iter().filter(|(name, _)| encloses(name)).map(|(_, ms)| *ms).reduce(f64::min);
    let kept = said.iter().position(|(name, ms)| encloses(name) && Some(*ms) == outer);
    let mut at = 0;
    said.retain(|(name, _)| {
        at += 1;
        !encloses(name) || Some(at - 1) == kept
    });
    for (_, ms) in said.iter_mut().filter(|(name, _)| encloses(name)) {
        *ms = (*ms - inner_ms).max(0.0);
    }
    said.sort_by_key(|(name, _)| (name != EDGE, encloses(name)));
    said
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::ServerTiming;

    use super::*;
    use crate::measure::{ErrorClass, Failure, Traffic, Upload};

    const MS: u64 = 1_000_000;

    fn kept(server: &[(&str, u64)]) -> KeptSample {
        let sample = Sample {
            route: 0,
            clone: 0,
            step: 0,
            intended_ns: 10 * MS,
            ready_ns: 15 * MS,
            dependency_ns: 3 * MS,
            connect_ns: Some(2 * MS),
            sent_ns: Some(16 * MS),
            resent_ns: None,
            body_done_ns: Some(20 * MS),
            first_byte_ns: Some(120 * MS),
            ended_ns: 125 * MS,
            upload: Upload::default(),
            traffic: Traffic::default(),
            held_bytes: None,
            outcome: Outcome::Answered { status: 200, worse: false },
        };
        let timing =
            |(name, ms): &(&str, u64)| ServerTiming { name: (*name).to_owned(), duration_us: ms * 1000 };
        KeptSample { sample, server: server.iter().map(timing).collect() }
    }

    fn stages(kept: &KeptSample) -> Vec<(String, f64)> {
        let Split { total_ms, stages, .. } = split(kept).unwrap();
        let sum: f64 = stages.iter().map(|(_, ms)| ms).sum();
        assert!((sum - total_ms).abs() < 1e-9, "{sum} of {total_ms}");
        stages.into_iter().filter(|(_, ms)| *ms > 1e-9).collect()
    }

    fn named(stages: &[(&str, f64)]) -> Vec<(String, f64)> {
        stages.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect()
    }

    #[test]
    fn stages_add_up_and_the_targets_own_lie_within_the_wait() {
        let client = [("turn", 3.0), ("generator", 1.0), ("connect", 2.0), ("send", 4.0)];
        let after = |wait| [("wait", wait), ("receive", 5.0)];
        assert_eq!(stages(&kept(&[])), named(&[&client[..], &after(100.0)].concat()));
        let told = [("auth", 20.0), ("store", 60.0)];
        assert_eq!(
            stages(&kept(&[("auth", 20), ("store", 60)])),
            named(&[&client[..], &told, &after(20.0)].concat())
        );
    }

    #[test]
    fn an_edge_that_tells_its_wait_is_told_from_its_upstream() {
        let told = stages(&kept(&[("auth", 20), ("store", 60), ("edge", 3), ("upstream", 90)]));
        let within =
            named(&[("edge", 3.0), ("auth", 20.0), ("store", 60.0), ("upstream", 10.0), ("wait", 7.0)]);
        assert_eq!(told[4..9], within);
    }

    #[test]
    fn a_total_is_what_its_parts_leave() {
        let told = stages(&kept(&[("db", 90), ("total", 95)]));
        assert_eq!(told[4..7], named(&[("db", 90.0), ("total", 5.0), ("wait", 5.0)]));
    }

    #[test]
    fn a_target_that_says_more_than_was_waited_is_cut() {
        let told = stages(&kept(&[("auth", 100), ("store", 300)]));
        assert!(
            told.contains(&("auth".to_owned(), 25.0)) && told.contains(&("store".to_owned(), 75.0)),
            "{told:?}"
        );
    }

    #[test]
    fn what_was_given_up_waited_and_what_broke_off_tells_nothing() {
        let failed = |class| {
            let mut kept = kept(&[]);
            let failure = Failure { class, stage: Some(ClientStage::Wait) };
            kept.sample = Sample { first_byte_ns: None, outcome: Outcome::Failed(failure), ..kept.sample };
            kept
        };
        assert!(stages(&failed(ErrorClass::Timeout)).contains(&("wait".to_owned(), 105.0)));
        assert_eq!(split(&failed(ErrorClass::Reset)), None);
        let mut refused = kept(&[]);
        refused.sample.outcome = Outcome::Answered { status: 503, worse: true };
        assert_eq!(split(&refused), None);
    }

    #[test]
    fn tries_before_the_last_are_a_stage() {
        let mut kept = kept(&[]);
        kept.sample.resent_ns = Some(18 * MS);
        assert!(stages(&kept).contains(&("retries".to_owned(), 2.0)));
    }
}
