//! The same bytes at Debian's nginx and at ours, configured alike: statuses, what becomes of the connection
//! and what reaches the upstream must be the same, but for what `differences.rs` lists.
//!
//! One test per topic; each runs its cases several at once, each case with two proxies and two upstreams of
//! its own.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene does not hold")]

mod case;
mod client;
mod compare;
mod differences;
mod message;
mod nginx;
mod observation;
mod origin;
mod ours;
mod profile;
mod run;
mod topics;
