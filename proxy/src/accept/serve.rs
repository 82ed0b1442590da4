//! What a worker makes of a connection: PROXY protocol, TLS, then the protocol that the client speaks.

use std::io;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::sockopt;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Arrival;
use super::proxy_protocol::{self, HEADER_BYTES_MAX, Header};
use crate::clock::Clock;
use crate::config::Mode;
use crate::connection::{Connection, Tls};
use crate::stream::Stream;
use crate::worker::Worker;
use crate::{http1, http2};

/// Where a limit is off: a connection that says nothing is not kept for ever.
const PATIENCE: Duration = Duration::from_hours(1);

/// How long to wait for the rest of a PROXY protocol header before looking again, at first and at most.
const ANNOUNCED_PAUSE: Duration = Duration::from_millis(2);
const ANNOUNCED_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, arrival: Arrival) {
    let Arrival { stream, peer, local, listening, accepted_ns, accepted, open } = arrival;
    let shared = &worker.shared;
    let limit = shared.site.load().limits.client_header_timeout;
    let patience = if limit.mode == Mode::Enforce { limit.value.0 } else { PATIENCE };
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    let _ = sockopt::set_tcp_nodelay(stream.as_fd(), true);
    let speech = &listening.speech;
    let mut ends = (peer, local);
    if speech.proxy_protocol {
        match tokio::time::timeout_at(accepted + patience, announced(&mut stream)).await {
            Ok(Ok(Header::Proxied { client, local })) => ends = (client, local),
            Ok(Ok(Header::Socket)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    let (stream, tls, is_h2) = match &listening.tls {
        None => (Stream::from(stream), None, false),
        Some(config) => {
            let acceptor = TlsAcceptor::from(config.load_full());
            let shaken = shake_hands(stream, acceptor, accepted + patience, shared.clock).await;
            let gauges = &shared.metrics.gauges;
            let Ok((stream, tls)) = shaken else { return gauges.tls_handshakes_failed.add(1) };
            gauges.tls_handshakes.add(1);
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            (Stream::from(tokio_rustls::TlsStream::from(stream)), Some(tls), is_h2)
        }
    };
    // Headers have their full time, whatever the handshake took.
    let begun = if tls.is_some() { Instant::now() } else { accepted };
    let prior_knowledge = speech.http2 && tls.is_none();
    let connection = Arc::new(Connection::new(shared.next_connection(), accepted_ns, None, ends, tls));
    let http2 = if is_h2 {
        Some(stream)
    } else {
        http1::serve(Rc::clone(&worker), Arc::clone(&connection), stream, (begun, prior_knowledge)).await
    };
    if let Some(stream) = http2 {
        http2::serve(worker, connection, stream).await;
    }
    drop(open);
}

/// Reads the PROXY protocol's header and not a byte more.
async fn announced(stream: &mut TcpStream) -> io::Result<Header> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = [0; HEADER_BYTES_MAX];
    let mut pause = ANNOUNCED_PAUSE;
    loop {
        let seen = stream.peek(&mut bytes).await?;
        match proxy_protocol::parse(&bytes[..seen]) {
            Ok(Some((header, length))) => {
                let mut header_bytes = BytesMut::zeroed(length);
                stream.read_exact(&mut header_bytes).await?;
                return Ok(header);
            }
            Ok(None) if seen == 0 => return Err(malformed()),
            // What was peeked stays readable, and an end behind it is not seen: waiting for more would spin.
            Ok(None) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ANNOUNCED_PAUSE_MAX);
            }
            Err(proxy_protocol::Malformed) => return Err(malformed()),
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    deadline: Instant,
    clock: Clock,
) -> io::Result<(TlsStream<TcpStream>, Tls)> {
    // The stage begins with the client's first byte: what it waits before is not the handshake's.
    tokio::time::timeout_at(deadline, stream.readable()).await??;
    let begun_ns = clock.now_ns();
    let stream = tokio::time::timeout_at(deadline, acceptor.accept(stream)).await??;
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let cipher =
        session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    let tls = Tls {
        handshake_ns: clock.now_ns().saturating_sub(begun_ns),
        version,
        cipher,
        server_name: session.server_name().map(str::to_owned),
    };
    Ok((stream, tls))
}
