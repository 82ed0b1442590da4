//! PostgreSQL: connections in known states, and a server that is not well.

use kingtide::monitor::Monitors;
use kingtide::monitor::timeline::EventKind;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::{event, gap, latest_is, postgres, seen};
use crate::postgres::{Postgres, execute, pid};

/// A query that runs until its connection ends.
fn running(mut client: PgConnection, sql: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { drop(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut client).await) })
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_state_and_a_lock_wait_names_its_blocker() {
    let server = Postgres::start();
    let mut holder = server.client("holder").await;
    execute(&mut holder, "CREATE TABLE uploads (id int, owner text); INSERT INTO uploads VALUES (1, 'anna')")
        .await;
    execute(&mut holder, "BEGIN; UPDATE uploads SET owner = 'anna' WHERE id = 1").await;
    let holder_pid = pid(&mut holder).await;
    // The last statement is what the server tells of it.
    execute(&mut holder, "UPDATE uploads SET owner = 'anna' WHERE id = 1").await;
    let idle = [server.client("idle").await, server.client("idle").await];
    let mut waiter = server.client("waiter").await;
    let waiter_pid = pid(&mut waiter).await;
    let waiting = running(waiter, "UPDATE uploads SET owner = 'berta' WHERE id = 1");
    let sleeping =
        running(server.client("sleeper").await, "SELECT pg_sleep(600), 'anna@example.com' -- anna");

    let monitors = Monitors::start(&[postgres(&server.url("postgres"))]).unwrap();
    latest_is(&monitors, "postgres.lock_waits", 1.0);
    latest_is(&monitors, "postgres.slow_queries", 2.0);
    let latest = monitors.latest();
    let counts =
        ["active", "idle", "idle_in_transaction", "total", "server_total", "waits_lock", "waits_timeout"];
    let counts = counts.map(|name| latest.get(&format!("postgres.{name}")).copied());
    assert_eq!(counts, [2.0, 2.0, 1.0, 5.0, 6.0, 1.0, 1.0].map(Some));
    assert!(latest["postgres.longest_query_s"] > 0.2 && latest["postgres.max_connections"] > 99.0);
    assert!(latest["postgres.database_bytes"] > 1e6);

    let wait =
        seen(&monitors, "lock wait", |timeline| event(timeline, EventKind::LockWait, "blocked by")).text;
    let waits = format!("pid {waiter_pid} (waiter), running for ");
    let blocked = format!(
        "UPDATE uploads SET owner = ? WHERE id = ?; blocked by pid {holder_pid} (holder), idle in transaction"
    );
    assert!(wait.starts_with(&waits) && wait.contains(&blocked), "{wait}");
    let slow =
        seen(&monitors, "slow query", |timeline| event(timeline, EventKind::SlowQuery, "(sleeper)")).text;
    assert!(slow.ends_with(": SELECT pg_sleep(?), ?"), "{slow}");
    seen(&monitors, "held transaction", |timeline| event(timeline, EventKind::IdleInTransaction, "(holder)"));
    let note = |timeline: &_| event(timeline, EventKind::Note, "need the extension pg_stat_statements");
    seen(&monitors, "note", note);

    // What ends is over; what is told of it stands.
    execute(&mut holder, "COMMIT").await;
    latest_is(&monitors, "postgres.lock_waits", 0.0);
    waiting.abort();
    sleeping.abort();
    drop(idle);
    let timeline = monitors.stop(std::time::Instant::now());
    assert!(!format!("{timeline:?}").contains("anna") && !format!("{timeline:?}").contains("berta"));
    assert_eq!(timeline.events.iter().filter(|event| event.kind == EventKind::LockWait).count(), 1);
    assert!(timeline.series["postgres.total"].iter().all(|point| point.at_s <= 0.0), "0 is the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_a_gap_and_a_return() {
    let server = Postgres::start();
    let monitors = Monitors::start(&[postgres(&server.url("postgres"))]).unwrap();
    latest_is(&monitors, "postgres.total", 0.0);
    server.down();
    let lost = gap(&monitors, "it cannot look: ");
    assert!(!monitors.latest().contains_key("postgres.total"));
    server.up();
    let found = gap(&monitors, "it can look again");
    latest_is(&monitors, "postgres.total", 0.0);
    let timeline = monitors.timeline(monitors.began());
    assert_eq!(timeline.events.iter().filter(|event| event.kind == EventKind::Gap).count(), 2);
    let total = &timeline.series["postgres.total"];
    let is_blind =
        |at_s: f64| total.iter().find(|point| point.at_s >= at_s).is_some_and(|point| point.value.is_none());
    assert!(is_blind(lost.at_s) && !is_blind(found.at_s), "{total:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_connection_left_says_so_until_one_is_free() {
    let server =
        Postgres::with("-c max_connections=3 -c superuser_reserved_connections=0 -c max_wal_senders=0");
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client("app").await);
    }
    let monitors = Monitors::start(&[postgres(&server.url("postgres"))]).unwrap();
    gap(&monitors, "PostgreSQL has no connection left, not even for the monitor: sorry, too many clients");
    clients.pop().unwrap().close().await.unwrap();
    gap(&monitors, "it can look again");
    latest_is(&monitors, "postgres.total", 2.0);
    let latest = monitors.latest();
    assert_eq!(latest.get("postgres.server_total"), latest.get("postgres.max_connections"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_states_is_told_what_to_grant() {
    let server = Postgres::start();
    let mut admin = server.client("admin").await;
    execute(&mut admin, "CREATE ROLE watcher LOGIN").await;
    let monitors = Monitors::start(&[postgres(&server.url("watcher"))]).unwrap();
    seen(&monitors, "note", |timeline| event(timeline, EventKind::Note, "GRANT pg_read_all_stats"));
    latest_is(&monitors, "postgres.total", 1.0);
    assert!(!monitors.latest().contains_key("postgres.active"), "a part is not the whole");
    execute(&mut admin, "GRANT pg_read_all_stats TO watcher").await;
    latest_is(&monitors, "postgres.idle", 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_statements_are_told_where_the_extension_is() {
    let server = Postgres::with("-c shared_preload_libraries=pg_stat_statements");
    let mut client = server.client("app").await;
    execute(&mut client, "CREATE SCHEMA stats; CREATE EXTENSION pg_stat_statements SCHEMA stats").await;
    let monitors = Monitors::start(&[postgres(&server.url("postgres"))]).unwrap();
    latest_is(&monitors, "postgres.total", 1.0);
    execute(&mut client, "SELECT pg_sleep(0.05) AS nap").await;
    let told = seen(&monitors, "statements", |timeline| event(timeline, EventKind::Note, "AS nap")).text;
    assert!(
        told.starts_with("slowest statements by mean: ") && told.contains(" × 1 SELECT pg_sleep($1) AS nap"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbouncer_in_transaction_mode_is_no_obstacle() {
    let mut server = Postgres::start();
    let url = server.bouncer_url();
    let direct = server.client("direct").await;
    let monitors = Monitors::start(&[postgres(&url)]).unwrap();
    seen(&monitors, "ten looks", |timeline| (timeline.values("postgres.total").count() >= 10).then_some(()));
    // Others share the pool's connections, and find nothing of the monitor's on them.
    for _ in 0..5 {
        let options: PgConnectOptions = url.parse().unwrap();
        let mut pooled = PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap();
        let row = sqlx::raw_sql("SHOW statement_timeout").fetch_one(&mut pooled).await.unwrap();
        assert_eq!(row.get::<String, _>(0), "0");
    }
    let timeline = monitors.timeline(monitors.began());
    let gaps: Vec<_> = timeline.events.iter().filter(|event| event.kind == EventKind::Gap).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
    drop(direct);
}
