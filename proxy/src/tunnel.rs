//! Tunnels: after `101 Switching Protocols` bytes pass both ways until one side ends or both are silent for
//! `proxy_read_timeout`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use kingtide_common::exchange::Ending;
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::{Limits, Mode};
use crate::http1::Http1;
use crate::limits::LimitName;
use crate::passage::Passage;
use crate::stream::{Input, Output, Stream};
use crate::timer::Timer;
use crate::upstream::UpstreamConnection;

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    input: Input,
    output: Output,
    ended: bool,
    shut: bool,
}

impl Direction {
    /// Moves what can be moved; how many bytes were written. Pending when nothing can.
    fn poll_move(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.output.is_empty() {
                if self.ended {
                    if !self.shut {
                        ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                        self.shut = true;
                    }
                    return Poll::Pending;
                }
                if self.input.bytes.is_empty() && ready!(self.input.poll_fill(from, cx))? == 0 {
                    self.ended = true;
                    continue;
                }
                self.output.piece = self.input.bytes.split().freeze();
            }
            let written = ready!(self.output.poll_write(to, cx))?;
            if written > 0 {
                return Poll::Ready(Ok(written));
            }
        }
    }
}

/// Passes bytes until the tunnel ends.
pub(crate) async fn tunnel(
    client: &mut Http1,
    mut upstream: UpstreamConnection,
    limits: &Limits,
    passage: &mut Passage,
    clock: Clock,
) {
    let (mut up, mut down) = (Direction::default(), Direction::default());
    // The 101 itself, and what either side sent right behind it.
    down.output = client.take_output();
    down.input = std::mem::take(&mut upstream.input);
    up.input = std::mem::take(&mut client.input);
    let mut timer = Timer::new();
    let silence = limits.proxy_read_timeout;
    let until = |from: Instant| from.checked_add(silence.value.0).filter(|_| silence.mode == Mode::Enforce);
    let mut deadline = until(Instant::now());
    let ending = poll_fn(|cx| {
        loop {
            let upwards = up.poll_move(&mut client.stream, &mut upstream.stream, cx);
            let downwards = down.poll_move(&mut upstream.stream, &mut client.stream, cx);
            match (&upwards, &downwards) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(Ending::Complete),
                (Poll::Pending, Poll::Pending) => {
                    // Nginx ends a tunnel when either side does and nothing is left to pass on.
                    if up.shut || down.shut {
                        return Poll::Ready(Ending::Complete);
                    }
                    if timer.poll(deadline, cx).is_pending() {
                        return Poll::Pending;
                    }
                    if silence.mode == Mode::Enforce {
                        return Poll::Ready(Ending::UpstreamTimeout);
                    }
                    passage.would_refuse.insert(LimitName::ProxyReadTimeout);
                    deadline = None;
                    continue;
                }
                _ => {}
            }
            if let Poll::Ready(Ok(bytes)) = downwards {
                passage.note_sent(bytes, clock.now_ns());
            }
            deadline = until(Instant::now());
        }
    });
    passage.ending = ending.await;
}
