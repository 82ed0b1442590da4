//! `--target URL` or `--env NAME`: where a command sends, and whether it may.
//!
//! A [`Site`] is looked at first, without a connection, which is all that `--dry-run` does; it is entered when its guard
//! lets one in.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use time::OffsetDateTime;

use super::http::HttpArgs;
use crate::drive::{DriveConfig, Marking, Target};
use crate::environment::Environment;
use crate::guard::overseer::KillFiles;
use crate::guard::{self, Decision, Guard, Load, Visit, smoke};

const REACH_TIMEOUT: Duration = Duration::from_secs(5);
const HEADING: &str = "Guard";

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// PEM file with the certificate of the CA (or of the server itself) that an https target's TLS rests
    /// on, beside the public ones. For staging servers with a private CA [default: the environment's].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    guard: GuardArgs,
}

/// One of the two, or both: then the URL goes before the environment's.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct PlaceArgs {
    /// Where to send: http://HOST:PORT or https://HOST. Paths come from the capture or model.
    #[arg(long = "target", value_name = "URL")]
    url: Option<String>,
    /// An environment, in place of --target: its URL, CA, accounts, level and guard. Its name in configs/environments or
    /// $KINGTIDE_CONFIG/environments, or the path of its file (every key: configs/environments/staging.toml).
    #[arg(long = "env", value_name = "NAME")]
    environment: Option<String>,
}

#[derive(Debug, Args)]
struct GuardArgs {
    /// Needed for production, and without an environment for a target that is not on this machine or in a private network:
    /// its host, once more. On a terminal it is asked for.
    #[arg(help_heading = HEADING, long, value_name = "HOST")]
    yes_this_is: Option<String>,
    /// While this file is there nothing is begun, and what runs is ended within a second; that of the environment holds as
    /// well. Example: --kill-file /tmp/kingtide-stop
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    kill_file: Option<PathBuf>,
    /// Header on every request, by which the target can tell it from others: a name, or a name and value; or off
    /// [default: off; with --env 'X-Kingtide-Synthetic: 1'].
    #[arg(help_heading = HEADING, long, value_name = "HEADER")]
    synthetic: Option<Marking>,
}

/// Where a command sends.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) target: Target,
    pub(super) environment: Option<Environment>,
    pub(super) guard: Guard,
    /// Of the flag, and of the guard.
    pub(super) kill_files: KillFiles,
    http: HttpArgs,
    word: Option<String>,
}

impl TargetArgs {
    /// Reads and resolves; sends nothing.
    pub(super) fn look(&self) -> anyhow::Result<Site> {
        let environment = self.place.environment.as_deref().map(Environment::find).transpose()?;
        let target = self.target(environment.as_ref())?;
        let of_host = self.place.url.as_ref().map(|_| production_guard(target.host())).transpose()?.flatten();
        let of_environment = || environment.as_ref().map(|of| of.guard.clone());
        let mut guard = of_host.or_else(of_environment).unwrap_or_default();
        let GuardArgs { yes_this_is, kill_file, synthetic } = &self.guard;
        let kill_files = kill_file.iter().chain(&guard.rules.kill_file).cloned().collect();
        guard.rules.synthetic = synthetic.clone().or(guard.rules.synthetic);
        let (http, word, kill_files) = (self.http, yes_this_is.clone(), KillFiles(kill_files));
        Ok(Site { target, environment, guard, kill_files, http, word })
    }

    fn target(&self, environment: Option<&Environment>) -> anyhow::Result<Target> {
        let (url, place) = match (&self.place.url, environment) {
            (Some(url), _) => (url, "--target".to_owned()),
            (None, Some(environment)) => (&environment.url, environment.path.display().to_string()),
            (None, None) => unreachable!("clap demands one of the two"),
        };
        let target = Target::resolve(url).context(place)?;
        let of_file = environment.and_then(|environment| environment.ca.as_ref());
        match (&self.ca, of_file) {
            (Some(ca), _) => target.trusting(ca).context("--ca"),
            (None, Some(ca)) if target.is_tls() => target.trusting(ca).context("tls.ca"),
            (None, _) => Ok(target),
        }
    }
}

/// A host that some environment calls production is under its guard however it is named, also under another environment.
fn production_guard(host: &str) -> anyhow::Result<Option<Guard>> {
    let Some(path) = Environment::production_file(host) else { return Ok(None) };
    let of_file = Environment::read(&path).with_context(|| {
        let file = path.display();
        format!("--target {host}: it is production by {file}, whose guard holds and cannot be read")
    })?;
    Ok(Some(of_file.guard))
}

impl Site {
    /// An environment's, with what its user typed; sends nothing.
    pub(super) fn of(environment: Environment, word: Option<String>) -> anyhow::Result<Self> {
        let place = || environment.path.display().to_string();
        let target = Target::resolve(&environment.url).with_context(place)?;
        let target = match environment.ca.as_ref().filter(|_| target.is_tls()) {
            Some(ca) => target.trusting(ca).context("tls.ca")?,
            None => target,
        };
        let guard = environment.guard.clone();
        let kill_files = KillFiles(guard.rules.kill_file.iter().cloned().collect());
        let http = HttpArgs::default();
        Ok(Self { target, environment: Some(environment), guard, kill_files, http, word })
    }

