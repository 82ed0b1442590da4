//! What came of an import, for people and as JSON (schema: `replayer/schemas/import.json`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kingtide_common::exchange::Exchange;
use kingtide_common::ledger::Ledger;
use serde::Serialize;

use crate::inspect::Synthesised;
use crate::report::format::{count, counted};

/// Unreadable records that are listed; the others are counted.
const LISTED_MAX: usize = 5;
/// Hosts that are listed; the others are counted together.
const HOSTS_MAX: usize = 64;
const OTHER_HOSTS: &str = "(others)";
/// Hosts shown to people.
const HOSTS_SHOWN: usize = 8;

/// Counts of an import: `read` = `imported` + `filtered` + all of `left_out` + `unreadable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub format: &'static str,
    /// Where the capture is; empty until it is there.
    pub capture: String,
    pub read: u64,
    pub imported: u64,
    /// Requests to hosts that were not asked for.
    pub filtered: u64,
    /// By reason.
    pub left_out: BTreeMap<&'static str, u64>,
    pub unreadable: u64,
    /// The first of them: place and reason.
    pub unreadable_first: Vec<String>,
    /// Imported exchanges of which something was made up.
    pub completed: u64,
    /// How many of them by what was made up.
    pub synthesised: BTreeMap<String, u64>,
    /// Requests by host, filtered ones included.
    pub hosts: BTreeMap<String, u64>,
    /// What a person should look at.
    pub cautions: Vec<String>,
    #[serde(skip)]
    seen: Seen,
}

/// What cautions are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    credentials: bool,
    answers: bool,
}

impl Summary {
    pub(super) fn new(format: &'static str) -> Self {
        Self {
            format,
            capture: String::new(),
            read: 0,
            imported: 0,
            filtered: 0,
            left_out: BTreeMap::new(),
            unreadable: 0,
            unreadable_first: Vec::new(),
            completed: 0,
            synthesised: BTreeMap::new(),
            hosts: BTreeMap::new(),
            cautions: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub(super) fn leave_out(&mut self, reason: &'static str) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    pub(super) fn filter(&mut self, host: &str) {
        self.filtered += 1;
        self.host(host);
    }

    pub(super) fn unreadable(&mut self, what: String) {
        self.unreadable += 1;
        if self.unreadable_first.len() < LISTED_MAX {
            self.unreadable_first.push(what);
        }
    }

    pub(super) fn import(&mut self, exchange: &Exchange) {
        self.imported += 1;
        self.completed += u64::from(!exchange.synthesised.is_empty());
        for name in &exchange.synthesised {
            *self.synthesised.entry(name.clone()).or_default() += 1;
        }
        self.host(&exchange.host);
        let headers = ["authorization", "cookie", "x-auth-token", "x-access-token"];
        self.seen.credentials |= headers.iter().any(|name| exchange.request_header(name).is_some());
        self.seen.answers |= exchange.status.is_some();
    }

    fn host(&mut self, host: &str) {
        let is_listed = self.hosts.len() < HOSTS_MAX || self.hosts.contains_key(host);
        *self.hosts.entry(if is_listed { host } else { OTHER_HOSTS }.to_owned()).or_default() += 1;
    }

    /// As a capture's manifest tells it: what was filtered was a request, what was left out was none.
    pub(super) fn ledger(&self) -> Ledger {
        Ledger {
            accepted: self.imported + self.filtered,
            recorded: self.imported,
            filtered: self.filtered,
            ..Ledger::default()
        }
    }

    /// The capture is there.
    pub fn kept(&mut self, capture: String) {
        self.capture = capture;
        let hosts = self.hosts.len();
        let several = (hosts > 1 && self.filtered == 0).then(|| {
            format!("requests to {hosts} hosts are in one capture; a replay sends all of them to its target: --host keeps one")
        });
        let nameless =
            (!self.seen.credentials && self.imported > 0).then(|| nameless(self.format).to_owned());
        let unanswered = (!self.seen.answers && self.imported > 0).then(|| {
            "no request has its answer, so no value of a request can be bound to one; record the answers too"
                .to_owned()
        });
        self.cautions = [several, nameless, unanswered].into_iter().flatten().collect();
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut text =
            format!("{} from {}\n", counted(self.imported, "exchange"), counted(self.read, "record"));
        for (reason, number) in &self.left_out {
            let _ = writeln!(text, "  left out: {} ({reason})", count(*number));
        }
        if self.filtered > 0 {
            let _ = writeln!(text, "  left out: {} (another host)", count(self.filtered));
        }
        if self.unreadable > 0 {
            let _ = writeln!(text, "  unreadable: {}, the first:", count(self.unreadable));
            self.unreadable_first.iter().for_each(|line| text.extend(["    ", line, "\n"]));
        }
        if self.completed > 0 {
            let _ = writeln!(text, "  {}", self.made_up().sentence());
        }
        let _ = writeln!(text, "  hosts: {}", self.hosts_shown());
        self.cautions.iter().for_each(|caution| text.extend(["  caution: ", caution, "\n"]));
        text + "capture: " + &self.capture + "\n"
    }

    fn made_up(&self) -> Synthesised {
        let by_name = self.synthesised.clone();
        Synthesised { exchanges: self.completed, of: self.imported, by_name }
    }

    fn hosts_shown(&self) -> String {
        let mut hosts: Vec<_> = self.hosts.iter().collect();
        hosts.sort_by_key(|(_, requests)| std::cmp::Reverse(**requests));
        let more = hosts.len().saturating_sub(HOSTS_SHOWN);
        let shown = hosts
            .into_iter()
            .take(HOSTS_SHOWN)
            .map(|(host, requests)| format!("{host} ({})", count(*requests)));
        let more = (more > 0).then(|| format!("{more} more"));
        shown.chain(more).collect::<Vec<_>>().join(", ")
    }
}

/// Why all users may look like one, and what helps.
fn nameless(format: &str) -> &'static str {
    match format {
        "har" => {
            "no request carries Authorization or Cookie: Chromium leaves them out of sanitized exports; export \
             with sensitive data, the import hides them"
        }
        "nginx" => {
            "no request tells its user; sessions are made of connections and addresses. Log $cookie_NAME or \
             $http_authorization, the import hides their values"
        }
        _ => "no request carries Authorization or Cookie; sessions are made of connections",
    }
}
