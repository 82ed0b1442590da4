//! Serving: what is started in which order, what signals do, and how it all ends.

mod capture;
mod control;
mod worker_thread;

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::accept::listeners::{self, Listening};
use crate::accept::{Dealer, accept};
use crate::access_log::{self, AccessLogger};
use crate::admin::{self, AdminServer, BodyLimit, ConfigFacts, Sources};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::site::Site;
use crate::spool::Spool;
use crate::upgrade::{self, Handover, Offer, Outcome};
use crate::upstream::health;
use crate::worker::Shared;
use capture::Recorder;
use control::ProcessControl;

/// How long the access log's writer may take for what still waits.
const LOG_DEADLINE: Duration = Duration::from_secs(5);

/// Tries what a start would need, and changes nothing.
pub(crate) fn check(config: &Config, text: &str) -> anyhow::Result<()> {
    capture::rules(config)?;
    admin::check(&config.admin)?;
    listeners::wanted(config)?;
    Site::new(config, text, None)?;
    Ok(())
}

/// Runs until a signal ends it, then drains and closes the capture.
pub(crate) fn run(path: &Path, config: &Config, text: &str) -> anyhow::Result<()> {
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    outlive_size_limits(&runtime)?;
    // Whatever can be wrong comes before the capture begins.
    let site = Site::new(config, text, None)?;
    let rules = capture::rules(config)?;
    admin::check(&config.admin)?;
    let metrics = Arc::new(Metrics::default());
    let upgrade_socket = config.server.upgrade_socket.as_deref();
    let (handover, mut taken_over) = match upgrade_socket.map(upgrade::take_over).transpose() {
        Ok(taken) => {
            taken.flatten().map_or((None, Vec::new()), |(handover, sockets)| (Some(handover), sockets))
        }
        Err(error) => anyhow::bail!("the running process does not hand its listeners over: {error}"),
    };
    let listening = listeners::listen(config, &mut taken_over, &metrics.gauges)?;
    let (drain, draining) = watch::channel(false);
    let spool =
        Spool::new(config.server.spool_directory.clone(), config.server.spool_size.0, Arc::clone(&metrics));
    let log_context = access_log::Context { clock, rules: Arc::new(rules) };
    let digest = site.digest.clone();
    let shared = Arc::new(Shared {
        site: ArcSwap::from_pointee(site),
        clock,
        tap: ArcSwapOption::empty(),
        spool: Arc::new(spool),
        metrics,
        access_log: AccessLogger::start(&config.access_log, log_context)?,
        draining,
        next_connection: AtomicU64::new(0),
    });
    let recorder = Arc::new(Recorder::new(config, digest.clone(), Arc::clone(&shared)));
    match (config.capture.enabled, &handover) {
        (true, None) => recorder.start()?,
        (true, Some(_)) => recorder.start_after_the_former()?,
        (false, _) => {}
    }
    let control = Arc::new(ProcessControl {
        shared: Arc::clone(&shared),
        recorder: Arc::clone(&recorder),
        log: shared.access_log.as_ref().map(AccessLogger::counts),
        config: Mutex::new((
            ConfigFacts { digest, loaded_ns: clock.now_ns(), ..ConfigFacts::default() },
            BodyLimit::of(config),
        )),
    });
    let sources = Sources { control: Arc::clone(&control) as _, metrics: Arc::clone(&shared.metrics), clock };
    let mut admin = AdminServer::start(&config.admin, sources, &mut taken_over)?;
    drop(taken_over);
    if let Some(admin) = &admin {
        let _ = writeln!(std::io::stdout(), "admin on http://{}", admin.address);
    }
    let (workers, seats) = worker_thread::start_all(config.server.threads, &shared)?;
    let dealer = Dealer { workers: seats, open: Arc::default() };
    let process = Process {
        path,
        shared: Arc::clone(&shared),
        control,
        listening,
        admin: &mut admin,
        offered: None,
        health: JoinSet::new(),
    };
    let served = runtime.block_on(process.serve(dealer, drain, handover, upgrade_socket));
    workers.join(shared.site.load().drain_timeout);
    if let Some(admin) = admin {
        admin.close();
    }
    recorder.close()?;
    if let Some(log) = &shared.access_log
        && !log.close(LOG_DEADLINE)
    {
        tracing::warn!("the access log's writer did not finish in time");
    }
    served
}

/// Where files may not grow (`ulimit -f`), the system ends who writes on, unless the signal is listened for: then
/// the write fails, and recording stops as on a full disk. Listening lasts for the process's life.
fn outlive_size_limits(runtime: &Runtime) -> std::io::Result<()> {
    let _inside = runtime.enter();
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// The process as its main thread sees it.
struct Process<'a> {
    path: &'a Path,
    shared: Arc<Shared>,
    control: Arc<ProcessControl>,
    listening: Vec<Arc<Listening>>,
    admin: &'a mut Option<AdminServer>,
    offered: Option<Arc<Offer>>,
    health: JoinSet<()>,
}

