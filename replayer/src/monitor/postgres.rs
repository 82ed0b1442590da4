//! PostgreSQL: who is connected and does what, by one connection that leaves room for everybody else.
//!
//! Every question is one message of the simple protocol with its own `SET LOCAL statement_timeout`, so nothing of it is
//! left on the server's side: PgBouncer may give each a different server connection (transaction mode), and knows none of
//! the startup parameters that would do the same. What the answers mean is [`activity`]'s to say, which is pure.
//! Whatever goes wrong on the way costs the look and the connection, never more; a statement that PostgreSQL refuses
//! costs itself.

mod activity;
mod mask;
mod statements;

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _};

use self::activity::Backend;
use self::statements::Statements;
use super::look::{Blind, Look};
use super::settings::Address;
pub use mask::masked;

const APPLICATION: &str = "kingtide monitor";
/// In one of so many looks the size of the database is asked for, which costs the server a look at each of its files,
/// and the statements by mean time, which are many.
const COSTLY_EVERY: u64 = 6;
/// What it can say of each look.
pub(super) const METRICS: &[&str] = &[
    "active",
    "idle",
    "idle_in_transaction",
    "total",
    "server_total",
    "max_connections",
    "longest_query_s",
    "slow_queries",
    "lock_waits",
];

/// See the module.
#[derive(Debug)]
pub(super) struct Postgres {
    options: PgConnectOptions,
    slow_query: Duration,
    /// Of one statement.
    timeout: Duration,
    connection: Option<PgConnection>,
    /// Wait events that were seen: they are 0 from then on, and not left out.
    waits: BTreeSet<String>,
    temp_bytes_before: Option<f64>,
    looks: u64,
    statements: Statements,
}

/// Why a statement was not answered.
enum Failed {
    /// The connection is as good as before.
    Refused(String),
    Lost(Blind),
}

impl Postgres {
    pub(super) fn new(url: &Address, slow_query: Duration, timeout: Duration) -> Result<Self, String> {
        let options = PgConnectOptions::from_url(url.url()).map_err(|error| format!("`{url}`: {error}"))?;
        // PgBouncer refuses startup parameters that it does not know.
        let options = options.application_name(APPLICATION).extra_float_digits(None);
        Ok(Self {
            options: options.disable_statement_logging(),
            slow_query,
            timeout,
            connection: None,
            waits: BTreeSet::new(),
            temp_bytes_before: None,
            looks: 0,
            statements: Statements::default(),
        })
    }

    /// A look that fails, or is given up, takes its connection along.
    pub(super) async fn look(&mut self) -> Result<Look, Blind> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| blind(&error))?,
        };
        let mut session = Session { connection, timeout: self.timeout };
        let look = self.ask(&mut session).await?;
        self.connection = Some(session.connection);
        Ok(look)
    }

    async fn ask(&mut self, session: &mut Session) -> Result<Look, Blind> {
        let backends = session.all(activity::SQL).await.map_err(Failed::into_blind)?;
        let backends = backends.iter().map(Backend::of).collect::<Result<Vec<_>, _>>();
        let backends = backends.map_err(|error| blind(&error))?;
        let mut look = activity::look(&backends, self.slow_query.as_secs_f64(), &mut self.waits);
        self.server(session, &mut look).await?;
        if self.looks.is_multiple_of(COSTLY_EVERY) {
            size(session, &mut look).await?;
            self.statements.look(session, &mut look).await?;
        } else {
            self.statements.tell_again(&mut look);
        }
        self.looks += 1;
        Ok(look)
    }

    async fn server(&mut self, session: &mut Session, look: &mut Look) -> Result<(), Blind> {
        const SQL: &str = "SELECT current_setting('max_connections')::float8 AS max_connections, \
             temp_bytes::float8 AS temp_bytes FROM pg_stat_database WHERE datname = current_database()";
        let Some(row) = told(session.all(SQL).await, "max_connections", look)?.pop() else { return Ok(()) };
        look.value("max_connections", number(&row, "max_connections"));
        if let Some(temp_bytes) = number(&row, "temp_bytes") {
            // Of the run, not of all that went before. Less than before: somebody has set the statistics back.
            let before = *self.temp_bytes_before.get_or_insert(temp_bytes);
            look.value("temp_bytes", if temp_bytes < before { temp_bytes } else { temp_bytes - before });
        }
        Ok(())
    }
}

