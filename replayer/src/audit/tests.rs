//! Captures with one secret in plain each, which the audit must find, and captures in which it must find nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use kingtide_common::capture::{CaptureWriter, WriterOptions};
use kingtide_common::exchange::{Body, Exchange, Header, Multipart, Part, PartContent, Record};
use kingtide_common::ledger::Ledger;
use tempfile::TempDir;

use super::detect::Kind;
use super::*;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl";

fn written(exchange: Exchange) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let options = WriterOptions::of("test", 0);
    let mut writer = CaptureWriter::create(directory.path(), options).unwrap();
    writer.push(Record::Exchange(Box::new(Exchange { id: 7, ..exchange })), Instant::now()).unwrap();
    writer.flush(Instant::now()).unwrap();
    writer.close(Ledger::default(), 1).unwrap();
    directory
}

fn audited(directory: &Path) -> Audit {
    audit(directory, &Rules::built_in()).unwrap()
}

fn header(name: &str, value: &str) -> Exchange {
    let header = Header { name: name.to_owned(), value: value.to_owned() };
    Exchange { request_headers: vec![header], ..Exchange::default() }
}

fn target(target: &str) -> Exchange {
    Exchange { target: target.to_owned(), ..Exchange::default() }
}

fn json(text: &str) -> Exchange {
    Exchange { response_body: Body::Json(text.to_owned()), ..Exchange::default() }
}

fn form(text: &str) -> Exchange {
    Exchange { request_body: Body::Form(text.to_owned()), ..Exchange::default() }
}

fn part(name: &str, value: &str) -> Exchange {
    let content = PartContent::Field { value: value.to_owned() };
    let part = Part { head: String::new(), name: name.to_owned(), content };
    let multipart = Multipart { boundary_bytes: 1, parts: vec![part] };
    Exchange { request_body: Body::Multipart(multipart), ..Exchange::default() }
}

