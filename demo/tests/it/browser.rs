//! A plain HTTP client: one connection per request, complete answers, or the bytes that came before the cut.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// No answer of these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// An answer as it arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False when the connection ended before the announced length.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Milliseconds of a stage in `Server-Timing`.
    pub(crate) fn stage_ms(&self, name: &str) -> Option<f64> {
        let stage = self.header("server-timing").split(", ").find_map(|stage| stage.strip_prefix(name));
        stage.map(|rest| rest.strip_prefix(";dur=").unwrap().parse().unwrap())
    }
}

/// Somebody at `addr`'s door.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    pub(crate) addr: SocketAddr,
    pub(crate) token: Option<String>,
}

impl Browser {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, Some(content_type), body.into()).await
    }

    async fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: Bytes) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", self.addr.to_string());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = self.exchange(request.body(Full::new(body)).unwrap());
        tokio::time::timeout(DEADLINE, answer).await.expect("an answer in time")
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (parts, mut body) = sender.send_request(request).await.expect("an answer").into_parts();
        let mut bytes = Vec::new();
        let mut complete = true;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => complete = false,
            }
        }
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes.into(), complete }
    }
}
