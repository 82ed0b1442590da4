//! Monitors on real peers: what they see, and what they do when a peer is not well.

mod command;
mod database;
mod endpoints;

use std::time::{Duration, Instant};

use kingtide::monitor::Monitors;
use kingtide::monitor::settings::{Address, Settings, What};
use kingtide::monitor::timeline::{Event, EventKind, Timeline};

use crate::postgres::PATIENCE;

const INTERVAL: Duration = Duration::from_millis(200);

fn often(name: &str, what: What) -> Settings {
    Settings { interval: INTERVAL, ..Settings::new(name, what) }
}

fn postgres(url: &str) -> Settings {
    often("postgres", What::Postgres { url: Address::postgres(url).unwrap(), slow_query: INTERVAL })
}

/// Looks until there is what is waited for.
fn seen<T>(monitors: &Monitors, what: &str, find: impl Fn(&Timeline) -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        let timeline = monitors.timeline(monitors.began());
        if let Some(found) = find(&timeline) {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "no {what}: {timeline:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn latest_is(monitors: &Monitors, metric: &str, value: f64) {
    seen(monitors, &format!("{metric} of {value}"), |_| {
        (monitors.latest().get(metric).copied() == Some(value)).then_some(())
    });
}

fn event(timeline: &Timeline, kind: EventKind, part: &str) -> Option<Event> {
    timeline.events.iter().find(|event| event.kind == kind && event.text.contains(part)).cloned()
}

fn gap(monitors: &Monitors, part: &str) -> Event {
    seen(monitors, &format!("gap: {part}"), |timeline| event(timeline, EventKind::Gap, part))
}

fn assert_fits_schema(timeline: &serde_json::Value) {
    let schema = serde_json::from_str(include_str!("../../schemas/monitors.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(timeline).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
