//! Evidence from the columns of a batch.
//!
//! Most texts hold nothing that matters: fingerprints are looked for in all headers and all bodies of a batch at once,
//! and only a body that may hold a login or a token is taken apart, by the same code as an exchange's.

use std::sync::LazyLock;

use arrow_array::types::{TimestampNanosecondType, UInt64Type};
use arrow_array::{RecordBatch, UInt64Array};
use kingtide_common::capture::{self, Batch, KIND_GAP};
use kingtide_common::cut::CutUsers;
use kingtide_common::exchange::{Exchange, Header};
use kingtide_common::fingerprint::Fingerprint;
use memchr::memmem::Finder;

use super::{
    Evidence, Shown, cookies_of, digest, is_credential_header, is_session_cookie, is_visitor_cookie,
};
use crate::columns::{self, Headers, Lists, Words};
use crate::sessions::rules::Given;

/// What evidence is taken from.
pub(crate) const COLUMNS: [&str; 13] = [
    "id",
    "connection",
    "started",
    "done_us",
    "target",
    "client",
    "ending",
    "request_headers",
    "request_body_kind",
    "request_body",
    "response_headers",
    "response_body_kind",
    "response_body",
];

/// What [`cut`] looks at.
pub(crate) const CUT_COLUMNS: [&str; 6] =
    ["id", "connection", "request_headers", "response_headers", "response_body_kind", "response_body"];

static PRINT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("{fp:"));
static JSON_ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u"));

/// The evidence of all exchanges of a batch, in order; gaps are left out.
pub(crate) fn evidence(batch: &Batch, given: &Given) -> Evidence {
    let columns = batch.columns();
    let mut shown = identities(batch);
    request_prints(columns, given, &mut shown);
    if given.has_keys() {
        marks(columns, given, &mut shown);
    }
    issued(columns, &mut shown);
    sent(columns, &mut shown);
    let mut evidence = Evidence::default();
    let kinds = Words::of(columns, "kind");
    let exchanges = shown.iter().enumerate().filter(|(row, _)| kinds.get(*row) != Some(KIND_GAP));
    exchanges.for_each(|(_, shown)| evidence.push(shown));
    evidence
}

fn identities(batch: &Batch) -> Vec<Shown> {
    let (columns, base) = (batch.columns(), batch.ids_from());
    let number = |name| columns::numbers::<UInt64Type>(columns, name);
    let (ids, connections, done_us) = (number("id"), number("connection"), number("done_us"));
    let started = columns::numbers::<TimestampNanosecondType>(columns, "started");
    let (clients, endings) = (Words::of(columns, "client"), Words::of(columns, "ending"));
    let clients_digests: Vec<u64> = clients.all().map(digest).collect();
    let shown = |row| {
        let started_ns = columns::at(&started, row).unwrap_or_default();
        let done_us = columns::at(&done_us, row).unwrap_or_default();
        Shown {
            id: columns::at(&ids, row).unwrap_or_default().saturating_add(base),
            connection: columns::at(&connections, row).unwrap_or_default().saturating_add(base),
            started_ns,
            done_ns: started_ns.saturating_add_unsigned(done_us.saturating_mul(1000)),
            client: clients.number(row).map_or_else(|| digest(""), |number| clients_digests[number]),
            is_complete: endings.get(row) == Some("complete"),
            ..Shown::default()
        }
    };
    (0..columns.num_rows()).map(shown).collect()
}

/// The rows and items of lists of headers whose value holds a fingerprint, in order.
fn header_prints(headers: &Lists<Headers>, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut row = 0;
    columns::holding(&headers.items.values, &PRINT).filter_map(move |item| {
        while row < rows && headers.range(row).end <= item {
            row += 1;
        }
        (row < rows && headers.range(row).contains(&item)).then_some((row, item))
    })
}

