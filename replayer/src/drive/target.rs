//! Where a run sends to: one origin, its address resolved once, TLS when the URL says so.

mod tls;

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use url::Url;

pub(super) use self::tls::{Tls, version_of};
use self::tls::{public_roots, tls_for};
use crate::measure::http::Version;

/// A target's origin.
#[derive(Clone)]
pub struct Target {
    url: Url,
    /// `host`, or `host:port` when the port is not the scheme's own: the `Host` header.
    authority: String,
    addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
}

/// Why a URL cannot be a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("`{url}` is no URL: {source}; write http://HOST:PORT or https://HOST")]
    NotUrl { url: String, source: url::ParseError },
    #[error("`{url}` has the scheme `{scheme}`; a target is http:// or https://")]
    Scheme { url: String, scheme: String },
    #[error("`{url}` names no host; write http://HOST:PORT or https://HOST")]
    NoHost { url: String },
    #[error(
        "`{url}` has a path, query or user name; a target is an origin such as http://127.0.0.1:8080, \
         the paths come from the capture"
    )]
    NotOrigin { url: String },
    #[error("cannot resolve `{host}`: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("TLS for `{host}`: {reason}")]
    Tls { host: String, reason: String },
    #[error(
        "TLS with `{authority}` ({address}) failed: {source}; is it an https server? \
         For a certificate of a private CA give the CA's by --ca FILE (PEM)"
    )]
    Handshake { authority: String, address: SocketAddr, source: io::Error },
    #[error("`{path}` holds no certificate to trust: {reason}; give a PEM file (-----BEGIN CERTIFICATE-----)", path = path.display())]
    Ca { path: PathBuf, reason: String },
    #[error("`{origin}` has no TLS, so there is no certificate to trust; write https:// or leave --ca out")]
    CaWithoutTls { origin: String },
    #[error(
        "`{authority}` ({address}) does not speak HTTP/2{how}: {found}; leave --http 2 out, or name another target"
    )]
    NotHttp2 { authority: String, address: SocketAddr, how: &'static str, found: String },
    #[error("`{authority}` ({address}) does not accept connections: {source}; is the target running?")]
    Unreachable { authority: String, address: SocketAddr, source: io::Error },
}

impl Target {
    /// Reads a URL and resolves its host.
    pub fn resolve(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(|source| TargetError::NotUrl { url: text.to_owned(), source })?;
        check_origin(&url, text)?;
        let no_host = || TargetError::NoHost { url: text.to_owned() };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(no_host)?.to_owned();
        let port = url.port_or_known_default().ok_or_else(no_host)?;
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let tls = if url.scheme() == "https" { Some(tls_for(&host, public_roots())?) } else { None };
        let addresses = addresses_of(&host, port)?;
        Ok(Self { url, authority, addresses, tls })
    }

    /// Trusts the certificates of a PEM file beside those of the public authorities.
    pub fn trusting(self, ca: &Path) -> Result<Self, TargetError> {
        let unusable = |reason: String| TargetError::Ca { path: ca.to_owned(), reason };
        if self.tls.is_none() {
            return Err(TargetError::CaWithoutTls { origin: self.origin() });
        }
        let certificates = CertificateDer::pem_file_iter(ca).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
        if certificates.is_empty() {
            return Err(unusable("no certificate in it".to_owned()));
        }
        let mut roots = public_roots();
        for certificate in certificates {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        let tls = Some(tls_for(self.host(), roots)?);
        Ok(Self { tls, ..self })
    }

    /// Connects once, with its TLS, and keeps the first address that answers.
    pub fn reached(mut self, timeout: Duration) -> Result<Self, TargetError> {
        let mut refused = None;
        for &address in &self.addresses {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    let chosen = self.shake_hands(stream, address, timeout)?;
                    self.tls.iter_mut().for_each(|tls| tls.chosen = chosen);
                    self.addresses = vec![address];
                    return Ok(self);
                }
                Err(source) => refused = Some((address, source)),
            }
        }
        let (address, source) = refused.expect("a resolved target has an address");
        Err(TargetError::Unreachable { authority: self.authority, address, source })
    }

    fn shake_hands(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<Option<Version>, TargetError> {
        let failed = |source| TargetError::Handshake { authority: self.authority.clone(), address, source };
        let Some(tls) = &self.tls else { return Ok(None) };
        set_timeouts(&stream, timeout).map_err(failed)?;
        let session = ClientConnection::new(tls.config(Version::Http2), tls.name.clone());
        let mut session = session.map_err(|error| failed(io::Error::other(error)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream).map_err(failed)?;
        }
        Ok(Some(version_of(session.alpn_protocol())))
    }

    /// Makes sure that it speaks HTTP/2: by what its TLS has chosen, else by prior knowledge. For a target that has been
    /// [reached](Self::reached).
    pub fn speaking_http2(self, timeout: Duration) -> Result<Self, TargetError> {
        let (address, chosen) = (self.address(), self.tls.as_ref().and_then(|tls| tls.chosen));
        let (how, found) = match (&self.tls, chosen) {
            (Some(_), Some(Version::Http2)) => return Ok(self),
            (Some(_), _) => ("", "its TLS offers no h2 (ALPN)".to_owned()),
            (None, _) => match prior_knowledge(address, timeout) {
                Ok(()) => return Ok(self),
                Err(error) => (" without TLS (h2c)", error.to_string()),
            },
        };
        Err(TargetError::NotHttp2 { authority: self.authority, address, how, found })
    }

    /// Whether its TLS may choose HTTP/2 when both are offered.
    pub(super) fn may_speak_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.chosen != Some(Version::Http1))
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.is_tls() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// `http://127.0.0.1:8080`.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether it can only be a machine of one's own network.
    pub fn is_private(&self) -> bool {
        self.addresses.iter().all(|address| is_private(address.ip()))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.addresses.first().expect("a resolved target has an address")
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

/// TLS with HTTP/1.1 to a host that a public authority vouches for.
pub(crate) fn public_tls(host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), TargetError> {
    let tls = tls_for(host, public_roots())?;
    Ok((tls.config(Version::Http1), tls.name))
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target {{ {} at {:?} }}", self.origin(), self.addresses)
    }
}

