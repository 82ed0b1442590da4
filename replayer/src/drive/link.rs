//! A lane's connection between requests: opened ahead of its first request, kept while it can be, and
//! opened again when the target has closed it.

use std::time::Instant;

use super::connection::Connection;
use super::due::Due;
use super::user::User;
use crate::measure::{ErrorClass, Outcome, Sample};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) connection: Option<Connection>,
    /// When the last exchange on this lane ended.
    pub(super) freed: Option<Instant>,
    /// A connect that failed, and when.
    failed: Option<(Instant, ErrorClass)>,
}

impl Link {
    /// Opens the connection if there is none, or the target has closed it; a connect is `due` since then.
    pub(super) async fn open(&mut self, user: &User<'_>, due: Instant) -> Result<(), ErrorClass> {
        if let Some(connection) = &mut self.connection {
            if connection.is_open().await {
                return Ok(());
            }
            user.worker.tally.reconnected();
            self.connection = None;
        }
        let opened = user.connect(due).await;
        self.failed = opened.as_ref().err().map(|class| (Instant::now(), *class));
        self.connection = Some(opened?);
        Ok(())
    }

    /// The connection for a request whose instant has come. A connect that failed before the instant is
    /// tried again, one that failed after it is the request's failure.
    pub(super) async fn open_at(&mut self, user: &User<'_>, due: Due) -> Result<Connection, ErrorClass> {
        if let Some((_, class)) = self.failed.take_if(|(at, _)| *at > due.intended) {
            return Err(class);
        }
        self.open(user, due.earliest()).await?;
        Ok(self.connection.take().expect("it was just opened"))
    }

    /// Keeps a connection whose exchange is complete on both sides, and closes any other.
    pub(super) fn keep(&mut self, mut connection: Connection, last: &Sample) {
        let is_complete = last.body_done_ns.is_some() && matches!(last.outcome, Outcome::Answered { .. });
        connection.exchanges += 1;
        self.connection = is_complete.then_some(connection);
    }
}
