//! A server on loopback that reads whatever it is sent and answers 200, as large as the request asks for.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};

use crate::drive::Target;

/// The request header that says how many bytes the answer has.
pub(super) const ANSWER_BYTES: &str = "x-answer-bytes";
/// Larger answers are cut.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Sink {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Sink {
    pub(super) fn start(answer_bytes_max: u64) -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sink")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let bytes = usize::try_from(answer_bytes_max.min(ANSWER_BYTES_MAX)).unwrap_or(0);
        runtime.spawn(accept(listener, Bytes::from(vec![b' '; bytes])));
        Ok(Self { address, _runtime: runtime })
    }

    pub(super) fn target(&self) -> Target {
        Target::resolve(&format!("http://{}", self.address)).expect("an address is an origin")
    }
}

async fn accept(listener: TcpListener, filler: Bytes) {
    /// Descriptors come back, or the trial says what was not sent.
    const WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, filler.clone()))),
            Err(_) => tokio::time::sleep(WITHOUT_DESCRIPTORS).await,
        }
    }
}

async fn serve(stream: TcpStream, filler: Bytes) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, filler.clone()));
    // How the peer left is of no interest.
    let _ = Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, filler: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = request.headers().get(ANSWER_BYTES).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let bytes = asked.unwrap_or(0).min(filler.len());
    Ok(Response::new(Full::new(filler.slice(..bytes))))
}
