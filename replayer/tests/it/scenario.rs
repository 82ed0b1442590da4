//! `kingtide scenario` as its users run it: users who come and leave by a shape, criteria, and the files of a run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kingtide::measure::run::{RunReport, Verdict};
use kingtide::report::read_run;
use kingtide::scenario::report::{ScenarioReport, Standing};
use tempfile::TempDir;

use crate::captured::get;
use crate::replay::{Scene, assert_exit_says, assert_fits_schema, interrupt, text};
use crate::server::{Server, answer};

const VISITS: &str = "again = \"50ms..100ms\"\nanswer = \"20ms\"\n[[step]]\nname = \"page\"\nthink = \"50ms..100ms\"\n\
                      request = \"GET /page\"\n";

/// A directory with a model and a scenario of it.
struct Theatre(TempDir);

impl Theatre {
    fn new(scenario: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("visits.toml"), VISITS).unwrap();
        let text = format!("about = \"a test\"\nmodel = \"visits.toml\"\n{scenario}");
        std::fs::write(directory.path().join("visit.toml"), text).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, target: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.args(["scenario", "run"]).arg(self.path("visit.toml")).args(["--target", target]).args(more);
        command.arg("--out").arg(self.path("out"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, target: &str, more: &[&str]) -> (Output, RunReport, ScenarioReport) {
        let output = self.command(target, more).output().unwrap();
        assert!(self.path("out/run.json").is_file(), "{}", text(&output.stderr));
        let run = read_run(&self.path("out")).unwrap();
        let scenario = run.scenario.clone().unwrap();
        (output, run, scenario)
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn users_come_and_leave_by_the_shape_however_quick_the_answers_are() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let shape = "criteria = [\"requests.failed<=0\", \"p50<5s\"]\n\
                 [[phase]]\nusers = 2\nhold = \"1s\"\n[[phase]]\nusers = 6\nhold = \"2s\"\n[[phase]]\nusers = 1\nhold = \"2s\"\n";
    let theatre = Theatre::new(shape);
    let (output, run, scenario) = theatre.run(&server.origin, &[]);
    assert_exit_says(run.verdict, &output);
    // Who came by a late wake-up counts in the next second.
    let users: Vec<u64> = run.series.iter().map(|second| second.users).collect();
    assert_eq!(users[1], 6, "{users:?}");
    assert_eq!(users[3], 1, "{users:?}");
    assert_eq!((run.sessions_planned, run.failed, run.withheld), (6, 0, 0));
    assert_eq!((run.planned, run.done), (run.sent, run.sent), "what nobody had time for was not planned");
    assert_eq!(run.sent, server.received().len() as u64);
    // A user sends every 50 to 100 ms: 2 · 1 s + 6 · 2 s + 1 · 2 s are 160 to 320 requests on an idle machine.
    assert!((60..=330).contains(&run.sent), "{}", run.sent);
    assert_eq!(scenario.shape.last().map(|corner| corner.at_s), Some(5.0));
    let planned: u64 = run.series.iter().map(|second| second.planned).sum();
    assert_eq!(planned, run.planned, "counted where users came to them");
    assert_fits_schema(&theatre.path("out/run.json"));
}

#[test]
fn the_results_stand_in_one_folder_with_tables_for_spreadsheets() {
    let server =
        Server::http(
            |received| async move { answer(if received.path == "/page" { 503 } else { 200 }, "{}") },
        );
    let theatre = Theatre::new("users = 2\nduration = \"2s\"\ncriteria = [\"errors<5%\"]\n");
    let (output, run, scenario) = theatre.run(&server.origin, &["--json"]);
    let printed: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, run);
    assert_exit_says(run.verdict, &output);
    assert_eq!(scenario.criteria[0].standing, Standing::Fail, "{scenario:?}");
    assert!(
        run.verdict != Verdict::Pass && run.reasons[0].starts_with("FAIL: errors<5%"),
        "{:?}",
        run.reasons
    );
    for file in ["report.html", "report.json", "run.json", "samples.csv.gz"] {
        assert!(theatre.path("out").join(file).is_file(), "{file}");
    }
    let failures = lines(&theatre.path("out/failures.csv"));
    assert_eq!(failures[1], format!("GET,/page,status 503,{}", run.done));
    let stats = lines(&theatre.path("out/stats.csv"));
    assert!(
        stats.len() == 3 && stats[2].starts_with(&format!(",Aggregated,{0},{0},", run.done)),
        "{stats:?}"
    );
    let history = lines(&theatre.path("out/stats_history.csv"));
    assert_eq!(history.len(), run.series.len() + 1);

    let mut report = Command::new(env!("CARGO_BIN_EXE_kingtide"));
    report.arg("report").arg(theatre.path("out")).arg("--csv").arg(theatre.path("sheets"));
    assert!(report.output().unwrap().status.success());
    assert_eq!(lines(&theatre.path("sheets/stats.csv")), stats);
}

#[test]
fn a_target_that_hangs_is_no_success_and_ends_the_run() {
    let server = Server::http(|_| std::future::pending());
    let theatre = Theatre::new(
        "users = 8\nduration = \"60s\"\ncriteria = [\"errors<5%\", \"p95<1s\"]\nstop = \"p95>1s\"\n",
    );
    let (output, run, scenario) = theatre.run(&server.origin, &["--timeout", "3s", "--drain", "1s"]);
    let ended = scenario.ended.unwrap();
    assert!(ended.by.at_s < 30 && (ended.level - 8.0).abs() < 1e-9, "{ended:?}");
    assert_eq!(run.failed, run.planned - run.withheld, "{:?}", run.errors);
    assert!(run.failed >= 8 && run.done == 0, "{:?}", run.errors);
    assert_exit_says(run.verdict, &output);
    assert_ne!(run.verdict, Verdict::Pass);
    let table = text(&output.stdout);
    assert!(table.starts_with("scenario visit: ") && table.contains("ended by p95>1s after"), "{table}");
    assert!(run.reasons[0].contains("at 8 users"), "{:?}", run.reasons);
}

#[test]
fn what_is_too_short_to_tell_is_undecided_and_what_nobody_looks_at_too() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let theatre =
        Theatre::new("users = 1\nduration = \"1s\"\ncriteria = [\"p99<5s\", \"postgres.total<=20\"]\n");
    let (output, run, scenario) = theatre.run(&server.origin, &[]);
    assert_eq!(
        scenario.criteria.iter().map(|judged| judged.standing).collect::<Vec<_>>(),
        [Standing::Undecided; 2]
    );
    // A machine that was late makes it invalid.
    assert!(matches!(run.verdict, Verdict::Undecided | Verdict::Invalid), "{:?}", run.verdict);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("UNDECIDED  postgres.total<=20: nothing looked at it"));
}