/// Credentials, those in headers before those in cookies, and where there are none the long cookies.
fn request_prints(columns: &RecordBatch, given: &Given, shown: &mut [Shown]) {
    let headers = columns::headers(columns, "request_headers");
    let mut session_cookies = Vec::new();
    for (row, item) in header_prints(&headers, shown.len()) {
        let name = columns::text(&headers.items.names, item);
        let value = columns::text(&headers.items.values, item);
        if is_credential_header(name, given) {
            shown[row].credentials.extend(prints(value));
        }
        if name.eq_ignore_ascii_case("cookie") {
            let cookies = || cookies_of(value);
            let of_session = cookies().filter(|(name, print)| is_session_cookie(name, print, given));
            session_cookies.extend(of_session.map(|(_, print)| (row, print)));
            shown[row].visitors.extend(cookies().map(|(_, print)| print).filter(is_visitor_cookie));
        }
    }
    for (row, print) in session_cookies {
        shown[row].credentials.push(print);
    }
    for one in shown.iter_mut().filter(|one| !one.credentials.is_empty()) {
        one.visitors.clear();
    }
}

/// The ids of the exchanges that are of users whom a gap cuts, as [`CutUsers::include`] has it.
pub(crate) fn cut(batch: &Batch, users: &CutUsers) -> Vec<u64> {
    let (columns, base) = (batch.columns(), batch.ids_from());
    let number = |name| columns::numbers::<UInt64Type>(columns, name);
    let (ids, connections) = (number("id"), number("connection"));
    let of_row =
        |column: &UInt64Array, row| columns::at(column, row).unwrap_or_default().saturating_add(base);
    let rows = 0..columns.num_rows();
    let mut is_cut: Vec<bool> =
        rows.clone().map(|row| users.include_connection(of_row(&connections, row))).collect();
    let names_one = |text: &str| prints(text).any(|print| users.include_credential(print));
    for name in ["request_headers", "response_headers"] {
        let headers = columns::headers(columns, name);
        for (row, item) in header_prints(&headers, rows.end) {
            is_cut[row] |= names_one(columns::text(&headers.items.values, item));
        }
    }
    let (bodies, kinds) =
        (columns::texts(columns, "response_body"), Words::of(columns, "response_body_kind"));
    for row in
        columns::holding(&bodies, &PRINT).filter(|row| matches!(kinds.get(*row), Some("json" | "form")))
    {
        is_cut[row] |= names_one(columns::text(&bodies, row));
    }
    let kinds = Words::of(columns, "kind");
    rows.filter(|row| is_cut[*row] && kinds.get(*row) != Some(KIND_GAP))
        .map(|row| of_row(&ids, row))
        .collect()
}

/// Only headers hold them, so that an exchange of nothing else shows the same.
fn marks(columns: &RecordBatch, given: &Given, shown: &mut [Shown]) {
    let headers = columns::headers(columns, "request_headers");
    for (row, one) in shown.iter_mut().enumerate() {
        let header = |item| {
            let [name, value] = [&headers.items.names, &headers.items.values];
            let (name, value) = (columns::text(name, item), columns::text(value, item));
            Header { name: name.to_owned(), value: value.to_owned() }
        };
        let request_headers = headers.range(row).map(header).collect();
        one.marks = super::marks(&Exchange { request_headers, ..Exchange::default() }, given);
    }
}

/// Fingerprints of response headers, then of the body.
fn issued(columns: &RecordBatch, shown: &mut [Shown]) {
    let headers = columns::headers(columns, "response_headers");
    for (row, item) in header_prints(&headers, shown.len()) {
        shown[row].issued.extend(prints(columns::text(&headers.items.values, item)));
    }
    let bodies = columns::texts(columns, "response_body");
    let kinds = Words::of(columns, "response_body_kind");
    for row in columns::holding(&bodies, &PRINT) {
        if matches!(kinds.get(row), Some("json" | "form" | "html")) {
            shown[row].issued.extend(prints(columns::text(&bodies, row)));
        }
    }
}

/// Tokens and names of logins in bodies and queries.
fn sent(columns: &RecordBatch, shown: &mut [Shown]) {
    let targets = columns::texts(columns, "target");
    let bodies = columns::texts(columns, "request_body");
    let kinds = Words::of(columns, "request_body_kind");
    let field_kinds: Vec<bool> =
        kinds.all().map(|kind| matches!(kind, "json" | "form" | "multipart")).collect();
    for (row, one) in shown.iter_mut().enumerate() {
        let target = columns::text(&targets, row);
        let body = if kinds.number(row).is_some_and(|kind| field_kinds[kind]) {
            columns::text(&bodies, row)
        } else {
            ""
        };
        if may_hold_prints(body) || may_log_in(body) || (target.contains('?') && may_hold_prints(target)) {
            let request_body = capture::body(kinds.get(row).unwrap_or_default(), body);
            let exchange = Exchange { target: target.to_owned(), request_body, ..Exchange::default() };
            (one.sent, one.logins) = super::sent(&exchange);
        }
    }
}

