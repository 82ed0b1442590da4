//! Certificates of the moment, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// A self-signed certificate and its key.
pub(crate) struct Certified {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certified {
    /// For a host or an address, as `name.pem` and `name.key` in the directory.
    pub(crate) fn make(directory: &Path, name: &str, host: &str) -> Self {
        let certified =
            Self { chain: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
        let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", &format!("/CN={host}")])
            .args(["-addext", &format!("subjectAltName={kind}:{host}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&certified.key)
            .arg("-out")
            .arg(&certified.chain)
            .output()
            .expect("this test makes a certificate with openssl: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        certified
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.chain).unwrap()
    }

    /// As a `[[listener.certificate]]`.
    pub(crate) fn listed(&self, hosts: &[&str]) -> String {
        format!(
            "[[listener.certificate]]\nchain = \"{}\"\nkey = \"{}\"\nhosts = {hosts:?}\n",
            self.chain.display(),
            self.key.display()
        )
    }
}