#[test]
fn an_interrupted_scenario_still_reports() {
    let (sent, first_sent) = std::sync::mpsc::channel();
    let server = Server::http(move |_| {
        let _ = sent.send(());
        async { answer(200, "{}") }
    });
    let theatre = Theatre::new("users = 3\nduration = \"1h\"\n");
    let child = theatre.command(&server.origin, &[]).spawn().unwrap();
    first_sent.recv_timeout(Duration::from_secs(30)).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let run = read_run(&theatre.path("out")).unwrap();
    assert_eq!((run.verdict, run.interrupted, output.status.code()), (Verdict::Invalid, true, Some(3)));
    // Of each user the next request is all that is sure.
    assert!((1..=3).contains(&run.withheld) && run.planned == run.sent + run.withheld, "{run:?}");
    assert!(theatre.path("out/stats.csv").is_file());
}

#[test]
fn a_capture_in_the_place_of_the_model_is_multiplied_by_the_shape() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let theatre = Theatre::new("users = 10\nduration = \"2s\"\ncriteria = [\"errors<50%\"]\n");
    let exchanges = (0..20_u64).map(|user| (user, 100 * user.cast_signed(), get("/page").exchange)).collect();
    let scene = Scene::new(exchanges);
    let capture = scene.path("capture");
    let (_, run, scenario) = theatre.run(&server.origin, &[capture.to_str().unwrap(), "-x", "3"]);
    assert_eq!((run.mode.as_str(), run.multiple, scenario.peak), ("steady", 3.0, 3.0));
    // Ten users a second in the capture.
    assert!((55..=70).contains(&run.planned) && run.failed == 0, "{}", run.planned);
    let output = theatre.command(&server.origin, &[capture.to_str().unwrap()]).output().unwrap();
    assert!(text(&output.stderr).contains("--multiple"), "{}", text(&output.stderr));
}

