//! The core of `kingtide capacity`: how many times the captured users fit, with an interval, and how it fails.
//!
//! [`field`] holds the trials and [`answer`] says what was found. The rest is pure: no socket, no clock, no randomness. A
//! runner asks [`search::Search::next`] for a trial, holds that load, feeds [`watch::Watch`] with each second, and hands what
//! it saw to [`search::Search::on_trial`].
//!
//! | question | where | after |
//! |---|---|---|
//! | what is asked of the target | [`slo`] | |
//! | does it hold it at this load | [`verdict`] | Wilson 1927, MSER-5 (White 1997), Student |
//! | must this trial be stopped | [`watch`] | Little 1961 |
//! | what load is tried next | [`search`] | MLRsearch (draft-ietf-bmwg-mlrsearch), in place of the bisection of RFC 2544 |
//! | what is the number | `estimate` | probit posterior as in PLRsearch, Kingman 1962 |
//! | what was found | [`finding`] | |
//!
//! How well it does on targets of known capacity is in `bench/capacity_truth.md`.

pub mod answer;
pub mod cold_start;
mod estimate;
pub mod field;
pub mod finding;
pub mod scalability;
pub mod search;
pub mod several;
pub mod slo;
pub mod trial;
pub mod verdict;
pub mod watch;
