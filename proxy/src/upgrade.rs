//! Hitless upgrade: a running process hands its listening sockets to the one that takes its place.
//!
//! The sockets themselves are passed over a Unix socket (`SCM_RIGHTS`), not bound anew: both processes share one
//! queue of connections, so there is no instant at which a client is refused. The old process goes on accepting
//! until the new one has said that it is ready; if that never comes, because the new process found a mistake in its
//! configuration or died, nothing has changed and the next may try.
//!
//! ```text
//! new → old   connects; each checks that the other runs as the same user
//! old → new   "kingtide listeners 1\n127.0.0.1:80\n[::]:443\n\n" and the sockets, in this order
//! new → old   "ready\n"    the new process accepts
//! old → new   "taken\n"    the old one accepts no more and drains
//! ```
//!
//! Everything blocks, with timeouts: it is for a thread of its own. A socket's flags belong to the socket and not to
//! a process: neither side may change whether it blocks.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown, sockopt,
};

/// For one message of the other process.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// For a new process to start with the listeners it was given.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed `accept`: no descriptors, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// As many descriptors as the kernel passes in one message (`SCM_MAX_FD`).
const LISTENERS_MAX: usize = 253;
const MESSAGE_BYTES_MAX: usize = 32 << 10;

const GREETING: &str = "kingtide listeners 1";
const READY: &str = "ready\n";
const TAKEN: &str = "taken\n";

/// Why an [`Offer`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Another process accepts: drain and exit.
    Taken,
    /// By [`Offer::stop`].
    Stopped,
}

/// The old side: a socket at which a new process may ask for the listeners.
#[derive(Debug)]
pub(crate) struct Offer {
    socket: UnixListener,
    is_stopped: AtomicBool,
}

