//! What is counted of exchanges, by route, from the columns of a capture.
//!
//! A batch is counted by itself, on any thread, and added to the whole. Durations and sizes are kept one by one, 8 bytes
//! each, so that percentiles are exact.

use std::collections::BTreeMap;

use arrow_array::types::{UInt16Type, UInt64Type};
use arrow_array::{RecordBatch, StringArray, UInt16Array, UInt64Array};
use kingtide_common::capture::{Batch, KIND_GAP};
use kingtide_common::exchange::{Gap, Record};
use kingtide_common::stages::{Instants, Stage};
use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::Amount;
use super::limits::{COMPLETE, Judged};
use super::synthesised::Synthesised;
use super::values::Values;
use crate::columns::{self, Lists, Timings, Words};
use crate::sessions::route;

/// What is counted from besides the instants.
const COLUMNS: [&str; 20] = [
    "started",
    "tls_us",
    "method",
    "target",
    "status",
    "request_body_kind",
    "request_body",
    "request_body_bytes",
    "pacing_at_us",
    "pacing_bytes",
    "server_timing",
    "end",
    "refused_by",
    "would_refuse",
    "gap_to",
    "gap_count",
    "gap_bytes",
    "gap_reason",
    "gap_cut",
    "synthesised",
];

/// All columns that are counted from.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.into_iter().chain(Instants::NAMES)
}

/// Bodies from which the time between the first and the last byte tells of the uplink, not of the system's buffers.
const UPLINK_BYTES_MIN: u64 = 64 << 10;

/// Of a capture or a part of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By route template.
    pub(super) routes: BTreeMap<String, RouteTally>,
    pub(super) ends: BTreeMap<String, u64>,
    pub(super) bodies: Amount,
    pub(super) unread_bodies: u64,
    /// Bytes per second of uploads.
    pub(super) uplinks: Values,
    pub(super) gaps: Vec<Gap>,
    /// What an import made up.
    pub(super) synthesised: Synthesised,
}

/// Of the exchanges of one method and path template.
#[derive(Debug, Default)]
pub(super) struct RouteTally {
    pub(super) count: u64,
    pub(super) statuses: BTreeMap<Option<u16>, u64>,
    pub(super) body_bytes: u64,
    /// Sizes of file parts.
    pub(super) file_bytes: Values,
    /// In the order of [`Stage::ALL`].
    pub(super) stages_us: [Values; Stage::ALL.len()],
    /// From the backend's `Server-Timing`.
    pub(super) inner_us: BTreeMap<String, Values>,
    pub(super) limits: BTreeMap<String, Judged>,
}

impl Tally {
    pub(super) fn of(batch: &Batch) -> Self {
        let columns = TallyColumns::of(batch.columns());
        let mut tally = Self::default();
        let mut routes = Routes::default();
        for row in 0..batch.columns().num_rows() {
            if columns.kind.get(row) == Some(KIND_GAP) {
                tally.gaps.extend(gap(batch, row));
            } else {
                tally.count(&columns, routes.at(columns.method(row), columns.target(row)), row);
            }
        }
        tally.routes = routes.tallies.into_iter().collect();
        tally
    }

    fn count(&mut self, columns: &TallyColumns, route: &mut RouteTally, row: usize) {
        let body_bytes = columns::at(&columns.request_body_bytes, row).unwrap_or_default();
        if body_bytes > 0 {
            self.bodies.count += 1;
            self.bodies.sum += body_bytes;
        }
        match columns.body_kind.get(row) {
            Some("unread") => self.unread_bodies += 1,
            Some("multipart") => match files(columns::text(&columns.body, row)) {
                Some(sizes) => route.file_bytes.extend(sizes),
                None => self.unread_bodies += 1,
            },
            _ => {}
        }
        if let Some(end) = columns.end.get(row).filter(|end| *end != COMPLETE) {
            *entry(&mut self.ends, end) += 1;
        }
        self.uplinks.extend(columns.uplink(row, body_bytes));
        let made_up = &columns.synthesised;
        self.synthesised.add(made_up.range(row).map(|item| columns::text(&made_up.items, item)));
        route.count(columns, row, body_bytes);
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        for (name, tally) in other.routes {
            self.routes.entry(name).or_default().add(tally);
        }
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        self.bodies.count += other.bodies.count;
        self.bodies.sum += other.bodies.sum;
        self.unread_bodies += other.unread_bodies;
        self.uplinks.add(other.uplinks);
        self.gaps.extend(other.gaps);
        self.synthesised.join(other.synthesised);
    }
}

impl RouteTally {
    fn count(&mut self, columns: &TallyColumns, row: usize, body_bytes: u64) {
        self.count += 1;
        self.body_bytes += body_bytes;
        *self.statuses.entry(columns::at(&columns.status, row)).or_default() += 1;
        let instants = columns.instants(row);
        for (stage, times_us) in Stage::ALL.into_iter().zip(&mut self.stages_us) {
            let tls_us = || columns::at(&columns.tls_us, row);
            times_us.extend(if stage == Stage::Tls { tls_us() } else { instants.stage_us(stage) });
        }
        let timings = &columns.server_timing;
        for item in timings.range(row) {
            let name = columns::text(&timings.items.names, item);
            let duration_us = columns::at(&timings.items.numbers, item).unwrap_or_default();
            entry(&mut self.inner_us, name).push(duration_us);
        }
        for (limit, judged) in columns.judgements(row, body_bytes) {
            *entry(&mut self.limits, limit) += judged;
        }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.body_bytes += other.body_bytes;
        self.file_bytes.add(other.file_bytes);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (all, times_us) in self.stages_us.iter_mut().zip(other.stages_us) {
            all.add(times_us);
        }
        for (name, times_us) in other.inner_us {
            self.inner_us.entry(name).or_default().add(times_us);
        }
        for (limit, judged) in other.limits {
            *self.limits.entry(limit).or_default() += judged;
        }
    }
}

