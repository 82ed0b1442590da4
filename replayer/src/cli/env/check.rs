//! `kingtide env check`: every part of an environment is tried, each says what came of it.
//!
//! Nothing is sent before the guard has let one in; the hours are told but hold back only load, of which this is none.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;
use clap::Args;

use super::probe;
use crate::cli::capture::RulesArgs;
use crate::cli::replay::machine::MachineArgs;
use crate::cli::replay::users::accounts_of;
use crate::cli::target::Site;
use crate::cli::{Exit, causes, print_result};
use crate::environment::Environment;
use crate::guard::Decision;
use crate::monitor;
use crate::monitor::settings::Settings;
use crate::report::format::{counted, ms};
use crate::thresholds::Thresholds;

/// What of the door keeps out whoever only looks.
const DOOR: [&str; 3] = ["kind", "word", "targets"];

/// Try every part of an environment.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Its name, or the path of its file.
    name: String,
    /// Directory of a capture whose login is tried, and whose replay at 1x this machine is held against.
    capture: Option<PathBuf>,
    /// A session model in its place.
    #[arg(long, value_name = "FILE", conflicts_with = "capture")]
    model: Option<PathBuf>,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// Needed for production: its host, once more. On a terminal it is asked for.
    #[arg(long, value_name = "HOST")]
    yes_this_is: Option<String>,
}

/// What came of the parts.
#[derive(Default)]
struct Tried {
    text: String,
    has_failed: bool,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let environment = Environment::find(&args.name)?;
    let mut tried = Tried::default();
    tried.files(&environment);
    if let Some(site) = tried.door(args, environment) {
        tried.monitors(&site);
        tried.target(args, &site);
    }
    print_result(&tried.text)?;
    Ok(if tried.has_failed { Exit::Missed } else { Exit::Held })
}

impl Tried {
    fn part(&mut self, part: &str, said: anyhow::Result<String>) -> bool {
        let is_ok = said.is_ok();
        let (word, text) = said.map_or_else(|error| ("FAILED", causes(&error)), |text| ("ok    ", text));
        // Into a text nothing can fail.
        let _ = writeln!(self.text, "{word}  {part:<12} {text}");
        self.has_failed |= !is_ok;
        is_ok
    }

    fn decision(&mut self, decision: &Decision) -> bool {
        let text = decision.to_string();
        let said = if decision.is_allowed { Ok(text) } else { Err(anyhow::Error::msg(text)) };
        self.part(decision.rule, said)
    }

    /// What is there without asking the target.
    fn files(&mut self, environment: &Environment) {
        self.part("file", Ok(environment.path.display().to_string()));
        let accounts = accounts_of(&environment.accounts, None, Some(environment));
        self.part(
            "identities",
            accounts.map(|accounts| accounts.map_or_else(|| "none".to_owned(), |all| all.sentence())),
        );
        if let Some(path) = &environment.thresholds {
            let read = Thresholds::read(path).map(|_| path.display().to_string());
            self.part("thresholds", read.map_err(|error| anyhow!("{}", error.in_one_line())));
        }
    }

    /// The site, if it may be asked anything.
    fn door(&mut self, args: &CheckArgs, environment: Environment) -> Option<Site> {
        let site = match Site::of(environment, args.yes_this_is.clone()) {
            Ok(site) => site.named(),
            Err(error) => {
                self.part("target", Err(error));
                return None;
            }
        };
        let decisions = site.at_the_door();
        let mut is_out = false;
        for decision in &decisions {
            is_out |= !self.decision(decision) && DOOR.contains(&decision.rule);
        }
        if is_out {
            self.text += "        nothing was sent; the other parts were not tried\n";
        }
        (!is_out).then_some(site)
    }

    /// One look of each.
    fn monitors(&mut self, site: &Site) {
        let Some(environment) = &site.environment else { return };
        for settings in &environment.monitors {
            let glance = looked(settings).map_err(|why| {
                let file = environment.path.display();
                anyhow!(
                    "{why}; is what its [[monitor]] in {file} says right, and can it be reached from here?"
                )
            });
            self.part("monitor", glance);
        }
    }

    fn target(&mut self, args: &CheckArgs, site: &Site) {
        let began = Instant::now();
        let reached = site.reached();
        let took_ms = began.elapsed().as_secs_f64() * 1e3;
        let tls = if site.target.is_tls() { ", with TLS" } else { "" };
        let said = reached
            .as_ref()
            .map(|_| format!("{} accepts connections{tls}, in {}", site.target.origin(), ms(Some(took_ms))));
        if !self.part("target", said.map_err(|error| anyhow!("{error:#}"))) {
            return;
        }
        let Ok(site) = reached else { return };
        self.part("answer", probe::answer(&site));
        let is_traffic = args.capture.is_some() || args.model.is_some();
        if !is_traffic {
            self.text += "        no login was tried: name a capture, or a model with --model\n";
            return;
        }
        match probe::traffic(args.capture.as_deref(), args.model.as_deref(), &args.rules) {
            Ok(recorded) => {
                self.part("login", probe::login(&site, &recorded));
                self.part("machine", probe::machine(&site, &recorded, &args.machine));
            }
            Err(error) => {
                self.part("login", Err(error));
            }
        }
    }
}

/// What a monitor sees, or why it does not.
fn looked(settings: &Settings) -> Result<String, String> {
    let name = &settings.name;
    let glance = monitor::glance(settings).map_err(|why| format!("{name}: {why}"))?;
    let seen = format!("{name}: {} at the first look", counted(glance.values as u64, "value"));
    Ok(std::iter::once(seen).chain(glance.notes).collect::<Vec<_>>().join("; "))
}
