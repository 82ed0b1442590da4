//! Environments and their guards as users meet them: what is refused reaches no server, and what hurts one is ended.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::server::Builder;
use http_body_util::Full;
use kingtide::drive::{DriveConfig, Http, Marking};
use kingtide::guard::abort::Cause;
use kingtide::measure::run::{RunReport, Verdict};
use kingtide::report::read_run;
use tempfile::TempDir;

use crate::captured::{get, session};
use crate::drive::{config, drive};
use crate::http2::plain;
use crate::replay::{Scene, assert_exit_says, assert_fits_schema, text};
use crate::server::{Server, answer};

/// Somebody who logs in and looks at a page.
const MODEL: &str = r#"
again = "200ms"
answer = "10ms"
[[step]]
name = "login"
request = "POST /login"
json = '{"email":"{identity.email}","password":"{identity.password}"}'
once = true
[[step]]
name = "page"
think = "100ms"
request = "GET /page"
"#;

/// A team's configuration and state, in a directory of their own.
struct Team(TempDir);

impl Team {
    /// With an environment `e` of this kind at this origin; `more` follows, as TOML.
    fn new(kind: &str, origin: &str, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environments = directory.path().join("environments");
        std::fs::create_dir(&environments).unwrap();
        let text = format!(
            "url = \"{origin}\"\nkind = \"{kind}\"\n[identities]\n\
             columns = {{ email = \"{{mint}}\", password = \"${{TEAM_PASSWORD}}\" }}\n{more}"
        );
        std::fs::write(environments.join("e.toml"), text).unwrap();
        std::fs::write(environments.join(".env"), "TEAM_PASSWORD=hunter2\n").unwrap();
        std::fs::write(directory.path().join("model.toml"), MODEL).unwrap();
        Self(directory)
    }

