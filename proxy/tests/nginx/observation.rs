//! What came of a case at one proxy, as facts that can be compared one by one.
//!
//! Left out, as the two may differ there: `Server`, `Date`, what a proxy adds towards the upstream, the order
//! of headers and the case of their names, reason phrases, and the bodies of the proxy's own answers.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::client::{Fate, Seen};
use crate::message::{Framing, Kind, Message, messages};
use crate::origin::Connection;

#[derive(Debug, Clone)]
pub(crate) struct Observation {
    clients: Vec<Seen>,
    connections: Vec<Connection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Ms(u64),
}

pub(crate) type Fact = (String, Value);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Ms(ms) => write!(f, "{ms} ms"),
        }
    }
}

/// The fact that says most in one line.
pub(crate) const SUMMARY: &str = "summary";

/// A body up to this is shown whole; how much of a longer one came before it was cut is chance.
const SHORT_BYTES: usize = 80;

const LEFT_OUT_OF_ANSWERS: &[&str] =
    &["server", "date", "connection", "keep-alive", "content-length", "transfer-encoding", "x-request-id"];

const LEFT_OUT_OF_REQUESTS: &[&str] = &[
    "connection",
    "content-length",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "traceparent",
];

/// A request as it reached the upstream, and when it began.
struct Reached {
    message: Message,
    ms: u64,
}

impl Observation {
    pub(crate) fn new(clients: Vec<Seen>, mut connections: Vec<Connection>) -> Self {
        connections.retain(|connection| !connection.bytes.is_empty());
        Self { clients, connections }
    }

    /// `100 200 open | whole`: for each client the statuses (`~`: cut) and what became of its connection;
    /// then what reached the upstream of each request.
    pub(crate) fn summary(&self) -> String {
        let clients: Vec<String> = self.clients.iter().map(client_summary).collect();
        let words: Vec<String> =
            self.reached().iter().map(|request| word(&request.message).to_owned()).collect();
        let words = counted(&words);
        let reached = if words.is_empty() { "nothing".to_owned() } else { words.join(" ") };
        format!("{} | {reached}", clients.join(", "))
    }

    /// All facts, a line for each.
    pub(crate) fn shown(&self) -> String {
        let line = |(name, value): Fact| format!("    {name}: {value}\n");
        self.facts(true).into_iter().map(line).collect()
    }

    pub(crate) fn facts(&self, compares_framing: bool) -> Vec<Fact> {
        let mut facts = vec![text(SUMMARY, self.summary())];
        let clients = self.clients.iter().enumerate();
        facts.extend(clients.flat_map(|(number, seen)| client_facts(number + 1, seen)));
        for (number, request) in self.reached().iter().enumerate() {
            facts.extend(request_facts(number + 1, request, compares_framing));
        }
        let open = self.connections.iter().filter(|connection| connection.fate == Fate::Open).count();
        facts.push(text("upstream connections", self.connections.len().to_string()));
        facts.push(text("upstream connections left open", open.to_string()));
        facts
    }

    /// In the order of their request lines, as requests of several connections have no other.
    fn reached(&self) -> Vec<Reached> {
        let mut reached: Vec<Reached> = self.connections.iter().flat_map(requests).collect();
        reached.sort_by(|a, b| (&a.message.first_line, a.ms).cmp(&(&b.message.first_line, b.ms)));
        reached
    }
}

fn requests(connection: &Connection) -> Vec<Reached> {
    let (requests, rest) = messages(&connection.bytes, Kind::Requests, connection.fate != Fate::Open);
    let rest = Some(rest).filter(|rest| !rest.is_empty()).map(|rest| unreadable(connection, rest));
    let reached = |message: Message| {
        let before = connection.arrivals.iter().take_while(|(start, _)| *start <= message.start);
        Reached { ms: before.last().map_or(0, |(_, ms)| *ms), message }
    };
    requests.into_iter().chain(rest).map(reached).collect()
}

fn unreadable(connection: &Connection, rest: &[u8]) -> Message {
    Message {
        start: connection.bytes.len() - rest.len(),
        first_line: format!("no request: {}", shown(rest)),
        headers: Vec::new(),
        framing: Framing::Nothing,
        body: Vec::new(),
        is_whole: false,
    }
}

