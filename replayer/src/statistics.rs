//! Statistics of few numbers: what several runs say together. Pure.

pub mod spread;
pub mod student;

pub use spread::{Interval, Spread};
