//! The access log: one line for each exchange that is over, in one of three formats.
//!
//! Traffic never waits for the disk. A worker formats its line and puts it into a bounded queue; one thread
//! writes what waits there five times a second, so that a line costs the worker no system call. What finds
//! the queue full, or a disk that refuses, is lost and counted. The file is opened anew on request, for
//! `logrotate`.
//!
//! Lines hold no secrets: values of query fields named like secrets (the rules of redaction) are masked, in
//! the target and in `Referer`, and no credential is looked at (`$remote_user` is always `-`). Paths and
//! other values are kept as Nginx keeps them.

mod haproxy;
mod json;
mod masked;
mod nginx;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::config;
use crate::config::LogFormat;
use crate::passage::Passage;
use kingtide_common::redact::Rules;
use writer::{Signals, Writer};

/// Lines that may wait for the writer.
const WAITING_LINES_MAX: usize = 16_384;
/// Bytes of the lines that may wait.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Room that most lines fit in.
const LINE_BYTES: usize = 1 << 10;

/// What a formatter needs besides the exchange.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) clock: Clock,
    /// Which query fields are secret.
    pub(crate) rules: Arc<Rules>,
}

impl Context {
    /// An instant of the process's clock in UTC.
    fn utc(&self, at_ns: u64) -> OffsetDateTime {
        let utc_ns = i128::from(self.clock.utc_ns(at_ns));
        OffsetDateTime::from_unix_timestamp_nanos(utc_ns).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// How many lines were written, and how many not.
#[derive(Debug, Default)]
pub(crate) struct LineCounts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl LineCounts {
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that found the queue full or a disk that refused.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The workers' end of the log; shared by all of them.
#[derive(Debug)]
pub(crate) struct AccessLogger {
    format: fn(&Passage, &Context, &mut Vec<u8>),
    context: Context,
    lines: Sender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    counts: Arc<LineCounts>,
    signals: Arc<Signals>,
    wake: Sender<()>,
    /// Disconnected when the writer has ended.
    ended: Receiver<()>,
}

impl AccessLogger {
    /// Opens the file and starts the writer; `None` when no file is configured.
    ///
    /// # Errors
    /// The file cannot be opened (the error names it), or there are no more threads.
    pub(crate) fn start(log: &config::AccessLog, context: Context) -> io::Result<Option<Self>> {
        log.path.as_deref().map(|path| Self::open(path, log.format, context)).transpose()
    }

    fn open(path: &Path, format: LogFormat, context: Context) -> io::Result<Self> {
        let (lines, waiting) = bounded(WAITING_LINES_MAX);
        let (wake, woken) = bounded(1);
        let (end, ended) = bounded(0);
        let (waiting_bytes, counts, signals) = <(Arc<AtomicUsize>, Arc<LineCounts>, Arc<Signals>)>::default();
        let mut writer = Writer::open(path, waiting, Arc::clone(&waiting_bytes), Arc::clone(&counts))?;
        let told = Arc::clone(&signals);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            writer.run(&woken, &told);
            drop(writer);
            drop(end);
        })?;
        let format = formatter(format);
        Ok(Self { format, context, lines, waiting_bytes, counts, signals, wake, ended })
    }

    /// Puts the exchange's line into the queue, or counts it as lost.
    pub(crate) fn log(&self, passage: &Passage) {
        let mut line = Vec::with_capacity(LINE_BYTES);
        (self.format)(passage, &self.context, &mut line);
        self.enqueue(line);
    }

    fn enqueue(&self, line: Vec<u8>) {
        let bytes = line.capacity();
        if !self.reserve(bytes) {
            self.lose();
        } else if self.lines.try_send(line).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lose();
        }
        if self.lines.len() > WAITING_LINES_MAX / 2 {
            self.wake();
        }
    }