async fn size(session: &mut Session, look: &mut Look) -> Result<(), Blind> {
    const SQL: &str = "SELECT pg_database_size(current_database())::float8 AS bytes";
    let rows = told(session.all(SQL).await, "database_bytes", look)?;
    look.value("database_bytes", rows.first().and_then(|row| number(row, "bytes")));
    Ok(())
}

/// The rows; where PostgreSQL refused there are none, and a note says why.
fn told(rows: Result<Vec<PgRow>, Failed>, what: &str, look: &mut Look) -> Result<Vec<PgRow>, Blind> {
    match rows {
        Ok(rows) => Ok(rows),
        Err(Failed::Refused(why)) => {
            look.note(format!("{what} cannot be told: {why}"));
            Ok(Vec::new())
        }
        Err(Failed::Lost(blind)) => Err(blind),
    }
}

fn number(row: &PgRow, column: &str) -> Option<f64> {
    row.try_get::<Option<f64>, _>(column).ok().flatten()
}

/// A connection, and how long a statement may take on it.
struct Session {
    connection: PgConnection,
    timeout: Duration,
}

impl Session {
    async fn all(&mut self, sql: &str) -> Result<Vec<PgRow>, Failed> {
        let timeout_ms = self.timeout.as_millis();
        let text = format!("SET LOCAL statement_timeout = {timeout_ms}; {sql}");
        let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut self.connection).await;
        rows.map_err(|error| match &error {
            sqlx::Error::Database(refused) if !is_end(refused.code().as_deref()) => {
                Failed::Refused(refused.message().to_owned())
            }
            _ => Failed::Lost(blind(&error)),
        })
    }
}

impl Failed {
    fn into_blind(self) -> Blind {
        match self {
            Self::Refused(why) => Blind(why),
            Self::Lost(blind) => blind,
        }
    }
}

/// Whether the server ends the connection with it: connection exceptions, operator intervention but for a statement's
/// timeout, and what PgBouncer says of itself.
fn is_end(code: Option<&str>) -> bool {
    const QUERY_CANCELED: &str = "57014";
    code.is_none_or(|code| code.starts_with("08") || (code.starts_with("57") && code != QUERY_CANCELED))
}

fn blind(error: &sqlx::Error) -> Blind {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    Blind(match error {
        sqlx::Error::Database(refused) if refused.code().as_deref() == Some(TOO_MANY_CONNECTIONS) => {
            format!("PostgreSQL has no connection left, not even for the monitor: {}", refused.message())
        }
        sqlx::Error::Database(refused) => refused.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_is_refused_costs_itself_and_a_connection_that_ends_the_look() {
        for (code, ends) in [
            (Some("57014"), false),
            (Some("42501"), false),
            (Some("42P01"), false),
            (Some("57P01"), true),
            (Some("08P01"), true),
            (None, true),
        ] {
            assert_eq!(is_end(code), ends, "{code:?}");
        }
    }

    #[test]
    fn the_database_of_the_url_is_asked_with_its_tls() {
        let url =
            Address::postgres("postgresql://app:pw@db.example:6543/school?sslmode=verify-full").unwrap();
        let postgres = Postgres::new(&url, Duration::from_secs(1), Duration::from_secs(5)).unwrap();
        let options = &postgres.options;
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 6543));
        assert_eq!(options.get_database(), Some("school"));
        assert_eq!(format!("{:?}", options.get_ssl_mode()), "VerifyFull");
        let url = Address::postgres("postgres://db/a?sslmode=maybe").unwrap();
        let refused = Postgres::new(&url, Duration::from_secs(1), Duration::from_secs(5)).unwrap_err();
        assert!(refused.contains("maybe"), "{refused}");
    }
}
