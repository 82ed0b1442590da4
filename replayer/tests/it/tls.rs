//! TLS targets with a certificate of their own making, as staging servers have them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kingtide::drive::Target;
use kingtide::measure::clients::Handshakes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::captured::{at, get, session, upload};
use crate::drive::{assert_lateness_is_parted, config_of, drive, drive_times, errors};
use crate::server::{Server, answer};

const PATIENCE: Duration = Duration::from_secs(20);

/// A key and a certificate for 127.0.0.1 that is its own authority.
pub(super) struct Identity {
    directory: TempDir,
}

impl Identity {
    pub(super) fn new() -> Self {
        let identity = Self { directory: TempDir::new().unwrap() };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=staging", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(identity.file("key.pem"))
            .arg("-out")
            .arg(identity.certificate())
            .output()
            .expect("this test makes a certificate with openssl: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        identity
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_of(&[])
    }

    /// Chooses the first of these protocols that a client offers.
    pub(super) fn acceptor_of(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(self.certificate()).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.file("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

pub(super) fn https(server: &Server) -> Target {
    Target::resolve(&server.origin.replace("http://", "https://")).unwrap()
}

#[test]
fn a_private_certificate_is_trusted_when_it_is_given() {
    let identity = Identity::new();
    let server = Server::https(&identity);
    let target = https(&server).trusting(&identity.certificate()).unwrap().reached(PATIENCE).unwrap();
    let steps = vec![get("/"), at(10_000, upload(100_000, &[]))];
    let (_, report) = drive(&config_of(target), &[session(steps)]);
    assert_eq!((report.done, report.failed, report.files), (2, 0, 1), "{:?}", report.errors);
    assert_eq!(report.stages_ms["connect"].count, 1, "the handshake is the connect's");
    assert_eq!(server.connections(), 2, "one to see whether it is there, one for the user");
}

#[test]
fn a_slow_handshake_is_the_targets_connect_and_no_lag() {
    const DELAY: Duration = Duration::from_millis(300);
    let identity = Identity::new();
    let server = Server::slow_https(&identity, DELAY);
    let target = https(&server).trusting(&identity.certificate()).unwrap();
    let (_, report) = drive(&config_of(target), &[session(vec![get("/")])]);
    assert_eq!((report.done, report.failed), (1, 0), "{:?}", report.errors);
    assert!(report.stages_ms["connect"].max.unwrap() >= 300.0, "{:?}", report.stages_ms);
    assert_lateness_is_parted(&report);
}

/// Closes each connection after one answer, and notes the kinds of its handshakes.
fn closing(identity: &Identity) -> (Server, Arc<Mutex<Vec<HandshakeKind>>>) {
    let (acceptor, kinds) = (identity.acceptor(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&kinds);
    let server = Server::raw(move |stream| {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            seen.lock().unwrap().extend(stream.get_ref().1.handshake_kind());
            let service = service_fn(|_: Request<hyper::body::Incoming>| async {
                let mut response = Response::new(Full::<Bytes>::from("{}"));
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                Ok::<_, Infallible>(response)
            });
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        }
    });
    (server, kinds)
}

#[test]
fn each_clone_shakes_hands_in_full_once_and_resumes_only_its_own_sessions() {
    const TIMES: usize = 3;
    const CLONES: u64 = 2 * TIMES as u64;
    let identity = Identity::new();
    let (server, kinds) = closing(&identity);
    let target = https(&server).trusting(&identity.certificate()).unwrap();
    // The later half comes when the earlier one's tickets are there for the taking.
    let from = |start_us: u64| session([0, 10_000, 20_000].map(|us| at(start_us + us, get("/"))).to_vec());
    let (_, report) = drive_times(&config_of(target), &[from(0), from(700_000)], TIMES);
    assert_eq!((report.done, report.failed), (3 * CLONES, 0), "{:?}", report.errors);
    let expected = Handshakes { full: CLONES, resumed: 2 * CLONES };
    assert_eq!(report.clients.tls_handshakes, expected);
    let seen = kinds.lock().unwrap();
    let resumed = seen.iter().filter(|kind| **kind == HandshakeKind::Resumed).count() as u64;
    assert_eq!((seen.len() as u64 - resumed, resumed), (CLONES, 2 * CLONES), "as the server sees it");
}

#[test]
fn an_unknown_certificate_is_said_before_the_run() {
    let server = Server::https(&Identity::new());
    let refused = https(&server).reached(PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer") && refused.contains("--ca FILE"), "{refused}");
    let other = Identity::new();
    let refused = https(&server).trusting(&other.certificate()).unwrap().reached(PATIENCE);
    assert!(refused.is_err(), "another server's certificate");
    let (_, report) = drive(&config_of(https(&server)), &[session(vec![get("/")])]);
    assert_eq!(errors(&report), [("connect_failed", 1)]);
}

#[test]
fn a_server_without_tls_is_no_https_target() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let refused = https(&server).reached(PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("is it an https server?"), "{refused}");
}

#[test]
fn a_file_that_cannot_be_trusted_is_named() {
    let identity = Identity::new();
    let server = Server::https(&identity);
    let refused = |file: &str| https(&server).trusting(&identity.file(file)).unwrap_err().to_string();
    assert!(refused("absent.pem").contains("absent.pem"));
    assert!(refused("key.pem").contains("no certificate"));
    let plain = Target::resolve(&server.origin).unwrap().trusting(&identity.certificate());
    assert!(plain.unwrap_err().to_string().contains("leave --ca out"));
}
