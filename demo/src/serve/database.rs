//! The database of the school: SQLite inside the process by default, PostgreSQL by URL.
//!
//! Two typed pools behind one enum with the same `$n` SQL text; sqlx's `Any` knows too few types and checks less.
//! In front of the real pool stands a [`Gate`] of the configured size, so that the service law is exact. With
//! PostgreSQL a lease is a real connection in a real transaction, as SQLAlchemy opens one at the first query, and
//! its simulated time is spent in `pg_sleep`: a monitor sees `active`, and `idle in transaction` exactly while
//! a transaction is held across the store call. SQLite has no connection to hold; its lease is the gate's.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, FromRow, Transaction};
use tokio::time::{Instant, sleep_until};

use super::gate::{Gate, Hold};
use super::school;

/// Connections of a file database; SQLite has one writer anyway.
const SQLITE_CONNECTIONS: u32 = 4;
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Real connections when the simulated pool is unlimited.
const POSTGRES_CONNECTIONS: u32 = 50;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL has a scheme nobody here speaks.
    #[error("--database {0}: expected sqlite::memory:, sqlite:FILE or postgres://USER@HOST:PORT/NAME")]
    Scheme(String),
    /// The database answered with an error.
    #[error("--database {url}: {source}; is it there, and may this user create tables?")]
    Refused { url: String, source: sqlx::Error },
    /// The database holds a school made from another seed.
    #[error(
        "--database {url}: it holds the school of seed {found}; start with --seed {found} or another database"
    )]
    OtherSeed { url: String, found: String },
}

#[derive(Debug, Clone)]
enum Pools {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The database and the gate in front of it.
#[derive(Debug)]
pub(crate) struct Database {
    pools: Pools,
    gate: Arc<Gate>,
}

/// A pool connection as one request holds it.
pub(crate) struct Lease {
    hold: Hold,
    connection: Connection,
    /// When the work not settled yet began.
    since: Instant,
}

enum Connection {
    Sqlite(SqlitePool),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs one query expression on whichever connection this is.
macro_rules! on {
    ($connection:expr, $executor:ident => $query:expr) => {
        match &mut $connection {
            Connection::Sqlite(pool) => {
                let $executor = &*pool;
                $query.await
            }
            Connection::Postgres(transaction) => {
                let $executor = &mut **transaction;
                $query.await
            }
        }
    };
}

/// The two writes of an upload on one executor expression.
macro_rules! keep_on {
    ($executor:expr, $recording:expr) => {
        sqlx::query(INSERT_RECORDING)
            .bind(&$recording.id)
            .bind(&$recording.student_id)
            .bind(&$recording.activity_id)
            .bind(&$recording.content_type)
            .bind($recording.bytes)
            .bind(&$recording.digest)
            .bind($recording.created_us)
            .execute($executor)
            .await?;
        sqlx::query(COUNT_FOR_STUDENT)
            .bind(&$recording.student_id)
            .bind($recording.bytes)
            .execute($executor)
            .await?;
    };
}

/// A student as the token check finds it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct StudentRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password_digest: String,
    pub(crate) recordings: i64,
    pub(crate) recorded_bytes: i64,
}

/// One line of a list: assignment or activity.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ListRow {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) detail: String,
}

/// A recording to be kept.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) id: String,
    pub(crate) student_id: String,
    pub(crate) activity_id: String,
    pub(crate) content_type: String,
    pub(crate) bytes: i64,
    pub(crate) digest: String,
    pub(crate) created_us: i64,
}

const STUDENT_BY_ID: &str = "SELECT id, name, email, password_digest, recordings, recorded_bytes \
                             FROM students WHERE id = $1";
const STUDENT_BY_EMAIL: &str = "SELECT id, name, email, password_digest, recordings, recorded_bytes \
                                FROM students WHERE email = $1";
const ASSIGNMENTS: &str =
    "SELECT id, title, due AS detail FROM assignments WHERE student_id = $1 ORDER BY title";
