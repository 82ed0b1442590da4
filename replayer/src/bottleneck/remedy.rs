//! What to change first, by the stage that grew and how much of it is busy.

use super::growth::{Growth, Part};
use super::slots::Slots;
use super::split::{CONNECT, EDGE, GENERATOR, RECEIVE, RETRIES, SEND, TURN, UPSTREAM, WAIT};

/// Parts of the names that stages of a database, and of a store, go by.
const DATABASE: [&str; 8] = ["db", "sql", "postgres", "pg", "pool", "query", "auth", "session"];
const STORE: [&str; 6] = ["store", "s3", "blob", "bucket", "storage", "minio"];

pub(super) fn of(growth: &Growth, part: &Part, slots: Option<&Slots>) -> String {
    match (part.stage.as_str(), slots) {
        (TURN, _) => {
            "The requests wait for answers before them: look at the route that those are of.".to_owned()
        }
        (GENERATOR, _) => {
            "This machine was late: use a larger one, or fewer other programs beside it.".to_owned()
        }
        (CONNECT, _) => {
            "Raise what accepts connections: listen backlog (net.core.somaxconn, uvicorn --backlog), \
                         worker_connections and worker_processes of the edge."
                .to_owned()
        }
        (SEND, _) => "The target reads uploads slowly: look at the network, at proxy_request_buffering and \
                      client_body_buffer_size of the edge, and at the application's reading of bodies."
            .to_owned(),
        (RECEIVE, _) => {
            "Answers come slowly: look at the network and at proxy_buffering of the edge.".to_owned()
        }
        (RETRIES, _) => "Requests were tried again: look at what refused them first.".to_owned(),
        (EDGE, _) => "The proxy held the request before the backend had it: look at the connections it keeps open to the \
                      backend (keepalive of the upstream), at the backend's listen backlog, and at the disk that uploads are \
                      buffered on."
            .to_owned(),
        (WAIT | UPSTREAM, _) if growth.is_common => one_queue(slots),
        (UPSTREAM, _) => "The backend does not say where it spends the time: have it send Server-Timing to see which stage \
                          waits."
            .to_owned(),
        (WAIT, _) => {
            "The target does not say where it spends the time: have it send Server-Timing (or record its \
                      stages with kingtide-proxy) to see which stage waits."
                .to_owned()
        }
        (stage, Some(slots)) if slots.is_held_beyond() => held_beyond(stage, slots),
        (stage, _) if is_any(stage, &STORE) => format!(
            "Raise how many calls of {stage} may run at once (max_pool_connections of the client, a semaphore, worker \
             threads), or make a call shorter.{}",
            pool_hint(slots)
        ),
        (stage, _) if is_any(stage, &DATABASE) => format!(
            "Raise the database pool (SQLAlchemy pool_size and max_overflow, PostgreSQL max_connections), or make the \
             statements of {stage} shorter.{}",
            pool_hint(slots)
        ),
        (stage, _) => {
            format!("Raise how many of {stage} may run at once, or make it shorter.{}", pool_hint(slots))
        }
    }
}

fn is_any(stage: &str, parts: &[&str]) -> bool {
    let stage = stage.to_ascii_lowercase();
    parts.iter().any(|part| stage.contains(part))
}

fn one_queue(slots: Option<&Slots>) -> String {
    let one = slots.filter(|slots| slots.busy < 1.6);
    let workers = "every route waits alike before its handler runs: add worker processes (uvicorn --workers, gunicorn -w), \
                   and move blocking calls off the event loop (run_in_threadpool, asyncio.to_thread).";
    match one {
        Some(_) => format!("One thing serves all requests, as a blocked event loop does; {workers}"),
        None => format!("The requests queue for something common to all routes; {workers}"),
    }
}

fn held_beyond(stage: &str, slots: &Slots) -> String {
    let held = slots.beyond().join(" and ");
    format!(
        "What {stage} waits for (a database connection, a lock) is held during {held}: commit and give the connection \
         back before {held} begins, as with one session for the check and another for the write. About {:.0} are in use \
         at the limit: compare that with the pool's size.",
        slots.busy
    )
}

fn pool_hint(slots: Option<&Slots>) -> String {
    let Some(slots) = slots else { return String::new() };
    let beyond = slots.to_the_end.as_ref().map(|(busy, stages)| {
        format!(
            " (about {busy:.0} if each is held on during {}, as by a transaction that is left open)",
            stages.join(" and ")
        )
    });
    let beyond = beyond.unwrap_or_default();
    format!(" About {:.0} are in use at the limit{beyond}: look for a setting of that size.", slots.busy)
}
