//! What the target's own parts say while a run lasts, on the run's clock.
//!
//! [`settings`] says what is looked at, each kind (`postgres`, `host`, `process`, `prometheus`, `json`) takes one look at a
//! time, `watch` repeats it within its time, `log` keeps what it brought, and [`timeline`] is what everybody else reads.
//! All looks are taken on one thread of their own, so they take no worker's time, and each monitor waits for its own peer
//! only. No trouble of a monitor is one of the run: it is a gap on the timeline.

pub mod cold_start;
mod host;
mod http;
pub mod json;
mod log;
mod look;
pub mod postgres;
mod process;
pub mod prometheus;
pub mod settings;
pub mod timeline;
pub mod unit;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use self::settings::Settings;
use self::timeline::{Event, Point, Timeline};
use self::watch::{SharedLog, Watch};

/// Monitors that look until they are stopped.
#[derive(Debug)]
pub struct Monitors {
    began: Instant,
    logs: Vec<SharedLog>,
    /// Dropped to stop them.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What monitors saw last, for whoever looks at it beside them.
#[derive(Debug, Clone, Default)]
pub struct LastLooks(Vec<SharedLog>);

/// What came of a single look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Metrics that had a value. What tells a growth needs a second look.
    pub values: usize,
    /// What could not be seen, and why.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Settings(String),
    #[error("cannot start the monitors' thread: {0}")]
    Thread(#[from] io::Error),
}

impl Monitors {
    /// Begins to look. Whether there is anything to see is not waited for: that is told by the timeline.
    pub fn start(settings: &[Settings]) -> Result<Self, StartError> {
        settings::check_names(settings).map_err(StartError::Settings)?;
        let watches: Result<Vec<Watch>, String> = settings.iter().map(Watch::new).collect();
        let watches = watches.map_err(StartError::Settings)?;
        let logs = watches.iter().map(Watch::log).collect();
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let began = Instant::now();
        let look = move || look_until(runtime, watches, began, stopped);
        let thread = thread::Builder::new().name("monitors".to_owned()).spawn(look)?;
        Ok(Self { began, logs, stop: Some(stop), thread: Some(thread) })
    }

    pub fn last_looks(&self) -> LastLooks {
        LastLooks(self.logs.clone())
    }

    /// Of each metric the last value that was seen, if the last look at it saw one.
    pub fn latest(&self) -> BTreeMap<String, f64> {
        let mut latest = BTreeMap::new();
        for log in &self.logs {
            latest.extend(log.lock().latest().map(|(metric, value)| (metric.to_owned(), value)));
        }
        latest
    }

    /// All that was seen so far, with 0 at `zero`.
    pub fn timeline(&self, zero: Instant) -> Timeline {
        let zero_s = zero.saturating_duration_since(self.began).as_secs_f64()
            - self.began.saturating_duration_since(zero).as_secs_f64();
        let mut timeline = Timeline::default();
        for log in &self.logs {
            log.lock().add_to(&mut timeline, zero_s);
        }
        timeline.events.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        timeline
    }

    /// What was told so far, in order, with 0 when they began.
    pub fn events(&self) -> Vec<Event> {
        let mut events: Vec<Event> = self.logs.iter().flat_map(|log| log.lock().events().to_vec()).collect();
        events.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        events
    }

    /// Looks no more.
    pub fn stop(mut self, zero: Instant) -> Timeline {
        self.end();
        self.timeline(zero)
    }

    /// When the first looks were.
    pub fn began(&self) -> Instant {
        self.began
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A monitor that has panicked has told so; what the others saw stands.
            let _ = thread.join();
        }
    }
}

impl LastLooks {
    /// Of each metric, with 0 when the monitors began.
    pub fn get(&self) -> BTreeMap<String, Point> {
        let mut last = BTreeMap::new();
        for log in &self.0 {
            last.extend(log.lock().last().map(|(metric, point)| (metric.to_owned(), point)));
        }
        last
    }
}

/// Looks once, within the time of a look; the error says why there was nothing to see.
pub fn glance(settings: &Settings) -> Result<Glance, String> {
    let mut watch = Watch::new(settings)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let looked = runtime.block_on(watch.look());
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    let look = looked.map_err(|blind| blind.to_string())?;
    let values = look.values.iter().filter(|(_, value)| value.is_some()).count();
    Ok(Glance { values, notes: look.notes })
}

impl Drop for Monitors {
    fn drop(&mut self) {
        self.end();
    }
}

fn look_until(runtime: Runtime, watches: Vec<Watch>, began: Instant, stopped: oneshot::Receiver<()>) {
    for watch in watches {
        runtime.spawn(watch.run(began));
    }
    let _ = runtime.block_on(stopped);
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
}
