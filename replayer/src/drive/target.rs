//! Where a run sends to: one origin, its address resolved once, TLS when the URL says so.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use url::Url;

/// A target's origin.
#[derive(Clone)]
pub struct Target {
    url: Url,
    /// `host`, or `host:port` when the port is not the scheme's own: the `Host` header.
    authority: String,
    addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
}

/// What its connections need for TLS.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
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
                    self.shake_hands(stream, address, timeout)?;
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
    ) -> Result<(), TargetError> {
        let failed = |source| TargetError::Handshake { authority: self.authority.clone(), address, source };
        let Some(Tls { config, name }) = &self.tls else { return Ok(()) };
        let timed = stream.set_read_timeout(Some(timeout)).and(stream.set_write_timeout(Some(timeout)));
        timed.map_err(failed)?;
        let session = ClientConnection::new(Arc::clone(config), name.clone());
        let mut session = session.map_err(|error| failed(io::Error::other(error)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream).map_err(failed)?;
        }
        Ok(())
    }

    pub fn authority(&self) -> &str {
        &self.authority
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

impl Tls {
    /// For a client of its own, which has no tickets of another's sessions. Roots and cryptography are shared.
    pub(super) fn of_client(&self) -> Self {
        /// Of its one server.
        const TICKETS_MAX: usize = 8;
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        Self { config: Arc::new(config), name: self.name.clone() }
    }
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

fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

fn tls_for(host: &str, roots: RootCertStore) -> Result<Tls, TargetError> {
    let failed = |reason: String| TargetError::Tls { host: host.to_owned(), reason };
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), name })
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
