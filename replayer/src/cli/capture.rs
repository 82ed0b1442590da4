//! The capture that a command was given, as sessions, and what it lacks.

use std::path::Path;

use anyhow::{anyhow, ensure};
use kingtide_common::capture::{Capture, CaptureError, Damage, Manifest};
use kingtide_common::exchange::Gap;
use kingtide_common::ledger::Ledger;

use crate::report::format::counted;
use crate::sessions::{self, Rules, Sessions};

/// A capture, read whole.
pub(super) struct Recorded {
    /// Its directory, as the user wrote it.
    pub(super) name: String,
    pub(super) sessions: Sessions,
    /// `None` when the manifest is lost.
    pub(super) ledger: Option<Ledger>,
    pub(super) gaps: Vec<Gap>,
    pub(super) damage: Vec<Damage>,
}

impl Recorded {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let capture = open(path)?;
        let reading = capture.read().map_err(|error| explained(&error))?;
        Ok(Self {
            name: path.display().to_string(),
            sessions: sessions::group(reading.exchanges, &Rules::default()),
            ledger: capture.manifest().map(Manifest::ledger),
            gaps: reading.gaps,
            damage: reading.damage,
        })
    }

    /// For a command that needs traffic: says on stderr what is missing, refuses a capture without any.
    pub(super) fn read_traffic(path: &Path) -> anyhow::Result<Self> {
        let recorded = Self::read(path)?;
        for caution in recorded.cautions() {
            eprintln!("warning: {caution}");
        }
        let name = &recorded.name;
        ensure!(
            !recorded.sessions.sessions.is_empty(),
            "{name} holds no exchange; record some traffic first"
        );
        Ok(recorded)
    }

    /// Damage and losses, as sentences.
    pub(super) fn cautions(&self) -> Vec<String> {
        let damage = self.damage.iter().map(|damage| format!("the capture is damaged: {damage}"));
        let in_gaps: u64 = self.gaps.iter().map(|gap| gap.count).sum();
        // Gap rows may themselves be lost, a ledger is only written at the end: the larger is the better known.
        let missing = self.ledger.map_or(0, |ledger| ledger.lost()).max(in_gaps);
        let gaps = (missing > 0).then(|| {
            format!("the capture lacks {} that the proxy could not record", counted(missing, "request"))
        });
        damage.chain(gaps).collect()
    }
}

/// Opens the directory that a command was given.
pub(super) fn open(path: &Path) -> anyhow::Result<Capture> {
    Capture::open(path).map_err(|error| explained(&error))
}

pub(super) fn explained(error: &CaptureError) -> anyhow::Error {
    match error {
        CaptureError::Io { .. } | CaptureError::NotACapture { .. } => {
            anyhow!("{error}; a capture is the directory that kingtide-proxy records into")
        }
        _ => anyhow!("{error}"),
    }
}
