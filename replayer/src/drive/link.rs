//! A lane's connection between requests: opened ahead of its first request, kept while it can be, and
//! opened again when the target has closed it. A request that shares its connection has its share of the [`Trunk`].

use std::time::Instant;

use super::connection::Connection;
use super::due::Due;
use super::trunk::Trunk;
use super::user::User;
use crate::measure::http::Version;
use crate::measure::{ErrorClass, Sample};

/// See the module.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) connection: Option<Connection>,
    /// When the last exchange on this lane ended.
    pub(super) freed: Option<Instant>,
    /// A connect that failed, and when.
    failed: Option<(Instant, ErrorClass)>,
    way: Way<'a>,
}

/// Where a lane has its connections from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// Its own, of HTTP/1.1; what was captured may have been another version.
    Own {
        recorded: Version,
    },
    Shared(&'a Trunk),
}

impl<'a> Link<'a> {
    pub(super) fn new(way: Way<'a>) -> Self {
        Self { connection: None, freed: None, failed: None, way }
    }

    /// Opens the connection if there is none, or the target has closed it; a connect is `due` since then.
    pub(super) async fn open(&mut self, user: &User<'_>, due: Instant) -> Result<(), ErrorClass> {
        if let Some(connection) = &mut self.connection {
            if connection.is_open().await {
                return Ok(());
            }
            self.reconnects(user);
            self.connection = None;
        }
        let opened = match self.way {
            Way::Own { recorded } => user.connect(recorded, Version::Http1, due).await,
            Way::Shared(trunk) => trunk.connection(user, due).await,
        };
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
    pub(super) fn keep(&mut self, user: &User<'_>, mut connection: Connection, last: &Sample) {
        connection.count();
        match self.way {
            Way::Own { .. } => self.connection = last.is_complete().then_some(connection),
            Way::Shared(trunk) => trunk.keep(user, connection, last),
        }
    }

    /// Counts that the target had closed its connection. A shared one is counted where it is found out first.
    pub(super) fn reconnects(&self, user: &User<'_>) {
        if matches!(self.way, Way::Own { .. }) {
            user.worker.tally.reconnected();
        }
    }
}
