//! What a run measured: four instants per sample, kept as counts and distributions.
//!
//! Each worker owns a [`recorder::Recorder`]; they merge exactly at the end, so no percentile is ever
//! averaged. Memory does not grow with the number of requests: distributions are histograms, and the only
//! thing that grows with the run's length is one row per second. [`summary`] turns the result into the
//! report's contract ([`run`]), [`verdict`] says what it means.

pub mod achieved;
pub mod attainment;
pub mod attempts;
pub mod clients;
pub mod created;
pub mod distinct;
pub mod distributions;
mod gate;
pub mod gates;
pub mod held;
pub mod http;
pub mod in_flight;
pub mod kept;
mod lateness;
pub mod live;
pub mod raw;
pub mod recorder;
pub mod route;
pub mod run;
pub mod sample;
pub mod series;
pub mod summary;
pub mod verdict;

pub use recorder::Recorder;
pub use sample::{ClientStage, ErrorClass, Failure, Outcome, Sample, Traffic, Upload};
