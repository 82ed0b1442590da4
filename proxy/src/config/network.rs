//! An address or a network: `10.0.0.0/8`, `::1`.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (own, other) = (bits(self.address), bits(address.to_canonical()));
        let host_bits = own.1 - u32::from(self.prefix_bits);
        own.1 == other.1 && (host_bits == 128 || own.0 >> host_bits == other.0 >> host_bits)
    }
}

/// The address as a number and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address or network: write 10.0.0.0/8 or 192.168.1.7");
        let (address, prefix) = text.split_once('/').map_or((text.as_str(), None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(all), str::parse).map_err(|_| wrong())?;
        if prefix_bits <= all { Ok(Self { address, prefix_bits }) } else { Err(wrong()) }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        let contains = |network: &str, address: &str| {
            Network::try_from(network.to_owned()).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.9.8.7") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && contains("::/0", "::1") && !contains("::/0", "1.2.3.4"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"), "an IPv4 client of an IPv6 socket");
        assert!(Network::try_from("10.0.0.0/33".to_owned()).is_err());
    }
}
