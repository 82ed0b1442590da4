//! What `kingtide-proxy` and `kingtide` must agree on.
//!
//! The capture format ([`capture`], [`exchange`], [`fingerprint`], [`ledger`]), the stages of an exchange
//! ([`stages`]), how configuration and JSON are read ([`config`], [`json`]), the units of both ([`units`]),
//! the latency recorder ([`latency`]), the file bodies of uploads ([`audio`]), and what becomes of foreign
//! bytes before they may be kept ([`body`], [`pacing`], [`redact`], [`server_timing`]). Nothing here opens a socket.

pub mod audio;
pub mod body;
pub mod capture;
pub mod config;
pub mod cut;
pub mod exchange;
pub mod fingerprint;
pub mod html;
pub mod json;
pub mod latency;
pub mod ledger;
mod memo;
pub mod pacing;
pub mod redact;
pub mod server_timing;
pub mod stages;
pub mod units;
