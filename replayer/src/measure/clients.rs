//! What the clones were to the network: their addresses and their TLS handshakes.

use serde::{Deserialize, Serialize};

/// A range of addresses over the users of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// `10.20.0.0/16`.
    pub range: String,
    pub addresses: u64,
    /// Users who have their address in common with another: there are more of them than addresses.
    pub users_sharing: u64,
}

/// Handshakes that were completed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshakes {
    pub full: u64,
    /// With a ticket of an earlier connection of the same clone.
    pub resumed: u64,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// `null`: no `X-Forwarded-For` was sent.
    pub forwarded_for: Option<Spread>,
    /// `null`: the kernel chose the address.
    pub source_addresses: Option<Spread>,
    pub tls_handshakes: Handshakes,
}

impl Handshakes {
    pub(super) fn merge(&mut self, other: Self) {
        self.full += other.full;
        self.resumed += other.resumed;
    }
}
