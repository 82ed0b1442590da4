//! The PROXY protocol, versions 1 and 2, as a load balancer sends it before anything else on a connection
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Only what says who the client is, is read: TLVs are skipped. A header that speaks for nobody (`LOCAL`,
//! `UNKNOWN`, or another transport than TCP) leaves the addresses of the socket in force. A header must be whole
//! within 536 bytes, the least that a TCP segment carries: what is longer is refused rather than waited for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes that a header may have.
pub(crate) const HEADER_BYTES_MAX: usize = 536;
/// Of version 1, with its line end.
const LINE_BYTES_MAX: usize = 107;

const LINE_STARTS: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;

/// Whom the connection is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// From the peer of the socket.
    Socket,
    /// From `client`, to `local`.
    Proxied { client: SocketAddr, local: SocketAddr },
}

/// No header of the PROXY protocol: the connection is to be closed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

type Parsed = Result<Option<(Header, usize)>, Malformed>;

/// The header at the start of the bytes and how many it takes; `None` while more are needed.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if may_become(bytes, SIGNATURE) {
        binary(bytes)
    } else if may_become(bytes, LINE_STARTS) {
        line(bytes)
    } else {
        Err(Malformed)
    }
}

fn may_become(bytes: &[u8], start: &[u8]) -> bool {
    let both = bytes.len().min(start.len());
    bytes[..both] == start[..both]
}

fn line(bytes: &[u8]) -> Parsed {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(ends) = within.iter().position(|byte| *byte == b'\n') else {
        return if within.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Malformed) };
    };
    let text = within[..ends].strip_suffix(b"\r").and_then(|text| text.strip_prefix(LINE_STARTS));
    let text = std::str::from_utf8(text.ok_or(Malformed)?).map_err(|_| Malformed)?;
    let header =
        if text == "UNKNOWN" || text.starts_with("UNKNOWN ") { Header::Socket } else { addresses(text)? };
    Ok(Some((header, ends + 1)))
}

/// `TCP4 192.168.0.1 192.168.0.11 56324 443`
fn addresses(text: &str) -> Result<Header, Malformed> {
    let parts: Vec<&str> = text.split(' ').collect();
    let &[family, client, local, client_port, local_port] = parts.as_slice() else { return Err(Malformed) };
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::from).map_err(|_| Malformed),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::from).map_err(|_| Malformed),
        _ => Err(Malformed),
    };
    Ok(Header::Proxied {
        client: SocketAddr::new(address(client)?, port(client_port)?),
        local: SocketAddr::new(address(local)?, port(local_port)?),
    })
}

/// Digits only: `parse` alone would take a sign.
fn port(text: &str) -> Result<u16, Malformed> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(Malformed)
}

