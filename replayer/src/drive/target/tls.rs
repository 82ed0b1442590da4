//! The TLS of a target: whom it trusts, and which HTTP it offers.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::TargetError;
use crate::measure::http::Version;

const ALPN_HTTP1: &[u8] = b"http/1.1";
const ALPN_HTTP2: &[u8] = b"h2";

/// What its connections need for TLS.
#[derive(Debug, Clone)]
pub(in crate::drive) struct Tls {
    /// Offers HTTP/1.1.
    config: Arc<ClientConfig>,
    /// Offers HTTP/2 before it.
    config_http2: Arc<ClientConfig>,
    pub(in crate::drive) name: ServerName<'static>,
    /// Which of the two the target chose when it was reached.
    pub(super) chosen: Option<Version>,
}

impl Tls {
    /// For a client of its own, which has no tickets of another's sessions. Roots and cryptography are shared.
    pub(in crate::drive) fn of_client(&self, wants_http2: bool) -> Self {
        /// Of its one server.
        const TICKETS_MAX: usize = 8;
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        let config = Arc::new(config);
        let config_http2 = if wants_http2 { Arc::new(offering_http2(&config)) } else { Arc::clone(&config) };
        Self { config, config_http2, name: self.name.clone(), chosen: self.chosen }
    }

    /// Offers what the captured client did: a connection that spoke HTTP/1.1 stays so.
    pub(in crate::drive) fn config(&self, plays: Version) -> Arc<ClientConfig> {
        Arc::clone(match plays {
            Version::Http1 => &self.config,
            Version::Http2 => &self.config_http2,
        })
    }
}

pub(super) fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

pub(super) fn tls_for(host: &str, roots: RootCertStore) -> Result<Tls, TargetError> {
    let failed = |reason: String| TargetError::Tls { host: host.to_owned(), reason };
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    let config_http2 = Arc::new(offering_http2(&config));
    Ok(Tls { config: Arc::new(config), config_http2, name, chosen: None })
}

fn offering_http2(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config
}

/// What a TLS handshake chose; without a word on it HTTP/1.1 (RFC 9113, section 3.2).
pub(in crate::drive) fn version_of(alpn: Option<&[u8]>) -> Version {
    if alpn == Some(ALPN_HTTP2) { Version::Http2 } else { Version::Http1 }
}
