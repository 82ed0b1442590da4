//! `kingtide plan`: what a replay would send, before anything is sent.

mod several;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use kingtide_common::units::{ByteSize, Multiple, Seed};
use serde::Serialize;

use super::capture::Recorded;
use super::seeds::SeedsArgs;
use super::source::{SourceArgs, Traffic};
use super::{Exit, json_of, print_result};
use crate::measure::gates::likeness;
use crate::measure::run::Gate;
use crate::plan::{self, Fidelity, Mode, Plan, dispersion};
use crate::report::format::{number, seconds};
use crate::report::table::{Align, Table};
use crate::report::words::spoken;
use crate::sessions::{BindingMap, IdleGap, Mapping};
use crate::store::{Store, StoreError};

const EXAMPLES: &str = "\
Examples:
  kingtide plan captures/monday -x 5                     sessions, requests and burstiness of a replay at 5×
  kingtide plan captures/monday -x 1 --show-bindings     where each value of a request comes from
  kingtide plan captures/monday --show-bindings --rules bindings.toml    the same, with rules of yours
  kingtide plan captures/monday -x 10 --mode volley --seed 7 --json
  kingtide plan captures/monday -x 5 --seeds 10          how much ten draws of it differ
  kingtide plan --model configs/models/students.toml --users 50 --spawn-per-s 5    without a capture";

/// Below this width starts follow something outside that users obey at once.
const VOLLEY_SHIFT_S: f64 = 1.0;

/// Show what a replay of a capture or a model would send, without sending.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct PlanArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// How many times the captured users, 0.1 to 1000.
    #[arg(short = 'x', long, value_name = "N", default_value = "1")]
    multiple: Multiple,
    #[command(flatten)]
    seeds: SeedsArgs,
    /// How the users are multiplied.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// Print where each value of a request comes from, by route: what is unresolved (!) first, what is ambiguous (?) with
    /// the other places that hold the value.
    #[arg(long, conflicts_with = "seeds")]
    show_bindings: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Reads the capture or model, plans, and prints the plan to stdout. What the capture lacks goes to stderr.
pub fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    let reports = args.reports()?;
    print_result(&match reports.as_slice() {
        [only] if args.json => json_of(only)?,
        [only] => only.to_text(columns())?,
        all if args.json => json_of(&several::together(all))?,
        all => several::together(all).to_text()?,
    })?;
    Ok(Exit::Held)
}

impl PlanArgs {
    /// One for each seed.
    fn reports(&self) -> anyhow::Result<Vec<PlanReport>> {
        let seeds = self.seeds.all()?;
        let traffic = self.source.open()?;
        seeds.into_iter().map(|seed| self.report(&traffic, seed)).collect()
    }

    fn report(&self, traffic: &Traffic, seed: Seed) -> anyhow::Result<PlanReport> {
        let recorded = traffic.sessions(seed)?;
        let plan = plan::amplify(recorded.outlines(), self.multiple, self.mode, seed);
        Ok(PlanReport::new(&plan, &recorded, self.show_bindings)?)
    }
}

/// `kingtide plan --json`.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    multiple: f64,
    mode: Mode,
    seed: u64,
    sessions_captured: usize,
    sessions_planned: usize,
    /// Silence of a user that begins a new session; a model's sessions are not told apart by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_gap: Option<IdleGap>,
    /// Captured sessions whose login is not in the capture.
    sessions_orphan: usize,
    /// Orphans that a rule gave a login, and those that it left out.
    sessions_repaired: usize,
    sessions_dropped: usize,
    requests_captured: usize,
    requests_planned: usize,
    /// Content of file parts.
    upload_bytes_planned: u64,
    /// From the first release to the last.
    duration_s: f64,
    shift_s: f64,
    /// Another seed gives another plan.
    #[serde(skip)]
    is_by_chance: bool,
    /// What a reader must know of the plan beside its gates.
    cautions: Vec<String>,
    dispersion_captured: BTreeMap<String, f64>,
    dispersion_target: BTreeMap<String, f64>,
    dispersion_planned: BTreeMap<String, f64>,
    fidelity: Fidelity,
    /// Values of captured requests that nothing supplies.
    unresolved: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    bindings: Option<BindingMap>,
}

