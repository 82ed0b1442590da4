//! An HTTP/2 client that decides over every frame of a body, on the `h2` crate.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::wait::PATIENCE;

/// A connection; its frames are moved by a task of its own.
pub(crate) struct Http2 {
    pub(crate) requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Not longer than a test waits.
pub(crate) async fn patiently<T>(what: &str, event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, event).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

impl Http2 {
    /// With prior knowledge.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Sends a head; the body follows, unless there is none.
    pub(crate) async fn begin(
        &self,
        request: Request<()>,
        bodyless: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = patiently("a free stream", self.requests.clone().ready()).await;
        ready.unwrap().send_request(request, bodyless).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let (response, _) = self.begin(request(Method::GET, path), true).await;
        answer(response).await.unwrap()
    }

    /// An upload without a Content-Length.
    pub(crate) async fn upload(&self, path: &str, body: Vec<u8>) -> Result<Answer, h2::Error> {
        let (response, mut stream) = self.begin(request(Method::POST, path), false).await;
        // An answer may come, and the stream end, before the body does.
        let _ = send(&mut stream, body.into(), true).await;
        answer(response).await
    }

    /// How the connection ended.
    pub(crate) async fn end(self) -> Result<(), h2::Error> {
        drop(self.requests);
        patiently("the connection's end", self.connection).await.unwrap()
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://school.example{path}");
    Request::builder().method(method).uri(uri).version(http::Version::HTTP_2).body(()).unwrap()
}

/// Sends as the windows allow; how much went out when the stream ended early.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes, end: bool) -> Result<(), usize> {
    let mut sent = 0;
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let granted = patiently("a window", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
        let Some(Ok(granted)) = granted else { return Err(sent) };
        let part = bytes.split_to(granted.min(bytes.len()));
        sent += part.len();
        stream.send_data(part, end && bytes.is_empty()).map_err(|_| sent)?;
    }
    Ok(())
}

/// As much as the windows allow, until none is granted for a while.
pub(crate) async fn send_until_stuck(stream: &mut SendStream<Bytes>, quiet: Duration) -> usize {
    let mut sent = 0;
    loop {
        stream.reserve_capacity(64 << 10);
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        let Ok(Some(Ok(granted))) = tokio::time::timeout(quiet, capacity).await else { return sent };
        stream.send_data(vec![7; granted].into(), false).unwrap();
        sent += granted;
    }
}

/// The whole answer, or why there is none.
pub(crate) async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let response: Response<RecvStream> = patiently("an answer", response).await?;
    let (parts, mut receive) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = patiently("the answer's body", receive.data()).await {
        let piece = piece?;
        receive.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body })
}
