//! `kingtide compare`: what is different between two results, with intervals.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use super::share::Share;
use super::{Exit, json_of, print_result};
use crate::compare::{Comparison, Relevant, Verdict, input, markdown, text};

const EXAMPLES: &str = "\
Examples:
  kingtide compare runs/before runs/after                 two runs: replay --out, best with the same --seed
  kingtide compare runs/staging runs/production --relevant 10%
  kingtide compare runs/main runs/branch --markdown >> \"$GITHUB_STEP_SUMMARY\"
  kingtide compare runs/main-seeds runs/branch-seeds      two series: replay --seeds 5 --out
  kingtide compare runs/capacity-1 runs/capacity-2        two capacities: capacity --out, best with --seeds 3

A and B are directories that kingtide replay or kingtide capacity wrote, or the JSON file in them. The intervals of a run's
percentiles come from its samples.csv.gz, second by second: neighbours share their fate, and are not counted twice. Runs of
the same plan (same capture, multiple, mode and seed) are held against each other second by second, which tells far smaller
differences. Figures marked * decide: the failed share and the p95 of latency and of the wait for an answer, of all requests
and of each route with 100 requests, together right in 95 % of all comparisons (Holm); the others are shown.

  worse, better    the whole interval is beyond the smallest relevant difference
  no difference    none is seen, and one of four times that size would have been
  cannot tell      anything else: compare longer runs, the same seed, or several seeds

Exit status:
  0  nothing that decides is worse    2  bad input: not two results of kingtide
  1  something that decides is worse  3  one is INVALID, or they are not comparable (--anyway compares them)";

/// Compare two runs, two series of seeds or two capacities: what became worse, with intervals.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CompareArgs {
    /// What is compared with: the run before a change.
    #[arg(value_name = "A")]
    a: PathBuf,
    /// What is compared: the run after it.
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Smallest difference of times (and 1 ms), rates and capacities that counts.
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    relevant: Share,
    /// Smallest difference of failed shares that counts, in percentage points.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    relevant_failures: Share,
    /// Compare also what is INVALID, or differs in capture, multiple, mode, clock, uplink or SLO.
    #[arg(long)]
    anyway: bool,
    /// JSON on stdout instead of text (schema: replayer/schemas/compare.json).
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// A Markdown table on stdout instead of text, for pull requests.
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    let relevant = Relevant { share: args.relevant.get(), failed_share: args.relevant_failures.get() };
    ensure!(relevant.share > 0.0, "--relevant 0: every interval is beyond no difference; write 5%");
    let (a, b) = (input::read(&args.a)?, input::read(&args.b)?);
    let comparison = Comparison::of(&a, &b, relevant, args.anyway);
    print_result(&match (args.json, args.markdown) {
        (true, _) => json_of(&comparison)?,
        (_, true) => markdown::render(&comparison),
        _ => text::render(&comparison),
    })?;
    Ok(match comparison.verdict {
        Verdict::Worse => Exit::Missed,
        Verdict::NotComparable => Exit::Invalid,
        Verdict::Better | Verdict::NoDifference | Verdict::CannotTell => Exit::Held,
    })
}
