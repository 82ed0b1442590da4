//! What `kingtide-proxy` and `kingtide` must agree on.
//!
//! The capture format ([`exchange`], [`fingerprint`], [`ledger`]), the stages of an exchange ([`stages`]),
//! the units that configuration and reports speak in ([`units`]) and the latency recorder ([`latency`]).
//! Nothing here opens a socket.

pub mod capture;
pub mod config;
pub mod exchange;
pub mod fingerprint;
pub mod json;
pub mod latency;
pub mod ledger;
pub mod stages;
pub mod units;
