//! What `kingtide-proxy` and `kingtide` must agree on.
//!
//! The capture format ([`capture`], [`exchange`], [`fingerprint`], [`ledger`]), the stages of an exchange
//! ([`stages`]), how configuration and JSON are read ([`config`], [`json`]), the units of both ([`units`]),
//! the latency recorder ([`latency`]) and the file bodies of uploads ([`audio`]). Nothing here opens a socket.

pub mod audio;
pub mod capture;
pub mod config;
pub mod exchange;
pub mod fingerprint;
pub mod json;
pub mod latency;
pub mod ledger;
pub mod stages;
pub mod units;
