//! One backend: where it is, and whether it is up.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::tls::PeerTls;
use crate::config;

#[derive(Debug)]
pub(crate) struct Peer {
    /// As configured.
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<PeerTls>,
    /// Equal for connections that can stand for each other, also after a reload.
    pub(crate) pool_key: u64,
    max_fails: u32,
    fail_timeout_ns: u64,
    /// Failures since `failing_since_ns`.
    fails: AtomicU32,
    failing_since_ns: AtomicU64,
    down_until_ns: AtomicU64,
    /// What the health check last found.
    healthy: AtomicBool,
    /// Requests being served.
    active: AtomicU32,
}

impl Peer {
    pub(super) fn new(
        url: String,
        address: SocketAddr,
        tls: Option<PeerTls>,
        group: &config::Upstream,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (&url, address, group.tls.as_ref().map(|tls| (&tls.authorities, &tls.name))).hash(&mut hasher);
        // With one peer there is nobody to turn to.
        let max_fails = if group.peers.len() > 1 { group.max_fails } else { 0 };
        Self {
            url,
            address,
            tls,
            pool_key: hasher.finish(),
            max_fails,
            fail_timeout_ns: u64::try_from(group.fail_timeout.0.as_nanos()).unwrap_or(u64::MAX),
            fails: AtomicU32::new(0),
            failing_since_ns: AtomicU64::new(0),
            down_until_ns: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            active: AtomicU32::new(0),
        }
    }

    /// The same peer before a reload: what is known of its health still holds.
    pub(super) fn carry_on(&self, before: &Self, is_checked: bool) {
        let copy =
            |to: &AtomicU64, from: &AtomicU64| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        copy(&self.failing_since_ns, &before.failing_since_ns);
        copy(&self.down_until_ns, &before.down_until_ns);
        self.fails.store(before.fails(), Ordering::Relaxed);
        self.healthy.store(!is_checked || before.healthy.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self, now_ns: u64) -> bool {
        self.healthy.load(Ordering::Relaxed) && self.down_until_ns.load(Ordering::Relaxed) <= now_ns
    }

    /// Failures counted and not yet forgotten.
    pub(crate) fn fails(&self) -> u32 {
        self.fails.load(Ordering::Relaxed)
    }

    /// Requests being served.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed).into()
    }

    /// It answered.
    pub(crate) fn note_success(&self) {
        if self.fails() > 0 {
            self.fails.store(0, Ordering::Relaxed);
            self.down_until_ns.store(0, Ordering::Relaxed);
        }
    }

    /// It refused, broke off or timed out: `max_fails` within `fail_timeout` take it out for as long.
    pub(crate) fn note_failure(&self, now_ns: u64) {
        if self.max_fails == 0 {
            return;
        }
        let since_ns = self.failing_since_ns.load(Ordering::Relaxed);
        if self.fails() == 0 || now_ns.saturating_sub(since_ns) > self.fail_timeout_ns {
            self.fails.store(0, Ordering::Relaxed);
            self.failing_since_ns.store(now_ns, Ordering::Relaxed);
        }
        if self.fails.fetch_add(1, Ordering::Relaxed) + 1 >= self.max_fails {
            self.down_until_ns.store(now_ns.saturating_add(self.fail_timeout_ns), Ordering::Relaxed);
        }
    }

    /// Counts a request that it serves, until dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Serving {
        self.active.fetch_add(1, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    /// What a health check found; whether that is news.
    pub(super) fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }
}

/// A request that a peer serves.
#[derive(Debug)]
pub(crate) struct Serving(Arc<Peer>);

impl Serving {
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
