//! What `kingtide-proxy` and `kingtide` must agree on.
//!
//! The capture format ([`exchange`], [`fingerprint`], [`ledger`]), the stages of an exchange ([`stages`]),
//! the units that configuration and reports speak in ([`units`]), the latency recorder ([`latency`]) and
//! file bodies of an exact size ([`audio`]). Nothing here opens a socket.

pub mod audio;
pub mod exchange;
pub mod fingerprint;
pub mod latency;
pub mod ledger;
pub mod stages;
pub mod units;