fn binary(bytes: &[u8]) -> Parsed {
    let Some(&[version_and_command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED_BYTES) else {
        return Ok(None);
    };
    let total = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if !matches!(version_and_command, 0x20 | 0x21) || total > HEADER_BYTES_MAX {
        return Err(Malformed);
    }
    let Some(rest) = bytes.get(FIXED_BYTES..total) else { return Ok(None) };
    let header = match (version_and_command, family) {
        (0x21, 0x11) => proxied::<4>(rest)?,
        (0x21, 0x21) => proxied::<16>(rest)?,
        _ => Header::Socket,
    };
    Ok(Some((header, total)))
}

/// Two addresses of `N` bytes, then two ports.
fn proxied<const N: usize>(rest: &[u8]) -> Result<Header, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let (client, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (local, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (&[a, b, c, d], _) = rest.split_first_chunk().ok_or(Malformed)?;
    let socket = |address: [u8; N], port| SocketAddr::new(IpAddr::from(address), u16::from_be_bytes(port));
    Ok(Header::Proxied { client: socket(*client, [a, b]), local: socket(*local, [c, d]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxied_between(client: &str, local: &str) -> Header {
        Header::Proxied { client: client.parse().unwrap(), local: local.parse().unwrap() }
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
    }

    #[test]
    fn version_1_is_a_line() {
        for (line, header) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 56324 443\r\n", proxied_between("1.2.3.4:56324", "5.6.7.8:443")),
            ("PROXY TCP6 ::1 fe80::2 1 2\r\n", proxied_between("[::1]:1", "[fe80::2]:2")),
            ("PROXY UNKNOWN\r\n", Header::Socket),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Header::Socket),
        ] {
            assert_eq!(parse(format!("{line}GET / HT").as_bytes()), Ok(Some((header, line.len()))), "{line}");
        }
    }

    #[test]
    fn version_2_is_binary() {
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187];
        let header = proxied_between("1.2.3.4:80", "5.6.7.8:443");
        assert_eq!(parse(&version_2(1, 0x11, &v4)), Ok(Some((header, 28))));
        let tlv = [&v4[..], &[0x04, 0, 2, 9, 9]].concat();
        assert_eq!(parse(&version_2(1, 0x11, &tlv)), Ok(Some((header, 33))), "TLVs are skipped");
        let v6 = [&[0; 15][..], &[1], &[0; 15], &[2], &[0, 80, 1, 187]].concat();
        assert_eq!(parse(&version_2(1, 0x21, &v6)), Ok(Some((proxied_between("[::1]:80", "[::2]:443"), 52))));
        for (command, family) in [(0, 0), (0, 0x11), (1, 0), (1, 0x12), (1, 0x31)] {
            assert_eq!(parse(&version_2(command, family, &v4)), Ok(Some((Header::Socket, 28))));
        }
    }

    #[test]
    fn anything_else_is_malformed_as_soon_as_it_can_be_told() {
        for text in [
            "GET",
            "PROXY\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 443 \r\n",
            "PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n",
            "PROXY TCP4 ::1 ::1 80 443\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n",
            "PROXY UNKNOWNS\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(parse(format!("PROXY UNKNOWN {}", "a".repeat(93)).as_bytes()), Err(Malformed));
        assert_eq!(parse(&version_2(2, 0x11, &[0; 12])), Err(Malformed), "command");
        assert_eq!(parse(&version_2(1, 0x11, &[0; 11])), Err(Malformed), "addresses cut off");
        assert_eq!(parse(&version_2(1, 0x11, &[0; 521])), Err(Malformed), "537 bytes");
        assert!(parse(&version_2(1, 0x11, &[0; 520])).is_ok_and(|found| found.is_some()));
    }

    fn valid() -> impl Strategy<Value = Vec<u8>> {
        let line = (any::<[u8; 8]>(), any::<(u16, u16)>()).prop_map(|(a, (client, local))| {
            let address = |at: usize| Ipv4Addr::from([a[at], a[at + 1], a[at + 2], a[at + 3]]);
            format!("PROXY TCP4 {} {} {client} {local}\r\n", address(0), address(4)).into_bytes()
        });
        let rest = prop::collection::vec(any::<u8>(), 36..=520);
        let family = prop::sample::select(vec![0_u8, 0x11, 0x21, 0x31]);
        let binary =
            (0_u8..2, family, rest).prop_map(|(command, family, rest)| version_2(command, family, &rest));
        prop_oneof![line, binary]
    }

    proptest! {
        #[test]
        fn a_part_of_a_header_needs_more_and_what_follows_does_not_matter(
            header in valid(), after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            for length in 0..header.len() {
                prop_assert_eq!(parse(&header[..length]), Ok(None));
            }
            let whole = parse(&header);
            prop_assert!(matches!(whole, Ok(Some((_, length))) if length == header.len()));
            prop_assert_eq!(parse(&[header, after].concat()), whole);
        }

        #[test]
        fn no_bytes_panic_and_536_are_enough(
            bytes in prop::collection::vec(any::<u8>(), 0..600), start in 0_usize..3, at in 0_usize..20,
        ) {
            let start = &[&b""[..], LINE_STARTS, SIGNATURE][start];
            let bytes = [&start[..at.min(start.len())], &bytes].concat();
            let parsed = parse(&bytes);
            prop_assert!(bytes.len() < HEADER_BYTES_MAX || parsed != Ok(None));
        }
    }
}
