//! What a run really sent, beside what was captured and planned.
//!
//! The plan says what should go out. Late answers, slow connections and this generator move it, so what went out is
//! measured on its own: its rhythm, how much of it was under way at once, and the stages of its exchanges.
//!
//! capture → [`captured`] ┐
//! samples → [`sends`]    ┴→ [`compare`] → [`report`] → [`gates`]
//!
//! Memory: three counts for each 0.1 s of the run and worker (half a megabyte an hour), histograms that are as large
//! as what they hold, and sums. Workers merge exactly.

mod captured;
mod compare;
mod gates;
mod report;
mod sends;
mod stages;

pub use captured::Captured;
pub use compare::{Sides, compare};
pub use gates::{cautions, likeness, validity};
pub use report::{Achieved, Durations, Level, Rhythm, RouteStages};
pub use sends::{Sends, Stretch};
pub use stages::in_order;

use kingtide_common::latency::Slack;

/// What nobody notices: durations that differ by less count as alike. Two programs that look at one exchange from either
/// end of a loopback disagree by less than 2 ms, and in 1× replays on a busy machine at most one in twenty durations of a
/// stage was further apart than this.
const ALIKE: Slack = Slack { ns: 2_000_000, share: 0.1 };

#[cfg(test)]
mod tests;