    fn reserve(&self, bytes: usize) -> bool {
        let fits = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= WAITING_BYTES_MAX;
        if !fits {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn lose(&self) {
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens the file anew before the next line is written: after a rotation.
    pub(crate) fn reopen(&self) {
        self.signals.reopen();
        self.wake();
    }

    /// Writes what waits and ends the writer; `false` when that took longer than the deadline.
    pub(crate) fn close(&self, deadline: Duration) -> bool {
        self.signals.stop();
        self.wake();
        self.ended.recv_timeout(deadline).is_err_and(|error| error.is_disconnected())
    }

    pub(crate) fn counts(&self) -> Arc<LineCounts> {
        Arc::clone(&self.counts)
    }

    /// A writer that is awake already needs no second call.
    fn wake(&self) {
        let _ = self.wake.try_send(());
    }
}

fn formatter(format: LogFormat) -> fn(&Passage, &Context, &mut Vec<u8>) {
    match format {
        LogFormat::Json => json::line,
        LogFormat::Nginx => nginx::line,
        LogFormat::Haproxy => haproxy::line,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sample;

    const DEADLINE: Duration = Duration::from_secs(10);

    pub(super) fn context() -> Context {
        Context { clock: Clock::start(), rules: Arc::new(Rules::built_in()) }
    }

    fn started(path: &Path) -> AccessLogger {
        let log = config::AccessLog { path: Some(path.to_owned()), format: LogFormat::Nginx };
        AccessLogger::start(&log, context()).unwrap().unwrap()
    }

    fn lines_of(path: &Path) -> usize {
        fs::read_to_string(path).unwrap().lines().count()
    }

    /// Waits for an event of the writer's thread.
    fn wait_until(event: impl Fn() -> bool) {
        let deadline = std::time::Instant::now() + DEADLINE;
        while !event() {
            assert!(std::time::Instant::now() < deadline, "it did not happen");
            std::thread::yield_now();
        }
    }

    #[test]
    fn without_a_path_there_is_no_log() {
        assert!(AccessLogger::start(&config::AccessLog::default(), context()).unwrap().is_none());
    }

    #[test]
    fn a_path_that_cannot_be_opened_is_named() {
        let log = config::AccessLog { path: Some("/proc/no/access.log".into()), ..Default::default() };
        let error = AccessLogger::start(&log, context()).unwrap_err();
        assert!(error.to_string().starts_with("access_log.path: /proc/no/access.log"), "{error}");
    }

    #[test]
    fn what_waits_at_the_end_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let logger = started(&path);
        for _ in 0..1000 {
            logger.log(&sample::upload());
        }
        assert!(logger.close(DEADLINE));
        assert_eq!((lines_of(&path), logger.counts().written(), logger.counts().lost()), (1000, 1000, 0));
        logger.log(&sample::upload());
        assert_eq!(logger.counts().lost(), 1, "too late, and counted");
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, rotated) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
        let logger = started(&path);
        logger.log(&sample::upload());
        wait_until(|| logger.counts().written() == 1);
        fs::rename(&path, &rotated).unwrap();
        logger.reopen();
        wait_until(|| path.exists());
        logger.log(&sample::silent_client());
        logger.log(&sample::silent_client());
        assert!(logger.close(DEADLINE));
        assert_eq!((lines_of(&rotated), lines_of(&path)), (1, 2));
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let logger = started(Path::new("/dev/full"));
        for _ in 0..3 {
            logger.log(&sample::upload());
        }
        assert!(logger.close(DEADLINE));
        assert_eq!((logger.counts().written(), logger.counts().lost()), (0, 3));
    }

    #[test]
    fn what_finds_the_queue_full_is_lost_and_counted() {
        let (lines, _waiting) = bounded(2);
        let (_end, ended) = bounded(0);
        let (wake, woken) = bounded(1);
        let (waiting_bytes, counts, signals) = <(Arc<AtomicUsize>, Arc<LineCounts>, Arc<Signals>)>::default();
        let format = formatter(LogFormat::Json);
        let logger =
            AccessLogger { format, context: context(), lines, waiting_bytes, counts, signals, wake, ended };
        for _ in 0..5 {
            logger.log(&sample::upload());
        }
        assert_eq!(logger.counts().lost(), 3);
        logger.enqueue(Vec::with_capacity(WAITING_BYTES_MAX));
        assert_eq!(logger.counts().lost(), 4, "too many bytes");
        assert!(woken.try_recv().is_err(), "two lines of many are no reason to wake the writer");
    }
}
