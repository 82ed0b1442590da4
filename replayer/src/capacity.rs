//! The core of `kingtide capacity`: how many times the captured users fit, with an interval, and how it fails.
//!
//! Pure: no socket, no clock, no randomness. A runner asks [`search::Search::next`] for a trial, holds that load, feeds
//! [`watch::Watch`] with each second, and hands what it saw to [`search::Search::on_trial`].

pub mod answer;
mod estimate;
pub mod field;
pub mod finding;
pub mod search;
pub mod slo;
pub mod trial;
pub mod verdict;
pub mod watch;
mod wilson;
