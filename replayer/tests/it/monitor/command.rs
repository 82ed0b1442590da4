//! `kingtide monitor`, and `--monitor` of a run.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use kingtide::monitor::timeline::Timeline;

use super::assert_fits_schema;
use crate::captured::get;
use crate::postgres::Postgres;
use crate::replay::{Scene, interrupt, text};
use crate::server::{Server, answer};

fn monitor(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
    command.arg("monitor").args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(words: &[&str]) -> Output {
    monitor(words).output().unwrap()
}

#[test]
fn what_was_seen_is_told_as_table_json_and_csv() {
    let server = Postgres::start();
    let url = server.url("postgres");
    let of = |form: &[&str]| {
        run(&[&["--postgres", &url, "--host", "--interval", "200ms", "--for", "1s"], form].concat())
    };
    let json = of(&["--json"]);
    assert_eq!(json.status.code(), Some(0), "{}", text(&json.stderr));
    let timeline: Timeline = serde_json::from_slice(&json.stdout).unwrap();
    assert!(timeline.max("postgres.max_connections") == Some(100.0) && timeline.max("host.load").is_some());
    assert_fits_schema(&serde_json::from_slice(&json.stdout).unwrap());
    let csv = text(&of(&["--csv"]).stdout);
    assert!(
        csv.starts_with("at_s,metric,value\n") && csv.contains(",postgres.max_connections,100\n"),
        "{csv}"
    );
    let table = text(&of(&[]).stdout);
    assert!(table.starts_with("metric ") && table.contains("\npostgres.max_connections "), "{table}");
}

#[test]
fn what_was_never_seen_exits_with_3() {
    let output =
        run(&["--postgres", "postgres://app:secret@127.0.0.1:1/app", "--for", "1s", "--interval", "200ms"]);
    assert_eq!(output.status.code(), Some(3));
    let (told, table) = (text(&output.stderr), text(&output.stdout));
    assert!(told.contains("postgres  gap: it cannot look: Connection refused"), "{told}");
    assert!(table.contains("postgres.active") && !format!("{told}{table}").contains("secret"), "{table}");
}

#[test]
fn ctrl_c_ends_with_the_result() {
    let process = format!("--process={}", std::process::id());
    let mut child = monitor(&[&process, "--postgres=postgres://a@127.0.0.1:1/a", "--json"]).spawn().unwrap();
    // It looks as soon as it tells something.
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut String::new()).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let timeline: Timeline = serde_json::from_slice(&output.stdout).unwrap();
    let metric = format!("process-{}.rss_bytes", std::process::id());
    assert!(timeline.max(&metric).is_some_and(|bytes| bytes > 0.0), "{timeline:?}");
}

#[test]
fn bad_input_is_refused_before_anything_is_looked_at() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[monitor]]\nkind = \"postgres\"\nurll = \"x\"\n").unwrap();
    let file = file.path().to_str().unwrap();
    for (words, part) in [
        (&["--monitor", file][..], "did you mean `url`?"),
        (&["--interval", "5s"], "there is nothing to look at"),
        (&["--postgres", "postgres://a/b?sslmode=sometimes"], "sslmode"),
    ] {
        let output = run(words);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(part), "{words:?}: {told}");
    }
}

#[test]
fn a_run_is_watched_on_its_own_clock() {
    let database = Postgres::start();
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene =
        Scene::new((0..10_u64).map(|user| (user, 100 * user.cast_signed(), get("/page").exchange)).collect());
    let file = scene.path("monitors.toml");
    let tables = "[[monitor]]\nkind = \"postgres\"\nurl = \"${WATCHED_URL}\"\ninterval = \"200ms\"\n\
                  [[monitor]]\nkind = \"host\"\ninterval = \"200ms\"\n\
                  [[monitor]]\nkind = \"json\"\nname = \"gone\"\nurl = \"http://127.0.0.1:1/\"\n\
                  metrics = [{ metric = \"a\", pointer = \"/a\" }]\n";
    std::fs::write(&file, tables).unwrap();
    let out = scene.path("out");
    let words = ["--monitor", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let mut replay = scene.replay(&server.origin, &words);
    let output = replay.env("WATCHED_URL", database.url("postgres")).output().unwrap();
    assert_eq!(server.received().len(), 10, "{}", text(&output.stderr));
    let json = std::fs::read_to_string(out.join("monitors.json")).unwrap();
    assert_fits_schema(&serde_json::from_str(&json).unwrap());
    let timeline: Timeline = serde_json::from_str(&json).unwrap();
    // They begin before the plan's zero and look until the last answer.
    let at_s: Vec<f64> = timeline.values("postgres.total").map(|(at_s, _)| at_s).collect();
    assert!(at_s[0] < 0.0 && *at_s.last().unwrap() > 0.5, "{at_s:?}");
    assert_eq!(timeline.series["gone.a"].iter().filter(|point| point.value.is_some()).count(), 0);
    assert!(timeline.events.iter().any(|event| event.monitor == "gone"), "its trouble is none of the run");

    let page = scene.path("report.html");
    let report = Command::new(env!("CARGO_BIN_EXE_kingtide"))
        .arg("report")
        .arg(&out)
        .arg("--html")
        .arg(&page)
        .output();
    assert!(report.unwrap().status.success());
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("data-watched=\"0\"") && page.contains("<td>gone</td><td>gap</td>"));
}

#[test]
fn without_a_directory_there_is_nowhere_to_keep_it() {
    let scene = Scene::new(vec![(1, 0, get("/page").exchange)]);
    let output = scene.run("http://127.0.0.1:1", &["--monitor", "monitors.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--out"), "{}", text(&output.stderr));
}
