//! What a clone is to the network: a client of its own, with its address, its TLS sessions and its cookies.
//!
//! Clones share what does not tell them apart (trusted roots, the cryptography) and nothing else: a clone that
//! resumed another's TLS session would spare the target the handshake that a new user costs it.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;
use time::OffsetDateTime;
use tokio::net::TcpStream;

use super::addresses::connect_from;
use super::cookies::{Held, Jar, SetCookie};
use super::script::Script;
use super::target::Tls;
use super::{DriveConfig, Marking};

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    /// `None` where the target has no TLS.
    pub(super) tls: Option<Tls>,
    pub(super) forwarded_for: Option<HeaderValue>,
    pub(super) marking: Marking,
    source: Option<IpAddr>,
    /// `None` for a client that keeps no cookies.
    jar: Option<RefCell<Jar>>,
}

impl Client {
    /// The client of the plan's clone with this number.
    pub(super) fn new(config: &DriveConfig, clone: usize, script: &Script) -> Self {
        let address = |address: IpAddr| {
            HeaderValue::from_str(&address.to_string()).expect("addresses are visible ASCII")
        };
        Self {
            tls: config.target.tls().map(|tls| tls.of_client(script.wants_http2())),
            forwarded_for: config.forwarded_for.map(|range| address(range.of(clone))),
            marking: config.marking.clone(),
            source: config.source_addresses.map(|range| range.of(clone)),
            jar: script.habits.keeps.then(RefCell::default),
        }
    }

    pub(super) async fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        match self.source {
            Some(source) => connect_from(source, target).await,
            None => TcpStream::connect(target).await,
        }
    }

    /// Keeps what an answer set.
    pub(super) fn keep(&self, cookies: &[SetCookie]) {
        if let Some(jar) = self.jar.as_ref().filter(|_| !cookies.is_empty()) {
            jar.borrow_mut().set(cookies, OffsetDateTime::now_utc());
        }
    }

    /// The cookies that go with a request for a path.
    pub(super) fn held(&self, path: &str) -> Held {
        self.jar.as_ref().map(|jar| jar.borrow().held(path, OffsetDateTime::now_utc())).unwrap_or_default()
    }
}
