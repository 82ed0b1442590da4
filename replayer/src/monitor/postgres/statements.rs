//! Which statements took longest since the monitor began, by `pg_stat_statements` where the database has it.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Session, masked, told};
use crate::monitor::look::{Blind, Incident, Look};
use crate::monitor::timeline::EventKind;
use crate::report::format::{count, ms};

/// Statements that are told.
const TOLD: usize = 5;
/// In the texts of the monitor's own.
const OWN: [&str; 6] = [
    "pg_stat_activity",
    "pg_stat_database",
    "pg_stat_statements",
    "pg_extension",
    "pg_database_size",
    "SET LOCAL statement_timeout",
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Statements {
    extension: Extension,
    /// Calls and time of each at the first look.
    before: Option<HashMap<String, Spent>>,
    text: Option<String>,
}

#[derive(Debug, Default)]
enum Extension {
    #[default]
    NotAskedFor,
    Missing,
    InSchema(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Spent {
    calls: f64,
    total_ms: f64,
}

impl Statements {
    pub(super) async fn look(&mut self, session: &mut Session, look: &mut Look) -> Result<(), Blind> {
        if matches!(self.extension, Extension::NotAskedFor) {
            self.extension = schema(session, look).await?.map_or(Extension::Missing, Extension::InSchema);
        }
        if let Extension::InSchema(schema) = &self.extension {
            let rows = told(session.all(&sql(schema)).await, "statements by mean time", look)?;
            self.compare(&rows.iter().filter_map(statement).collect::<Vec<_>>());
        }
        self.tell_again(look);
        Ok(())
    }

    /// Between looks at the statements the last word about them stands.
    pub(super) fn tell_again(&self, look: &mut Look) {
        if let Some(text) = &self.text {
            let key = "statements".to_owned();
            look.incidents.push(Incident { kind: EventKind::Note, key, text: text.clone() });
        }
    }

    fn compare(&mut self, now: &[(String, Spent, String)]) {
        let Some(before) = &self.before else {
            self.before = Some(now.iter().map(|(id, spent, _)| (id.clone(), *spent)).collect());
            return;
        };
        let text = slowest(before, now);
        self.text = text.or(self.text.take());
    }
}

async fn schema(session: &mut Session, look: &mut Look) -> Result<Option<String>, Blind> {
    const SQL: &str = "SELECT quote_ident(nspname) AS name FROM pg_extension \
         JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_stat_statements'";
    let rows = told(session.all(SQL).await, "statements by mean time", look)?;
    let name = rows.first().and_then(|row| row.try_get("name").ok());
    if name.is_none() {
        look.note(
            "statements by mean time need the extension pg_stat_statements: shared_preload_libraries, then CREATE EXTENSION",
        );
    }
    Ok(name)
}

/// Since PostgreSQL 13 the time is that of execution alone.
fn sql(schema: &str) -> String {
    format!(
        "SELECT queryid::text AS id, sum(calls)::float8 AS calls, sum(total_exec_time)::float8 AS total_ms, \
         min(left(query, 4000)) AS query FROM {schema}.pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NOT NULL \
         GROUP BY queryid LIMIT 5000"
    )
}

fn statement(row: &PgRow) -> Option<(String, Spent, String)> {
    let spent = Spent { calls: row.try_get("calls").ok()?, total_ms: row.try_get("total_ms").ok()? };
    Some((row.try_get("id").ok()?, spent, row.try_get("query").ok()?))
}

/// `slowest statements by mean: 812 ms × 40 UPDATE …; …`
fn slowest(before: &HashMap<String, Spent>, now: &[(String, Spent, String)]) -> Option<String> {
    let since = |(id, spent, query): &(String, Spent, String)| {
        let before = before.get(id).copied().unwrap_or_default();
        // Fewer calls than before: the statistics were set back.
        let before = if spent.calls < before.calls { Spent::default() } else { before };
        let calls = spent.calls - before.calls;
        let is_told = calls >= 1.0 && !OWN.iter().any(|own| query.contains(own));
        is_told.then(|| ((spent.total_ms - before.total_ms) / calls, calls, masked(query)))
    };
    let mut slowest: Vec<(f64, f64, String)> = now.iter().filter_map(since).collect();
    slowest.sort_by(|one, other| other.0.total_cmp(&one.0));
    let line = |(mean_ms, calls, query): &(f64, f64, String)| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, at least 1")]
        let calls = *calls as u64;
        format!("{} × {} {query}", ms(Some(*mean_ms)), count(calls))
    };
    let lines: Vec<String> = slowest.iter().take(TOLD).map(line).collect();
    (!lines.is_empty()).then(|| format!("slowest statements by mean: {}", lines.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, calls: f64, total_ms: f64) -> (String, Spent, String) {
        (id.to_owned(), Spent { calls, total_ms }, format!("SELECT '{id}' FROM {id}"))
    }

    #[test]
    fn means_are_those_since_the_first_look() {
        let mut statements = Statements::default();
        statements.compare(&[of("a", 100.0, 100_000.0), of("b", 5.0, 5.0), of("d", 9.0, 9.0)]);
        assert_eq!(statements.text, None);
        statements.compare(&[
            of("a", 110.0, 100_020.0),
            of("b", 5.0, 5.0),
            of("c", 2.0, 600.0),
            of("d", 1.0, 7.0),
        ]);
        let text = "slowest statements by mean: 300 ms × 2 SELECT ? FROM c; 7.0 ms × 1 SELECT ? FROM d; \
                    2.0 ms × 10 SELECT ? FROM a";
        assert_eq!(statements.text.as_deref(), Some(text));
        statements.compare(&[of("pg_stat_activity", 1.0, 9.0)]);
        assert_eq!(statements.text.as_deref(), Some(text), "what was told stands");
    }
}
