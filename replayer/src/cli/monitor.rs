//! `kingtide monitor`: looks at a target's parts without sending anything, and says what was seen.

mod sources;
pub(super) mod text;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use kingtide_common::units::Span;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::sources::{AtPointer, BySelector};
use super::{Exit, json_of, print_result};
use crate::monitor::Monitors;
use crate::monitor::settings::{self, Settings};
use crate::monitor::timeline::Timeline;

/// How soon what happens is told.
const TOLD_EVERY: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  kingtide monitor --postgres env:DATABASE_URL --for 1m         one connection; the URL from the environment
  kingtide monitor --postgres 'postgres://app@db.internal/school?sslmode=require' --interval 1s
  kingtide monitor --host --process nginx --process 4711 --process /run/app.pid
  kingtide monitor --prometheus 'http://10.0.0.7:9090/metrics=http_requests_total{code=~\"5..\"}'
  kingtide monitor --health http://10.0.0.7:8080/health#/database/pool/checked_out --for 30s --json
  kingtide monitor --monitor configs/monitors.toml --csv > monitors.csv

What happens is told on stderr as it is seen: a lock wait with its blocker, a slow query, a transaction that is held, a
database that went away and came back. Literals in queries are shown as `?`. At the end, or at Ctrl-C, the values
are told on stdout. A metric is NAME.METRIC and its unit ends the name; a share is 0 to 1.

For PostgreSQL the user needs no more than pg_read_all_stats (or pg_monitor): without it the states of other users'
connections are not to be seen. PgBouncer in transaction mode will do; the counts are then the pooler's connections.

Exit status:
  0  every monitor saw something     2  bad input
  3  one of them never did";

/// Watch a target's database, machine, processes and endpoints, without sending anything.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub struct MonitorArgs {
    /// A PostgreSQL database, by its URL or by the variable that holds it (env:NAME).
    #[arg(long, value_name = "URL")]
    postgres: Vec<String>,
    /// A query of PostgreSQL that runs longer is slow; so is a transaction that is held longer.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    slow_query: Span,
    /// This machine.
    #[arg(long)]
    host: bool,
    /// Processes of this machine by name; or one by its number, or by its pid file (/…).
    #[arg(long, value_name = "NAME")]
    process: Vec<String>,
    /// An endpoint in Prometheus' format, and which samples to add up.
    #[arg(long, value_name = "URL=SELECTOR")]
    prometheus: Vec<BySelector>,
    /// An endpoint that answers JSON, and where a number is in it.
    #[arg(long, value_name = "URL#/POINTER")]
    health: Vec<AtPointer>,
    /// What a file of [[monitor]] tables says (see configs/monitors.toml).
    #[arg(id = "monitor", long = "monitor", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Time between two looks; of --monitor the file's.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    interval: Span,
    /// How long [default: until Ctrl-C].
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
    /// JSON on stdout instead of a table (schema: replayer/schemas/monitors.json).
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV on stdout instead of a table: at_s,metric,value; without a value where a monitor could not look.
    #[arg(long)]
    csv: bool,
}

pub fn run(args: &MonitorArgs) -> anyhow::Result<Exit> {
    let settings = args.settings()?;
    ensure!(
        !settings.is_empty(),
        "there is nothing to look at: give --postgres, --host, --process, --prometheus, --health or --monitor"
    );
    let monitors = Monitors::start(&settings)?;
    watch(&monitors, args.duration.map(|duration| duration.0))?;
    let began = monitors.began();
    let timeline = monitors.stop(began);
    print_result(&match (args.json, args.csv) {
        (true, _) => json_of(&timeline)?,
        (_, true) => text::csv(&timeline)?,
        _ => text::table(&timeline),
    })?;
    Ok(exit_of(&settings, &timeline))
}

/// Tells what happens until the time is over or the user has seen enough.
fn watch(monitors: &Monitors, duration: Option<Duration>) -> anyhow::Result<()> {
    let until = duration.map(|duration| monitors.began() + duration);
    let mut told = 0;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = tokio::time::sleep(TOLD_EVERY) => {}
            }
            let events = monitors.events();
            for event in events.iter().skip(told) {
                eprintln!("{}", text::line(event));
            }
            told = events.len();
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        Ok(())
    })
}

fn exit_of(settings: &[Settings], timeline: &Timeline) -> Exit {
    let saw = |one: &Settings| {
        let own = timeline.series.keys().filter(|metric| metric.starts_with(&format!("{}.", one.name)));
        own.into_iter().any(|metric| timeline.values(metric).next().is_some())
    };
    if settings.iter().all(saw) { Exit::Held } else { Exit::Invalid }
}

impl MonitorArgs {
    fn settings(&self) -> anyhow::Result<Vec<Settings>> {
        let mut all = sources::of(self)?;
        for one in &mut all {
            one.interval = self.interval.0;
        }
        settings::check_interval(self.interval.0).map_err(|why| anyhow::anyhow!("--interval: {why}"))?;
        all.extend(self.file.as_deref().map(super::monitors::read).transpose()?.unwrap_or_default());
        settings::check_names(&all).map_err(anyhow::Error::msg)?;
        Ok(all)
    }
}
