//! Diagnoses of loads whose truth is known: times as a queue with that bottleneck has them.

use std::collections::BTreeMap;

use super::profile::{RouteProfile, Times};
use super::*;

const UPLOAD: &str = "POST /upload";

fn times(mean_ms: f64) -> Times {
    Times { mean_ms, tail_mean_ms: 2.0 * mean_ms, p95_ms: 1.5 * mean_ms, quiet_mean_ms: mean_ms }
}

/// Uploads with these stages (after `send`), and as many reads that take `read_ms` of wait.
fn load(
    multiple: f64,
    completed_per_s: f64,
    is_failing: bool,
    stages: &[(&str, f64)],
    read_ms: f64,
) -> Profile {
    let route = |stages: &[(&str, f64)]| {
        let after = [("receive", 1.0)];
        let stages: Vec<(&str, f64)> = [("send", 5.0)].iter().chain(stages).chain(&after).copied().collect();
        RouteProfile {
            requests: 500,
            request_share: 0.5,
            answer_share: 0.5,
            total: times(stages.iter().map(|(_, ms)| ms).sum()),
            stages: stages.into_iter().map(|(name, ms)| (name.to_owned(), times(ms))).collect(),
        }
    };
    let routes = BTreeMap::from([
        (UPLOAD.to_owned(), route(stages)),
        ("GET /me".to_owned(), route(&[("wait", read_ms)])),
    ]);
    Profile { multiple, is_failing, completed_per_s, routes }
}

fn first(profiles: &[Profile]) -> Suspect {
    diagnose(profiles).into_iter().next().unwrap()
}

#[test]
fn twenty_slots_of_three_seconds() {
    // 20 slots × 3 s are 6.67 uploads a second; as many reads.
    let light =
        load(1.0, 4.0, false, &[("auth", 50.0), ("store", 3000.0), ("db", 100.0), ("wait", 2.0)], 2.0);
    let heavy =
        load(4.0, 13.34, true, &[("auth", 51.0), ("store", 9000.0), ("db", 101.0), ("wait", 2.0)], 2.0);
    let suspect = first(&[light, heavy]);
    assert_eq!((suspect.stage.as_str(), suspect.route.as_str()), ("store", UPLOAD));
    assert!(suspect.growth_share > 0.99, "{suspect:?}");
    assert!((suspect.slots.unwrap() - 20.0).abs() < 0.1, "{suspect:?}");
    assert!(suspect.remedy.contains("max_pool_connections"), "{}", suspect.remedy);
}

#[test]
fn what_a_light_load_queues_is_not_taken_for_work() {
    // One server of 100 ms that is busy for most of the time at the light load already.
    let mut light = load(1.0, 16.0, false, &[("store", 500.0), ("wait", 2.0)], 2.0);
    let store = &mut light.routes.get_mut(UPLOAD).unwrap().stages[1].1;
    store.quiet_mean_ms = 100.0;
    let suspect = first(&[light, load(1.3, 20.0, true, &[("store", 5000.0), ("wait", 2.0)], 2.0)]);
    assert!((suspect.slots.unwrap() - 1.0).abs() < 0.02, "{suspect:?}");
}

#[test]
fn stages_that_wait_in_one_queue_are_busy_together() {
    // A pool of 3, held for the check (50 ms) and again for the write (100 ms); reads check too.
    let at = |multiple, per_s, is_failing, wait_ms| {
        let stages = [("auth", 50.0 + wait_ms), ("store", 100.0), ("db", 100.0 + wait_ms), ("wait", 2.0)];
        let mut load = load(multiple, per_s, is_failing, &stages, 2.0);
        let reads = load.routes.get_mut("GET /me").unwrap();
        reads.stages.insert(1, ("auth".to_owned(), times(50.0 + wait_ms)));
        reads.total = times(reads.total.mean_ms + 50.0 + wait_ms);
        load
    };
    // 15 uploads a second × 150 ms and 15 reads × 50 ms.
    let suspect = first(&[at(1.0, 8.0, false, 0.0), at(4.0, 30.0, true, 2000.0)]);
    assert!((suspect.slots.unwrap() - 3.0).abs() < 0.05, "{suspect:?}");
    assert!(suspect.evidence.contains("auth + db of 150 ms"), "{}", suspect.evidence);
    assert!(suspect.remedy.contains("pool_size"), "{}", suspect.remedy);
}

#[test]
fn a_turn_is_waited_for_because_of_another_stage() {
    let light = load(1.0, 4.0, false, &[("turn", 1.0), ("auth", 50.0), ("wait", 2.0)], 2.0);
    let heavy = load(4.0, 12.7, true, &[("turn", 9000.0), ("auth", 7000.0), ("wait", 2.0)], 2.0);
    let stages: Vec<String> = diagnose(&[light, heavy]).into_iter().map(|suspect| suspect.stage).collect();
    assert_eq!(stages, ["auth", "turn"]);
}

#[test]
fn many_slots_are_not_taken_for_fewer() {
    // Four slots of 300 ms: no queue to speak of at half load, a long one just below the end.
    let at = |per_s: f64, ms| load(per_s, per_s, ms > 1000.0, &[("store", ms), ("wait", 2.0)], 2.0);
    let suspect = first(&[at(13.0, 302.0), at(20.0, 310.0), at(25.0, 700.0), at(26.6, 2000.0)]);
    assert!((3.8..4.2).contains(&suspect.slots.unwrap()), "{suspect:?}");
}

