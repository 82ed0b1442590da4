//! What the admin listener is told and may do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::capture::Recorder;
use crate::access_log::LineCounts;
use crate::admin::{BodyLimit, CaptureCommand, ConfigFacts, Control, Facts, LogFacts, PeerFacts};
use crate::upstream::{Group, Peer};
use crate::worker::Shared;

/// The proxy, as the admin listener sees it.
#[derive(Debug)]
pub(super) struct ProcessControl {
    pub(super) shared: Arc<Shared>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) log: Option<Arc<LineCounts>>,
    pub(super) config: Mutex<(ConfigFacts, Vec<BodyLimit>)>,
}

impl ProcessControl {
    pub(super) fn note_reload(&self, loaded: Result<(String, Vec<BodyLimit>), String>) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok((digest, limits)) => {
                let reloads = config.0.reloads + 1;
                let loaded_ns = self.shared.clock.now_ns();
                *config = (ConfigFacts { digest, loaded_ns, reloads, error: None }, limits);
            }
            Err(error) => config.0.error = Some(error),
        }
    }

    fn upstreams(&self) -> BTreeMap<String, Vec<PeerFacts>> {
        let now_ns = self.shared.clock.now_ns();
        let peer = |peer: &Arc<Peer>| PeerFacts {
            peer: peer.url.clone(),
            up: peer.is_up(now_ns),
            fails: peer.fails(),
            active: peer.active(),
        };
        let group = |group: &Arc<Group>| (group.name.clone(), group.peers.iter().map(peer).collect());
        self.shared.site.load().groups.iter().map(group).collect()
    }
}

impl Control for ProcessControl {
    fn facts(&self) -> Facts {
        let (config, body_limits) = self.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let log = self.log.as_ref();
        Facts {
            config,
            capture: self.recorder.facts(),
            ledger: self.recorder.ledger(),
            upstreams: self.upstreams(),
            body_limits,
            access_log: log.map(|counts| LogFacts { written: counts.written(), lost: counts.lost() }),
        }
    }

    fn capture(&self, command: CaptureCommand) -> Result<String, String> {
        self.recorder.command(command)
    }
}
