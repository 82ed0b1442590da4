//! At 1× a replay is the capture again, stage by stage; a slower backend shows in the stage in which it is slower.
//!
//! Both ways lead through the recording proxy. A stage is alike when chance explains what is beyond 2 ms and a tenth; a
//! busy machine gets [`ROUNDS`] tries at that, but none makes a backend quick that is slow.

use classroom::law::{ServiceLaw, StoreLatency};
use classroom::serve::{RunningServer, ServeConfig};
use serde_json::Value;

use crate::journey::{Recorded, recorded_of, replayed_from, service};
use crate::programs::Proxy;
use crate::school::school;

const ROUNDS: usize = 3;
/// As many as it takes for the uploads' route to have 30 samples.
const STUDENTS: u64 = 30;
const STORE_MS: f64 = 60.0;
const STAGES: [&str; 4] = ["send", "wait", "receive", "total"];

async fn storing(store_ms: f64) -> RunningServer {
    let config = service();
    let law = ServiceLaw { store: StoreLatency::Constant(store_ms), ..config.law };
    school(ServeConfig { law, ..config }).await
}

/// The report of a replay at 1× that goes through a proxy of its own.
async fn replayed_at(recorded: &Recorded, server: &RunningServer) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&server.base_url(), &directory.path().join("again"));
    let (_, run) = replayed_from(recorded, &recorded.capture(), &proxy.url, &["-x", "1"]).await;
    tokio::task::spawn_blocking(|| proxy.stop()).await.unwrap();
    assert_eq!(run["failed"], 0, "{run:#}");
    run
}

fn gate<'a>(run: &'a Value, stage: &str) -> &'a Value {
    &run["fidelity"][format!("stage_{stage}")]
}

fn unlike(run: &Value) -> Vec<&'static str> {
    STAGES.into_iter().filter(|stage| gate(run, stage)["pass"] != true).collect()
}

/// As text, for whoever reads the test's output.
fn told(run: &Value) -> String {
    let stage = |stage: &&str| {
        let all = &run["achieved"]["stages"][stage];
        let value = |key: &str| all[key].as_f64().unwrap_or(f64::NAN);
        format!(
            "{stage:<8} p50 {:>7.2} → {:>7.2} ms, p95 {:>7.2} → {:>7.2} ms, KS {:.3}, apart {:.3}; gate {} of {}",
            value("p50_captured"),
            value("p50_achieved"),
            value("p95_captured"),
            value("p95_achieved"),
            value("ks"),
            value("apart"),
            gate(run, stage)["value"],
            gate(run, stage)["limit"],
        )
    };
    STAGES.iter().map(stage).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn at_1x_every_stage_is_as_captured_and_a_slower_store_is_seen_in_the_wait() {
    let server = storing(STORE_MS).await;
    let recorded = recorded_of(&server, STUDENTS, |_| ()).await;
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS && rounds.last().is_none_or(|run| !unlike(run).is_empty()) {
        rounds.push(replayed_at(&recorded, &server).await);
    }
    let last = rounds.last().unwrap();
    println!("the same backend, round {}:\n{}", rounds.len(), told(last));
    assert_eq!(unlike(last), [""; 0], "{}", told(last));
    let routes = last["achieved"]["route_stages"].as_array().unwrap();
    let upload =
        routes.iter().find(|route| route["route"].as_str().unwrap().starts_with("POST /api/students"));
    let uploads = upload.unwrap()["stages"]["wait"]["count_achieved"].as_u64().unwrap();
    assert!(uploads >= 30, "enough to judge the route by itself: {uploads}");

    let slower = replayed_at(&recorded, &storing(2.0 * STORE_MS).await).await;
    println!("a store of twice the time:\n{}", told(&slower));
    let unlike = unlike(&slower);
    assert!(unlike.contains(&"wait") && unlike.contains(&"total"), "{}", told(&slower));
    assert!(!unlike.contains(&"send"), "{}", told(&slower));
    let reasons = slower["reasons"].to_string();
    assert!(reasons.contains("does not answer as the captured one did"), "{reasons}");
    assert_ne!(slower["verdict"], "FAIL", "a caution: {reasons}");
}
