//! `kingtide export`: documents of real captures, and what bad input gets.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kingtide_common::capture::Capture;
use kingtide_common::exchange::Exchange;
use serde_json::Value;

use crate::capture_files;

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name);
    path.to_str().unwrap().to_owned()
}

fn kingtide(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kingtide")).args(arguments).output().unwrap()
}

/// What was written to stdout, of a command that did what it was asked for.
fn exported(arguments: &[&str]) -> String {
    let output = kingtide(&[&["export"], arguments, &["--out", "-"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn har(arguments: &[&str]) -> Value {
    let har: Value = serde_json::from_str(&exported(&[&["har"], arguments].concat())).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../schemas/har.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&har).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    har
}

fn entries(har: &Value) -> &Vec<Value> {
    har["log"]["entries"].as_array().unwrap()
}

#[test]
fn a_real_capture_is_a_har_by_the_schema() {
    let har = har(&[&golden("classroom-12")]);
    let entries = entries(&har);
    assert_eq!(entries.len(), 70);
    let sizes: u64 = entries.iter().map(|entry| entry["request"]["bodySize"].as_u64().unwrap()).sum();
    assert_eq!(sizes, 4_427_800);
    let starts: Vec<&str> = entries.iter().map(|entry| entry["startedDateTime"].as_str().unwrap()).collect();
    assert!(starts.windows(2).all(|pair| pair[0] <= pair[1]), "{starts:?}");
    assert_eq!(har["log"]["_kingtide"]["damage"], serde_json::json!([]));
}

#[test]
fn the_har_of_a_torn_capture_says_what_is_missing() {
    let har = har(&[&golden("torn")]);
    assert_eq!(entries(&har).len(), 52);
    assert!(
        har["log"]["_kingtide"]["damage"][0].as_str().unwrap().contains("torn tail"),
        "{}",
        har["log"]["_kingtide"]
    );
}

#[test]
fn criteria_choose_exchanges() {
    let capture = golden("classroom-12");
    let count = |criteria: &[&str]| entries(&har(&[&[capture.as_str()], criteria].concat())).len();
    assert_eq!(count(&["--method", "post", "--status", "2xx"]), 34);
    assert_eq!(count(&["--route", "POST /api/students/upload-recording"]), 22);
    assert_eq!(count(&["--route", "/api/auth/*", "--route", "*upload-recording"]), 34);
    let (before, after) = (count(&["--to", "+2s"]), count(&["--from", "+2s"]));
    assert!(before > 0 && after > 0 && before + after == 70, "{before} and {after}");
    let first = count(&["--session", "1"]);
    assert_eq!(count(&["--session", "1,2"]), first + count(&["--session", "2"]));
}

#[test]
fn csv_is_a_line_an_exchange() {
    let text = exported(&["csv", &golden("classroom-12"), "--status", "201"]);
    let mut lines = csv::Reader::from_reader(text.as_bytes());
    let names = lines.headers().unwrap().clone();
    let column = |name: &str| names.iter().position(|is| is == name).unwrap();
    let rows: Vec<csv::StringRecord> = lines.records().map(Result::unwrap).collect();
    let uploads: u64 = rows.iter().map(|row| row[column("upload_bytes")].parse::<u64>().unwrap()).sum();
    assert_eq!((rows.len(), uploads), (22, 4_416_494));
}

#[test]
fn goreplay_files_hold_every_byte_of_the_uploads() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("c.gor");
    let output = kingtide(&["export", "goreplay", &golden("classroom-12"), "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&out).unwrap();
    assert!(bytes.len() > 4_416_494 && bytes.starts_with(b"1 "), "{}", bytes.len());
    let cut = exported(&["goreplay", &golden("classroom-12"), "--max-body", "1k"]);
    assert!(cut.len() < 400_000, "{}", cut.len());
}

#[test]
fn a_k6_script_has_every_session_of_the_capture() {
    let script = exported(&["k6", &golden("classroom-12")]);
    assert_eq!(script.matches("\nexport function session").count(), 12);
    assert_eq!(script.matches("http.file(filler(").count(), 22);
    assert_eq!(script.matches("${inJson(me[\"email\"])}").count(), 12);
    assert!(!script.contains("{fp:"), "every token is bound or filler");
    let one = exported(&["k6", &golden("classroom-12"), "--session", "3"]);
    assert_eq!(one.matches("\nexport function session").count(), 1);
}

/// Method, target, status and bytes of the files of each exchange, sorted.
fn shapes(capture: &Path) -> Vec<(String, String, Option<u16>, Vec<u64>)> {
    let exchanges = Capture::open(capture).and_then(|capture| capture.read()).unwrap().exchanges;
    let shape = |exchange: &Exchange| {
        let files = exchange.files().map(|file| file.bytes).collect();
        (exchange.method.clone(), exchange.target.clone(), exchange.status, files)
    };
    let mut shapes: Vec<_> = exchanges.iter().map(shape).collect();
    shapes.sort();
    shapes
}

/// An importer knows nothing of the exporter; what both agree on is the format.
#[test]
fn what_is_exported_imports_to_the_same_requests() {
    let directory = tempfile::tempdir().unwrap();
    let golden = golden("classroom-12");
    for format in ["har", "goreplay"] {
        let [file, imported] =
            ["file", "imported"].map(|name| directory.path().join(format!("{name}-{format}")));
        let (file, imported_to) = (file.to_str().unwrap(), imported.to_str().unwrap());
        for arguments in
            [["export", format, &golden, "--out", file], ["import", format, file, "--out", imported_to]]
        {
            let output = kingtide(&arguments);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let (before, after) = (shapes(Path::new(&golden)), shapes(&imported));
        if format == "goreplay" {
            assert_eq!(before, after);
            continue;
        }
        // HAR has no place for the size of a file; the importer guesses it from that of the body.
        let heads = |shapes: Vec<(String, String, Option<u16>, Vec<u64>)>| -> Vec<_> {
            shapes
                .into_iter()
                .map(|(method, target, status, files)| (method, target, status, files.len()))
                .collect()
        };
        assert_eq!(heads(before), heads(after));
    }
}

#[test]
fn what_cannot_be_exported_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let out = out.to_str().unwrap();
    let capture = golden("classroom-12");
    let refused = [
        (vec!["export", "har", &capture, "--out", out, "--status", "418"], "none of the 70 exchanges"),
        (vec!["export", "k6", &capture, "--out", out, "--status", "418"], "none of the 70 exchanges"),
        (vec!["export", "csv", &capture, "--out", out, "--session", "13"], "numbered from 1 to 12"),
        (
            vec!["export", "csv", &capture, "--out", out, "--from", "+2s", "--to", "+1s"],
            "--from is not before --to",
        ),
        (vec!["export", "csv", &capture, "--out", out, "--status", "5x"], "write 404, 5xx"),
        (vec!["export", "csv", "/no/such", "--out", out], "the directory that kingtide-proxy records into"),
        (vec!["export", "csv", &capture, "--out", "/no/such/file"], "--out /no/such/file cannot be written"),
    ];
    for (arguments, says) in refused {
        let output = kingtide(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn gaps_are_in_the_parquet_file_and_said_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let capture: PathBuf = directory.path().join("capture");
    capture_files::torn(&capture, &[5_000, 6_000]);
    let out = directory.path().join("out.parquet");
    let arguments = ["export", "parquet", capture.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let stderr = String::from_utf8(kingtide(&arguments).stderr).unwrap();
    assert!(stderr.contains("2 exchanges, 1 gap"), "{stderr}");
    assert!(stderr.contains("the capture is damaged") && stderr.contains("torn tail"), "{stderr}");
}
