//! A browser's session, exported as HAR, imported, and replayed against a service that never saw it.

use std::path::Path;
use std::process::{Command, Output};

use classroom::accounts::{Account, account, write_csv};
use classroom::serve::ServeConfig;
use kingtide_common::capture::Capture;
use kingtide_common::exchange::Exchange;
use serde_json::{Value, json};

use crate::chromium::{Chromium, SOUND, assert_absent, secrets};
use crate::devtools::DevTools;
use crate::har;
use crate::programs::program;
use crate::school::{UPLOAD, health, quick, school, visitor};

const STUDENTS: u64 = 12;

async fn kingtide(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("kingtide"));
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What a command that succeeds says on stdout.
async fn said(arguments: &[&str]) -> String {
    let output = kingtide(arguments).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A student logs in on the page, records and uploads; the browser's developer tools watch. Returns what the
/// page made of itself, and the HAR.
async fn session(base_url: String, account: Account) -> (Value, Value) {
    let mut chromium = Chromium::open("about:blank", SOUND);
    let debugger = chromium.debugger_url().await;
    let recorded = tokio::task::spawn_blocking(move || {
        let mut tools = DevTools::attach(&debugger);
        tools.open(&base_url);
        let page = tools.evaluate(&hand_in(&account));
        tools.settle();
        (serde_json::from_str(page.as_str().unwrap()).unwrap(), har::export(&mut tools))
    });
    recorded.await.unwrap()
}

/// Fills the form, sends it, and waits for the title to say what came of it.
fn hand_in(account: &Account) -> String {
    format!(
        "new Promise(done => {{
           new MutationObserver(() => done(document.title)).observe(document.querySelector('title'), {{ childList: true }});
           document.getElementById('email').value = {};
           document.getElementById('password').value = {};
           document.getElementById('form').requestSubmit();
         }})",
        json!(account.email),
        json!(account.password)
    )
}

fn exchanges(capture: &Path) -> Vec<Exchange> {
    let reading = Capture::open(capture).unwrap().read().unwrap();
    assert_eq!((reading.damage, reading.gaps), (vec![], vec![]));
    reading.exchanges
}

#[tokio::test(flavor = "multi_thread")]
async fn a_har_of_chromiums_session_imports_and_replays() {
    let server = school(quick()).await;
    let account = account(1, 5);
    let (page, har) = session(server.base_url(), account.clone()).await;
    assert_eq!((&page["source"], &page["status"]), (&"recorder".into(), &201.into()), "{page}");
    let directory = tempfile::tempdir().unwrap();
    let [file, capture, identities] =
        ["session.har", "capture", "identities.csv"].map(|name| directory.path().join(name));
    std::fs::write(&file, har.to_string()).unwrap();

    let summary = said(&["import", "har", text(&file), "--out", text(&capture), "--json"]).await;
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap().len();
    assert_eq!((&summary["read"], &summary["unreadable"]), (&entries.into(), &0.into()), "{summary:#}");

    let imported = exchanges(&capture);
    let upload = imported.iter().find(|exchange| exchange.path() == UPLOAD).expect("the upload");
    let file_bytes: Vec<u64> = upload.files().map(|file| file.bytes).collect();
    assert_eq!(json!(file_bytes), json!([page["sent_bytes"]]), "to the byte");
    assert_eq!(upload.synthesised, ["pacing"]);
    let reading = Capture::open(&capture).unwrap().read().unwrap();
    assert_absent(&capture, &reading, &secrets(&visitor(&server), &account).await);

    let map = said(&["plan", text(&capture), "--show-bindings"]).await;
    for binding in ["/access_token", "activity_id"] {
        assert!(map.contains(binding), "{binding} is not in\n{map}");
    }

    let fresh = school(ServeConfig { students: 2 * STUDENTS, ..quick() }).await;
    write_csv(std::fs::File::create(&identities).unwrap(), 1, STUDENTS, 5).unwrap();
    let target = fresh.base_url();
    let replay = ["replay", text(&capture), "--target", &target, "--identities", text(&identities), "--json"];
    let output = kingtide(&replay).await;
    let run: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&run["failed"], &run["bindings"]["unresolved"]), (&0.into(), &0.into()), "{run:#}");
    assert_eq!(run["statuses"], statuses(&imported), "{run:#}");
    assert_ne!(run["verdict"], "FAIL");
    assert!(run["reasons"].to_string().contains("completed by assumptions: pacing"), "{run:#}");
    let kept = health(&fresh).await.uploads;
    assert_eq!((kept.accepted, json!(kept.bytes)), (1, page["sent_bytes"].clone()), "the upload arrived");
}

fn statuses(exchanges: &[Exchange]) -> Value {
    let mut counts = serde_json::Map::new();
    for exchange in exchanges {
        let count = counts.entry(exchange.status.unwrap().to_string()).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap() + 1);
    }
    counts.into()
}