    fn production(origin: &str, more: &str) -> Self {
        let caps = "[guard]\nmultiple_max = 2\nusers_max = 5\nbytes_max = \"1MB\"\nduration_max = \"1m\"\n";
        Self::new("production", origin, &format!("{caps}{more}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.env("KINGTIDE_CONFIG", self.0.path()).env("XDG_STATE_HOME", self.path("state"));
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// So many users of the model for two seconds.
    fn replay(&self, users: &str, more: &[&str]) -> Output {
        let model = self.path("model.toml");
        let arguments = ["replay", "--model", model.to_str().unwrap(), "--users", users, "--duration", "2s"];
        let arguments = [&arguments[..], &["--spawn-per-s", "50"], more].concat();
        self.run(&arguments)
    }
}

fn held() -> Server {
    Server::http(|_| async { answer(200, "{}") })
}

fn refused(output: &Output, part: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(part), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn production_is_not_touched_until_its_host_is_typed() {
    let server = held();
    let team = Team::production(&server.origin, "");
    let word = ": 127.0.0.1 is production; if you may load it, repeat its name: --yes-this-is 127.0.0.1";
    refused(&team.replay("1", &["--env", "e"]), word);
    refused(&team.replay("1", &["--env", "e", "--yes-this-is", "localhost"]), word);
    // However it is named.
    refused(&team.replay("1", &["--target", &server.origin]), word);
    let model = team.path("model.toml");
    let model = model.to_str().unwrap();
    refused(&team.run(&["capacity", "--env", "e", "--model", model, "--budget", "1m"]), "smoke_within");
    let checked = team.run(&["env", "check", "e", "--model", model]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stdout));
    assert!(text(&checked.stdout).contains("nothing was sent"), "{}", text(&checked.stdout));
    assert_eq!(server.connections(), 0);
}

#[test]
fn one_user_who_passes_lets_more_in_up_to_the_caps() {
    let server = held();
    let team = Team::production(&server.origin, "");
    let named = ["--env", "e", "--yes-this-is", "127.0.0.1"];
    refused(&team.replay("3", &named), "guard.smoke_within: one user must have passed");
    assert_eq!(server.received().len(), 0);
    let out = team.path("out");
    let output = team.replay("1", &[&named[..], &["--out", out.to_str().unwrap()]].concat());
    let run = read_run(&out).unwrap();
    assert_exit_says(run.verdict, &output);
    let before = server.received().len();
    assert!(
        before > 0 && server.received().iter().all(|request| request.header("x-kingtide-synthetic") == "1")
    );
    if run.verdict != Verdict::Pass {
        // On a busy machine the generator may be late, and then nobody has passed.
        refused(&team.replay("3", &named), "guard.smoke_within");
        return;
    }
    refused(&team.replay("6", &named), "guard.users_max: 6 users are above 5");
    refused(&team.replay("3", &[&named[..], &["-x", "3"]].concat()), "guard.multiple_max: -x 3 is above 2");
    assert_eq!(server.received().len(), before);
    let output = team.replay("3", &[&named[..], &["--synthetic", "off"]].concat());
    assert_ne!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(
        server.received()[before..].iter().all(|request| request.header("x-kingtide-synthetic").is_empty())
    );
}

#[test]
fn what_was_created_is_listed_for_whoever_clears_it_away() {
    let server = Server::http(|received| async move {
        match received.path.as_str() {
            "/login" => answer(200, r#"{"token":"t"}"#),
            "/tasks" => answer(201, r#"{"id":77}"#),
            _ => http::Response::builder()
                .status(201)
                .header("Location", "/notes/5")
                .body(Full::default())
                .unwrap(),
        }
    });
    let team = Team::new("local", &server.origin, "");
    let posts = "[[step]]\nname = \"task\"\nrequest = \"POST /tasks\"\nonce = true\nstatus = 201\n\
                 [[step]]\nname = \"note\"\nrequest = \"POST /notes\"\nonce = true\nstatus = 201\n";
    std::fs::write(team.path("model.toml"), format!("{MODEL}{posts}")).unwrap();
    let out = team.path("out");
    let output = team.replay("1", &["--env", "e", "--out", out.to_str().unwrap()]);
    let listed = std::fs::read_to_string(out.join("created.csv")).unwrap_or_else(|_| text(&output.stderr));
    assert_eq!(listed, "route,user,id\nPOST /tasks,0,77\nPOST /notes,0,/notes/5\n");
    let counts = read_run(&out).unwrap().created.unwrap();
    assert_eq!((counts.listed, counts.dropped), (2, 0));
    assert_fits_schema(&out.join("run.json"));
}

#[test]
fn a_dry_run_sends_nothing_and_says_what_would_be() {
    let server = held();
    let team = Team::production(&server.origin, "");
    let output = team.replay("1", &["--env", "e", "--yes-this-is", "127.0.0.1", "--dry-run"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "1 user with",
        "allowed  --yes-this-is",
        "users_max: 1 user of at most 5",
        "ended by errors>10%,p95>20s",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let output = team.replay("20", &["--env", "e", "--dry-run"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in
        ["REFUSED  --yes-this-is", "guard.users_max: 20 users are above 5", "REFUSED", "guard.smoke_within"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(server.connections(), 0);
}

/// Twenty requests a second for half a minute.
fn long_scene() -> Scene {
    Scene::new((0..600).map(|at| (u64::try_from(at % 20).unwrap(), at * 50, get("/page").exchange)).collect())
}

/// The last second in which something was sent.
fn last_send_s(run: &RunReport) -> u64 {
    run.series.iter().filter(|second| second.sent > 0).map(|second| second.at_s).max().unwrap()
}

fn out_of(scene: &Scene) -> (PathBuf, String) {
    let out = scene.path("out");
    (out.clone(), out.display().to_string())
}

#[test]
fn a_target_that_fails_is_left_alone_within_two_seconds() {
    let answered = AtomicUsize::new(0);
    let server = Server::http(move |_| {
        let is_good = answered.fetch_add(1, Ordering::Relaxed) < 40;
        async move { if is_good { answer(200, "{}") } else { answer(500, "{}") } }
    });
    let scene = long_scene();
    let (out, out_text) = out_of(&scene);
    let output = scene.run(&server.origin, &["--abort", "errors>10%,p95>20s", "--out", &out_text]);
    let run = read_run(&out).unwrap();
    let aborted = run.aborted.clone().unwrap();
    assert_eq!((aborted.cause, aborted.rule.as_str()), (Cause::Errors, "errors>10%"));
    // The forty-first request is that of second 2.
    assert!((3..=4).contains(&aborted.at_s) && last_send_s(&run) <= aborted.at_s + 1, "{aborted:?}");
    assert!(server.received().len() < 120 && run.withheld > 400, "{}", run.withheld);
    assert!(
        run.reasons[0].starts_with(&format!("ended after {} s by errors>10%: ", aborted.at_s)),
        "{:?}",
        run.reasons
    );
    assert!(!run.interrupted && run.verdict != Verdict::Pass, "{:?}", run.reasons);
    assert_exit_says(run.verdict, &output);
    assert!(text(&output.stdout).contains("errors>10%"), "{}", text(&output.stdout));
    assert_fits_schema(&out.join("run.json"));
}

#[test]
fn a_target_that_hangs_is_left_alone_before_its_timeouts() {
    let server = Server::http(|_| std::future::pending());
    let scene = long_scene();
    let (out, out_text) = out_of(&scene);
    let output = scene.run(&server.origin, &["--abort", "p95>2s", "--drain", "300ms", "--out", &out_text]);
    let run = read_run(&out).unwrap();
    let aborted = run.aborted.clone().unwrap();
    assert!(aborted.cause == Cause::Latency && (3..=5).contains(&aborted.at_s), "{aborted:?}");
    assert!(last_send_s(&run) <= aborted.at_s + 1, "{aborted:?}");
    assert_ne!(run.verdict, Verdict::Pass);
    assert_exit_says(run.verdict, &output);
}

#[test]
fn a_kill_file_ends_the_run_and_keeps_the_next_from_beginning() {
    let scene = long_scene();
    let (out, out_text) = out_of(&scene);
    let kill_file = scene.path("stop");
    let file = kill_file.clone();
    let answered = AtomicUsize::new(0);
    // Somebody throws the switch in second 1.
    let server = Server::http(move |_| {
        if answered.fetch_add(1, Ordering::Relaxed) == 30 {
            std::fs::write(&file, "").unwrap();
        }
        async { answer(200, "{}") }
    });
    let flags = ["--kill-file", kill_file.to_str().unwrap(), "--out", &out_text];
    let output = scene.run(&server.origin, &flags);
    let run = read_run(&out).unwrap();
    let aborted = run.aborted.clone().unwrap();
    assert_eq!((aborted.cause, Path::new(&aborted.rule)), (Cause::KillFile, kill_file.as_path()));
    assert!(aborted.at_s <= 3 && last_send_s(&run) <= 3, "{aborted:?}");
    assert_eq!((run.verdict, output.status.code()), (Verdict::Invalid, Some(3)), "{:?}", run.reasons);
    assert_fits_schema(&out.join("run.json"));
    let before = server.received().len();
    let again = scene.run(&server.origin, &flags);
    refused(&again, "is there: somebody stopped all runs; remove it when they may go on");
    assert_eq!(server.received().len(), before);
}

#[test]
fn requests_over_http_2_are_marked_too() {
    let (sender, marks) = std::sync::mpsc::channel();
    let server = plain(Builder::new(), move |mut asked| {
        let mark = asked.request.headers().get("x-load").map(|value| value.to_str().unwrap().to_owned());
        sender.send(mark).unwrap();
        async move { asked.answer(200, "{}") }
    });
    let marking: Marking = "X-Load: test 7".parse().unwrap();
    let config = DriveConfig { http: Http::Http2, marking, ..config(&server.origin) };
    drive(&config, &[session(vec![get("/a"), get("/b")])]);
    drop(server);
    assert_eq!(marks.iter().collect::<Vec<_>>(), vec![Some("test 7".to_owned()); 2]);
}

#[test]
fn a_check_tries_every_part_and_says_which_fails() {
    let server = Server::http(|received| async move {
        let is_known = String::from_utf8_lossy(&received.body).contains("\"password\":\"hunter2\"");
        match received.path.as_str() {
            "/login" if !is_known => answer(401, "{}"),
            "/" => http::Response::builder().status(404).body(Full::default()).unwrap(),
            _ => answer(200, "{}"),
        }
    });
    let team = Team::new("local", &server.origin, "");
    let model = team.path("model.toml");
    let model = model.to_str().unwrap();
    let check = |team: &Team| {
        let output = team.run(&["env", "check", "e", "--model", model]);
        (output.status.code(), text(&output.stdout))
    };
    let (code, said) = check(&team);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "ok      login        POST /login was answered with 200",
        "GET / was answered with 404",
        "ok      machine",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    let logins = server.received().iter().filter(|request| request.path == "/login").count();
    assert_eq!(logins, 1);

    std::fs::write(team.path("environments/.env"), "TEAM_PASSWORD=wrong\n").unwrap();
    let (code, said) = check(&team);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED  login        POST /login as the first account: 401"), "{said}");

    drop(server);
    let (code, said) = check(&team);
    assert!(
        code == Some(1) && said.contains("FAILED  target") && said.contains("is the target running?"),
        "{said}"
    );
}

#[test]
fn environments_are_listed_and_shown_without_their_secrets() {
    let team = Team::production("https://app.example.com", "");
    let listed = team.run(&["env", "list"]);
    assert!(text(&listed.stdout).contains("production  https://app.example.com"), "{}", text(&listed.stdout));
    let shown = text(&team.run(&["env", "show", "e"]).stdout);
    for part in ["made of templates for email, password", "guard.smoke_within   3600s", "errors>10%,p95>20s"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    refused(&team.run(&["env", "show", "staging"]), "there are e;");
}

#[test]
fn a_search_stays_within_the_guard() {
    let server = held();
    let team = Team::new(
        "staging",
        &server.origin,
        "[guard]\nmultiple_max = 5\nusers_max = 60\nduration_max = \"5m\"\n",
    );
    let model = team.path("model.toml");
    let search = |more: &[&str]| {
        let arguments = ["capacity", "--env", "e", "--model", model.to_str().unwrap(), "--users", "20"];
        team.run(&[&arguments[..], more].concat())
    };
    refused(
        &search(&["--max", "4", "--budget", "5m"]),
        "a search up to 4x is above 3x; give --max 3 or less",
    );
    refused(&search(&["--steps", "1,2,4", "--budget", "5m"]), "above 3x");
    refused(
        &search(&[]),
        "guard.duration_max: sending for 1800s is above 300s; lower --duration (of a search --budget)",
    );
    assert_eq!(server.connections(), 0);
}

/// A health endpoint with a `pool.used` that rises and stays.
fn pool() -> Server {
    Server::http(|_| async { answer(200, "{\"pool\": {\"used\": 20}}") })
}

fn monitor_of(pool: &Server) -> String {
    format!(
        "[[monitor]]\nkind = \"json\"\nname = \"app\"\ninterval = \"200ms\"\nurl = \"{}/health\"\n\
         metrics = [{{ metric = \"used\", pointer = \"/pool/used\" }}]\n",
        pool.origin
    )
}

#[test]
fn a_monitor_that_stays_critical_ends_the_run() {
    let (server, pool) = (held(), pool());
    let scene = long_scene();
    let watch = "[[watch]]\nmetric = \"app.used\"\nwindow = \"1s\"\nwarning = 15\ncritical = 18\n";
    let files = ["monitors.toml", "thresholds.toml"].map(|name| scene.path(name));
    let (out, out_text) = out_of(&scene);
    let [monitors, thresholds] = files.each_ref().map(|file| file.to_str().unwrap());
    let flags = ["--monitor", monitors, "--thresholds", thresholds, "--out", &out_text];
    let run = |abort: &str| scene.run(&server.origin, &[&flags[..], &["--abort", abort]].concat());
    std::fs::write(monitors, monitor_of(&pool)).unwrap();
    std::fs::write(thresholds, watch).unwrap();
    let output = run("errors>10%,monitors=critical");
    let run = read_run(&out).unwrap();
    let aborted = run.aborted.clone().unwrap();
    assert_eq!((aborted.cause, aborted.rule.as_str()), (Cause::Monitors, "monitors=critical"));
    assert!(aborted.reason.starts_with("app.used is 20, above the critical 18 for "), "{aborted:?}");
    assert!(aborted.at_s < 10 && last_send_s(&run) <= aborted.at_s + 1, "{aborted:?}");
    assert!(run.failed == 0 && run.verdict != Verdict::Pass, "{:?}", run.reasons);
    assert_exit_says(run.verdict, &output);
    assert_fits_schema(&out.join("run.json"));
}

#[test]
fn a_rule_about_monitors_needs_one() {
    let server = held();
    let output = long_scene().run(&server.origin, &["--abort", "monitors=critical"]);
    refused(&output, "give --monitor FILE, or write a [[monitor]]");
    assert!(server.received().is_empty());
}

#[test]
fn each_monitor_is_tried_by_the_check_of_an_environment() {
    let (server, pool) = (held(), pool());
    let gone = format!(
        "[[monitor]]\nkind = \"prometheus\"\nname = \"gone\"\nurl = \"{}\"\n",
        "http://127.0.0.1:1/m"
    );
    let gone = gone + "metrics = [{ metric = \"a\", selector = \"a\" }]\n";
    let more = format!("{}[[monitor]]\nkind = \"host\"\n{gone}", monitor_of(&pool));
    let checked = Team::new("local", &server.origin, &more).run(&["env", "check", "e"]);
    let said = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    for part in [
        "ok      monitor      app: 1 value at the first look",
        "ok      monitor      host: ",
        "FAILED  monitor      gone: ",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.contains("is what its [[monitor]] in") && said.contains("ok      answer"), "{said}");
}
