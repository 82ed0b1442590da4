//! One client connection of a clone: opened, timed, and closed with it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::body::{PIECE_BYTES, ReplayBody};
use super::client::Client;
use super::diag::Endpoints;
use super::due::open_on_time;
use super::http2::Http2;
use super::tally::Tally;
use super::target::version_of;
use super::wire::{Metered, Wire};
use crate::measure::ErrorClass;
use crate::measure::http::Version;

/// Bytes that the kernel takes beyond what it has given to the network. By default it takes megabytes, and a small
/// upload would be "sent" as soon as it was begun, however slow the network or the target's reading.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;
/// A target that takes longer to accept a connection does not accept it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection as one exchange at a time has it: of HTTP/1.1 all of it, of HTTP/2 a share. Dropping the last hold on it
/// closes the socket, whatever is in flight.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: Sender,
    pub(super) wire: Rc<Wire>,
    /// When it would have been open had its connect begun when it was due.
    pub(super) openable: Instant,
    /// How long opening took; taken by the exchange that it was opened for.
    pub(super) connect: Option<Duration>,
    /// Exchanges that ended on it.
    exchanges: u32,
}

/// What takes requests.
#[derive(Debug)]
pub(super) enum Sender {
    /// hyper keeps room for 32 requests a connection: with the bodies on the heap that is a third less.
    Http1 {
        sender: SendRequest<Pin<Box<ReplayBody>>>,
        _task: Task,
    },
    Http2(Rc<Http2>),
}

/// A task that ends when it is dropped.
#[derive(Debug)]
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a connection is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) plays: Version,
    pub(super) is_title_case: bool,
    pub(super) timeout: Duration,
}

impl Connection {
    /// Opens one that was to be opened from `due` on.
    pub(super) async fn open(
        client: &Client,
        address: SocketAddr,
        tally: &Rc<Tally>,
        wanted: Wanted,
        due: Instant,
    ) -> Result<Self, ErrorClass> {
        let began = Instant::now();
        let wire = Rc::new(Wire::new(Rc::clone(tally)));
        // On the heap, as it is gone when the connection is open: clones by the thousand wait for their answers.
        let opening = Box::pin(opened(client, address, &wire, tally, wanted));
        let within = tokio::time::timeout(CONNECT_TIMEOUT.min(wanted.timeout), opening);
        let sender = within.await.map_err(|_| ErrorClass::ConnectTimeout)??;
        let opened = Instant::now();
        let openable = open_on_time(due, began, opened);
        Ok(Self { sender, wire, openable, connect: Some(opened - began), exchanges: 0 })
    }

    /// A share of an open one.
    pub(super) fn stream(http2: &Rc<Http2>, tally: &Rc<Tally>, openable: Instant) -> Self {
        let wire = Rc::new(Wire::new(Rc::clone(tally)));
        Self { sender: Sender::Http2(Rc::clone(http2)), wire, openable, connect: None, exchanges: 0 }
    }

    /// What is under it when it is shared.
    pub(super) fn http2(&self) -> Option<&Rc<Http2>> {
        match &self.sender {
            Sender::Http1 { .. } => None,
            Sender::Http2(http2) => Some(http2),
        }
    }

    pub(super) fn version(&self) -> Version {
        if self.http2().is_some() { Version::Http2 } else { Version::Http1 }
    }

    /// Waits until it can take a request; false when the target has closed it.
    pub(super) async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1 { sender, .. } => sender.ready().await.is_ok(),
            Sender::Http2(http2) => http2.is_open(),
        }
    }

    /// Of an exchange that ended: whether the connection was idle before it, and may have been closed then.
    pub(super) fn was_kept(&self) -> bool {
        match &self.sender {
            Sender::Http1 { .. } => self.exchanges > 0,
            Sender::Http2(http2) => http2.is_stale(),
        }
    }

    /// An exchange ended on it.
    pub(super) fn count(&mut self) {
        self.exchanges += 1;
        self.http2().into_iter().for_each(|http2| http2.has_ended_one());
    }
}

/// Sets what a client's socket should be.
fn prepare(tcp: &TcpStream) -> io::Result<Endpoints> {
    tcp.set_nodelay(true)?;
    // Where the system does not know it, the report says how much was held.
    let _ = SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    Ok(Endpoints { local: tcp.local_addr()?, peer: tcp.peer_addr()? })
}

async fn opened(
    client: &Client,
    address: SocketAddr,
    wire: &Rc<Wire>,
    tally: &Rc<Tally>,
    wanted: Wanted,
) -> Result<Sender, ErrorClass> {
    let tcp = client.connect(address).await.map_err(|error| connect_class(&error))?;
    let endpoints = prepare(&tcp).map_err(|error| connect_class(&error))?;
    wire.connects(endpoints);
    let Some(tls) = &client.tls else {
        return match wanted.plays {
            Version::Http1 => http1(tcp, wire, wanted.is_title_case).await,
            Version::Http2 => http2(tcp, tally).await,
        };
    };
    let connector = TlsConnector::from(tls.config(wanted.plays));
    let stream = connector.connect(tls.name.clone(), tcp).await;
    let stream = stream.map_err(|_| ErrorClass::ConnectFailed)?;
    let session = stream.get_ref().1;
    tally.handshake(session.handshake_kind());
    match version_of(session.alpn_protocol()) {
        Version::Http1 => http1(stream, wire, wanted.is_title_case).await,
        Version::Http2 => http2(stream, tally).await,
    }
}

async fn http1<S>(stream: S, wire: &Rc<Wire>, is_title_case: bool) -> Result<Sender, ErrorClass>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(Metered::new(stream, Rc::clone(wire)));
    let mut builder = Builder::new();
    builder.title_case_headers(is_title_case).max_buf_size(PIECE_BYTES);
    let (sender, connection) = builder.handshake(io).await.map_err(|_| ErrorClass::ConnectFailed)?;
    // Its errors reach the exchange that is in flight; without one they say that the peer closed.
    let task = tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(Sender::Http1 { sender, _task: Task(task) })
}

async fn http2<S>(stream: S, tally: &Rc<Tally>) -> Result<Sender, ErrorClass>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    Ok(Sender::Http2(Rc::new(Http2::shake_hands(stream, tally).await?)))
}

fn connect_class(error: &io::Error) -> ErrorClass {
    /// Descriptors per process and per system, buffers, memory.
    const EXHAUSTED: [rustix::io::Errno; 4] = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    let is_exhausted =
        error.raw_os_error().is_some_and(|code| EXHAUSTED.iter().any(|errno| errno.raw_os_error() == code));
    match error.kind() {
        _ if is_exhausted => ErrorClass::LocalExhausted,
        // Without a port left, a connect says the first, a bind to a source address the second.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => ErrorClass::LocalExhausted,
        io::ErrorKind::ConnectionRefused => ErrorClass::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorClass::ConnectTimeout,
        io::ErrorKind::ConnectionReset => ErrorClass::Reset,
        _ => ErrorClass::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_not_the_targets_fault() {
        use rustix::io::Errno;
        let classes = [
            Errno::MFILE,
            Errno::ADDRNOTAVAIL,
            Errno::ADDRINUSE,
            Errno::CONNREFUSED,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
        ]
        .map(|errno| connect_class(&errno.into()));
        assert_eq!(
            classes,
            [
                ErrorClass::LocalExhausted,
                ErrorClass::LocalExhausted,
                ErrorClass::LocalExhausted,
                ErrorClass::ConnectRefused,
                ErrorClass::ConnectTimeout,
                ErrorClass::ConnectFailed
            ]
        );
    }
}