const ACTIVITIES: &str = "SELECT id, title, kind AS detail FROM activities \
                          WHERE student_id = $1 AND assignment_id = $2 ORDER BY title";
const OWNED: &str =
    "SELECT COUNT(*) FROM activities WHERE student_id = $1 AND assignment_id = $2 AND id = $3";
const INSERT_RECORDING: &str = "INSERT INTO recordings (id, student_id, activity_id, content_type, bytes, digest, created_us) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
const COUNT_FOR_STUDENT: &str = "UPDATE students SET recordings = recordings + 1, \
                                 recorded_bytes = recorded_bytes + $2 WHERE id = $1";

impl Database {
    /// Opens `url`, creates the tables and the `students` accounts of `seed` that are not there yet.
    pub(crate) async fn open(
        url: &str,
        pool_size: usize,
        school: school::School,
    ) -> Result<Self, DatabaseError> {
        let refused = |source| DatabaseError::Refused { url: without_password(url), source };
        let pools = Pools::connect(url, pool_size).await?;
        pools.run(school::SCHEMA).await.map_err(refused)?;
        let database = Self { pools, gate: Gate::new(pool_size) };
        database.fill(url, school, &refused).await?;
        Ok(database)
    }

    async fn fill(
        &self,
        url: &str,
        school: school::School,
        refused: &impl Fn(sqlx::Error) -> DatabaseError,
    ) -> Result<(), DatabaseError> {
        let present = match self.school().await.map_err(refused)? {
            Some((seed, _)) if seed != school.seed.to_string() => {
                return Err(DatabaseError::OtherSeed { url: without_password(url), found: seed });
            }
            Some((_, students)) => students,
            None => 0,
        };
        for statement in school.statements(u64::try_from(present).unwrap_or(0)) {
            self.pools.run(AssertSqlSafe(statement)).await.map_err(refused)?;
        }
        Ok(())
    }

    async fn school(&self) -> Result<Option<(String, i64)>, sqlx::Error> {
        let query = "SELECT seed, students FROM school";
        match &self.pools {
            Pools::Sqlite(pool) => sqlx::query_as(query).fetch_optional(pool).await,
            Pools::Postgres(pool) => sqlx::query_as(query).fetch_optional(pool).await,
        }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Waits for a connection of the pool; `arrival` as for [`Gate::enter`].
    pub(crate) async fn lease(&self, arrival: Instant) -> Result<Lease, sqlx::Error> {
        let hold = self.gate.enter(arrival).await;
        let connection = match &self.pools {
            Pools::Sqlite(pool) => Connection::Sqlite(pool.clone()),
            Pools::Postgres(pool) => Connection::Postgres(pool.begin().await?),
        };
        Ok(Lease { hold, connection, since: Instant::now() })
    }

    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite(pool) => pool.close().await,
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Pools {
    async fn connect(url: &str, pool_size: usize) -> Result<Self, DatabaseError> {
        let refused = |source| DatabaseError::Refused { url: without_password(url), source };
        if url.starts_with("sqlite:") {
            return connect_sqlite(url).await.map(Self::Sqlite).map_err(refused);
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return connect_postgres(url, pool_size).await.map(Self::Postgres).map_err(refused);
        }
        Err(DatabaseError::Scheme(without_password(url)))
    }

    async fn run(&self, sql: impl sqlx::SqlSafeStr) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
            Self::Postgres(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
        }
    }
}

/// A memory database lives as long as its one connection, so that one never expires.
async fn connect_sqlite(url: &str) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(SQLITE_BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new().min_connections(1).idle_timeout(None).max_lifetime(None);
    if url.contains(":memory:") || url.contains("mode=memory") {
        return pool.max_connections(1).connect_with(options).await;
    }
    let options = options.journal_mode(SqliteJournalMode::Wal);
    pool.max_connections(SQLITE_CONNECTIONS).connect_with(options).await
}

async fn connect_postgres(url: &str, pool_size: usize) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("classroom");
    let size = u32::try_from(pool_size).ok().filter(|size| *size > 0).unwrap_or(POSTGRES_CONNECTIONS);
    PgPoolOptions::new().max_connections(size).connect_with(options).await
}

