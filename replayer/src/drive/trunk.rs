//! The HTTP/2 connection that all requests of a lane share: opened ahead of the first, by one of them while the others
//! wait; opened again when the target has closed it or has refused a stream.
//!
//! A target may choose HTTP/1.1 in a handshake although it was expected to speak HTTP/2 (there are several machines
//! behind its address, say). Then each request that is in flight has a connection to itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Mutex;

use super::connection::Connection;
use super::http2::Http2;
use super::user::User;
use crate::measure::http::Version;
use crate::measure::{ErrorClass, Failure, Outcome, Sample};

/// See the module.
#[derive(Debug)]
pub(super) struct Trunk {
    recorded: Version,
    open: RefCell<Option<Open>>,
    opening: Mutex<()>,
    /// A connect that failed, and when.
    failed: Cell<Option<(Instant, ErrorClass)>>,
    /// Idle connections of HTTP/1.1.
    spare: RefCell<Vec<Connection>>,
}

#[derive(Debug, Clone)]
struct Open {
    http2: Rc<Http2>,
    openable: Instant,
}

impl Trunk {
    pub(super) fn new(recorded: Version) -> Self {
        Self {
            recorded,
            open: RefCell::default(),
            opening: Mutex::default(),
            failed: Cell::default(),
            spare: RefCell::default(),
        }
    }

    /// A connection for one request; to be opened, if there is none, from `due` on.
    pub(super) async fn connection(&self, user: &User<'_>, due: Instant) -> Result<Connection, ErrorClass> {
        let came = Instant::now();
        let _turn = self.opening.lock().await;
        if let Some(connection) = self.kept(user) {
            return Ok(connection);
        }
        // Of the connect that it waited for.
        if let Some((_, class)) = self.failed.get().filter(|(at, _)| *at > came) {
            return Err(class);
        }
        let opened = user.connect(self.recorded, Version::Http2, due).await;
        self.failed.set(opened.as_ref().err().map(|class| (Instant::now(), *class)));
        let connection = opened?;
        let shared =
            connection.http2().map(|http2| Open { http2: Rc::clone(http2), openable: connection.openable });
        self.open.replace(shared);
        Ok(connection)
    }

    /// Takes back what an exchange ended on.
    pub(super) fn keep(&self, user: &User<'_>, connection: Connection, last: &Sample) {
        let Some(http2) = connection.http2() else {
            if last.is_complete() {
                self.spare.borrow_mut().push(connection);
            }
            return;
        };
        let class = match last.outcome {
            Outcome::Failed(Failure { class, .. }) => Some(class),
            Outcome::Answered { .. } => None,
        };
        let sent = last.sent_ns.map(|sent_ns| user.worker.tally.clock.at_us(sent_ns / 1_000));
        let is_dead = |sent: Instant| class == Some(ErrorClass::Timeout) && http2.is_silent_since(sent);
        if class == Some(ErrorClass::StreamRefused) {
            self.retire(http2, user);
        } else if sent.is_some_and(is_dead) {
            // Nobody is there any more, or nobody reads: other requests would only wait for it, too.
            self.open.borrow_mut().take_if(|open| Rc::ptr_eq(&open.http2, http2));
        }
    }

    fn kept(&self, user: &User<'_>) -> Option<Connection> {
        let open = self.open.borrow().clone();
        if let Some(Open { http2, openable }) = open {
            if http2.is_open() {
                return Some(Connection::stream(&http2, &user.worker.tally, openable));
            }
            self.retire(&http2, user);
        }
        self.spare.borrow_mut().pop()
    }

    /// What is under way on it goes on; further requests get another. Counted once, by whoever finds out first.
    fn retire(&self, http2: &Rc<Http2>, user: &User<'_>) {
        if self.open.borrow_mut().take_if(|open| Rc::ptr_eq(&open.http2, http2)).is_some() {
            user.worker.tally.reconnected();
        }
    }
}