impl Process<'_> {
    /// Accepts until it is told to drain.
    async fn serve(
        mut self,
        dealer: Dealer,
        drain: watch::Sender<bool>,
        handover: Option<Handover>,
        upgrade_socket: Option<&Path>,
    ) -> anyhow::Result<()> {
        // Before anybody is told that we listen: a signal from then on is understood.
        let mut signals = Signals::install()?;
        let dealer = Arc::new(dealer);
        let mut accepting = JoinSet::new();
        for listening in &self.listening {
            accepting.spawn(accept(Arc::clone(listening), Arc::clone(&dealer), Arc::clone(&self.shared)));
        }
        self.watch_health();
        let taken = Arc::new(Notify::new());
        if let Some(path) = upgrade_socket {
            self.offer(path, &taken)?;
        }
        if let Some(handover) = handover {
            handover.ready().context("the former process was not told that this one accepts")?;
        }
        self.listening.iter().for_each(|listening| listening.announce());
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Asked::Reload => self.reload(),
                    Asked::Reopen => {
                        if let Some(log) = &self.shared.access_log {
                            log.reopen();
                        }
                    }
                    Asked::Drain(name) => {
                        tracing::info!("{name}: draining");
                        break;
                    }
                },
                () = taken.notified() => {
                    tracing::info!("a new process has the listeners: draining");
                    // It answers there from now on.
                    if let Some(admin) = self.admin.take() {
                        admin.close();
                    }
                    break;
                }
            }
        }
        accepting.shutdown().await;
        if let Some(offered) = &self.offered {
            offered.stop();
        }
        drain.send_replace(true);
        drop(dealer);
        Ok(())
    }

    fn watch_health(&mut self) {
        // Dropping the former ends them.
        self.health = JoinSet::new();
        for group in &self.shared.site.load().groups {
            self.health.spawn(health::watch(Arc::clone(group)));
        }
    }

    /// Lets a new process take the listeners over.
    fn offer(&mut self, path: &Path, taken: &Arc<Notify>) -> anyhow::Result<()> {
        let offer = Offer::bind(path).with_context(|| format!("upgrade socket {}", path.display()))?;
        let offer = Arc::new(offer);
        self.offered = Some(Arc::clone(&offer));
        let (listening, taken) = (self.listening.clone(), Arc::clone(taken));
        let admin = self.admin.as_ref().map(AdminServer::socket).transpose()?;
        std::thread::Builder::new().name("upgrade".into()).spawn(move || {
            let own = listening.iter().map(|listening| (listening.speech.address, &listening.socket));
            let admin = admin.iter().map(|(address, socket)| (*address, socket));
            let sockets: Vec<_> = own.chain(admin).collect();
            if offer.serve(&sockets) == Outcome::Taken {
                taken.notify_one();
            }
        })?;
        Ok(())
    }

    /// Reads the configuration anew. What is wrong with it leaves the old one in force.
    fn reload(&mut self) {
        let loaded = self.try_reload();
        match &loaded {
            Ok(_) => tracing::info!("configuration reloaded"),
            Err(error) => tracing::error!("the configuration is not reloaded, the old one stays: {error:#}"),
        }
        self.control.note_reload(loaded.map_err(|error| format!("{error:#}")));
    }

    fn try_reload(&mut self) -> anyhow::Result<(String, Vec<BodyLimit>)> {
        let (config, text) = Config::load(self.path).map_err(|error| anyhow::anyhow!(error.in_one_line()))?;
        let site = Site::new(&config, &text, Some(&self.shared.site.load()))?;
        let wanted = listeners::wanted(&config)?;
        let same = wanted.len() == self.listening.len()
            && wanted.iter().zip(&self.listening).all(|((speech, _), listening)| *speech == listening.speech);
        anyhow::ensure!(same, "listeners cannot change in a running process; upgrade or restart it");
        for ((_, certificates), listening) in wanted.into_iter().zip(&self.listening) {
            if let (Some(own), Some(fresh)) = (&listening.tls, certificates) {
                own.store(fresh);
            }
        }
        let digest = site.digest.clone();
        self.shared.site.store(Arc::new(site));
        self.watch_health();
        Ok((digest, BodyLimit::of(&config)))
    }
}

/// What a signal asks for.
enum Asked {
    Drain(&'static str),
    Reload,
    /// The access log was moved away.
    Reopen,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Drain("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Drain("SIGINT"),
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user_1.recv() => Asked::Reopen,
        }
    }
}
