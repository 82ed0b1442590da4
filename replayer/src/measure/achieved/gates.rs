//! What follows from it: one gate on this generator, the others cautions.
//!
//! The rhythm of the sends is compared with the plan's. What is between the sends and the instants from which they
//! could have gone out is this generator's doing, and a run that it spoils is invalid; the rest is that of late answers
//! and slow connections, which a reader must know and which a target may well do to its users.

use super::report::{Achieved, Durations, Level, Rhythm};
use crate::measure::gate::Gate;
use crate::measure::gates::Gates;

/// As for the plan's rhythm beside its target.
const DISPERSION_LIMIT: f64 = 0.15;
/// Fewer sends have no rhythm.
const SENDS_MIN: u64 = 30;

const NO_WINDOWS: &str = "too few requests went out, or for too short a time, to have a rhythm";

/// The generator's part.
pub fn validity(achieved: &Achieved, sent: u64) -> Gates {
    let worst = achieved.dispersion.values().filter_map(Rhythm::generators).reduce(f64::max);
    let meaning = "deviation of the dispersion that this generator caused, in the worst window";
    [("pacer_dispersion".to_owned(), dispersion(worst, sent, meaning))].into()
}

/// How like the plan and N times the captured users it was. What the target's answers make of it (its stages, how long
/// connections and sessions last) is judged where the captured one gave the same: of `is_capture`, the capture again.
pub fn likeness(achieved: &Achieved, sent: u64, is_capture: bool) -> Gates {
    let rhythms = achieved.dispersion.iter().map(|(window, rhythm)| {
        let meaning = format!("deviation of the sent dispersion from the planned in windows of {window} s");
        (format!("sent_dispersion_{window}s"), dispersion(rhythm.deviation(), sent, &meaning))
    });
    let of_sends = [
        ("sent_uploads_in_flight", level(&achieved.uploads_in_flight, "uploads in flight")),
        ("sent_think_time", shape(&achieved.think_time_ms, "people thought")),
        ("sent_route_mix", route_mix(achieved)),
    ];
    let of_answers = [
        ("sent_connections_open", level(&achieved.connections_open, "open connections")),
        ("sent_session_duration", shape(&achieved.session_duration_ms, "sessions lasted")),
    ];
    let others = of_sends.into_iter().chain(of_answers.into_iter().filter(|_| is_capture));
    let others = others.map(|(name, gate)| (name.to_owned(), of_many(gate, sent)));
    let stages = achieved.stages.keys().filter(|_| is_capture);
    let stages = stages.map(|stage| (format!("stage_{stage}"), stage_gate(achieved, stage)));
    rhythms.chain(others).chain(stages).collect()
}

/// What failed gates of likeness mean, as sentences.
pub fn cautions(likeness: &Gates, dependency_delayed_share: f64) -> Vec<String> {
    let sent = failed(likeness, "sent_", Gate::beyond).map(|gates| {
        let share = dependency_delayed_share * 100.0;
        format!(
            "what was sent is not what was meant (late answers held back {share:.1} % of the sends): {gates}"
        )
    });
    let stages = failed(likeness, "stage_", Gate::failure)
        .map(|gates| format!("at 1× the target does not answer as the captured one did: {gates}"));
    sent.into_iter().chain(stages).collect()
}

fn failed(likeness: &Gates, prefix: &str, say: fn(&Gate, &str) -> String) -> Option<String> {
    let failed = likeness.iter().filter(|(name, gate)| name.starts_with(prefix) && !gate.pass);
    let said: Vec<String> = failed.map(|(name, gate)| say(gate, name)).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

fn dispersion(deviation: Option<f64>, sent: u64, meaning: &str) -> Gate {
    let gate = Gate::at_most(deviation.unwrap_or_default(), DISPERSION_LIMIT, meaning);
    if deviation.is_some() && sent >= SENDS_MIN { gate } else { gate.without_value(NO_WINDOWS) }
}

/// What few requests do is left to chance.
fn of_many(gate: Gate, sent: u64) -> Gate {
    if sent >= SENDS_MIN { gate } else { Gate { pass: true, decided: false, ..gate } }
}

fn level(level: &Level, what: &str) -> Gate {
    let meaning = format!("by what share the mean number of {what} misses N times the captured one");
    let gate = Gate::at_most(level.deviation.unwrap_or_default(), level.limit, &meaning);
    match level.deviation {
        Some(_) => Gate { pass: level.pass, decided: level.decided, ..gate },
        None => gate.without_value("the capture holds none, or lasts no time"),
    }
}

fn shape(durations: &Durations, what: &str) -> Gate {
    of_durations(
        durations,
        &format!("share by which {what} otherwise than captured, by over 2 ms and a tenth"),
    )
}

fn of_durations(durations: &Durations, meaning: &str) -> Gate {
    let gate = Gate::at_most(durations.apart.unwrap_or_default(), durations.limit, meaning);
    match durations.apart {
        Some(_) => Gate { pass: durations.pass, decided: durations.decided, ..gate },
        None => gate.without_value("one side holds nothing to compare"),
    }
}

fn route_mix(achieved: &Achieved) -> Gate {
    let (value, limit) = (achieved.route_mix, achieved.route_mix_limit);
    let meaning = "total variation of the route mix, sent and captured";
    let gate = Gate::at_most(value.unwrap_or_default(), limit, meaning);
    if value.is_some() { gate } else { gate.without_value("nothing was sent") }
}

/// The stage where it is worst: a slow upload must not hide among a hundred quick requests.
fn stage_gate(achieved: &Achieved, stage: &str) -> Gate {
    let routes = achieved.route_stages.iter();
    let of_routes = routes.filter_map(|route| Some((route.route.as_str(), route.stages.get(stage)?)));
    let all = achieved.stages.get(stage).map(|durations| ("all routes", durations));
    let told = all.into_iter().chain(of_routes.filter(|(_, durations)| durations.decided || !durations.pass));
    let excess = |durations: &Durations| durations.apart.unwrap_or_default() / durations.limit;
    let worst = told.max_by(|(_, one), (_, other)| excess(one).total_cmp(&excess(other)));
    let (route, durations) =
        worst.map_or(("all routes", Durations::default()), |(route, worst)| (route, *worst));
    of_durations(
        &durations,
        &format!("share of the exchanges whose `{stage}` is not as captured, at {route}"),
    )
}
