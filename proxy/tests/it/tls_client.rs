//! A TLS client that says which protocols it speaks and keeps what it was shown.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::Certified;
use crate::wait::PATIENCE;

/// Trusts these certificates and no other.
pub(crate) fn trusting(trusted: &[&Certified], protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certified in trusted {
        roots.add(certified.der()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

pub(crate) struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    pub(crate) fn connect(address: SocketAddr, host: &str, config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Self(stream)
    }

    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    /// The certificate that the server showed.
    pub(crate) fn shown(&self) -> &CertificateDer<'static> {
        &self.0.conn.peer_certificates().unwrap()[0]
    }

    /// Asks and gives the answer's head and, by its Content-Length, body.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> (String, String) {
        self.0.write_all(request.as_ref()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length =
            crate::client::field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }
}