/// The value under a name, made when it is not there; the name is copied only then.
pub(super) fn entry<'a, T: Default>(map: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.get_mut(name).expect("inserted above")
}

/// The routes of one batch.
#[derive(Default)]
struct Routes {
    tallies: Vec<(String, RouteTally)>,
    places: FxHashMap<String, usize>,
    name: String,
}

impl Routes {
    fn at(&mut self, method: &str, target: &str) -> &mut RouteTally {
        self.name.clear();
        route::write_template(method, target, &mut self.name);
        let known = self.places.get(&self.name).copied();
        let place = known.unwrap_or_else(|| self.add());
        &mut self.tallies[place].1
    }

    fn add(&mut self) -> usize {
        let place = self.tallies.len();
        self.tallies.push((self.name.clone(), RouteTally::default()));
        self.places.insert(self.name.clone(), place);
        place
    }
}

struct TallyColumns {
    kind: Words,
    method: Words,
    target: StringArray,
    instants: [UInt64Array; Instants::NAMES.len()],
    tls_us: UInt64Array,
    status: UInt16Array,
    body_kind: Words,
    body: StringArray,
    request_body_bytes: UInt64Array,
    pacing_at_us: Lists<UInt64Array>,
    pacing_bytes: Lists<UInt64Array>,
    server_timing: Lists<Timings<UInt64Type>>,
    end: Words,
    refused_by: Words,
    would_refuse: Lists<StringArray>,
    synthesised: Lists<StringArray>,
}

impl TallyColumns {
    fn of(batch: &RecordBatch) -> Self {
        let number = |name| columns::numbers::<UInt64Type>(batch, name);
        Self {
            kind: Words::of(batch, "kind"),
            method: Words::of(batch, "method"),
            target: columns::texts(batch, "target"),
            instants: Instants::NAMES.map(number),
            tls_us: number("tls_us"),
            status: columns::numbers::<UInt16Type>(batch, "status"),
            body_kind: Words::of(batch, "request_body_kind"),
            body: columns::texts(batch, "request_body"),
            request_body_bytes: number("request_body_bytes"),
            pacing_at_us: columns::number_lists(batch, "pacing_at_us"),
            pacing_bytes: columns::number_lists(batch, "pacing_bytes"),
            server_timing: columns::timings(batch, "server_timing", "duration_us"),
            end: Words::of(batch, "end"),
            refused_by: Words::of(batch, "refused_by"),
            would_refuse: columns::text_lists(batch, "would_refuse"),
            synthesised: columns::text_lists(batch, "synthesised"),
        }
    }

    fn method(&self, row: usize) -> &str {
        self.method.get(row).unwrap_or_default()
    }

    fn target(&self, row: usize) -> &str {
        columns::text(&self.target, row)
    }

    fn instants(&self, row: usize) -> Instants {
        Instants::from(self.instants.each_ref().map(|column| columns::at(column, row)))
    }

    /// Bytes per second from the first to the last point of the arrival curve.
    fn uplink(&self, row: usize, body_bytes: u64) -> Option<u64> {
        if body_bytes < UPLINK_BYTES_MIN {
            return None;
        }
        let range = self.pacing_at_us.range(row);
        let ends = |column: &Lists<UInt64Array>| {
            let range = column.range(row);
            let last = range.end.checked_sub(1).filter(|last| *last > range.start)?;
            let (first, last) = (columns::at(&column.items, range.start)?, columns::at(&column.items, last)?);
            last.checked_sub(first)
        };
        if range.len() < 2 {
            return None;
        }
        let (us, bytes) = (ends(&self.pacing_at_us)?, ends(&self.pacing_bytes)?);
        u64::try_from(u128::from(bytes) * 1_000_000 / u128::from((us > 0).then_some(us)?)).ok()
    }

    /// What each limit said of one exchange.
    fn judgements(&self, row: usize, bytes: u64) -> impl Iterator<Item = (&str, Judged)> {
        let refused = Judged { refused: 1, refused_bytes: bytes, ..Judged::default() };
        let shadowed = Judged { would_refuse: 1, would_refuse_bytes: bytes, ..Judged::default() };
        let refused = self.refused_by.get(row).map(move |limit| (limit, refused));
        let limits = &self.would_refuse;
        let passed = limits.range(row).map(|item| columns::text(&limits.items, item));
        refused.into_iter().chain(passed.map(move |limit| (limit, shadowed)))
    }
}

fn gap(batch: &Batch, row: usize) -> Option<Gap> {
    match batch.record(row) {
        Record::Gap(gap) => Some(gap),
        Record::Exchange(_) => None,
    }
}

/// Sizes of the file parts in a multipart description; `None` when it cannot be read.
fn files(description: &str) -> Option<impl Iterator<Item = u64>> {
    #[derive(Deserialize)]
    struct Described {
        parts: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        file: Option<File>,
    }
    #[derive(Deserialize)]
    struct File {
        bytes: u64,
    }
    let described: Described = serde_json::from_str(description).ok()?;
    Some(described.parts.into_iter().filter_map(|part| Some(part.file?.bytes)))
}
