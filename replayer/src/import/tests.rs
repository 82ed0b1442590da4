//! What an import makes of findings, and builders for the importers' tests.

use super::*;
use kingtide_common::capture::{Capture, Reading};
use kingtide_common::exchange::{Body, Exchange};

/// Everything that an importer finds.
pub(crate) fn findings(
    read: impl FnOnce(&mut Sink<'_>) -> Result<(), ImportError>,
) -> Result<Vec<Finding>, ImportError> {
    let mut found = Vec::new();
    read(&mut |finding| {
        found.push(finding);
        Ok(())
    })?;
    Ok(found)
}

/// The exchanges among findings.
pub(crate) fn exchanges(findings: Vec<Finding>) -> Vec<Foreign> {
    let foreign = findings.into_iter().filter_map(|finding| match finding {
        Finding::Exchange(foreign) => Some(*foreign),
        _ => None,
    });
    foreign.collect()
}

pub(crate) fn left_out(findings: &[Finding]) -> Vec<&'static str> {
    let reasons = findings.iter().filter_map(|finding| match finding {
        Finding::LeftOut(reason) => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

pub(crate) fn unreadable(findings: &[Finding]) -> Vec<String> {
    let lines = findings.iter().filter_map(|finding| match finding {
        Finding::Unreadable { place, why } => Some(format!("{place}: {why}")),
        _ => None,
    });
    lines.collect()
}

pub(crate) const SOURCE: Source<'static> = Source { name: "input", number: 0 };

pub(crate) fn options() -> Options {
    Options { format: "har", body_bytes_max: 1 << 20, ..Options::default() }
}

/// What a capture holds that is made of these findings.
pub(crate) fn imported(options: Options, findings: Vec<Finding>) -> (Reading, Summary) {
    let directory = tempfile::tempdir().unwrap();
    let mut import = Import::begin(directory.path(), options, Rules::built_in()).unwrap();
    findings.into_iter().try_for_each(|finding| import.take(finding)).unwrap();
    let summary = import.finish().unwrap();
    (Capture::open(directory.path()).unwrap().read().unwrap(), summary)
}

fn one(foreign: Foreign, options: Options) -> Exchange {
    let (mut reading, _) = imported(options, vec![Finding::Exchange(Box::new(foreign))]);
    reading.exchanges.remove(0)
}

fn foreign() -> Foreign {
    use foreign::{Connection, Message};
    use kingtide_common::exchange::{AnsweredBy, Ending};
    Foreign {
        started_ns: 1_000_000_000,
        connection: Connection::Own,
        tls_us: None,
        instants: kingtide_common::stages::Instants::default(),
        method: "POST".into(),
        host: "app.example:8080".into(),
        target: "/upload?token=hush".into(),
        client: "1.2.3.4".into(),
        http_version: 11,
        request: Message { body_bytes: Some(100_000), ..Message::default() },
        upload_us: Some(2_000_000),
        status: Some(201),
        response: Message::default(),
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        synthesised: std::collections::BTreeSet::new(),
    }
}

fn typed(content_type: &str) -> Foreign {
    let mut foreign = foreign();
    foreign.request.headers.push(("Content-Type".into(), content_type.into()));
    foreign
}

#[test]
fn a_missing_body_is_its_size_and_says_so() {
    let opaque = one(foreign(), options());
    assert_eq!((&opaque.request_body, opaque.request_body_bytes), (&Body::Opaque, 100_000));
    assert_eq!(opaque.synthesised, ["pacing", "request_body"]);
    assert_eq!(
        (opaque.pacing.len(), opaque.pacing[0].at_us, opaque.pacing[0].bytes),
        (1, 2_000_000, 100_000)
    );
    assert!(matches!(one(typed("application/json"), options()).request_body, Body::Unread(_)));
}

#[test]
fn a_rule_makes_a_form_of_exactly_the_size() {
    let rule =
        UploadRule { name: "audio".into(), content_type: "audio/webm".into(), path_prefix: "/up".into() };
    let with_rule = Options { upload: Some(rule), ..options() };
    let upload = one(foreign(), with_rule.clone());
    let Body::Multipart(form) = &upload.request_body else { panic!("{upload:?}") };
    let file = upload.files().next().unwrap();
    let boundary = form.boundary_bytes as usize;
    let body = format!("--{0}\r\n{1}\r\n\r\n--{0}--\r\n", "b".repeat(boundary), form.parts[0].head);
    assert_eq!(body.len() as u64 + file.bytes, 100_000);
    assert!(
        upload
            .request_header("content-type")
            .unwrap()
            .starts_with("multipart/form-data; boundary=----WebKit")
    );
    let json = one(typed("application/json"), with_rule.clone());
    assert!(matches!(json.request_body, Body::Unread(_)), "what is known to be something else stays so");
    let elsewhere = Foreign { target: "/other".into(), ..foreign() };
    assert_eq!(one(elsewhere, with_rule).request_body, Body::Opaque);
}

#[test]
fn the_files_of_a_form_take_what_its_text_lacks() {
    let form = |files: &[&str]| {
        let part = |content: &&str| {
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.webm\"\r\n\r\n{content}\r\n"
            )
        };
        let text = files.iter().map(part).collect::<String>() + "--b--\r\n";
        let mut foreign = typed("multipart/form-data; boundary=b");
        foreign.request.body_bytes = Some(text.len() as u64 + 1001);
        foreign.request.content = foreign::Content::Whole(text.into_bytes());
        let exchange = one(foreign, options());
        let sizes: Vec<u64> = exchange.files().map(|file| file.bytes).collect();
        (sizes, exchange.synthesised.contains(&"file_bytes".to_owned()))
    };
    assert_eq!(form(&[""]), (vec![1001], false));
    assert_eq!(form(&["lossy"]), (vec![1006], false));
    assert_eq!(form(&["", "whole", ""]), (vec![501, 5, 500], true));
}

#[test]
fn secrets_do_not_reach_the_capture() {
    let mut foreign = typed("application/json");
    foreign.request.content = foreign::Content::Whole(br#"{"password":"hush"}"#.to_vec());
    foreign.request.headers.push(("Authorization".into(), "Bearer hush".into()));
    foreign.response.headers.push(("Set-Cookie".into(), "sid=hush; Path=/".into()));
    let exchange = one(foreign, options());
    let shown = format!("{exchange:?}");
    assert!(!shown.contains("hush") && !shown.contains("1.2.3.4"), "{shown}");
}

#[test]
fn counts_add_up_and_hosts_are_filtered() {
    let other = Foreign { host: "cdn.example".into(), ..foreign() };
    let findings = || {
        let unreadable = Finding::Unreadable { place: "input:3".into(), why: "no".into() };
        vec![
            Finding::Exchange(Box::new(foreign())),
            Finding::Exchange(Box::new(other.clone())),
            Finding::LeftOut("WebSocket"),
            unreadable,
        ]
    };
    let (_, all) = imported(options(), findings());
    assert_eq!((all.read, all.imported, all.filtered, all.unreadable), (4, 2, 0, 1));
    let only = Options { hosts: vec!["APP.example".into()], ..options() };
    let (reading, one) = imported(only, findings());
    assert_eq!((one.imported, one.filtered, reading.exchanges.len()), (1, 1, 1));
    assert_eq!((one.ledger().accepted, one.ledger().recorded, one.ledger().filtered), (2, 1, 1));
    assert_eq!(one.unreadable_first, ["input:3: no"]);
}

#[test]
fn strict_ends_at_the_first_unreadable_record() {
    let directory = tempfile::tempdir().unwrap();
    let strict = Options { strict: true, ..options() };
    let mut import = Import::begin(directory.path(), strict, Rules::built_in()).unwrap();
    let error =
        import.take(Finding::Unreadable { place: "log:7".into(), why: "no time".into() }).unwrap_err();
    assert_eq!(error.to_string(), "log:7: no time");
}