/// The URL as it may be printed.
fn without_password(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return url.to_owned() };
    if parsed.password().is_none() || parsed.set_password(Some("***")).is_err() {
        return url.to_owned();
    }
    parsed.into()
}

impl Lease {
    pub(crate) async fn student_by_id(&mut self, id: &str) -> Result<Option<StudentRow>, sqlx::Error> {
        on!(self.connection, db => sqlx::query_as(STUDENT_BY_ID).bind(id).fetch_optional(db))
    }

    pub(crate) async fn student_by_email(&mut self, email: &str) -> Result<Option<StudentRow>, sqlx::Error> {
        on!(self.connection, db => sqlx::query_as(STUDENT_BY_EMAIL).bind(email).fetch_optional(db))
    }

    pub(crate) async fn assignments(&mut self, student_id: &str) -> Result<Vec<ListRow>, sqlx::Error> {
        on!(self.connection, db => sqlx::query_as(ASSIGNMENTS).bind(student_id).fetch_all(db))
    }

    pub(crate) async fn activities(
        &mut self,
        student_id: &str,
        assignment_id: &str,
    ) -> Result<Vec<ListRow>, sqlx::Error> {
        on!(self.connection, db => {
            sqlx::query_as(ACTIVITIES).bind(student_id).bind(assignment_id).fetch_all(db)
        })
    }

    /// Whether the activity is this student's and belongs to the assignment.
    pub(crate) async fn owns(
        &mut self,
        student_id: &str,
        assignment_id: &str,
        activity_id: &str,
    ) -> Result<bool, sqlx::Error> {
        let found: i64 = on!(self.connection, db => {
            sqlx::query_scalar(OWNED).bind(student_id).bind(assignment_id).bind(activity_id).fetch_one(db)
        })?;
        Ok(found > 0)
    }

    /// Inserts the recording and counts it in the student's row, both or neither.
    pub(crate) async fn keep(&mut self, recording: &Recording) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(pool) => {
                let mut transaction = pool.begin().await?;
                keep_on!(&mut *transaction, recording);
                transaction.commit().await
            }
            Connection::Postgres(transaction) => {
                keep_on!(&mut **transaction, recording);
                Ok(())
            }
        }
    }

    /// Makes the work since the last settling last `span`: real time counts, the rest is simulated on the
    /// connection.
    pub(crate) async fn settle(&mut self, span: Duration) -> Result<(), sqlx::Error> {
        let until = self.hold.book(span.max(self.since.elapsed()));
        let left = until.saturating_duration_since(Instant::now());
        match &mut self.connection {
            Connection::Postgres(transaction) if !left.is_zero() => {
                let sleep = sqlx::query("SELECT pg_sleep($1)").bind(left.as_secs_f64());
                sleep.execute(&mut **transaction).await?;
            }
            Connection::Postgres(_) => {}
            Connection::Sqlite(_) => sleep_until(until).await,
        }
        self.since = Instant::now();
        Ok(())
    }

    /// When the work settled so far was meant to end.
    pub(crate) fn booked(&self) -> Instant {
        self.hold.booked()
    }

    /// Goes on after something else that lasted until `instant` while the connection was held.
    pub(crate) fn resume(&mut self, instant: Instant) {
        self.hold.book_until(instant);
        self.since = Instant::now();
    }

    /// Commits what was written and gives the connection back. Dropping a lease rolls back.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.connection {
            Connection::Postgres(transaction) => transaction.commit().await,
            Connection::Sqlite(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_never_printed() {
        assert_eq!(without_password("postgres://a:secret@h:1/x"), "postgres://a:***@h:1/x");
        assert_eq!(without_password("sqlite::memory:"), "sqlite::memory:");
    }
}