/// What is planted, and how it must be called.
fn planted() -> Vec<(Exchange, Kind, &'static str)> {
    let secret_key =
        "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END PRIVATE KEY-----";
    vec![
        (json(&format!(r#"{{"a":[{{"note":"{JWT}"}}]}}"#)), Kind::Jwt, "response JSON /a/*/note"),
        (header("X-Note", "Bearer abc123def456"), Kind::Credential, "request header X-Note"),
        (header("Authorization", "Bearer hunter"), Kind::SecretHeader, "request header Authorization"),
        (header("authorization", "hunter"), Kind::SecretHeader, "request header authorization"),
        (header("X-Vault-Token", "hunter"), Kind::SecretHeader, "request header X-Vault-Token"),
        (json(&format!(r#"{{"x":"{secret_key}"}}"#)), Kind::PrivateKey, "response JSON /x"),
        (json(r#"{"x":"AKIAIOSFODNN7EXAMPLE"}"#), Kind::AwsKey, "response JSON /x"),
        (form("x=ghp_16C7e42F292c6912E7710c838347Ae178B4a"), Kind::GithubToken, "request form field x"),
        (part("x", "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7o"), Kind::SlackToken, "request part x"),
        (target("/x?y=sk_live_4eC39HqLyjWDarjtT1zdp7dc"), Kind::StripeKey, "request query y"),
        (header("X-Y", "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"), Kind::GoogleKey, "request header X-Y"),
        (target("/users/anna%40school.example"), Kind::Email, "request path"),
        (json(r#"{"anna@school.example":1}"#), Kind::Email, "keys of the JSON"),
        (json(r#"{"t":"call +49 30 1234567"}"#), Kind::Phone, "response JSON /t"),
        (json(r#"{"t":4111111111111111}"#), Kind::PaymentCard, "response JSON /t"),
        (form("t=DE89370400440532013000"), Kind::Iban, "request form field t"),
        (json(r#"{"t":"078-05-1120"}"#), Kind::SocialSecurityNumber, "response JSON /t"),
        (header("Referer", "https://anna:pw@school.example/"), Kind::UserInfo, "request header Referer"),
        (target("/x;jsessionid=AB12/y"), Kind::PathSecret, "request path"),
        (target("/password/reset/4f9c1"), Kind::PathSecret, "request path"),
        (json(r#"{"credentials":{"a":{"b":5}}}"#), Kind::SecretField, "response JSON /credentials/a/b"),
        (json(r#"[{"name":"api_key","value":"hunter"}]"#), Kind::SecretField, "response JSON /*/value"),
        (json(r#"{"log":"password=hunter x"}"#), Kind::SecretField, "response JSON /log"),
        (json(r#"{"p":"{\"password\":\"hunter\"}"}"#), Kind::SecretField, "response JSON /p/password"),
        (form("user[password]=hunter"), Kind::SecretField, "request form field user[password]"),
        (target("/x?token=hunter"), Kind::SecretField, "request query token"),
        (target("/x#access_token=hunter"), Kind::SecretField, "request query access_token"),
        (part("meta", r#"{"pin":1234}"#), Kind::SecretField, "request JSON meta/pin"),
        (json(r#"{"first_name":"Anna"}"#), Kind::PersonalField, "response JSON /first_name"),
        (header("Cookie", "theme=dark"), Kind::Cookie, "request cookie theme"),
        (header("Set-Cookie", "sid=hunter; Path=/"), Kind::Cookie, "request cookie sid"),
        (json(r#"{"k":"wJalrXUtnFEMIK7MDENGbPxRfiCYEX4MPL3"}"#), Kind::RandomText, "response JSON /k"),
        (
            Exchange { host: "anna@school.example".to_owned(), ..Exchange::default() },
            Kind::Email,
            "request host",
        ),
    ]
}

#[test]
fn a_secret_of_each_kind_is_found_with_its_place_and_never_shown() {
    for (exchange, kind, place) in planted() {
        let described = format!("{kind:?} in {place}");
        let directory = written(exchange);
        let audit = audited(directory.path());
        let is_it = |finding: &&Finding| finding.kind == kind && finding.place.to_string().contains(place);
        let finding = audit.findings.iter().find(is_it);
        let finding = finding.unwrap_or_else(|| panic!("{described}: {:#?}", audit.findings));
        assert_eq!((finding.exchange, finding.occurrences > 0), (Some(7), true), "{described}");
        assert!(!finding.remedy.is_empty());
        let shown = format!("{}{}", text::render(&audit), serde_json::to_string(&audit).unwrap());
        for secret in ["hunter", JWT, "anna@", "4111", "MIIE", "AKIA", "ghp_", "wJal", "AB12", "DE89"] {
            // A key of JSON is the name of a place.
            let is_named = described.contains("keys of") && secret == "anna@";
            assert!(is_named || !shown.contains(secret), "{described}: {secret} in {shown}");
        }
        assert!(
            audit.findings.iter().all(|finding| finding.exchange.is_some()),
            "one place, not its column: {audit:#?}"
        );
    }
}

#[test]
fn what_stands_beside_the_rows_is_found_too() {
    let directory = written(Exchange::default());
    std::fs::write(directory.path().join("notes.txt"), "mail anna@school.example about it").unwrap();
    let audit = audited(directory.path());
    let [finding] = audit.findings.as_slice() else { panic!("{:#?}", audit.findings) };
    assert_eq!((finding.kind, finding.place.to_string().as_str()), (Kind::Email, "file notes.txt"));
    assert_eq!(finding.exchange, None);
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name)
}

#[test]
fn recorded_captures_hold_no_secret_and_a_torn_one_is_incomplete() {
    for (name, exchanges, complete) in [("classroom-12", 70, true), ("torn", 52, false)] {
        let audit = audited(&golden(name));
        assert!(audit.findings.is_empty(), "{:#?}", audit.findings);
        assert_eq!((audit.exchanges, audit.complete), (exchanges, complete));
        let authorization =
            audit.holds.iter().find(|held| held.place.name.eq_ignore_ascii_case("authorization"));
        let held = authorization.unwrap();
        assert!(held.fingerprinted > 0 && held.fingerprinted == held.values, "{held:?}");
    }
}

#[test]
fn the_exit_status_tells_a_secret_from_damage_and_from_bad_input() {
    use crate::cli::{Exit, run};

    let exit = |directory: &Path, more: &[&str]| {
        let start = ["kingtide".into(), "inspect".into(), directory.as_os_str().to_owned(), "--audit".into()];
        run(start.into_iter().chain(more.iter().map(std::ffi::OsString::from)))
    };
    assert_eq!(exit(&golden("classroom-12"), &[]), Exit::Held);
    assert_eq!(exit(&golden("torn"), &["--json"]), Exit::Invalid);
    let found = written(target("/x?token=hunter"));
    assert_eq!(exit(found.path(), &[]), Exit::Missed);
    assert_eq!(exit(found.path(), &["--redaction", "not/there.toml"]), Exit::BadInput);
    let rules = found.path().join("rules.toml");
    std::fs::write(&rules, "plain_names = [\"token\"]\n").unwrap();
    assert_eq!(exit(found.path(), &["--redaction", rules.to_str().unwrap()]), Exit::Held);
    assert_eq!(exit(Path::new("not/there"), &[]), Exit::BadInput);
}

#[test]
fn an_audit_fits_its_schema() {
    let schema = serde_json::from_str(include_str!("../../schemas/audit.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let found = audited(written(target("/x?token=hunter")).path());
    for audit in [audited(&golden("torn")), found] {
        let value = serde_json::to_value(&audit).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut broken = value;
        broken["findings"] = serde_json::json!([{ "kind": "nonsense" }]);
        assert!(!validator.is_valid(&broken));
    }
}
