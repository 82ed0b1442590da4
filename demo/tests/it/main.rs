//! The service and its students over real sockets, in one binary.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as the test does")]

mod answers;
mod browser;
mod capacity;
mod chromium;
mod command;
mod databases;
mod devtools;
mod faults;
mod har;
mod import;
mod journey;
mod likeness;
mod model;
mod privacy;
mod programs;
mod school;
mod slow_links;
mod visits;
