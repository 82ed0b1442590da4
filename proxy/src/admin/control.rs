//! What the admin listener needs from the rest of the proxy: facts to show, and a hand on the capture.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kingtide_common::ledger::Ledger;
use serde::Serialize;

use crate::config::{Config, Mode};

/// The proxy, as the admin listener sees it. Called from the listener's own threads, never from a worker.
pub(crate) trait Control: Send + Sync {
    fn facts(&self) -> Facts;

    /// Carries a command out. What was done, or why it cannot be, in a sentence for the user.
    fn capture(&self, command: CaptureCommand) -> Result<String, String>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureCommand {
    Start,
    Stop,
    /// Seal the open segment and begin another.
    Rotate,
}

/// What only other parts of the proxy know. Instants are those of the process's clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) config: ConfigFacts,
    pub(crate) capture: CaptureFacts,
    pub(crate) ledger: Ledger,
    /// Peers by upstream group.
    pub(crate) upstreams: BTreeMap<String, Vec<PeerFacts>>,
    pub(crate) body_limits: Vec<BodyLimit>,
    /// `None` without an access log.
    pub(crate) access_log: Option<LogFacts>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFacts {
    pub(crate) digest: String,
    pub(crate) loaded_ns: u64,
    pub(crate) reloads: u64,
    /// Why the last reload was refused.
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureState {
    #[default]
    Off,
    Recording,
    /// The disk refuses; traffic goes on.
    Failed,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CaptureFacts {
    pub(crate) state: CaptureState,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) since_ns: Option<u64>,
    /// Why the disk refuses.
    pub(crate) error: Option<String>,
    /// Users whom the tap forgot for want of room: their sessions may not be whole.
    pub(crate) users_forgotten: u64,
    pub(crate) queue: QueueFacts,
}

/// Finished exchanges on their way to the capture's writer.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct QueueFacts {
    pub(crate) waiting: usize,
    pub(crate) slots: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) memory_bytes_max: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct PeerFacts {
    pub(crate) peer: String,
    pub(crate) up: bool,
    pub(crate) fails: u32,
    /// Requests that it is working on.
    pub(crate) active: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct LogFacts {
    pub(crate) written: u64,
    pub(crate) lost: u64,
}

/// `client_max_body_size` of a route.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimit {
    pub(crate) route: String,
    pub(crate) bytes: u64,
    pub(crate) mode: Mode,
}

impl BodyLimit {
    /// Those of all routes, but for the ones that are off.
    pub(crate) fn of(config: &Config) -> Vec<Self> {
        let limits = config.route.iter().map(|route| {
            let limit = route.limits.client_max_body_size.unwrap_or(config.limits.client_max_body_size);
            Self { route: route.name.clone(), bytes: limit.value.0, mode: limit.mode }
        });
        limits.filter(|limit| limit.mode != Mode::Off).collect()
    }
}