fn prints(text: &str) -> impl Iterator<Item = Fingerprint> {
    Fingerprint::find_all(text).into_iter().map(|(_, print)| print)
}

/// Whether a text holds a fingerprint, or an escape that may stand for a part of one.
fn may_hold_prints(text: &str) -> bool {
    PRINT.find(text.as_bytes()).is_some() || may_hold_escapes(text)
}

fn may_hold_escapes(text: &str) -> bool {
    JSON_ESCAPE.find(text.as_bytes()).is_some() || memchr::memchr(b'%', text.as_bytes()).is_some()
}

/// Whether a text may name a password field (see [`names::identity_column`]): letters of its names follow each other,
/// whatever stands between them that is no letter.
fn may_log_in(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = |at: usize| {
        let letters = bytes[at + 1..].iter().filter(|byte| byte.is_ascii_alphanumeric());
        let mut letters = letters.map(u8::to_ascii_lowercase);
        matches!(
            (letters.next(), letters.next()),
            (Some(b'a'), Some(b's')) | (Some(b'w'), Some(b'd')) | (Some(b'i'), Some(b'n'))
        )
    };
    memchr::memchr2_iter(b'p', b'P', bytes).any(begins) || may_hold_escapes(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kingtide_common::capture::{Capture, CaptureError, Projection};
    use kingtide_common::exchange::{Body, Ending, Header};
    use kingtide_common::ledger::Ledger;
    use proptest::prelude::*;

    use super::*;
    use crate::inspect::tests::write;
    use crate::sessions::users::Group;
    use crate::sessions::{IdleGap, Rules, Session, group};

    fn from_columns(directory: &Path, given: &Given) -> Evidence {
        let mut all = Evidence::default();
        let capture = Capture::open(directory).unwrap();
        let read = capture.map_batches(
            Projection::Only(&COLUMNS),
            |batch| evidence(&batch, given),
            |some| {
                all.append(some);
                Ok::<_, CaptureError>(())
            },
        );
        read.unwrap();
        all
    }

    fn from_exchanges(directory: &Path, given: &Given) -> Evidence {
        Evidence::of(&Capture::open(directory).unwrap().read().unwrap().exchanges, given)
    }

    /// Key, ids, and whether it is an orphan.
    type Told = (String, Vec<u64>, bool);

    /// What `plan`, `export` and `edit` make of a capture, and what `inspect` makes of it.
    fn sessions(directory: &Path, rules: &Rules) -> [(IdleGap, Vec<Told>); 2] {
        let capture = Capture::open(directory).unwrap();
        let whole = group(capture.read().unwrap().exchanges, rules);
        let ids = |session: &Session| session.steps.iter().map(|step| step.exchange.id).collect();
        let told = whole.sessions.iter().map(|session| (session.key.clone(), ids(session), session.orphan));
        let slim = crate::inspect::gather(&capture, rules).unwrap().users;
        let ids = |group: &Group| group.rows.iter().map(|row| row.id).collect();
        let slim_told = slim.groups.iter().map(|group| (group.key.clone(), ids(group), group.is_orphan));
        [(whole.idle_gap, told.collect()), (slim.idle_gap, slim_told.collect())]
    }

    /// Rules that name a key, and a header and a cookie as credentials.
    fn ruled() -> [Rules; 3] {
        let read = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            Rules::read(file.path()).unwrap_or_else(|error| panic!("{}", error.in_one_line()))
        };
        [
            Rules::default(),
            read("[sessions]\nidle_gap = \"2h\"\ncredentials = [\"header X\", \"cookie long\"]\n"),
            read("[sessions]\nkeys = [\"cookie theme\", \"header X-Auth-Token\"]\n"),
        ]
    }

    #[test]
    fn the_golden_captures_have_the_same_evidence_and_sessions_both_ways() {
        for name in ["classroom-12", "torn"] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name);
            for rules in ruled() {
                let evidence = from_columns(&directory, &rules.given);
                assert!(evidence.rows().len() > 20, "{name}");
                assert_eq!(evidence, from_exchanges(&directory, &rules.given), "{name}");
                let [whole, slim] = sessions(&directory, &rules);
                assert!(whole.1.len() > 5, "{name}");
                assert_eq!(whole, slim, "{name}");
            }
        }
    }

    /// One of few fingerprints, so that exchanges share them.
    fn print() -> impl Strategy<Value = String> {
        (0..6_u64, prop::sample::select(vec![4_usize, 8, 20, 40]))
            .prop_map(|(hash, bytes)| Fingerprint { hash, bytes }.to_string())
    }

    fn header() -> impl Strategy<Value = Header> {
        let name =
            prop::sample::select(vec!["Authorization", "X-Auth-Token", "Cookie", "cookie", "Accept", "X"]);
        let value = prop_oneof![
            print().prop_map(|print| format!("Bearer {print}")),
            print().prop_map(|print| format!("theme=dark; sid={print}; long={print}")),
            (print(), print()).prop_map(|(one, other)| format!("a={one};{other} {{fp:")),
            Just("plain".to_owned()),
        ];
        (name, value).prop_map(|(name, value)| Header { name: name.to_owned(), value })
    }

    fn body() -> impl Strategy<Value = Body> {
        let id = prop::sample::select(vec!["6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11", "17", "x"]);
        prop_oneof![
            Just(Body::Empty),
            Just(Body::Opaque),
            Just(Body::Unread("why".to_owned())),
            print()
                .prop_map(|print| Body::Html(format!(r#"{{"forms":[{{"fields":{{"csrf":"{print}"}}}}]}}"#))),
            print().prop_map(|print| Body::Json(format!(r#"{{"access_token":"{print}","id":"u"}}"#))),
            id.prop_map(|id| Body::Json(format!(r#"{{"activity_id":"{id}"}}"#))),
            print().prop_map(|print| Body::Json(format!(r#"{{"e-mail":"{print}","Pass_Word":"y"}}"#))),
            print().prop_map(|print| Body::Form(format!("user=anna&p%69n=1&refresh_token={print}"))),
            Just(Body::Json(r#"{"user":"anna","p\u0077d":"x"}"#.to_owned())),
        ]
    }

    prop_compose! {
        fn exchange()(
            id in 1..9_u64, connection in 1..5_u64, at_s in 0..200_000_i64, done_us in 0..9_000_000_u64,
            request_headers in prop::collection::vec(header(), 0..4),
            response_headers in prop::collection::vec(header(), 0..3),
            request_body in body(), response_body in body(), query in prop::option::of(print()),
            client in "[ab]", is_complete in any::<bool>(),
        ) -> Exchange {
            let target = query.map_or("/x".to_owned(), |print| format!("/x?code={print}&y=%20"));
            let mut exchange = Exchange {
                id, connection, client, target, request_headers, response_headers, request_body, response_body,
                started_ns: at_s * 1_000_000_000,
                ending: if is_complete { Ending::Complete } else { Ending::ClientAbort },
                ..Exchange::default()
            };
            exchange.instants.done_us = Some(done_us);
            exchange
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_traffic_has_the_same_evidence_and_sessions_both_ways(
            mut exchanges in prop::collection::vec(exchange(), 1..60),
        ) {
            for (id, exchange) in (1..).zip(&mut exchanges) {
                exchange.id = id;
            }
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), exchanges, Vec::new(), Ledger::default());
            for rules in ruled() {
                let given = &rules.given;
                prop_assert_eq!(from_columns(directory.path(), given), from_exchanges(directory.path(), given));
                // What is an orphan may differ here: a token that equals an e-mail address is bound as such.
                let told = sessions(directory.path(), &rules).map(|(gap, sessions)| {
                    let keys: Vec<_> = sessions.into_iter().map(|(key, ids, _)| (key, ids)).collect();
                    (gap, keys)
                });
                prop_assert_eq!(&told[0], &told[1]);
            }
        }
    }
}
