//! The backend of `bench/proxy.sh` and `bench/slow.sh`: reads each body to its end and answers 200 at once, so that what is
//! measured is the proxy before it. `classroom` would not do: its law makes requests wait. `x-received` says
//! how many bytes the body had, so that a client knows what came through.
//!
//! Listens on a free port of the loopback address and says which, like the other programs here.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

const ANSWER: &[u8] = br#"{"id":"5b2c5a0e-3d4f-4b1a-9c55-0f6b1d2e3a4c","status":"uploaded"}"#;

/// Connections that may wait to be accepted. The default of 128 overflows when a proxy opens hundreds at once, and
/// each that is dropped costs a second, which would be counted as the proxy's.
const BACKLOG: u32 = 4096;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(BACKLOG)?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        // A client that goes away is none of the sink's business.
        tokio::spawn(async { connection.await.ok() });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    let (mut whole, mut received) = (true, 0);
    while let Some(frame) = body.frame().await {
        whole &= frame.is_ok();
        received += frame.ok().and_then(|frame| frame.into_data().ok()).map_or(0, |data| data.len());
    }
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("x-received", HeaderValue::from(received));
    if !whole {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}
