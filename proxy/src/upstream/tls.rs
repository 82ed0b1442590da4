//! TLS towards peers.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::{self, PeerUrl, UpstreamTls};

/// How one peer is spoken to.
#[derive(Clone)]
pub(crate) struct PeerTls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl std::fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerTls({:?})", self.name)
    }
}

/// How the peers of a group are checked; made only where one is `https`.
pub(super) struct Client(Option<TlsConnector>);

impl Client {
    pub(super) fn of(group: &config::Upstream) -> anyhow::Result<Self> {
        if !group.peers.iter().any(PeerUrl::is_tls) {
            return Ok(Self(None));
        }
        let authorities = group.tls.as_ref().and_then(|tls| tls.authorities.as_deref());
        let roots = authorities.map_or_else(|| Ok(public_roots()), roots)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self(Some(TlsConnector::from(Arc::new(config)))))
    }

    pub(super) fn for_peer(
        &self,
        url: &PeerUrl,
        tls: Option<&UpstreamTls>,
    ) -> Result<Option<PeerTls>, String> {
        let Some(connector) = self.0.as_ref().filter(|_| url.is_tls()) else { return Ok(None) };
        let name = tls.and_then(|tls| tls.name.as_deref()).unwrap_or(url.host_and_port().0);
        let server_name = ServerName::try_from(name.to_owned());
        let name = server_name.map_err(|_| format!("`{name}` is no name that a certificate can be for"))?;
        Ok(Some(PeerTls { connector: connector.clone(), name }))
    }
}

fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() }
}

fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let wrong = |why: String| anyhow::anyhow!("{}: {why}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it; give a PEM file".to_owned()));
    }
    Ok(roots)
}
