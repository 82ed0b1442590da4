//! The heaviest run's sends beside the capture and the plan, as tables for the terminal.

use super::format::{UNKNOWN, ms, number};
use super::table::{Align, Table};
use super::words;
use crate::measure::achieved::{Achieved, Durations, Level, in_order};
use crate::measure::run::RunReport;

const SENT_TITLES: [&str; 5] = ["", "captured", "target", "planned", "sent"];
const STAGE_TITLES: [&str; 7] = ["stage", "p50 was", "p50", "p95 was", "p95", "KS", "apart/limit"];
/// Routes whose unlike stages the text names; the JSON has all.
const UNLIKE_NAMED: usize = 5;

/// Both tables; nothing for runs that are older than these measurements, or that have nothing to be held against.
pub(super) fn render(runs: &[RunReport]) -> String {
    let Some((name, run)) = words::heaviest(runs) else { return String::new() };
    let achieved = &run.achieved;
    if achieved.stages.is_empty() || run.has_stays() {
        return String::new();
    }
    let sent = format!("\nbeside the capture, at {name}\n{}", sent(run).render(0));
    sent + &format!("\nstages beside the captured, at {name}\n{}", stages(achieved).render(0))
}

fn sent(run: &RunReport) -> Table {
    let achieved = &run.achieved;
    let mut table = Table::of_numbers(SENT_TITLES);
    for (window, rhythm) in &achieved.dispersion {
        let of_capture =
            [&run.dispersion_captured, &run.dispersion_target].map(|index| index.get(window).copied());
        let numbers = of_capture.into_iter().chain([rhythm.planned, rhythm.sent]).map(number);
        table.row(std::iter::once(format!("dispersion {window} s")).chain(numbers));
    }
    let levels =
        [("uploads in flight", achieved.uploads_in_flight), ("open connections", achieved.connections_open)];
    for (what, Level { captured, expected, planned, achieved, .. }) in levels {
        let numbers = [Some(captured), Some(expected), planned, Some(achieved)].map(number);
        table.row(std::iter::once(what.to_owned()).chain(numbers));
    }
    let durations =
        [("session p50", &achieved.session_duration_ms), ("think time p50", &achieved.think_time_ms)];
    for (what, durations) in durations {
        let [captured, achieved] = [durations.p50_captured, durations.p50_achieved].map(ms);
        let unknown = UNKNOWN.to_owned();
        table.row([what.to_owned(), captured, unknown.clone(), unknown, achieved]);
    }
    table
}

/// Over all routes, then where a route's stage is unlike the captured one.
fn stages(achieved: &Achieved) -> Table {
    let mut table = Table::of_numbers(STAGE_TITLES).align(6, Align::Left);
    let all = in_order(&achieved.stages);
    all.for_each(|(stage, durations)| table.row(stage_cells(stage.to_owned(), durations)));
    let routes = achieved.route_stages.iter();
    let of_routes = routes.flat_map(|route| {
        let unlike = in_order(&route.stages).filter(|(_, durations)| !durations.pass);
        unlike.map(|(stage, durations)| (format!("{stage}, {}", route.route), durations))
    });
    of_routes.take(UNLIKE_NAMED).for_each(|(name, durations)| table.row(stage_cells(name, durations)));
    table
}

fn stage_cells(name: String, durations: &Durations) -> [String; 7] {
    let apart =
        format!("{}/{} {}", number(durations.apart), number(Some(durations.limit)), standing(durations));
    [
        name,
        ms(durations.p50_captured),
        ms(durations.p50_achieved),
        ms(durations.p95_captured),
        ms(durations.p95_achieved),
        number(durations.ks),
        apart,
    ]
}

/// At 1× they should be alike; at more they tell what the load does.
fn standing(durations: &Durations) -> &'static str {
    match (durations.pass, durations.decided) {
        (false, _) => "unlike",
        (true, true) => "alike",
        (true, false) => "too few",
    }
}