fn client_summary(seen: &Seen) -> String {
    let (answers, rest) = seen.answers();
    let mut words: Vec<String> = Vec::new();
    for answer in &answers {
        let cut = if answer.is_whole { "" } else { "~" };
        words.push(format!("{}{cut}", answer.status()));
    }
    words = counted(&words);
    if !rest.is_empty() {
        words.push("?".to_owned());
    }
    if words.is_empty() {
        words.push("silence".to_owned());
    }
    words.push(fate(seen).to_owned());
    words.join(" ")
}

/// More than three of the same are written once, with their number.
fn counted(words: &[String]) -> Vec<String> {
    let runs = words.chunk_by(|a, b| a == b);
    let written = |run: &[String]| match run.len() {
        1..=3 => run.to_vec(),
        count => vec![format!("{}*{count}", run[0])],
    };
    runs.flat_map(written).collect()
}

fn fate(seen: &Seen) -> &'static str {
    match seen.fate {
        Fate::Fin(_) | Fate::Reset(_) if seen.is_flooding => "closed",
        Fate::Open => "open",
        Fate::Fin(_) => "fin",
        Fate::Reset(_) => "reset",
        Fate::Left => "left",
    }
}

fn word(message: &Message) -> &'static str {
    if message.is_whole { "whole" } else { "broken" }
}

fn client_facts(number: usize, seen: &Seen) -> Vec<Fact> {
    let (answers, rest) = seen.answers();
    let mut facts = Vec::new();
    let name = |what: &str| format!("client {number} {what}");
    if !rest.is_empty() {
        facts.push(text(name("sees no answer in"), shown(rest)));
    }
    if let Fate::Fin(ms) | Fate::Reset(ms) = seen.fate {
        facts.push((name("closed at"), Value::Ms(ms)));
    }
    if let Some(ms) = seen.refused_ms {
        facts.push((name("can send no more at"), Value::Ms(ms)));
    }
    for (index, answer) in answers.iter().filter(|answer| !answer.is_interim()).enumerate() {
        let name = |what: &str| format!("client {number} answer {} {what}", index + 1);
        facts.push((name("at"), Value::Ms(seen.time_of_ms(answer.start))));
        if answer.header("x-origin").is_some() {
            facts.push(text(name("headers"), headers(answer, LEFT_OUT_OF_ANSWERS)));
            facts.push(text(name("framing"), kind(answer.framing)));
            if answer.is_whole || answer.body.len() <= SHORT_BYTES {
                facts.push(text(name("body"), body(answer)));
            }
        }
    }
    facts
}

fn request_facts(number: usize, request: &Reached, compares_framing: bool) -> Vec<Fact> {
    let name = |what: &str| format!("upstream request {number} {what}");
    let message = &request.message;
    let mut facts = vec![
        text(name("line"), message.first_line.clone()),
        text(name("is"), word(message)),
        text(name("headers"), headers(message, LEFT_OUT_OF_REQUESTS)),
        (name("at"), Value::Ms(request.ms)),
    ];
    if message.is_whole {
        facts.push(text(name("body"), body(message)));
    }
    if compares_framing {
        facts.push(text(name("framing"), kind(message.framing)));
    }
    facts
}

fn kind(framing: Framing) -> &'static str {
    match framing {
        Framing::Nothing => "no body",
        Framing::Length(_) => "Content-Length",
        Framing::Chunked => "chunked",
        Framing::UntilClose => "until close",
    }
}

fn headers(message: &Message, left_out: &[&str]) -> String {
    let kept = message.headers.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    let mut lines: Vec<String> = kept.map(|(name, value)| format!("{name}: {value}")).collect();
    // Stable: headers of one name keep their order.
    lines.sort_by(|a, b| a.split(':').next().cmp(&b.split(':').next()));
    shown(lines.join("; ").chars().map(|c| c as u8).collect::<Vec<u8>>().as_slice())
}

/// All of what is short; of more its size and its hash.
fn body(message: &Message) -> String {
    match message.body.len() {
        0..=SHORT_BYTES => shown(&message.body),
        bytes => {
            let mut hasher = DefaultHasher::new();
            message.body.hash(&mut hasher);
            format!("{bytes} bytes, hash {:x}", hasher.finish())
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(300)];
    let more = if bytes.len() > start.len() { format!("… {} bytes", bytes.len()) } else { String::new() };
    format!("{}{more}", start.escape_ascii())
}

fn text(name: impl Into<String>, value: impl Into<String>) -> Fact {
    (name.into(), Value::Text(value.into()))
}
