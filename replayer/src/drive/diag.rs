//! What the kernel still holds of what was handed to a socket.
//!
//! A write ends when the kernel has the bytes, not when the target has. How many of them the target's kernel
//! has not acknowledged is asked by `sock_diag(7)`: the same number as `ioctl(SIOCOUTQ)` and some 5 µs, by plain
//! reads and writes of a netlink socket, where the ioctl and `TCP_INFO` would need unsafe code.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

/// Of `linux/sock_diag.h` and `linux/netlink.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// `nlmsghdr`, then `inet_diag_req_v2`.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// Where `inet_diag_msg` has `idiag_wqueue`: of a connection, bytes written and not acknowledged.
const UNACKNOWLEDGED_AT: usize = HEADER_BYTES + 4 + 48 + 8;

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// A way to ask, one per worker.
#[derive(Debug)]
pub(super) struct SocketDiag {
    netlink: OwnedFd,
    sequence: Cell<u32>,
}

impl SocketDiag {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let netlink = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Self { netlink, sequence: Cell::default() })
    }

    /// `None` when the kernel does not tell, or knows no such connection any more.
    pub(super) fn unacknowledged_bytes(&self, of: Endpoints) -> Option<u64> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        rustix::io::write(&self.netlink, &request(of, sequence)).ok()?;
        let mut reply = [0; 1024];
        loop {
            // The answer is there when the write returns; one of an earlier question is passed over.
            let bytes = rustix::io::read(&self.netlink, &mut reply).ok()?;
            let reply = &reply[..bytes];
            if number(reply, 8).map(u32::from_ne_bytes) == Some(sequence) {
                return unacknowledged_bytes(reply);
            }
        }
    }
}

fn request(of: Endpoints, sequence: u32) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    let (family, local, peer) = match (of.local.ip(), of.peer.ip()) {
        (IpAddr::V4(local), IpAddr::V4(peer)) => (AF_INET, local.octets().to_vec(), peer.octets().to_vec()),
        (local, peer) => (AF_INET6, as_v6(local).to_vec(), as_v6(peer).to_vec()),
    };
    put(0, &u32::try_from(REQUEST_BYTES).unwrap_or_default().to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(8, &sequence.to_ne_bytes());
    put(16, &[family, IPPROTO_TCP]);
    // In any state.
    put(20, &u32::MAX.to_ne_bytes());
    put(24, &of.local.port().to_be_bytes());
    put(26, &of.peer.port().to_be_bytes());
    put(28, &local);
    put(44, &peer);
    // Any cookie (`INET_DIAG_NOCOOKIE`); the interface before it stays 0: any.
    put(64, &u64::MAX.to_ne_bytes());
    request
}

fn as_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn unacknowledged_bytes(reply: &[u8]) -> Option<u64> {
    let kind = number(reply, 4).map(u16::from_ne_bytes)?;
    let held = number(reply, UNACKNOWLEDGED_AT).map(u32::from_ne_bytes)?;
    (kind == SOCK_DIAG_BY_FAMILY).then_some(held.into())
}

fn number<const BYTES: usize>(reply: &[u8], at: usize) -> Option<[u8; BYTES]> {
    reply.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connection(address: &str) -> (TcpStream, TcpStream, Endpoints) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let ends = Endpoints { local: client.local_addr().unwrap(), peer: client.peer_addr().unwrap() };
        (client, server, ends)
    }

    #[test]
    fn a_target_that_does_not_read_leaves_bytes_with_the_kernel() {
        let diag = SocketDiag::open().unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut client, _server, ends) = connection(address);
            assert_eq!(diag.unacknowledged_bytes(ends), Some(0), "{address}");
            client.set_nonblocking(true).unwrap();
            let mut written = 0;
            while let Ok(bytes) = client.write(&[0; 16 * 1024]) {
                written += bytes as u64;
            }
            let held = diag.unacknowledged_bytes(ends).unwrap();
            assert!(held > 0 && held < written, "{address}: {held} of {written} B");
        }
    }

    #[test]
    fn a_connection_that_nobody_knows_has_no_answer_and_spoils_no_other() {
        let diag = SocketDiag::open().unwrap();
        let (_client, _server, ends) = connection("127.0.0.1:0");
        let nobody = Endpoints { local: "127.0.0.1:1".parse().unwrap(), ..ends };
        assert_eq!((diag.unacknowledged_bytes(nobody), diag.unacknowledged_bytes(ends)), (None, Some(0)));
    }
}
