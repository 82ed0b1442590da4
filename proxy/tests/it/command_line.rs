//! Wrong configurations are refused with the place and the remedy.

use std::net::TcpListener;
use std::process::Output;

use crate::proxy::{command, config};

const BAD_INPUT: Option<i32> = Some(2);
const FAILED: Option<i32> = Some(1);

fn run(config: &str, more: &[&str]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    std::fs::write(&file, config).unwrap();
    let output = command().arg("--config").arg(&file).args(more).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

fn good() -> String {
    config(([127, 0, 0, 1], 8000).into(), "capture".as_ref(), "")
}

#[test]
fn check_prints_the_effective_configuration_and_listens_nowhere() {
    let (output, _) = run(&good(), &["--check"]);
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("keepalive_timeout = \"75s\"") && printed.contains("queue_slots = 16384"),
        "{printed}"
    );
    let (again, errors) = run(&printed, &["--check"]);
    assert_eq!(
        String::from_utf8(again.stdout).unwrap(),
        printed,
        "what is printed is a configuration: {errors}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
    let (output, errors) = run(&good().replace("directory", "directry"), &["--check"]);
    assert_eq!(output.status.code(), BAD_INPUT);
    assert!(errors.contains("did you mean `directory`?") && errors.contains("proxy.toml:"), "{errors}");
}

#[test]
fn a_missing_file_and_a_missing_flag_are_bad_input() {
    let missing = command().args(["--config", "no-such.toml"]).output().unwrap();
    assert_eq!(missing.status.code(), BAD_INPUT);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such.toml cannot be read"));
    assert_eq!(command().output().unwrap().status.code(), BAD_INPUT);
}

#[test]
fn a_bad_redaction_file_is_refused_before_anything_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    std::fs::write(&rules, "secret_header = []").unwrap();
    let capture = directory.path().join("capture");
    let more = format!("redaction = {:?}", rules.display());
    let (output, errors) = run(&config(([127, 0, 0, 1], 8000).into(), &capture, &more), &[]);
    assert_eq!(output.status.code(), BAD_INPUT, "{errors}");
    assert!(errors.contains("did you mean `secret_headers`?"), "{errors}");
    assert!(!capture.exists());
}

#[test]
fn a_peer_without_an_address_is_named_and_no_capture_is_begun() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("capture");
    let config = config(([127, 0, 0, 1], 8000).into(), &capture, "");
    let config = config.replace("http://127.0.0.1:8000", "http://no-such-host.invalid:8000");
    for more in [&[][..], &["--check"]] {
        let (output, errors) = run(&config, more);
        assert_eq!(output.status.code(), FAILED);
        assert!(errors.contains("no-such-host.invalid") && errors.contains("cannot be resolved"), "{errors}");
        assert!(!capture.exists());
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let config = config(([127, 0, 0, 1], 8000).into(), &directory.path().join("capture"), "");
    let (output, errors) = run(&config.replace("127.0.0.1:0", &address), &[]);
    assert_eq!(output.status.code(), FAILED);
    assert!(errors.contains(&format!("cannot listen on {address}")), "{errors}");
}

#[test]
fn what_a_configuration_names_and_cannot_be_used_is_bad_input() {
    let certificate = "[[listener]]\naddress = \"127.0.0.1:0\"\ncertificate = [{ chain = \"no-such.pem\", key = \"no-such.key\" }]\n";
    for (config, said) in [
        (good() + certificate, "no-such.pem"),
        (good() + "[admin]\nlisten = \"0.0.0.0:0\"\n", "token_env"),
        (good().replace("prefix =", "response_headers = { X = \"$nothing\" }\nprefix ="), "$nothing"),
    ] {
        for more in [&[][..], &["--check"]] {
            let (output, errors) = run(&config, more);
            assert_eq!(output.status.code(), BAD_INPUT, "{errors}");
            assert!(errors.contains(said), "{errors}");
        }
    }
}
