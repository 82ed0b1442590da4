//! What the runs (or the plans) of several seeds say together: how much each figure varies by the luck of the draw.
//!
//! readings of each run → [`figures`] → [`report`] → [`text`]. Pure.
//!
//! - A figure is one number of each run; its interval is about that number (the per-run p95), never about pooled
//!   requests: requests of one run share its plan and its target's state, so that a run is the unit that varies.
//! - Percentiles are never averaged into a percentile of all: that comes from the merged histograms ([`merged`]).
//! - A run that is INVALID says nothing about the target: it is left out of both, and named.

pub mod figures;
pub mod gates;
pub mod merged;
pub mod report;
pub mod text;

pub use figures::{Figure, Figures, Reading, Unit};
pub use gates::{GateFigure, GateFigures};
pub use report::{SeedsReport, Setting};
