//! A script for k6: each session a function and a scenario of its own, with the recorded offsets.
//!
//! Values that a request takes from earlier answers are taken from live ones, by the bindings that a replay
//! uses; accounts come from a CSV file. What k6 cannot do, or does its own way, stands at the top of each
//! script ([`LIMITS`]): it is for those who have k6, not a replay.

mod literal;
mod step;

use std::io::{self, Write};

use crate::report::format::counted;
use crate::sessions::{Session, Source, Step};

const PRELUDE: &str = include_str!("k6/prelude.js");

const LIMITS: &str = "\
// What differs from `kingtide replay`:
// - One request of a session at a time: what overlapped goes out one after the other, a late answer delays what
//   follows, and connections are k6's.
// - Uploads go out as fast as the network takes them, not along the recorded curve; files are zeros, not recordings.
// - Several fields of one name in a form: the last one is sent. Boundaries and the order of headers are k6's.
// - Values out of HTML pages stay empty. Fingerprints that nothing supplies are filler of their length.
// - k6 counts latency from when a request was sent, not from when it should have been.
";

/// Writes the script of some sessions of the capture called `name`.
pub fn write(out: &mut impl Write, name: &str, sessions: &[&Session]) -> io::Result<()> {
    let requests: usize = sessions.iter().map(|session| session.steps.len()).sum();
    let (of_sessions, of_requests) =
        (counted(sessions.len() as u64, "session"), counted(requests as u64, "request"));
    // The name is a directory's: it must not end the comment.
    let name = name.replace(char::is_control, " ");
    writeln!(out, "// {of_sessions}, {of_requests} of the capture {name}, by `kingtide export k6`.")?;
    writeln!(out, "// k6 run -e BASE_URL=http://127.0.0.1:8000{} -e TIMES=1 FILE", identities(sessions))?;
    writeln!(out, "{LIMITS}")?;
    writeln!(out, "const DEFAULT_BASE = {};", literal::string(&base(sessions)))?;
    write_sessions(out, sessions)?;
    writeln!(out, "\n{PRELUDE}")?;
    (1..).zip(sessions).try_for_each(|(number, session)| write_session(out, number, session))?;
    out.flush()
}

/// Function, start and length of each session in seconds.
fn write_sessions(out: &mut impl Write, sessions: &[&Session]) -> io::Result<()> {
    let first_ns = sessions.iter().map(|session| session.start_ns).min().unwrap_or_default();
    writeln!(out, "// Function, start and length in seconds of each session.\nconst SESSIONS = [")?;
    for (number, session) in (1..).zip(sessions) {
        let start_ms = session.start_ns.saturating_sub(first_ns) / 1_000_000;
        let length_ms = session.steps.iter().map(|step| step.offset_us).max().unwrap_or_default() / 1000;
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let start = seconds(start_ms.unsigned_abs());
        writeln!(out, "  [\"session{number}\", {start}, {}],", seconds(length_ms))?;
    }
    writeln!(out, "];")
}

fn write_session(out: &mut impl Write, number: usize, session: &Session) -> io::Result<()> {
    writeln!(out, "\nexport function session{number}() {{")?;
    let made = ["const at = clock();", "const fresh = made();", "const me = user();"];
    let needed = [true, uses(session, is_fresh), uses(session, is_identity)];
    for (line, _) in made.iter().zip(needed).filter(|(_, needed)| *needed) {
        writeln!(out, "  {line}")?;
    }
    let bound: Vec<usize> = session.steps.iter().flat_map(Step::waits_for).collect();
    for (index, step) in session.steps.iter().enumerate() {
        writeln!(out, "  at({});", step.offset_us / 1000)?;
        let kept = if bound.contains(&index) { format!("const r{index} = ") } else { String::new() };
        writeln!(out, "  {kept}{};", step::call(step))?;
    }
    writeln!(out, "}}")
}

fn uses(session: &Session, is: fn(&Source) -> bool) -> bool {
    session.steps.iter().flat_map(|step| &step.holes).any(|hole| is(&hole.source))
}

fn is_fresh(source: &Source) -> bool {
    matches!(source, Source::Fresh(_))
}

fn is_identity(source: &Source) -> bool {
    matches!(source, Source::Identity { .. })
}

fn identities(sessions: &[&Session]) -> &'static str {
    let needs_one = sessions.iter().any(|session| uses(session, is_identity));
    if needs_one { " -e IDENTITIES=accounts.csv" } else { "" }
}

/// Where the captured requests went.
fn base(sessions: &[&Session]) -> String {
    let mut hosts = sessions.iter().flat_map(|session| &session.steps).map(|step| &step.exchange.host);
    let host = hosts.find(|host| !host.is_empty()).map_or("127.0.0.1:8000", String::as_str);
    format!("http://{host}")
}

#[cfg(test)]
mod tests;
