//! A case: what clients send, what the upstream does, how both proxies are configured, and what nginx makes
//! of it.

use crate::client::{Script, Step};
use crate::origin::{Act, Origin, answering, doing};
use crate::profile::{Profile, usual};

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// nginx's summary: see `observation::Observation::summary`.
    pub(crate) nginx: &'static str,
    pub(crate) profile: Profile,
    pub(crate) origin: Origin,
    pub(crate) clients: Vec<Script>,
    /// Length or chunks towards the upstream must be the same, not only what they hold.
    pub(crate) compares_framing: bool,
    /// Off where nginx's own times are not the same from run to run.
    pub(crate) compares_times: bool,
}

/// How long a client looks on after its last answer, to see whether its connection is kept.
const AFTERWARDS_MS: u64 = 200;

/// A case with the usual configuration and an upstream that answers; its steps follow.
pub(crate) fn scene(name: impl Into<String>, nginx: &'static str) -> Case {
    Case {
        name: name.into(),
        nginx,
        profile: usual(),
        origin: answering(),
        clients: vec![Script::default()],
        compares_framing: false,
        compares_times: true,
    }
}

/// One request in one piece, and what comes of it.
pub(crate) fn sends(name: impl Into<String>, nginx: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    scene(name, nginx).send(bytes).answers(1).end()
}

impl Case {
    pub(crate) fn with(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    pub(crate) fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    pub(crate) fn origin_does(self, script: &[Act]) -> Self {
        self.origin(doing(script))
    }

    pub(crate) fn comparing_framing(mut self) -> Self {
        self.compares_framing = true;
        self
    }

    pub(crate) fn without_times(mut self) -> Self {
        self.compares_times = false;
        self
    }

    /// Further steps are those of another client.
    pub(crate) fn client_after(mut self, starts_ms: u64) -> Self {
        self.clients.push(Script { starts_ms, ..Script::default() });
        self
    }

    pub(crate) fn narrow(mut self) -> Self {
        self.last_client().is_narrow = true;
        self
    }

    pub(crate) fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Send(bytes.as_ref().to_vec()))
    }

    pub(crate) fn trickle(self, bytes: impl AsRef<[u8]>, piece_bytes: usize, pause_ms: u64) -> Self {
        self.step(Step::Trickle(bytes.as_ref().to_vec(), piece_bytes, pause_ms))
    }

    pub(crate) fn watch(self, ms: u64) -> Self {
        self.step(Step::Watch(ms))
    }

    pub(crate) fn deaf(self, ms: u64) -> Self {
        self.step(Step::Deaf(ms))
    }

    pub(crate) fn answers(self, count: usize) -> Self {
        self.step(Step::Answers(count))
    }

    pub(crate) fn heads(self, count: usize) -> Self {
        self.step(Step::Heads(count))
    }

    pub(crate) fn flood(self, pause_ms: u64, longest_ms: u64) -> Self {
        self.step(Step::Flood(pause_ms, longest_ms))
    }

    pub(crate) fn half_close(self) -> Self {
        self.step(Step::HalfClose)
    }

    pub(crate) fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    pub(crate) fn leave(self) -> Self {
        self.step(Step::Leave)
    }

    /// Looks whether the connection is kept.
    pub(crate) fn end(self) -> Self {
        self.watch(AFTERWARDS_MS)
    }

    pub(crate) fn step(mut self, step: Step) -> Self {
        self.last_client().steps.push(step);
        self
    }

    fn last_client(&mut self) -> &mut Script {
        self.clients.last_mut().expect("a case begins with one client")
    }
}
