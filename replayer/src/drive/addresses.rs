//! Ranges of addresses: what each clone is to an edge that counts by address (`X-Forwarded-For`), or where its
//! connections come from.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::{TcpSocket, TcpStream};

use super::target::Target;
use crate::measure::clients::Spread;

/// Addresses that follow each other, dealt to clones in turn: clone k has the (k mod count)th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    prefix_bits: u8,
}

/// Why a text is no range of addresses, or one that cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("`{text}` is no range of addresses; write one as 10.20.0.0/16 or fd00:1::/64")]
    NotRange { text: String },
    #[error("`{text}` begins within its network; write {network}")]
    WithinNetwork { text: String, network: AddressRange },
    #[error("{range} and the target {address} are not of one kind (IPv4, IPv6)")]
    OtherKind { range: AddressRange, address: SocketAddr },
    #[error(
        "cannot connect from {address}: {source}; give this machine the range first \
         (`ip route add local {range} dev lo` answers for all of it), or name one that it has"
    )]
    NotHere { address: IpAddr, range: AddressRange, source: io::Error },
}

impl AddressRange {
    /// How many clones can have an address of their own. The network's own address and an IPv4 broadcast
    /// address are nobody's.
    pub fn count(&self) -> u64 {
        u64::try_from(self.usable().1).unwrap_or(u64::MAX)
    }

    /// The address of a clone.
    pub fn of(&self, clone: usize) -> IpAddr {
        let (first, count) = self.usable();
        let number = first + clone as u128 % count;
        match self.network {
            IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).expect("within an IPv4 network")).into(),
            IpAddr::V6(_) => Ipv6Addr::from(number).into(),
        }
    }

    /// How many users there are to an address.
    pub fn spread(&self, users: u64) -> Spread {
        let addresses = self.count();
        let users_sharing = users.min(2 * users.saturating_sub(addresses));
        Spread { range: self.to_string(), addresses, users_sharing }
    }

    /// That connections to the target can come from the range: from its first and its last address.
    pub fn check_here(&self, target: &Target) -> Result<(), AddressError> {
        let address = target.address();
        if address.is_ipv4() != self.network.is_ipv4() {
            return Err(AddressError::OtherKind { range: *self, address });
        }
        let last = usize::try_from(self.count() - 1).unwrap_or(usize::MAX);
        for address in [self.of(0), self.of(last)] {
            socket_from(address).map_err(|source| AddressError::NotHere { address, range: *self, source })?;
        }
        Ok(())
    }

    /// First address as a number, and how many there are.
    fn usable(&self) -> (u128, u128) {
        let (network, address_bits) = number_of(self.network);
        let host_bits = address_bits - self.prefix_bits;
        // A network of all addresses has one less than it has: nobody misses it.
        let all = 1_u128.checked_shl(host_bits.into()).unwrap_or(u128::MAX);
        match (self.network, host_bits) {
            (_, 0 | 1) => (network, all),
            (IpAddr::V4(_), _) => (network + 1, all - 2),
            (IpAddr::V6(_), _) => (network + 1, all - 1),
        }
    }
}

/// Connects from an address of this machine: some 28,000 connections of an address at a time, those that it closed
/// within the last minute among them (`net.ipv4.ip_local_port_range`).
pub(super) async fn connect_from(source: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    socket_from(source)?.connect(target).await
}

fn socket_from(source: IpAddr) -> io::Result<TcpSocket> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(source, 0))?;
    Ok(socket)
}

fn number_of(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u32::from(v4).into(), 32),
        IpAddr::V6(v6) => (v6.into(), 128),
    }
}

impl FromStr for AddressRange {
    type Err = AddressError;

    /// `10.20.0.0/16`, or one address.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotRange { text: text.to_owned() };
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (number, address_bits) = number_of(address);
        let prefix_bits = bits.map_or(Ok(address_bits), str::parse).map_err(|_| wrong())?;
        let host_bits = address_bits.checked_sub(prefix_bits).ok_or_else(wrong)?;
        let network = number.checked_shr(host_bits.into()).map_or(0, |prefix| prefix << host_bits);
        if network == number {
            return Ok(Self { network: address, prefix_bits });
        }
        let network = match address {
            IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(network).expect("within IPv4")).into(),
            IpAddr::V6(_) => Ipv6Addr::from(network).into(),
        };
        Err(AddressError::WithinNetwork { text: text.to_owned(), network: Self { network, prefix_bits } })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn clones_have_the_addresses_in_turn() {
        let cases = [
            ("10.20.0.0/16", 0, "10.20.0.1", 65_534),
            ("10.20.0.0/16", 65_533, "10.20.255.254", 65_534),
            ("10.20.0.0/16", 65_534, "10.20.0.1", 65_534),
            ("192.0.2.8/31", 1, "192.0.2.9", 2),
            ("192.0.2.8", 5, "192.0.2.8", 1),
            ("fd00:1::/64", 255, "fd00:1::100", u64::MAX),
            ("0.0.0.0/0", 0, "0.0.0.1", 4_294_967_294),
            ("::/0", 0, "::1", u64::MAX),
        ];
        for (text, clone, address, count) in cases {
            assert_eq!(
                (range(text).of(clone).to_string().as_str(), range(text).count()),
                (address, count),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_an_example() {
        for text in ["", "10.20.0.0/33", "10.20/16", "10.20.0.0/", "10.20.0.0/-1", "::/129", "host/8"] {
            let refused = text.parse::<AddressRange>().unwrap_err().to_string();
            assert!(refused.contains("10.20.0.0/16"), "{text}: {refused}");
        }
        let refused = "10.20.3.4/16".parse::<AddressRange>().unwrap_err().to_string();
        assert!(refused.contains("write 10.20.0.0/16"), "{refused}");
    }

    #[test]
    fn who_shares_an_address_is_counted() {
        let sharing = |users| range("10.0.0.0/29").spread(users).users_sharing;
        assert_eq!([0, 6, 7, 11, 12, 13].map(sharing), [0, 0, 2, 10, 12, 13]);
    }

    #[test]
    fn addresses_of_another_machine_are_refused_with_the_remedy() {
        let target = Target::resolve("http://127.0.0.1:9").unwrap();
        assert!(range("127.0.1.0/24").check_here(&target).is_ok());
        let refused = range("192.0.2.0/24").check_here(&target).unwrap_err().to_string();
        assert!(
            refused.contains("192.0.2.1") && refused.contains("ip route add local 192.0.2.0/24"),
            "{refused}"
        );
        let refused = range("fd00::/64").check_here(&target).unwrap_err().to_string();
        assert!(refused.contains("not of one kind"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_two_clones_share_while_there_are_enough(prefix_bits in 22_u8..=32, from in 0..10_000_usize) {
            let range = AddressRange { network: Ipv4Addr::new(10, 0, 0, 0).into(), prefix_bits };
            let count = usize::try_from(range.count()).unwrap();
            let dealt: HashSet<IpAddr> = (from..from + count).map(|clone| range.of(clone)).collect();
            prop_assert_eq!(dealt.len(), count);
        }
    }
}