#[test]
fn an_environment_names_the_folder_and_its_guard_goes_before_the_scenario() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let theatre = Theatre::new("users = 2\nduration = \"1s\"\nstop = \"errors>50%\"\n");
    let guard = "[guard]\nsmoke_within = \"1h\"\nabort = \"errors>10%,p95>20s\"\n";
    let text = format!("url = \"{}\"\nkind = \"local\"\n{guard}", server.origin);
    std::fs::write(theatre.path("school.toml"), text).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.args(["scenario", "run", "visit.toml", "--env", "school.toml"]).args(more);
        command.current_dir(theatre.path("")).env("XDG_STATE_HOME", theatre.path("state")).output().unwrap()
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(2), "{}", text_of(&refused));
    assert!(text_of(&refused).contains("one user must have passed"), "{}", text_of(&refused));
    let dry = run(&["--dry-run", "--users", "1"]);
    assert!(text_of(&dry).contains("ended by errors>10%,p95>20s"), "{}", text_of(&dry));
    assert!(server.received().is_empty() && !theatre.path("results").exists(), "nothing was sent");
    let smoke = run(&["--users", "1"]);
    let folders = std::fs::read_dir(theatre.path("results")).unwrap();
    let folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    assert!(folders[0].file_name().unwrap().to_string_lossy().starts_with("school_visit_"), "{folders:?}");
    // On a busy machine the generator may be late; then one user has not passed.
    let has_passed = read_run(&folders[0]).unwrap().verdict == Verdict::Pass;
    assert_eq!(has_passed, smoke.status.success(), "{}", text_of(&smoke));
    assert_eq!(run(&["--dry-run"]).status.code(), Some(if has_passed { 0 } else { 2 }));
}

#[test]
fn the_shipped_smoke_scenario_opens_the_door_when_it_passes_and_only_then() {
    let is_well = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_well);
    let server = Server::http(move |_| {
        let status = if answers.load(Ordering::Relaxed) { 200 } else { 500 };
        async move { answer(status, "{}") }
    });
    let theatre = Theatre::new("users = 2\nduration = \"1s\"\n");
    let guard = "[guard]\nsmoke_within = \"1h\"\n";
    let text = format!("url = \"{}\"\nkind = \"local\"\n{guard}", server.origin);
    std::fs::write(theatre.path("school.toml"), text).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.args(["scenario", "run"]).args(arguments).args(["--env", "school.toml"]);
        command.env("KINGTIDE_CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/../configs"));
        command.current_dir(theatre.path("")).env("XDG_STATE_HOME", theatre.path("state")).output().unwrap()
    };
    let smoke = || run(&["smoke", "--model", "visits.toml", "--duration", "3s", "--out", "smoke"]);
    let more = || run(&["visit.toml", "--dry-run"]).status.code();
    let failed = smoke();
    assert_eq!(failed.status.code(), Some(1), "{}", text_of(&failed));
    assert_eq!(more(), Some(2));
    is_well.store(true, Ordering::Relaxed);
    std::fs::remove_dir_all(theatre.path("smoke")).unwrap();
    let smoke = smoke();
    // On a busy machine the generator may be late; then one user has not passed.
    let has_passed = read_run(&theatre.path("smoke")).unwrap().verdict == Verdict::Pass;
    assert_eq!(has_passed, smoke.status.success(), "{}", text_of(&smoke));
    assert_eq!(theatre.path("state/kingtide/smoke").exists(), has_passed, "{}", text_of(&smoke));
    assert_eq!(more(), Some(if has_passed { 0 } else { 2 }));
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let refused = |scenario: &str, more: &[&str]| {
        let output = Theatre::new(scenario).command(&server.origin, more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    let plain = "users = 2\nduration = \"1s\"\n";
    assert!(refused("users = 2\n", &[]).contains("visit.toml:1: it has no end"));
    assert!(
        refused(&format!("{plain}criteria = [\"p95(GET /none)<1s\"]"), &[]).contains("no route `GET /none`")
    );
    assert!(refused(plain, &["-x", "2"]).contains("of a model say --users"));
    assert!(refused(plain, &["--model", "/absent.toml"]).contains("/absent.toml"));
    assert!(server.received().is_empty());
    let unknown =
        Command::new(env!("CARGO_BIN_EXE_kingtide")).args(["scenario", "show", "nothing"]).output().unwrap();
    assert!(text(&unknown.stderr).contains("`nothing` is in none of"), "{}", text(&unknown.stderr));
}

#[test]
fn the_shipped_ones_are_listed_and_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kingtide = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kingtide"))
            .arg("scenario")
            .args(words)
            .current_dir(&root)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let listed = kingtide(&["list"]);
    assert!(listed.contains("normal") && listed.contains("20 users"), "{listed}");
    let shown = kingtide(&["show", "threshold"]);
    for part in ["configs/models/students.toml", "stops at   errors>5%,p95>10s", "held at 100 users"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}
