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
use super::tally::Tally;
use super::wire::{Metered, Wire};
use crate::measure::ErrorClass;

/// Bytes that the kernel takes beyond what it has given to the network. By default it takes megabytes, and a small
/// upload would be "sent" as soon as it was begun, however slow the network or the target's reading.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;
/// A target that takes longer to accept a connection does not accept it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP/1.1 connection. Dropping it closes the socket, whatever is in flight.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Pin<Box<ReplayBody>>>,
    pub(super) wire: Rc<Wire>,
    /// When it would have been open had its connect begun when it was due.
    pub(super) openable: Instant,
    /// How long opening took; taken by the exchange that it was opened for.
    pub(super) connect: Option<Duration>,
    /// Exchanges that ended on it.
    pub(super) exchanges: u32,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Opens one that was to be opened from `due` on.
    pub(super) async fn open(
        client: &Client,
        address: SocketAddr,
        tally: &Rc<Tally>,
        is_title_case: bool,
        timeout: Duration,
        due: Instant,
    ) -> Result<Self, ErrorClass> {
        let began = Instant::now();
        let wire = Rc::new(Wire::new(Rc::clone(tally)));
        // On the heap, as it is gone when the connection is open: clones by the thousand wait for their answers.
        let opening = Box::pin(opened(client, address, &wire, is_title_case));
        let within = tokio::time::timeout(CONNECT_TIMEOUT.min(timeout), opening);
        let (sender, task) = within.await.map_err(|_| ErrorClass::ConnectTimeout)??;
        let opened = Instant::now();
        let openable = open_on_time(due, began, opened);
        Ok(Self { sender, wire, openable, connect: Some(opened - began), exchanges: 0, task })
    }

    /// Waits until it can take a request; false when the target has closed it.
    pub(super) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

/// Sets what a client's socket should be.
fn prepare(tcp: &TcpStream) -> io::Result<Endpoints> {
    tcp.set_nodelay(true)?;
    // Where the system does not know it, the report says how much was held.
    let _ = SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    Ok(Endpoints { local: tcp.local_addr()?, peer: tcp.peer_addr()? })
}

/// hyper keeps room for 32 requests a connection: with the bodies on the heap that is a third less.
type Opened = (SendRequest<Pin<Box<ReplayBody>>>, JoinHandle<()>);

async fn opened(
    client: &Client,
    address: SocketAddr,
    wire: &Rc<Wire>,
    is_title_case: bool,
) -> Result<Opened, ErrorClass> {
    let tcp = client.connect(address).await.map_err(|error| connect_class(&error))?;
    let endpoints = prepare(&tcp).map_err(|error| connect_class(&error))?;
    wire.connects(endpoints);
    match &client.tls {
        None => handshake(tcp, wire, is_title_case).await,
        Some(tls) => {
            let connector = TlsConnector::from(tls.config.clone());
            let stream = connector.connect(tls.name.clone(), tcp).await;
            let stream = stream.map_err(|_| ErrorClass::ConnectFailed)?;
            wire.shook_hands(stream.get_ref().1.handshake_kind());
            handshake(stream, wire, is_title_case).await
        }
    }
}

async fn handshake<S>(stream: S, wire: &Rc<Wire>, is_title_case: bool) -> Result<Opened, ErrorClass>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(Metered::new(stream, Rc::clone(wire)));
    let mut builder = Builder::new();
    builder.title_case_headers(is_title_case).max_buf_size(PIECE_BYTES);
    let (sender, connection) = builder.handshake(io).await.map_err(|_| ErrorClass::ConnectFailed)?;
    // Its errors reach the exchange that is in flight; without one they say that the peer closed.
    let task = tokio::task::spawn_local(async move { drop(connection.await) });
    Ok((sender, task))
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