#[test]
fn a_transaction_held_across_the_store() {
    // A pool of 20, each held for 50 + 3000 + 100 ms: 6.35 uploads a second.
    let light =
        load(1.0, 4.0, false, &[("auth", 50.0), ("store", 3000.0), ("db", 100.0), ("wait", 2.0)], 2.0);
    let heavy =
        load(4.0, 12.7, true, &[("auth", 7000.0), ("store", 3000.0), ("db", 100.0), ("wait", 2.0)], 2.0);
    let suspect = first(&[light, heavy]);
    assert_eq!(suspect.stage, "auth");
    assert!((19.0..20.5).contains(&suspect.slots.unwrap()), "{suspect:?}");
    assert!(suspect.evidence.contains("auth alone is too short"), "{}", suspect.evidence);
    assert!(suspect.remedy.contains("held during store"), "{}", suspect.remedy);
}

#[test]
fn a_slow_database_uses_up_its_pool_by_itself() {
    // A pool of 5, held for 500 ms by the check.
    let light = load(1.0, 4.0, false, &[("auth", 500.0), ("store", 300.0), ("db", 10.0), ("wait", 2.0)], 2.0);
    let heavy =
        load(4.0, 20.0, true, &[("auth", 5000.0), ("store", 300.0), ("db", 10.0), ("wait", 2.0)], 2.0);
    let suspect = first(&[light, heavy]);
    assert_eq!((suspect.stage.as_str(), suspect.slots.map(f64::round)), ("auth", Some(5.0)));
    // 10 uploads a second × 810 ms.
    assert!(suspect.remedy.contains("about 8 if each is held on during store and db"), "{}", suspect.remedy);
    assert!(suspect.remedy.contains("pool_size"), "{}", suspect.remedy);
}

#[test]
fn a_blocked_event_loop_makes_every_route_wait_alike() {
    // 20 ms of each request on one thread: 50 requests a second.
    let light = load(1.0, 10.0, false, &[("store", 100.0), ("wait", 21.0)], 21.0);
    let heavy = load(5.0, 49.0, true, &[("store", 100.0), ("wait", 3000.0)], 2800.0);
    let suspect = first(&[light.clone(), heavy]);
    assert_eq!(suspect.stage, "wait");
    assert!((0.9..1.2).contains(&suspect.slots.unwrap()), "{suspect:?}");
    assert!(suspect.remedy.contains("event loop"), "{}", suspect.remedy);
    // Seen from a read, where the uploads wait while they send.
    let mut sends = load(5.0, 49.0, true, &[("store", 100.0), ("wait", 22.0)], 2800.0);
    for label in ["GET /other", "GET /third"] {
        let read = sends.routes["GET /me"].clone();
        sends.routes.insert(label.to_owned(), read);
    }
    let mut quiet = light.clone();
    for label in ["GET /other", "GET /third"] {
        let read = quiet.routes["GET /me"].clone();
        quiet.routes.insert(label.to_owned(), read);
    }
    assert!(first(&[quiet, sends]).remedy.contains("event loop"));
    let other = load(5.0, 49.0, true, &[("store", 100.0), ("wait", 3000.0)], 22.0);
    assert!(first(&[light, other]).remedy.contains("Server-Timing"), "only one route waits");
}

#[test]
fn without_growth_there_is_no_suspect() {
    let light = load(1.0, 4.0, false, &[("wait", 50.0)], 2.0);
    let heavy = load(4.0, 16.0, false, &[("wait", 51.0)], 2.0);
    assert_eq!(diagnose(&[light.clone(), heavy]), []);
    assert_eq!(diagnose(&[]), []);
    assert_eq!(diagnose(&[light]), []);
}

#[test]
fn elasticity_is_the_slope_over_all_loads() {
    let at =
        |multiple: f64| load(multiple, 4.0, multiple > 3.0, &[("wait", 10.0 * multiple * multiple)], 2.0);
    let suspect = first(&[at(1.0), at(2.0), at(4.0)]);
    assert!((suspect.elasticity.unwrap() - 2.0).abs() < 1e-9, "{suspect:?}");
}

#[test]
fn what_else_queued_is_next() {
    let at = |multiple, per_s, is_failing, store_ms, db_ms| {
        load(
            multiple,
            per_s,
            is_failing,
            &[("auth", 50.0), ("store", store_ms), ("db", db_ms), ("wait", 2.0)],
            2.0,
        )
    };
    let light = at(1.0, 4.0, false, 300.0, 20.0);
    let both = next_limit(&[light.clone(), at(4.0, 13.0, true, 3000.0, 45.0)]).unwrap();
    assert_eq!(both.stage.as_deref(), Some("db"), "{both:?}");
    let alone = next_limit(&[light.clone(), at(4.0, 13.0, true, 3000.0, 21.0)]).unwrap();
    assert_eq!(alone.stage, None);
    assert!((alone.known_to_per_s - 13.0).abs() < 1e-9, "{alone:?}");
    assert_eq!(next_limit(&[light]), None, "one load tells no limit");
}
