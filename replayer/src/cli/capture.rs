//! The capture that a command was given, as sessions, and what it lacks; or what a model gives in its place.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::Args;
use kingtide_common::capture::{Capture, CaptureError, Damage, Manifest};
use kingtide_common::exchange::Gap;
use kingtide_common::ledger::Ledger;
use kingtide_common::units::Span;

use crate::report::format::counted;
use crate::sessions::{Outlines, Rules};
use crate::store::{self, ReadError, Reading, Stored};

/// A capture as sessions, or those of a model.
pub(super) struct Recorded {
    /// Its directory (of a model, the file), as the user wrote it.
    pub(super) name: String,
    pub(super) sessions: Stored,
    /// `None` when the manifest is lost.
    pub(super) ledger: Option<Ledger>,
    pub(super) gaps: Vec<Gap>,
    pub(super) damage: Vec<Damage>,
    /// Nothing was recorded.
    pub(super) is_model: bool,
}

impl Recorded {
    pub(super) fn read(path: &Path, rules: &Rules) -> anyhow::Result<Self> {
        let capture = open(path)?;
        let Reading { sessions, gaps, damage } =
            store::read(&capture, rules).map_err(|error| match error {
                ReadError::Capture(error) => explained(&error),
                ReadError::Store(error) => error.into(),
            })?;
        Ok(Self {
            name: path.display().to_string(),
            sessions,
            ledger: capture.manifest().map(Manifest::ledger),
            gaps,
            damage,
            is_model: false,
        })
    }

    pub(super) fn of_model(path: &Path, sessions: Stored) -> Self {
        Self {
            name: path.display().to_string(),
            sessions,
            ledger: None,
            gaps: Vec::new(),
            damage: Vec::new(),
            is_model: true,
        }
    }

    /// For a command that needs traffic: says on stderr what is missing, refuses a capture without any.
    pub(super) fn read_traffic(path: &Path, rules: &RulesArgs) -> anyhow::Result<Self> {
        let rules = rules.read()?;
        let recorded = Self::read(path, &rules)?;
        for caution in recorded.cautions().into_iter().chain(recorded.idle_rules(&rules)) {
            eprintln!("warning: {caution}");
        }
        let Self { name, sessions, .. } = &recorded;
        let dropped = sessions.repairs.dropped;
        ensure!(
            dropped == 0 || !sessions.sessions.is_empty(),
            "{name} holds orphan sessions only, and the rules drop them"
        );
        ensure!(!sessions.sessions.is_empty(), "{name} holds no exchange; record some traffic first");
        Ok(recorded)
    }

    /// Rules that were about nothing in the capture, as sentences.
    fn idle_rules(&self, rules: &Rules) -> Vec<String> {
        let uses = self.sessions.rule_uses.iter().enumerate();
        let named = uses.zip(rules.given.rules()).filter(|((_, uses), _)| **uses == 0);
        named.map(|((index, _), rule)| format!("rule {} ({rule}) decided nothing", index + 1)).collect()
    }

    pub(super) fn outlines(&self) -> &Outlines {
        self.sessions.sessions.outlines()
    }

    /// Damage, losses, orphans and what an import or a model made up, as sentences.
    pub(super) fn cautions(&self) -> Vec<String> {
        let damage = self.damage.iter().map(|damage| format!("the capture is damaged: {damage}"));
        let in_gaps: u64 = self.gaps.iter().map(|gap| gap.count).sum();
        // Gap rows may themselves be lost, a ledger is only written at the end: the larger is the better known.
        let missing = self.ledger.map_or(0, |ledger| ledger.lost()).max(in_gaps);
        let gaps = (missing > 0).then(|| {
            format!("the capture lacks {} that the proxy could not record", counted(missing, "request"))
        });
        let imported = self
            .sessions
            .sessions
            .synthesised()
            .map(|synthesised| format!("the capture was imported: {}", synthesised.sentence()));
        let model = self.is_model.then(|| {
            format!(
                "the sessions are those of the model {}: rhythm, mix and sizes are its own, not recorded",
                self.name
            )
        });
        damage
            .chain(gaps)
            .chain(self.sessions.repairs.cautions(self.outlines().orphans()))
            .chain(imported)
            .chain(model)
            .collect()
    }
}

/// `--rules FILE` and `--idle-gap TIME`, which overrides what the file says.
#[derive(Debug, Default, Args)]
pub(super) struct RulesArgs {
    /// TOML file with rules for sessions and bindings (every key: configs/bindings.toml).
    #[arg(long = "rules", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Silence of a user after which the next request begins a new session, such as 30m [default: that of the rules, else
    /// chosen from the capture's own silences].
    #[arg(long, value_name = "TIME")]
    idle_gap: Option<Span>,
}

impl RulesArgs {
    pub(super) fn read(&self) -> anyhow::Result<Rules> {
        let read =
            |file: &PathBuf| Rules::read(file).map_err(|error| anyhow!("--rules: {}", error.in_one_line()));
        let rules = self.file.as_ref().map(read).transpose()?.unwrap_or_default();
        Ok(Rules { idle_gap: self.idle_gap.map(|gap| gap.0).or(rules.idle_gap), ..rules })
    }
}

/// Opens the directory that a command was given.
pub(super) fn open(path: &Path) -> anyhow::Result<Capture> {
    Capture::open(path).map_err(|error| explained(&error))
}

/// The error with what a user can do about it.
pub(super) fn explained(error: &CaptureError) -> anyhow::Error {
    match error {
        CaptureError::Io { .. } | CaptureError::NotACapture { .. } => {
            anyhow!("{error}; a capture is the directory that kingtide-proxy records into")
        }
        _ => anyhow!("{error}"),
    }
}
