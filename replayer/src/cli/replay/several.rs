//! The runs of several seeds one after another, and what they say together.

use clap::Args;
use kingtide_common::units::Span;

use super::player::{Played, Player, Turn};
use super::{ReplayArgs, exit_of, stop};
use crate::alert::Alerts;
use crate::cli::{Exit, json_of, prepare_directory, print_result};
use crate::measure::run::{RunReport, Verdict};
use crate::report::format::{count, ms};
use crate::report::words::verdict_name;
use crate::report::{self, SEEDS_FILE};
use crate::seeds::merged::Merging;
use crate::seeds::{SeedsReport, Setting, text};

/// See the module.
#[derive(Debug, Args)]
pub(super) struct SettleArgs {
    /// With --seeds: pause after each run's last answer, in which the target comes to rest.
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "seeds")]
    pub(super) settle: Span,
}

/// What was played until the end, the user's stop, or trouble.
#[derive(Default)]
struct Series {
    runs: Vec<RunReport>,
    merging: Merging,
    /// Why there was no further run.
    broken_by: Option<String>,
    /// The first; it need not have ended the series.
    trouble: Option<anyhow::Error>,
}

pub(super) fn run(args: &ReplayArgs, player: &Player<'_>, alerts: &Alerts) -> anyhow::Result<Exit> {
    let (settle, out) = (args.settle.settle, args.out.as_deref());
    let cautions = player.cautions();
    for caution in &cautions {
        eprintln!("warning: {caution}");
    }
    out.map_or(Ok(()), |directory| prepare_directory(directory, SEEDS_FILE))?;
    let Series { runs, merging, broken_by, trouble } = play(player, settle)?;
    let setting = Setting {
        seeds: player.turns.iter().map(|turn| turn.plan.seed.0).collect(),
        settle_s: settle.0.as_secs_f64(),
        has_files: out.is_some(),
        broken_by,
        cautions,
    };
    let told = SeedsReport::of(&setting, &runs, merging.merged());
    if let Some(report) = &told {
        alerts.tell(&format!("{}: {} seeds", verdict_name(report.verdict).to_uppercase(), report.runs.len()));
    }
    let told = told.map(|report| tell(&report, args)).transpose();
    // Told all the same: the runs that were are worth as much.
    trouble.map_or(Ok(()), Err)?;
    Ok(told?.unwrap_or(Exit::Invalid))
}

fn tell(report: &SeedsReport, args: &ReplayArgs) -> anyhow::Result<Exit> {
    let json = json_of(report)?;
    let kept = args.out.as_deref().map(|directory| report::write_whole(&directory.join(SEEDS_FILE), &json));
    print_result(&if args.json { json } else { text::render(report, args.gates.told()) })?;
    kept.transpose()?;
    Ok(exit_of(report.verdict))
}

fn play(player: &Player<'_>, settle: Span) -> anyhow::Result<Series> {
    let mut series = Series::default();
    let mut stop = player.config.stop.clone();
    for turn in &player.turns {
        if !series.runs.is_empty() && !stop::goes_on_after(settle.0, &mut stop)? {
            break;
        }
        match player.play(turn) {
            Ok(played) => {
                let aborted = played.run.aborted.clone();
                series.add(turn, played);
                if let Some(aborted) = aborted {
                    series.broken_by = Some(format!("{}: {}", aborted.rule, aborted.reason));
                    break;
                }
            }
            Err(error) => {
                series.broken_by = Some(format!("{error:#}"));
                series.trouble.get_or_insert(error);
                break;
            }
        }
    }
    Ok(series)
}

impl Series {
    fn add(&mut self, turn: &Turn, played: Played) {
        let Played { run, measured, kept, .. } = played;
        eprintln!(
            "{}{}, p95 {}, {} failed",
            turn.label,
            verdict_name(run.verdict),
            ms(run.latency_ms.p95),
            count(run.failed)
        );
        if run.verdict != Verdict::Invalid {
            self.merging.add(measured.routes.labels(), &measured.recorder);
        }
        self.runs.push(run);
        if let Err(error) = kept {
            self.trouble.get_or_insert(error.into());
        }
    }
}
