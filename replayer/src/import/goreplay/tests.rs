//! Whole files, and what becomes of them.

use proptest::prelude::*;

use super::super::foreign::{Connection, Content, Foreign};
use super::super::tests::{SOURCE, exchanges, findings, imported, left_out, options, unreadable};
use super::*;

fn read_bytes(bytes: &[u8]) -> Vec<Finding> {
    findings(|sink| read(SOURCE, bytes, sink)).unwrap()
}

fn file(records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(head, message): &(&str, &str)| format!("{head}\n{message}\n🐵🙈🙉\n");
    records.iter().map(record).collect::<String>().into_bytes()
}

const ASK: &str = "POST /login HTTP/1.1\r\nHost: app.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const TELL: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n";

fn one(records: &[(&str, &str)]) -> Foreign {
    let mut foreign = exchanges(read_bytes(&file(records)));
    assert_eq!(foreign.len(), 1);
    foreign.remove(0)
}

#[test]
fn requests_and_answers_are_paired_by_id_whichever_comes_first() {
    let (ask, tell) = (("1 aa 1000000000 3000000", ASK), ("2 aa 1040000000 5000000", TELL));
    for records in [[ask, tell], [tell, ask]] {
        let foreign = one(&records);
        assert_eq!((foreign.method.as_str(), foreign.target.as_str()), ("POST", "/login"));
        assert_eq!((foreign.started_ns, foreign.status), (1_000_000_000, Some(200)));
        assert_eq!((foreign.upload_us, foreign.instants.response_head_us), (Some(3_000), Some(40_000)));
        assert_eq!(foreign.instants.done_us, Some(45_000));
        assert_eq!(foreign.response.content, Content::Whole(b"{\"a\":1}".to_vec()));
        assert_eq!(foreign.synthesised, ["connection"].into());
    }
}

#[test]
fn an_answer_of_an_old_file_tells_its_round_trip() {
    let foreign = one(&[("1 aa 1000000000", ASK), ("2 aa 1040000000 40000000", TELL)]);
    assert_eq!((foreign.instants.response_head_us, foreign.instants.done_us), (Some(40_000), Some(40_000)));
}

#[test]
fn what_is_alone_is_said() {
    let found =
        read_bytes(&file(&[("1 aa 1", ASK), ("2 bb 2", TELL), ("3 aa 3", TELL), ("1 cc 4", "\u{16}\u{3}")]));
    assert_eq!(left_out(&found), [REPLAYED, NO_REQUEST]);
    assert_eq!(unreadable(&found), ["input: record 4: it holds no HTTP head"]);
    let alone = exchanges(found).remove(0);
    assert_eq!((alone.status, alone.synthesised.contains("response")), (None, true));
}

#[test]
fn a_body_that_was_cut_off_is_its_announced_size() {
    let cut = "PUT /a HTTP/1.1\r\nContent-Length: 5000\r\nContent-Type: audio/webm\r\n\r\nabc";
    let (reading, _) = imported(options(), read_bytes(&file(&[("1 aa 1", cut)])));
    let exchange = &reading.exchanges[0];
    assert_eq!(exchange.request_body_bytes, 5000);
    assert_eq!(exchange.request_body, kingtide_common::exchange::Body::Opaque);
}

#[test]
fn users_are_told_apart_by_their_credentials_only() {
    let with = |header: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n");
        one(&[("1 aa 1", &request)]).connection
    };
    assert_eq!(with("Cookie: a=1\r\n"), with("Cookie: a=1\r\n"));
    assert_ne!(with("Cookie: a=1\r\n"), with("Cookie: a=2\r\n"));
    assert_eq!(with(""), Connection::Own);
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        records in prop::collection::vec(("[123]", "[a-c]", any::<i64>(), prop::collection::vec(any::<u8>(), 0..80)), 0..8),
        cut in 0_usize..40,
    ) {
        let mut bytes = Vec::new();
        for (kind, id, at, body) in records {
            bytes.extend_from_slice(format!("{kind} {id} {at}\n").as_bytes());
            bytes.extend_from_slice(if kind == "1" { ASK.as_bytes() } else { TELL.as_bytes() });
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice("\n🐵🙈🙉\n".as_bytes());
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        imported(options(), read_bytes(&bytes));
    }
}
