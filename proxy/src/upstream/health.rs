//! Active health checks: each peer of a group with `health` is asked for a path in turn.

use std::future::poll_fn;
use std::io::Write as _;
use std::sync::Arc;
use std::task::Poll;

use bytes::BufMut as _;

use super::connect::open;
use super::{Group, Peer};
use crate::config::Health;
use crate::http1::answer;

/// Checks the peers of a group until dropped.
pub(crate) async fn watch(group: Arc<Group>) {
    let Some(health) = group.health.clone() else { return };
    let checks = group.peers.iter().map(|peer| check_for_ever(peer, &health));
    futures_util::future::join_all(checks).await;
}

async fn check_for_ever(peer: &Peer, health: &Health) {
    let mut streak = Streak::default();
    loop {
        let good = tokio::time::timeout(health.timeout.0, is_good(peer, health)).await.unwrap_or(false);
        if let Some(healthy) = streak.judge(good, health)
            && peer.set_healthy(healthy)
        {
            tracing::warn!(peer = peer.url, up = healthy, "health check");
        }
        tokio::time::sleep(health.interval.0).await;
    }
}

/// Equal results in a row.
#[derive(Debug, Default)]
struct Streak {
    good: bool,
    count: u32,
}

impl Streak {
    /// Whether the peer is healthy, once enough results in a row say so.
    fn judge(&mut self, good: bool, health: &Health) -> Option<bool> {
        self.count = if self.good == good { self.count.saturating_add(1) } else { 1 };
        self.good = good;
        let enough = if good { health.rise } else { health.fall };
        (self.count >= enough).then_some(good)
    }
}

/// 2xx or 3xx.
async fn is_good(peer: &Peer, health: &Health) -> bool {
    let Ok(mut connection) = open(peer).await else { return false };
    let host = peer.address;
    let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", health.path);
    let _ = (&mut connection.output.text).writer().write_all(request.as_bytes());
    let status = poll_fn(|cx| {
        loop {
            match connection.poll_write(cx) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        loop {
            match answer::head(&connection.input.bytes, false) {
                Ok(Some((head, _))) => return Poll::Ready(Some(head.status)),
                Err(_) => return Poll::Ready(None),
                Ok(None) => match connection.poll_read(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    });
    status.await.is_some_and(|status| (200..400).contains(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_falls_and_rises_after_results_in_a_row() {
        let health: Health = toml::from_str("fall = 2\nrise = 2").unwrap();
        let mut streak = Streak::default();
        let results = [true, true, false, true, false, false, true, true];
        let judged: Vec<_> = results.into_iter().map(|good| streak.judge(good, &health)).collect();
        assert_eq!(judged, [None, Some(true), None, None, None, Some(false), None, Some(true)]);
    }
}
