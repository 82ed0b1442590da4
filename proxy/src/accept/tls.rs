//! TLS towards clients: certificates by name, read again at a reload.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{Certificate, Listener};

/// Certificates in the order of the configuration.
#[derive(Debug)]
struct ByName {
    certificates: Vec<(Vec<String>, Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for ByName {
    /// The first that is for the name, else the first of all.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default();
        let fits = |(hosts, _): &&(Vec<String>, _)| hosts.iter().any(|host| matches(host, name));
        let found = self.certificates.iter().find(fits).or_else(|| self.certificates.first());
        found.map(|(_, key)| Arc::clone(key))
    }
}

/// `*.example.com` is for one label, as certificates mean it.
fn matches(host: &str, name: &str) -> bool {
    match host.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    }
}

/// A certificate or key that cannot be used; names the file.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct BadCertificate(anyhow::Error);

/// Reads the certificates of a listener.
pub(crate) fn server_config(listener: &Listener) -> Result<Arc<ServerConfig>, BadCertificate> {
    let read =
        |certificate: &Certificate| Ok((certificate.hosts.clone(), Arc::new(certified_key(certificate)?)));
    let certificates =
        listener.certificate.iter().map(read).collect::<anyhow::Result<Vec<_>>>().map_err(BadCertificate)?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(ByName { certificates }));
    let http1 = b"http/1.1".to_vec();
    config.alpn_protocols = if listener.http2 { vec![b"h2".to_vec(), http1] } else { vec![http1] };
    Ok(Arc::new(config))
}

fn certified_key(certificate: &Certificate) -> anyhow::Result<CertifiedKey> {
    let (chain_file, key_file) = (&certificate.chain, &certificate.key);
    let chain = chain(chain_file).with_context(|| format!("certificate {}", chain_file.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(key_file).with_context(|| format!("key {}", key_file.display()))?;
    let key = any_supported_type(&key).with_context(|| format!("key {}", key_file.display()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => anyhow::bail!("{} is not the key of {}", key_file.display(), chain_file.display()),
    }
}

fn chain(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "no certificate in it; give a PEM file");
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_for_one_label() {
        assert!(matches("*.a.example", "b.A.example") && matches("a.example", "A.example"));
        assert!(!matches("*.a.example", "a.example") && !matches("*.a.example", "c.b.a.example"));
    }
}
