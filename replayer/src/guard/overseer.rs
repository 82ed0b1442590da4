//! Beside a run: passes on the user's wish to stop, and ends the run by a rule or a kill file.
//!
//! A thread of its own, which looks at the run's counters, at what monitors saw, and for the file; the drive knows of it no more than of a user. What
//! is in flight is waited for as after Ctrl-C; after a kill file only for [`KILL_DRAIN`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch as channel;

use super::abort::{AbortRules, Aborted, Cause, MONITORS, Watch};
use crate::drive::Stop;
use crate::measure::live::Live;
use crate::monitor::LastLooks;
use crate::thresholds::Thresholds;
use crate::thresholds::critical::CriticalWatch;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Who throws the switch wants quiet.
const KILL_DRAIN: Duration = Duration::from_secs(5);

/// What may end a run.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    pub rules: AbortRules,
    /// What is critical to a monitor.
    pub thresholds: Thresholds,
    /// Ends every run that it is there for.
    pub kill_files: KillFiles,
}

/// Each of them ends every run that it is there for: the team's, and the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KillFiles(pub Vec<PathBuf>);

/// See the module; [`Overseer::finish`] ends it.
#[derive(Debug)]
pub struct Overseer {
    /// The run's stop.
    pub stop: channel::Receiver<Stop>,
    finish: Sender<()>,
    thread: JoinHandle<Option<Aborted>>,
}

struct Shift {
    live: Arc<Live>,
    user: channel::Receiver<Stop>,
    stop: channel::Sender<Stop>,
    kill_files: KillFiles,
    watch: Watch,
    looks: LastLooks,
    /// Where a rule is about monitors.
    critical: Option<CriticalWatch>,
    seconds: u64,
    aborted: Option<Aborted>,
    quiet_at: Option<Instant>,
}

impl Orders {
    /// What a run's counters must be made with.
    pub fn live(&self) -> Live {
        Watch::late_above_ns(&self.rules).map_or_else(Live::default, Live::with_late_above)
    }
}

impl Overseer {
    /// `user` is the user's stop, `looks` what the run's monitors see.
    pub fn start(
        orders: &Orders,
        live: Arc<Live>,
        looks: LastLooks,
        user: channel::Receiver<Stop>,
    ) -> io::Result<Self> {
        let Orders { rules, thresholds, kill_files } = orders.clone();
        let (stop, stopped) = channel::channel(*user.borrow());
        let (finish, finished) = mpsc::channel();
        let shift = Shift {
            live,
            user,
            stop,
            kill_files,
            critical: rules.monitors_critical.then(|| CriticalWatch::new(thresholds)),
            watch: Watch::new(rules),
            looks,
            seconds: 0,
            aborted: None,
            quiet_at: None,
        };
        let thread =
            thread::Builder::new().name("overseer".to_owned()).spawn(move || shift.work(&finished))?;
        Ok(Self { stop: stopped, finish, thread })
    }

