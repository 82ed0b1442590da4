//! One GET to an endpoint, on a connection of its own. The caller bounds the time, this the size.

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kingtide_common::redact::percent_decoded;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::look::Blind;
use super::settings::Address;
use crate::drive::public_tls;

/// Answers that are larger are none.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What is asked each time.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: Address,
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// What came back, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Endpoint {
    pub(super) fn new(address: &Address) -> Result<Self, String> {
        let url = address.url();
        let no_host = || format!("`{address}` names no host; write http://HOST:PORT/PATH");
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(no_host)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = (url.scheme() == "https").then(|| public_tls(&host)).transpose();
        let tls = tls.map_err(|error| format!("`{address}`: {error}"))?;
        Ok(Self {
            address: address.clone(),
            port: url.port_or_known_default().ok_or_else(no_host)?,
            host,
            tls,
        })
    }

    pub(super) async fn get(&self) -> Result<Answer, Blind> {
        let failed = |why: &dyn fmt::Display| Blind(format!("{}: {why}", self.address));
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| failed(&error))?;
        let answered = match &self.tls {
            None => self.ask(stream).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let connected = connector.connect(name.clone(), stream).await;
                self.ask(connected.map_err(|error| failed(&error))?).await
            }
        };
        answered.map_err(|error| failed(&error))
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Answer> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let request = self.request()?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
            Ok(Answer { status, body })
        };
        // The connection is what moves the exchange; when the peer ends it first, the exchange says why.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            _ = &mut connection => exchange.await,
        }
    }

    fn request(&self) -> io::Result<Request<Empty<Bytes>>> {
        let url = self.address.url();
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
            .header(HOST, host)
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, concat!("kingtide/", env!("CARGO_PKG_VERSION")));
        if let Some(password) = url.password() {
            let login = format!("{}:{}", percent_decoded(url.username()), percent_decoded(password));
            request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(login)));
        }
        request.body(Empty::new()).map_err(io::Error::other)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
