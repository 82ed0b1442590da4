//! Scripted servers on a port of their own, until they are dropped.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::tls;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// When its head was there.
    pub(super) at: Instant,
    pub(super) from: IpAddr,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// (µs since the head, bytes so far) for each piece of the body.
    pub(super) arrivals: Vec<(u64, u64)>,
}

pub(super) struct Server {
    pub(super) origin: String,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    /// Its tasks end with it.
    _runtime: Runtime,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(is, _)| is == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

impl Server {
    /// Speaks HTTP; `handler` sees each request whole and answers it.
    pub(super) fn http<H, F>(handler: H) -> Self
    where
        H: Fn(Received) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, handler) = (Arc::clone(&received), Arc::new(handler));
        let serve = move |stream: TcpStream| {
            let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
            async move {
                let from = stream.peer_addr().unwrap().ip();
                let service = service_fn(move |request| {
                    let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                    async move {
                        let request = receive(request, from).await;
                        log.lock().unwrap().push(request.clone());
                        Ok::<_, Infallible>(handler(request).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                drop(connection.serve_connection(TokioIo::new(stream), service).await);
            }
        };
        Self { received, ..Self::raw(serve) }
    }

    /// Hands each connection to `serve`, and closes it when that ends.
    pub(super) fn raw<H, F>(serve: H) -> Self
    where
        H: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(any_port)).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream));
            }
        });
        Self { origin, received: Arc::default(), connections, _runtime: runtime }
    }

    /// Speaks HTTPS with the certificate of `identity`; answers everything with 200.
    pub(super) fn https(identity: &tls::Identity) -> Self {
        Self::slow_https(identity, Duration::ZERO)
    }

    /// The same, so long after a connection is there.
    pub(super) fn slow_https(identity: &tls::Identity, delay: Duration) -> Self {
        let acceptor = identity.acceptor();
        Self::raw(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                tokio::time::sleep(delay).await;
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: Request<Incoming>| async {
                    request.collect().await.unwrap();
                    Ok::<_, Infallible>(answer(200, "{}"))
                });
                let connection = hyper::server::conn::http1::Builder::new();
                drop(connection.serve_connection(TokioIo::new(stream), service).await);
            }
        })
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn receive(request: Request<Incoming>, from: IpAddr) -> Received {
    let head_at = Instant::now();
    let (head, mut incoming) = request.into_parts();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let path = head.uri.to_string();
    let mut received = Received { at: head_at, from, path, headers, body: Vec::new(), arrivals: Vec::new() };
    while let Some(Ok(frame)) = incoming.frame().await {
        received.body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let at_us = u64::try_from(head_at.elapsed().as_micros()).unwrap();
        received.arrivals.push((at_us, received.body.len() as u64));
    }
    received
}

pub(super) fn answer(status: u16, json: &'static str) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(json)).unwrap()
}

/// Reads to the blank line, one byte at a time, so that no byte of a body is taken.
pub(super) async fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    head
}
