//! The requests of one HTTP/2 connection: each goes out at its instant, whatever became of those before it.
//!
//! It waits for the values that it needs, and for the target to allow a further stream; both are its dependency. Each is
//! a [`Lane`] of one request, made when its connection is due, so memory follows the requests under way.

use std::collections::VecDeque;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::Lane;
use crate::drive::Clock;
use crate::drive::due::connect_due;
use crate::drive::link::Way;
use crate::drive::trunk::Trunk;
use crate::drive::user::User;
use crate::measure::achieved::Stretch;
use crate::measure::http::Version;

/// Sends all requests of a lane, or accounts for those that the end of the run overtook; from the first of them to the
/// end of the last answer.
pub(in crate::drive) async fn side_by_side(user: &User<'_>, steps: &[usize], recorded: Version) -> Stretch {
    let trunk = Trunk::new(recorded);
    let mut coming: VecDeque<&usize> = steps.iter().collect();
    let mut under_way = FuturesUnordered::new();
    let mut used = Stretch::default();
    while !coming.is_empty() || !under_way.is_empty() {
        let next = next(user, &coming);
        tokio::select! {
            biased;
            () = user.worker.ending.stopping(), if !coming.is_empty() => {
                let rest: Vec<usize> = coming.drain(..).copied().collect();
                Lane::new(user, &rest, Way::Shared(&trunk)).leave();
            }
            () = user.leaving(), if !coming.is_empty() => {
                let rest: Vec<usize> = coming.drain(..).copied().collect();
                Lane::new(user, &rest, Way::Shared(&trunk)).leave_rest();
            }
            position = due(user, next), if !coming.is_empty() => {
                let step = position.and_then(|position| coming.remove(position));
                under_way.extend(step.map(|step| alone(user, step, &trunk)));
            }
            Some(stretch) = under_way.next(), if !under_way.is_empty() => used.join(stretch),
        }
    }
    used
}

async fn alone(user: &User<'_>, step: &usize, trunk: &Trunk) -> Stretch {
    let lane = Lane::new(user, std::slice::from_ref(step), Way::Shared(trunk));
    lane.run().await;
    lane.used()
}

/// The position of the next request, and when it is to be begun: ahead of its instant, for its connect. `None` while no
/// answer is there that tells.
fn next(user: &User<'_>, coming: &VecDeque<&usize>) -> Option<(usize, Instant)> {
    let begin =
        |(position, step): (usize, &&usize)| Some((position, connect_due(intended(user, **step)?, None)));
    match user.worker.config.clock {
        // In order of their instants.
        Clock::Offsets => coming.front().and_then(|step| begin((0, step))),
        Clock::Think => coming.iter().enumerate().filter_map(begin).min_by_key(|(_, begin)| *begin),
    }
}

/// As far as it is known already.
fn intended(user: &User<'_>, step: usize) -> Option<Instant> {
    match (user.worker.config.clock, user.script.anchors[step]) {
        (Clock::Think, Some(anchor)) => {
            user.values.answers.ended_at(anchor).map(|answered| answered + user.think(anchor, step))
        }
        _ => Some(user.planned(step)),
    }
}

/// Waits until the next request is to be begun; `None` when an answer may have made another the next.
async fn due(user: &User<'_>, next: Option<(usize, Instant)>) -> Option<usize> {
    let begun = async {
        match next {
            Some((position, begin)) => {
                user.worker.timer.sleep_until(begin).await;
                position
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        position = begun => Some(position),
        () = user.values.answers.change(), if user.worker.config.clock == Clock::Think => None,
    }
}