    /// The environment's file of thresholds.
    pub(super) fn thresholds(&self) -> Option<&Path> {
        self.environment.as_ref()?.thresholds.as_deref()
    }

    /// What the guard says before the first connection.
    pub(super) fn at_the_door(&self) -> Vec<Decision> {
        self.guard.at_the_door(&Visit {
            host: self.target.host(),
            authority: self.target.authority(),
            is_private: self.target.is_private(),
            word: self.word.as_deref(),
            now: OffsetDateTime::now_utc(),
            kill_file: self.kill_files.thrown(),
        })
    }

    /// What it says of a plan.
    pub(super) fn on_plan(&self, load: &Load) -> Vec<Decision> {
        self.guard.on_plan(load, OffsetDateTime::now_utc(), smoke::age(&self.target))
    }

    /// What it says of a search of this length.
    pub(super) fn on_search(&self, budget: Duration) -> Vec<Decision> {
        self.guard.on_search(budget, OffsetDateTime::now_utc(), smoke::age(&self.target))
    }

    /// The same site, if it may be entered and answers.
    pub(super) fn entered(self) -> anyhow::Result<Self> {
        let site = self.named();
        guard::admit(&site.at_the_door())?;
        site.reached()
    }

    /// Asks for the word at a terminal, where it is needed and was not given.
    pub(super) fn named(mut self) -> Self {
        let decisions = self.at_the_door();
        let asked = decisions.iter().find(|decision| decision.rule == "word" && !decision.is_allowed);
        if let Some(word) = asked.and_then(|decision| typed(&decision.text)) {
            self.word = Some(word);
        }
        self
    }

    /// The same site, if it answers. Who calls this has asked the guard.
    pub(super) fn reached(&self) -> anyhow::Result<Self> {
        let target = self.target.clone().reached(REACH_TIMEOUT)?;
        Ok(Self { target: self.http.spoken_by(target, REACH_TIMEOUT)?, ..self.clone() })
    }

    pub(super) fn apply(&self, config: &mut DriveConfig) {
        config.http = self.http.http;
        config.marking = self.guard.rules.synthetic.clone().unwrap_or(Marking::Off);
    }
}

/// The host as somebody at a terminal types it, who is told why; `None` where nobody is.
fn typed(why: &str) -> Option<String> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return None;
    }
    eprint!("{why}\nType it here to go on: ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: TargetArgs,
    }

    fn parsed(words: &str) -> Result<TargetArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("replay").chain(words.split_whitespace())).map(|line| line.args)
    }

    /// What the door refuses.
    fn refusals(words: &str) -> Vec<String> {
        let decisions = parsed(words).unwrap().look().unwrap().at_the_door();
        decisions.iter().filter(|decision| !decision.is_allowed).map(ToString::to_string).collect()
    }

    #[test]
    fn a_public_target_needs_its_name_once_more() {
        let refused = refusals("--target http://192.0.2.1");
        assert!(refused[0].contains("--yes-this-is 192.0.2.1"), "{refused:?}");
        assert_eq!(refusals("--target http://192.0.2.1 --yes-this-is example.com").len(), 1);
        assert_eq!(refusals("--target http://192.0.2.1 --yes-this-is 192.0.2.1"), [""; 0]);
        assert_eq!(refusals("--target http://127.0.0.1"), [""; 0]);
    }

    #[test]
    fn an_environment_says_what_flags_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("e.toml");
        let text = "url = \"http://127.0.0.1:9\"\nkind = \"local\"\n[guard]\nkill_file = \"stop\"\n";
        std::fs::write(&file, text).unwrap();
        let look = |more: &str| parsed(&format!("--env {} {more}", file.display())).unwrap().look().unwrap();
        let site = look("");
        assert_eq!(site.target.origin(), "http://127.0.0.1:9");
        assert_eq!(site.guard.rules.synthetic, Some(Marking::default()));
        assert_eq!(site.guard.rules.kill_file, Some(directory.path().join("stop")));
        let site = look("--synthetic off --kill-file /x --target http://127.0.0.1:8");
        assert_eq!(site.guard.rules.synthetic, Some(Marking::Off));
        assert_eq!(site.kill_files.0, [PathBuf::from("/x"), directory.path().join("stop")], "the team's too");
        assert_eq!(site.target.origin(), "http://127.0.0.1:8");
        let refused: Vec<_> =
            site.at_the_door().into_iter().filter(|decision| !decision.is_allowed).collect();
        assert_eq!(refused[0].rule, "targets", "another host under this environment's guard");
    }

    #[test]
    fn one_of_the_two_says_where() {
        let refused = parsed("").unwrap_err().to_string();
        assert!(refused.contains("--target") && refused.contains("--env"), "{refused}");
        let refused = parsed("--env nowhere").unwrap().look().unwrap_err().to_string();
        assert!(refused.starts_with("--env `nowhere` is in none of configs/environments"), "{refused}");
    }

    #[test]
    fn a_target_that_does_not_answer_is_bad_input() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let args = parsed(&format!("--target {origin}")).unwrap();
        assert!(args.look().unwrap().entered().is_ok());
        drop(listener);
        let refused = args.look().unwrap().entered().unwrap_err().to_string();
        assert!(refused.contains("is the target running?"), "{refused}");
    }
}
