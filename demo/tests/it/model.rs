//! Load without a capture: the shipped student model against the sample service, watched by a recording proxy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use classroom::accounts::write_csv;
use kingtide_common::capture::Capture;
use kingtide_common::exchange::Exchange;
use serde_json::Value;

use crate::journey::{kingtide, service, text};
use crate::programs::Proxy;
use crate::school::{health, school};

const USERS: u64 = 8;
/// Among this seed's uploads are all four sizes.
const SEED: &str = "2";

/// The shipped model, its users in a hurry.
fn hurried(directory: &Path) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/models/students.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let hurried = text.replace("1s..5s", "20ms..80ms").replace("answer = \"3500ms\"", "answer = \"60ms\"");
    let path = directory.join("hurried.toml");
    std::fs::write(&path, hurried.replace("answer = \"300ms\"", "answer = \"30ms\"")).unwrap();
    path
}

fn json(output: &std::process::Output) -> Value {
    let parsed = serde_json::from_slice(&output.stdout);
    parsed.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_model_is_served_whole_and_uploads_its_four_sizes() {
    let server = school(service()).await;
    let directory = tempfile::tempdir().unwrap();
    let (model, capture) = (hurried(directory.path()), directory.path().join("capture"));
    let identities = directory.path().join("identities.csv");
    write_csv(std::fs::File::create(&identities).unwrap(), 1, 0, USERS).unwrap();
    let users = USERS.to_string();
    let crowd = [
        "--model",
        text(&model),
        "--users",
        &users,
        "--spawn-per-s",
        "20",
        "--duration",
        "3s",
        "--seed",
        SEED,
    ];
    let plan = json(&kingtide(&[&["plan", "--json"], &crowd[..]].concat()).await);

    let proxy = Proxy::start(&server.base_url(), &capture);
    let target = proxy.url.clone();
    let sent = ["replay", "--json", "--target", &target, "--identities", text(&identities)];
    let output = kingtide(&[&sent, &crowd[..]].concat()).await;
    tokio::task::spawn_blocking(|| proxy.stop()).await.unwrap();

    let run = json(&output);
    assert_eq!((&run["capture"], &run["clock"]), (&text(&model).into(), &"think".into()));
    assert_eq!(run["planned"], plan["requests_planned"]);
    for count in ["sent", "done"] {
        assert_eq!(run[count], run["planned"], "{count}: {run:#}");
    }
    assert_eq!((&run["failed"], &run["errors"]), (&0.into(), &serde_json::json!({})), "{run:#}");
    let statuses: Vec<&String> = run["statuses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "201"]);
    assert_eq!((&run["bindings"]["unresolved"], &run["identities_distinct"]), (&0.into(), &USERS.into()));
    assert!(run["reasons"].to_string().contains("those of the model"), "{run:#}");

    let kept = health(&server).await.uploads;
    assert_eq!((&run["files"], &run["file_bytes"]), (&kept.accepted.into(), &kept.bytes.into()));
    assert_eq!(plan["upload_bytes_planned"], kept.bytes);
    let exchanges = Capture::open(&capture).unwrap().read().unwrap().exchanges;
    let sizes: BTreeSet<u64> = exchanges.iter().flat_map(Exchange::files).map(|file| file.bytes).collect();
    assert_eq!(sizes, BTreeSet::from([50_000, 200_000, 500_000, 2_000_000]));
}
