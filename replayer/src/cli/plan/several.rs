//! The plans of several seeds, and what they say together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kingtide_common::units::ByteSize;
use serde::Serialize;

use super::PlanReport;
use crate::measure::gates::{Gates, likeness};
use crate::report::format::{count, number, seconds};
use crate::report::gates::GatesTold;
use crate::report::table::Table;
use crate::seeds::{Figures, GateFigures, Reading, Unit, gates, text};

/// `kingtide plan --seeds K --json`.
#[derive(Debug, Serialize)]
pub(super) struct Together<'a> {
    plans: &'a [PlanReport],
    figures: Figures,
    gates: GateFigures,
}

/// What several plans vary by.
pub(super) fn together(plans: &[PlanReport]) -> Together<'_> {
    let of_seeds: Vec<(u64, Gates)> =
        plans.iter().map(|plan| (plan.seed, likeness(&plan.fidelity))).collect();
    let of_seeds: Vec<(u64, &Gates)> = of_seeds.iter().map(|(seed, gates)| (*seed, gates)).collect();
    Together {
        plans,
        figures: Figures::of(&plans.iter().map(readings).collect::<Vec<_>>()),
        gates: gates::over(&of_seeds),
    }
}

fn readings(plan: &PlanReport) -> Vec<Reading> {
    let figures = [
        ("users", Unit::Number, plan.sessions_planned as f64),
        ("requests", Unit::Number, plan.requests_planned as f64),
        ("upload_bytes", Unit::Bytes, plan.upload_bytes_planned as f64),
        ("duration_s", Unit::Seconds, plan.duration_s),
        ("shift_s", Unit::Seconds, plan.shift_s),
    ];
    let dispersion = plan.dispersion_planned.iter();
    let dispersion = dispersion
        .map(|(window, index)| (format!("dispersion_planned_{window}s"), Unit::Number, Some(*index)));
    figures
        .into_iter()
        .map(|(name, unit, value)| (name.to_owned(), unit, Some(value)))
        .chain(dispersion)
        .collect()
}

impl Together<'_> {
    /// Of one plan at least.
    pub(super) fn to_text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let PlanReport { multiple, mode, .. } = self.plans[0];
        writeln!(text, "{} plans at {multiple}× {mode}\n", self.plans.len())?;
        let mut table =
            Table::of_numbers(["seed", "users", "requests", "uploads", "lasts", "I(1 s)", "wanted"]);
        self.plans.iter().for_each(|plan| table.row(cells(plan)));
        text += &table.render(0);
        text += &text::figures(&self.figures, None);
        text += &text::gates(&self.gates, self.plans.len(), GatesTold::NotOk);
        self.notes().try_for_each(|note| writeln!(text, "note: {note}"))?;
        Ok(text)
    }

    fn notes(&self) -> impl Iterator<Item = String> {
        let is_by_chance = self.plans.iter().all(|plan| plan.is_by_chance);
        let alike = (!is_by_chance).then(|| "every seed gives the same plan here".to_owned());
        let cautions = self.plans.iter().flat_map(|plan| &plan.cautions).cloned();
        alike.into_iter().chain(cautions.collect::<BTreeSet<_>>())
    }
}

fn cells(plan: &PlanReport) -> [String; 7] {
    let index = |of: &BTreeMap<String, f64>| number(of.get("1").copied());
    [
        plan.seed.to_string(),
        count(plan.sessions_planned as u64),
        count(plan.requests_planned as u64),
        ByteSize(plan.upload_bytes_planned).to_string(),
        seconds(Some(plan.duration_s)),
        index(&plan.dispersion_planned),
        index(&plan.dispersion_target),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::super::PlanArgs;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: PlanArgs,
    }

    fn parsed(words: &[&str]) -> Result<PlanArgs, clap::Error> {
        let matches = Line::command().try_get_matches_from([&["plan"], words].concat())?;
        Ok(Line::from_arg_matches(&matches)?.args)
    }

    fn golden() -> String {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../captures/classroom-12");
        directory.to_str().unwrap().to_owned()
    }

    fn plans(more: &[&str]) -> Vec<PlanReport> {
        parsed(&[&[golden().as_str()], more].concat()).unwrap().reports().unwrap()
    }

    #[test]
    fn plans_of_several_seeds_differ_and_say_by_how_much() {
        let plans = plans(&["-x", "5", "--seed", "7", "--seeds", "3"]);
        assert_eq!(plans.iter().map(|plan| plan.seed).collect::<Vec<_>>(), [7, 8, 9]);
        let all = together(&plans);
        let requests = &all.figures.get("requests").unwrap().spread;
        assert_eq!(requests.values.len(), 3);
        assert!(requests.lowest < requests.highest, "{requests:?}");
        assert_eq!(all.figures.get("users").unwrap().spread.values, [60.0; 3]);
        assert!(all.gates["users"].failed.is_empty(), "{:?}", all.gates["users"]);
        let text = all.to_text().unwrap();
        assert!(text.contains("3 plans at 5× crowd") && text.contains("dispersion planned 1s"), "{text}");
        assert!(!text.contains("same plan"), "{text}");
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json["plans"][2]["seed"], 9);
        assert!(json["figures"]["requests"]["interval"]["low"].is_number(), "{json}");
    }

    #[test]
    fn the_capture_itself_is_the_same_with_every_seed() {
        let text = together(&plans(&["--seeds", "2"])).to_text().unwrap();
        assert!(text.contains("note: every seed gives the same plan here"), "{text}");
    }

    #[test]
    fn a_model_draws_its_users_anew_for_each_seed() {
        let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs/models/students.toml");
        let words = ["--model", model.to_str().unwrap(), "--users", "8", "--duration", "2m", "--seeds", "3"];
        let plans = parsed(&words).unwrap().reports().unwrap();
        let text = together(&plans).to_text().unwrap();
        assert!(!text.contains("same plan"), "{text}");
        let mut uploads: Vec<u64> = plans.iter().map(|plan| plan.upload_bytes_planned).collect();
        uploads.dedup();
        assert_eq!(uploads.len(), 3, "{text}");
    }

    #[test]
    fn what_is_no_number_of_seeds_is_refused() {
        for words in [
            &["--seeds", "1"][..],
            &["--seeds", "0"],
            &["--seeds", "101"],
            &["--seeds", "2", "--show-bindings"],
        ] {
            assert!(parsed(&[&["capture"], words].concat()).is_err(), "{words:?}");
        }
        let refused = parsed(&["capture", "--seeds", "1"]).unwrap_err().to_string();
        assert!(refused.contains("2 to 100; for one leave --seeds out"), "{refused}");
        let last = u64::MAX.to_string();
        let args = parsed(&["capture", "--seeds", "2", "--seed", &last]).unwrap();
        assert!(args.seeds.all().unwrap_err().to_string().contains("begin lower"));
    }
}