impl PlanReport {
    fn new(plan: &Plan, recorded: &Recorded, show_bindings: bool) -> Result<Self, StoreError> {
        let sessions = &recorded.sessions;
        let captured = recorded.outlines();
        let fidelity = plan::fidelity(plan, captured);
        let column = |value: fn(&plan::DispersionCheck) -> Option<f64>| {
            let checks = fidelity.dispersion.iter();
            checks.filter_map(|check| Some((dispersion::label(check.window_s), value(check)?))).collect()
        };
        let last_us = plan.instants_us(captured).max();
        let planned = || plan.clones().map(|clone| captured.get(clone.session));
        Ok(Self {
            multiple: plan.multiple.get(),
            mode: plan.mode,
            seed: plan.seed.0,
            sessions_captured: captured.len(),
            sessions_planned: plan.users(),
            idle_gap: (!recorded.is_model).then_some(sessions.idle_gap),
            sessions_orphan: captured.orphans(),
            sessions_repaired: sessions.repairs.repaired,
            sessions_dropped: sessions.repairs.dropped,
            requests_captured: captured.requests(),
            requests_planned: planned().map(|session| session.steps.len()).sum(),
            upload_bytes_planned: planned().map(|session| session.file_bytes).fold(0, u64::saturating_add),
            duration_s: last_us.unwrap_or_default() as f64 / 1e6,
            shift_s: plan.shift_s,
            is_by_chance: recorded.is_model || plan.is_by_chance(),
            cautions: fidelity.cautions(plan),
            dispersion_captured: column(|check| check.captured),
            dispersion_target: column(|check| check.target),
            dispersion_planned: column(|check| check.planned),
            fidelity,
            unresolved: sessions.sessions.unresolved(),
            bindings: show_bindings.then(|| bindings(&sessions.sessions)).transpose()?,
        })
    }

    fn to_text(&self, columns: usize) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let Self { multiple, mode, seed, duration_s, .. } = self;
        writeln!(text, "plan       {multiple}× {mode}, seed {seed}, {duration_s:.1} s")?;
        writeln!(text, "sessions   {} planned, {} captured", self.sessions_planned, self.sessions_captured)?;
        if let Some(IdleGap { gap, basis }) = &self.idle_gap {
            writeln!(text, "idle gap   {} ({basis})", seconds(Some(gap.as_secs_f64())))?;
        }
        writeln!(text, "requests   {} planned, {} captured", self.requests_planned, self.requests_captured)?;
        writeln!(text, "uploads    {}", ByteSize(self.upload_bytes_planned))?;
        writeln!(
            text,
            "bindings   {} unresolved, {} orphan sessions",
            self.unresolved, self.sessions_orphan
        )?;
        self.write_shift(&mut text)?;
        self.write_fidelity(&mut text)?;
        if let Some(bindings) = &self.bindings {
            write!(text, "\n{}", bindings.to_text(columns))?;
        }
        Ok(text)
    }

    fn write_shift(&self, text: &mut String) -> std::fmt::Result {
        if self.shift_s == 0.0 {
            return Ok(());
        }
        let why = if self.shift_s < VOLLEY_SHIFT_S { ": users start on a common signal" } else { "" };
        writeln!(text, "shift      {} s{why}", self.shift_s)
    }

    /// One line for each gate of the report, and what the mode and the capture do to them.
    fn write_fidelity(&self, text: &mut String) -> std::fmt::Result {
        let gates = likeness(&self.fidelity);
        let titles = ["likeness", "captured", "wanted", "planned", "off by", "at most", "verdict"];
        let mut table = Table::of_numbers(titles).align(titles.len() - 1, Align::Left);
        let judged = |gate: &Gate| {
            let figures = [gate.value, Some(gate.limit)].map(number);
            figures.into_iter().chain([gate.standing().to_owned()])
        };
        for check in &self.fidelity.dispersion {
            let window = dispersion::label(check.window_s);
            let indices = [check.captured, check.target, check.planned].map(number);
            let gate = &gates[&format!("dispersion_{window}s")];
            table.row(std::iter::once(format!("I({window} s)")).chain(indices).chain(judged(gate)));
        }
        for (name, _) in self.fidelity.shapes.by_name() {
            let blank = std::iter::repeat_n(String::new(), 3);
            table.row(std::iter::once(spoken(name)).chain(blank).chain(judged(&gates[name])));
        }
        write!(text, "\n{}", table.render(0))?;
        let mut why = gates.iter().filter_map(|(name, gate)| Some((spoken(name), gate.reason.as_ref()?)));
        why.try_for_each(|(name, reason)| writeln!(text, "  {name}: {reason}"))?;
        let changes = self.mode.changes().filter(|_| !self.fidelity.passes());
        changes.map_or(Ok(()), |changes| writeln!(text, "note: {changes}"))?;
        self.cautions.iter().try_for_each(|caution| writeln!(text, "note: {caution}"))
    }
}