impl Offer {
    /// Binds the socket for this user only, in the place of one that a former process left there. Anything else of
    /// that name is an error and stays.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is no socket", path.display())));
        }
        let own = temporary(path);
        let _ = fs::remove_file(&own);
        let socket = UnixListener::bind(&own)?;
        let in_place = fs::set_permissions(&own, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&own, path));
        if let Err(error) = in_place {
            let _ = fs::remove_file(&own);
            return Err(error);
        }
        Ok(Self { socket, is_stopped: AtomicBool::new(false) })
    }

    /// Answers one process after the other until one has taken the listeners.
    pub(crate) fn serve<F: AsFd>(&self, listeners: &[(SocketAddr, F)]) -> Outcome {
        loop {
            let handed_over = self.socket.accept().map(|(peer, _)| hand_over(&peer, listeners));
            match handed_over {
                Ok(Ok(())) => return Outcome::Taken,
                _ if self.is_stopped.load(Ordering::Acquire) => return Outcome::Stopped,
                Ok(Err(error)) => tracing::warn!(%error, "the listeners were not taken over; serving on"),
                Err(error) => {
                    tracing::warn!(%error, "no upgrade possible at present");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Ends `serve` on another thread.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        // A listening socket that is shut down wakes who waits for it.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }
}

/// Beside the socket, so that it can be put in place by renaming.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

fn hand_over<F: AsFd>(peer: &UnixStream, listeners: &[(SocketAddr, F)]) -> io::Result<()> {
    require_same_user(peer)?;
    peer.set_write_timeout(Some(MESSAGE_TIMEOUT))?;
    send(peer, listeners)?;
    peer.set_read_timeout(Some(READY_TIMEOUT))?;
    expect_line(peer, READY)?;
    (&*peer).write_all(TAKEN.as_bytes())
}

fn require_same_user(peer: &UnixStream) -> io::Result<()> {
    let theirs = sockopt::socket_peercred(peer)?.uid;
    if theirs == rustix::process::geteuid() {
        return Ok(());
    }
    let why = format!("user {} at the upgrade socket", theirs.as_raw());
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

fn send<F: AsFd>(peer: &UnixStream, listeners: &[(SocketAddr, F)]) -> io::Result<()> {
    let addresses: Vec<String> = listeners.iter().map(|(address, _)| address.to_string()).collect();
    let lines = addresses.iter().map(String::as_str);
    let text: String =
        [GREETING].into_iter().chain(lines).chain([""]).flat_map(|line| [line, "\n"]).collect();
    let sockets: Vec<BorrowedFd<'_>> = listeners.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(LISTENERS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other(format!("more than {LISTENERS_MAX} listeners cannot be handed over")));
    }
    let sent = sendmsg(peer, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&*peer).write_all(text.as_bytes().get(sent..).unwrap_or_default())
}

fn expect_line(peer: &UnixStream, wanted: &str) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(peer.take(wanted.len() as u64)).read_line(&mut line)?;
    match line.as_str() {
        line if line == wanted => Ok(()),
        "" => Err(ErrorKind::UnexpectedEof.into()),
        other => Err(io::Error::new(ErrorKind::InvalidData, format!("{other:?} instead of {wanted:?}"))),
    }
}

/// The new side, between being given the listeners and being ready.
#[derive(Debug)]
pub(crate) struct Handover {
    peer: UnixStream,
}

/// Listening sockets by the address that the old process was configured with.
pub(crate) type Listeners = Vec<(SocketAddr, TcpListener)>;

/// Asks the process that listens at `path` for its listeners; `None` when there is none. Until
/// [`Handover::ready`] the other process goes on accepting; dropping the handover leaves it in charge.
pub(crate) fn take_over(path: &Path) -> io::Result<Option<(Handover, Listeners)>> {
    let peer = match UnixStream::connect(path) {
        Ok(peer) => peer,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    require_same_user(&peer)?;
    peer.set_read_timeout(Some(MESSAGE_TIMEOUT))?;
    peer.set_write_timeout(Some(MESSAGE_TIMEOUT))?;
    let (text, sockets) = receive(&peer)?;
    let listeners = pair(&text, sockets)?;
    Ok(Some((Handover { peer }, listeners)))
}

impl Handover {
    /// To be called when this process accepts and offers its own upgrade socket. On an error the other process
    /// may still be accepting; no connection is lost by going on.
    pub(crate) fn ready(self) -> io::Result<()> {
        (&self.peer).write_all(READY.as_bytes())?;
        expect_line(&self.peer, TAKEN)
    }
}

/// The text up to its empty line, and the sockets that came with it.
fn receive(peer: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut text, mut sockets) = (Vec::new(), Vec::new());
    while !text.ends_with(b"\n\n") {
        if receive_part(peer, &mut text, &mut sockets)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(invalid("a message without an end"));
        }
    }
    Ok((text, sockets))
}

fn receive_part(peer: &UnixStream, text: &mut Vec<u8>, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut part = [0; 4096];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(LISTENERS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let buffers = &mut [IoSliceMut::new(&mut part)];
    let received = recvmsg(peer, buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            sockets.extend(passed);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(invalid("not all listeners could be received: too few descriptors"));
    }
    text.extend_from_slice(&part[..received.bytes]);
    Ok(received.bytes)
}

/// Each socket with its address.
fn pair(text: &[u8], sockets: Vec<OwnedFd>) -> io::Result<Listeners> {
    let addresses = addresses(text).ok_or_else(|| invalid("no list of listeners"))?;
    if addresses.len() != sockets.len() {
        return Err(invalid("as many addresses as sockets were expected"));
    }
    let listener = |(address, socket)| {
        let is_listening = sockopt::socket_acceptconn(&socket)?;
        let listening = is_listening.then(|| (address, TcpListener::from(socket)));
        listening.ok_or_else(|| invalid("a socket that does not listen"))
    };
    addresses.into_iter().zip(sockets).map(listener).collect()
}

fn addresses(text: &[u8]) -> Option<Vec<SocketAddr>> {
    let lines =
        std::str::from_utf8(text).ok()?.strip_prefix(GREETING)?.strip_prefix('\n')?.strip_suffix('\n')?;
    lines.lines().map(|line| line.parse().ok()).collect()
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use proptest::prelude::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn listen() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    /// Answers each connection with one byte until told to stop.
    fn answer(listener: &TcpListener, byte: u8, stop: &AtomicBool) {
        let wait = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        while !stop.load(Ordering::Acquire) {
            poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&wait)).unwrap();
            if let Ok((mut client, _)) = listener.accept() {
                client.write_all(&[byte]).unwrap();
            }
        }
    }

    /// Connects until the new process has answered some times; how often each answered.
    fn connect_until_taken(address: SocketAddr) -> [usize; 2] {
        let mut answers = [0; 2];
        while answers[1] < 50 && answers[0] < 20_000 {
            let mut byte = [0];
            let mut server = TcpStream::connect(address).expect("no connection is refused");
            server.read_exact(&mut byte).expect("each connection is answered");
            answers[usize::from(byte[0])] += 1;
        }
        answers
    }

    #[test]
    fn no_client_is_refused_while_the_listeners_change_hands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade");
        let (address, listener) = listen();
        listener.set_nonblocking(true).unwrap();
        let offer = Offer::bind(&path).unwrap();
        let (old_stops, new_stops) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let old = scope.spawn(|| answer(&listener, 0, &old_stops));
            let offering = scope.spawn(|| offer.serve(&[(address, &listener)]));
            let clients = scope.spawn(|| connect_until_taken(address));
            let (handover, taken) = take_over(&path).unwrap().unwrap();
            assert_eq!(taken[0].0, address);
            let new_stops = &new_stops;
            scope.spawn(move || answer(&taken[0].1, 1, new_stops));
            handover.ready().unwrap();
            assert_eq!(offering.join().unwrap(), Outcome::Taken);
            old_stops.store(true, Ordering::Release);
            old.join().unwrap();
            let answers = clients.join().unwrap();
            new_stops.store(true, Ordering::Release);
            assert_eq!(answers[1], 50, "the new process answers");
        });
    }

    #[test]
    fn a_process_that_dies_before_it_is_ready_leaves_the_old_one_in_charge() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade");
        let listeners = [listen(), listen()];
        let offer = Offer::bind(&path).unwrap();
        thread::scope(|scope| {
            let offering = scope.spawn(|| offer.serve(&listeners));
            drop(take_over(&path).unwrap().unwrap());
            let stranger = UnixStream::connect(&path).unwrap();
            (&stranger).write_all(b"steady\n").unwrap();
            let (handover, taken) = take_over(&path).unwrap().unwrap();
            assert_eq!(taken.len(), 2);
            for ((address, _), (own, listener)) in listeners.iter().zip(&taken) {
                assert_eq!((*address, listener.local_addr().unwrap()), (*own, *address));
            }
            handover.ready().unwrap();
            assert_eq!(offering.join().unwrap(), Outcome::Taken);
        });
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade");
        assert!(take_over(&path).unwrap().is_none(), "no socket");
        drop(Offer::bind(&path).unwrap());
        assert!(take_over(&path).unwrap().is_none(), "a socket of a process that is gone");
        let _offer = Offer::bind(&path).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_of_that_name_is_not_touched() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "kept").unwrap();
        assert_eq!(Offer::bind(file.path()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(file.path()).unwrap(), b"kept");
    }

    #[test]
    fn an_offer_can_be_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let offer = Offer::bind(&directory.path().join("upgrade")).unwrap();
        thread::scope(|scope| {
            let offering = scope.spawn(|| offer.serve(&[listen()]));
            offer.stop();
            assert_eq!(offering.join().unwrap(), Outcome::Stopped);
        });
    }

    #[test]
    fn a_message_is_checked() {
        let message = |text: &str, sockets| pair(text.as_bytes(), sockets).map(|listeners| listeners.len());
        let one = || vec![OwnedFd::from(listen().1)];
        let unconnected = || vec![OwnedFd::from(UnixStream::pair().unwrap().0)];
        assert_eq!(message("kingtide listeners 1\n127.0.0.1:80\n\n", one()).unwrap(), 1);
        assert_eq!(message("kingtide listeners 1\n\n", vec![]).unwrap(), 0);
        for (text, sockets) in [
            ("kingtide listeners 2\n127.0.0.1:80\n\n", one()),
            ("kingtide listeners 1\n127.0.0.1\n\n", one()),
            ("kingtide listeners 1\n\n", one()),
            ("kingtide listeners 1\n127.0.0.1:80\n[::]:80\n\n", one()),
            ("kingtide listeners 1\n127.0.0.1:80\n\n", unconnected()),
        ] {
            assert_eq!(message(text, sockets).unwrap_err().kind(), ErrorKind::InvalidData, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = addresses(&[GREETING.as_bytes(), &text].concat());
        }
    }
}