    /// The run is over; why it was ended, if it was.
    pub fn finish(self) -> Option<Aborted> {
        // One that is gone needs no end; one that panicked goes on panicking, with its message.
        let _ = self.finish.send(());
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Shift {
    fn work(mut self, finished: &Receiver<()>) -> Option<Aborted> {
        while finished.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let wish = *self.user.borrow();
            self.ask(wish);
            // Whom the user has stopped nobody else need stop.
            if self.aborted.is_none() && wish == Stop::Run {
                self.aborted = self.look();
                self.end();
            }
            // Who waits for answers is to be quiet all the same.
            if self.quiet_at.is_none()
                && wish.max(*self.stop.borrow()) > Stop::Run
                && self.kill_files.thrown().is_some()
            {
                eprintln!("a kill file is there: what is in flight is waited for {} s", KILL_DRAIN.as_secs());
                self.quiet_at = Some(Instant::now() + KILL_DRAIN);
            }
            if self.quiet_at.is_some_and(|at| Instant::now() >= at) {
                self.ask(Stop::Now);
            }
        }
        self.aborted
    }

    fn look(&mut self) -> Option<Aborted> {
        let passed_s = self.live.zero().and_then(|zero| Instant::now().checked_duration_since(zero));
        let passed_s = passed_s.map_or(0, |since| since.as_secs());
        if let Some(path) = self.kill_files.thrown() {
            return Some(killed(path, passed_s));
        }
        while self.seconds < passed_s {
            self.seconds += 1;
            let by_requests = self.watch.on_second(self.live.counts());
            if let Some(aborted) = by_requests.or_else(|| self.by_monitors()) {
                return Some(aborted);
            }
        }
        None
    }

    fn by_monitors(&mut self) -> Option<Aborted> {
        let critical = self.critical.as_mut()?.on_looks(self.looks.get())?;
        let reason = critical.sentence();
        Some(Aborted { cause: Cause::Monitors, rule: MONITORS.to_owned(), at_s: self.seconds, reason })
    }

    fn end(&mut self) {
        let Some(aborted) = &self.aborted else { return };
        eprintln!("ending the run after {} s, {}: {}", aborted.at_s, aborted.rule, aborted.reason);
        let is_kill = aborted.cause == Cause::KillFile;
        self.quiet_at = is_kill.then(|| Instant::now() + KILL_DRAIN);
        self.ask(Stop::Drain);
    }

    fn ask(&self, wish: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_more = wish > *stop;
            *stop = wish.max(*stop);
            is_more
        });
    }
}

impl KillFiles {
    /// One that is there, whatever it is.
    pub fn thrown(&self) -> Option<&PathBuf> {
        self.0.iter().find(|path| path.symlink_metadata().is_ok())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn killed(path: &Path, at_s: u64) -> Aborted {
    let rule = path.display().to_string();
    Aborted { cause: Cause::KillFile, rule, at_s, reason: "the kill file is there".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::series::End;

    fn until(stop: &mut channel::Receiver<Stop>, wish: Stop) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { stop.wait_for(|stop| *stop >= wish).await.map(drop) }).unwrap();
    }

    #[test]
    fn the_user_s_wish_is_passed_on_and_is_no_abort() {
        let (user, wishes) = channel::channel(Stop::Run);
        let mut overseer =
            Overseer::start(&Orders::default(), Arc::default(), LastLooks::default(), wishes).unwrap();
        user.send_replace(Stop::Drain);
        until(&mut overseer.stop, Stop::Drain);
        user.send_replace(Stop::Now);
        until(&mut overseer.stop, Stop::Now);
        assert_eq!(overseer.finish(), None);
    }

    #[test]
    fn a_kill_file_ends_it_before_the_first_second() {
        let directory = tempfile::tempdir().unwrap();
        let kill_file = directory.path().join("stop");
        let orders = Orders { kill_files: KillFiles(vec![kill_file.clone()]), ..Orders::default() };
        let (_user, wishes) = channel::channel(Stop::Run);
        let mut overseer = Overseer::start(&orders, Arc::default(), LastLooks::default(), wishes).unwrap();
        std::fs::write(&kill_file, "").unwrap();
        until(&mut overseer.stop, Stop::Drain);
        let aborted = overseer.finish().unwrap();
        assert_eq!((aborted.cause, aborted.at_s), (Cause::KillFile, 0));
        assert_eq!(aborted.rule, kill_file.display().to_string());
    }

    #[test]
    fn a_rule_ends_it_at_the_end_of_a_second() {
        let orders = Orders { rules: "errors>10%".parse().unwrap(), ..Orders::default() };
        let live = Arc::new(orders.live());
        for _ in 0..20 {
            live.sent(0);
            live.ended(&End {
                at_ns: 0,
                was_sent: true,
                is_done: false,
                is_failed: true,
                is_given_up: false,
                latency_ns: None,
            });
        }
        let (_user, wishes) = channel::channel(Stop::Run);
        live.begins(Instant::now().checked_sub(Duration::from_secs(2)).unwrap());
        let mut overseer = Overseer::start(&orders, live, LastLooks::default(), wishes).unwrap();
        until(&mut overseer.stop, Stop::Drain);
        let aborted = overseer.finish().unwrap();
        assert_eq!((aborted.cause, aborted.rule.as_str(), aborted.at_s), (Cause::Errors, "errors>10%", 1));
    }
}