fn check_origin(url: &Url, text: &str) -> Result<(), TargetError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::Scheme { url: text.to_owned(), scheme: url.scheme().to_owned() });
    }
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if is_bare { Ok(()) } else { Err(TargetError::NotOrigin { url: text.to_owned() }) }
}

fn addresses_of(host: &str, port: u16) -> Result<Vec<SocketAddr>, TargetError> {
    let failed = |source| TargetError::Resolve { host: host.to_owned(), source };
    // URLs write IPv6 addresses in brackets, resolvers do not.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (bare, port).to_socket_addrs().map_err(failed)?.collect();
    if addresses.is_empty() { Err(failed(io::ErrorKind::NotFound.into())) } else { Ok(addresses) }
}

fn set_timeouts(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(timeout)).and(stream.set_write_timeout(Some(timeout)))
}

/// Whether a server without TLS answers the preface of HTTP/2 with its own, a `SETTINGS` frame (RFC 9113, section 3.4).
fn prior_knowledge(address: SocketAddr, timeout: Duration) -> io::Result<()> {
    const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const SETTINGS: u8 = 4;
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    set_timeouts(&stream, timeout)?;
    stream.write_all(PREFACE_AND_SETTINGS)?;
    let mut frame_head = [0; 9];
    stream.read_exact(&mut frame_head)?;
    if frame_head[3] == SETTINGS && frame_head[5..] == [0; 4] {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&frame_head);
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it answered `{}…`", text.escape_debug())))
}

/// Loopback, link-local, and the private ranges of RFC 1918, RFC 4193 and RFC 6598.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => {
            let mapped = v6.to_ipv4_mapped().is_some_and(|v4| is_private(v4.into()));
            mapped || v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_targets() {
        let target = Target::resolve("http://127.0.0.1:8080/").unwrap();
        assert_eq!(
            (target.authority(), target.origin().as_str()),
            ("127.0.0.1:8080", "http://127.0.0.1:8080")
        );
        assert_eq!(Target::resolve("http://127.0.0.1").unwrap().authority(), "127.0.0.1");
        assert_eq!(Target::resolve("http://[::1]:9").unwrap().address().to_string(), "[::1]:9");
        assert!(Target::resolve("https://127.0.0.1:1").unwrap().tls().is_some());
    }

    #[test]
    fn what_is_no_origin_is_refused_with_an_example() {
        let refusals = [
            ("127.0.0.1:8080", "is no URL"),
            ("ftp://127.0.0.1", "the scheme `ftp`"),
            ("localhost:8080", "the scheme `localhost`"),
            ("http://127.0.0.1/api", "has a path"),
            ("http://user@127.0.0.1", "has a path, query or user name"),
            ("http://127.0.0.1:99999", "is no URL"),
        ];
        for (text, expected) in refusals {
            let error = Target::resolve(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_listening_is_said_before_the_run() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Target::resolve(&format!("http://{address}")).unwrap();
        assert!(target.clone().reached(Duration::from_secs(5)).is_ok());
        drop(listener);
        let error = target.reached(Duration::from_secs(5)).unwrap_err().to_string();
        assert!(error.contains("does not accept connections"), "{error}");
    }

    #[test]
    fn a_target_that_speaks_no_http_2_is_said_before_the_run() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.read_exact(&mut [0; 24]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let refused = Target::resolve(&origin).unwrap().speaking_http2(Duration::from_secs(5)).unwrap_err();
        server.join().unwrap();
        let refused = refused.to_string();
        assert!(refused.contains("without TLS (h2c): it answered `HTTP/1.1 …`"), "{refused}");
    }

    #[test]
    fn private_addresses_are_known() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:4860::1", "::ffff:8.8.8.8"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
