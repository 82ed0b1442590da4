//! One student's connection: opened on need, kept alive between requests, thrown away after any failure.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request body of any kind.
pub(crate) type OutBody = UnsyncBoxBody<Bytes, Infallible>;

/// Largest answer read, bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there was no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect,
    /// The connection ended before the answer's headers.
    Broken,
    /// The connection ended within the answer.
    Truncated,
    /// Nothing complete in time.
    Timeout,
}

impl Failure {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Truncated => "truncated",
            Self::Timeout => "timeout",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    /// `HOST:PORT`
    authority: String,
    timeout: Duration,
    sender: Option<SendRequest<OutBody>>,
}

impl Client {
    pub(crate) fn new(authority: String, timeout: Duration) -> Self {
        Self { authority, timeout, sender: None }
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends the request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: Request<OutBody>) -> Result<Answer, Failure> {
        let limit = self.timeout;
        let answer = timeout(limit, self.exchange_unlimited(request)).await;
        let answer = answer.unwrap_or(Err(Failure::Timeout));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange_unlimited(&mut self, request: Request<OutBody>) -> Result<Answer, Failure> {
        let sender = self.connected().await.map_err(|_| Failure::Connect)?;
        let response = sender.send_request(request).await.map_err(|_| Failure::Broken)?;
        read(response).await
    }

    async fn connected(
        &mut self,
    ) -> Result<&mut SendRequest<OutBody>, Box<dyn std::error::Error + Send + Sync>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(connect(&self.authority).await?);
        }
        self.sender.as_mut().ok_or_else(|| "no connection".into())
    }
}

async fn connect(authority: &str) -> Result<SendRequest<OutBody>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Its failures reach the student through the request in flight.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(|_| Failure::Truncated)?.to_bytes();
    Ok(Answer { status, body })
}
