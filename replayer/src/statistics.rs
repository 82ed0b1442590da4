//! Statistics of few numbers: what several runs, or the seconds of one, say together. Pure.

pub(crate) mod autocorrelation;
pub mod ratio;
pub mod spread;
pub mod student;
pub mod trend;
pub(crate) mod wilson;

pub use ratio::Ratio;
pub use spread::{Interval, Spread};
pub use trend::Trend;