/// Reads all sessions once.
fn bindings(store: &Store) -> Result<BindingMap, StoreError> {
    let mut mapping = Mapping::default();
    for session in store.sessions() {
        mapping.add(&session?);
    }
    Ok(mapping.finish())
}

/// Of the terminal; what goes elsewhere is as wide as most.
fn columns() -> usize {
    const COLUMNS: usize = 100;
    terminal_size::terminal_size().map_or(COLUMNS, |(width, _)| usize::from(width.0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;
    use crate::sessions::scene::{capture, post};
    use crate::sessions::{Rules, group};
    use crate::store::Stored;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: PlanArgs,
    }

    fn report(show_bindings: bool) -> PlanReport {
        let upload =
            |at_s: f64, on| post("/api/upload").upload(&[("title", "x")], 1_500_000).at_s(at_s).on(on);
        let scenes = vec![upload(0.0, 1).bearer("t"), upload(4.0, 2)];
        let sessions = Store::of(group(capture(scenes), &Rules::default()).sessions).unwrap();
        let sessions = Stored { sessions, ..Stored::default() };
        let plan =
            plan::amplify(sessions.sessions.outlines(), Multiple::new(1.0).unwrap(), Mode::Crowd, Seed(1));
        let recorded =
            Recorded { is_model: false, sessions, ..Recorded::of_model(Path::new("c"), Stored::default()) };
        PlanReport::new(&plan, &recorded, show_bindings).unwrap()
    }

    #[test]
    fn the_text_says_what_would_be_sent() {
        let text = report(true).to_text(80).unwrap();
        for line in [
            "plan       1× crowd, seed 1, 4.0 s",
            "sessions   2 planned, 2 captured",
            "idle gap   30 min 0 s (default: 0 shorter and 0 longer silences are too few)",
            "uploads    3.00 MB",
            "bindings   1 unresolved, 1 orphan sessions",
            "1 kinds of values, 1 ! unresolved",
            "POST /api/upload",
            "  ! header Authorization ← nothing (1 use)",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_no_capture_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let words = ["plan", directory.path().to_str().unwrap(), "-x", "2"];
        let Line { args } = Line::from_arg_matches(&Line::command().get_matches_from(words)).unwrap();
        let error = format!("{:#}", run(&args).unwrap_err());
        assert!(error.contains(&directory.path().display().to_string()), "{error}");
        assert!(error.contains("not a capture"), "{error}");
    }

    #[test]
    fn the_json_has_the_names_that_scripts_rely_on() {
        let json = serde_json::to_value(report(false)).unwrap();
        assert_eq!(json["mode"], "crowd");
        assert_eq!(json["sessions_planned"], 2);
        assert_eq!(
            (&json["idle_gap"]["gap_s"], &json["idle_gap"]["basis"]),
            (&1800.0.into(), &"default".into())
        );
        assert_eq!(json["requests_planned"], 2);
        assert_eq!(json["upload_bytes_planned"], 3_000_000);
        assert_eq!(json["dispersion_planned"]["1"], json["dispersion_captured"]["1"]);
        assert_eq!(json["fidelity"]["inter_arrival"]["pass"], true);
        assert!(json.get("bindings").is_none());
        assert_eq!(serde_json::to_value(report(true)).unwrap()["bindings"][0]["resolved"], false);
    }
}
