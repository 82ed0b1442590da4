//! Starts and stops the real program.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use kingtide_common::capture::{Capture, Reading};
use kingtide_common::exchange::Exchange;
use kingtide_common::ledger::Ledger;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

use crate::wait::until;

/// Stands for the scene's directory in a configuration.
pub(crate) const HERE: &str = "@HERE@";

/// A running proxy with its capture in a directory of its own.
pub(crate) struct Proxy {
    child: Child,
    /// Of the first listener.
    pub(crate) address: SocketAddr,
    /// Of all listeners, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) directory: Arc<TempDir>,
    log: PathBuf,
    /// Open, as a supervisor keeps it.
    _stdout: BufReader<ChildStdout>,
}

/// What a proxy left behind.
pub(crate) struct Left {
    pub(crate) directory: Arc<TempDir>,
    pub(crate) status: ExitStatus,
}

/// The configuration of a recording proxy before one backend.
pub(crate) fn config(backend: SocketAddr, capture: &Path, more_capture_keys: &str) -> String {
    config_before(&[backend], capture, more_capture_keys)
}

fn config_before(backends: &[SocketAddr], capture: &Path, more_capture_keys: &str) -> String {
    let peers: Vec<String> = backends.iter().map(|backend| format!("http://{backend}")).collect();
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\ndrain_timeout = \"5s\"\nanswer_timeouts = true\n\
         [[upstream]]\nname = \"backend\"\npeers = {peers:?}\n\
         [[route]]\nname = \"api\"\nprefix = \"/api/\"\nupstream = \"backend\"\n\
         [limits]\nclient_body_timeout = \"2s\"\nproxy_read_timeout = \"1s\"\nkeepalive_requests = \"off\"\n\
         [capture]\nenabled = true\ndirectory = {:?}\n{more_capture_keys}\n",
        capture.display()
    )
}

/// What most scenes begin with: one listener, a capture, one backend. Routes and limits follow.
pub(crate) fn recording(backend: SocketAddr) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\ndrain_timeout = \"10s\"\nspool_directory = \"{HERE}\"\n\
         [capture]\nenabled = true\ndirectory = \"{HERE}/capture\"\n{}",
        upstream("backend", &[backend])
    )
}

/// An upstream group of plain peers.
pub(crate) fn upstream(name: &str, peers: &[SocketAddr]) -> String {
    let peers: Vec<String> = peers.iter().map(|peer| format!("http://{peer}")).collect();
    format!("[[upstream]]\nname = {name:?}\npeers = {peers:?}\n")
}

/// Everything to `backend`, with more keys of the route.
pub(crate) fn route_all(more: &str) -> String {
    format!("[[route]]\nname = \"all\"\nupstream = \"backend\"\n{more}\n")
}

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kingtide-proxy"))
}

impl Proxy {
    pub(crate) fn start(backend: SocketAddr) -> Self {
        Self::start_with(backend, "")
    }

    pub(crate) fn start_with(backend: SocketAddr, more_capture_keys: &str) -> Self {
        Self::run(&[backend], more_capture_keys)
    }

    pub(crate) fn start_before(backends: &[SocketAddr]) -> Self {
        Self::run(backends, "")
    }

    fn run(backends: &[SocketAddr], more_capture_keys: &str) -> Self {
        Self::of(&config_before(backends, format!("{HERE}/capture").as_ref(), more_capture_keys))
    }

    /// With this configuration; [`HERE`] in it is a directory of its own.
    pub(crate) fn of(text: &str) -> Self {
        Self::of_in(Arc::new(tempfile::tempdir().unwrap()), text)
    }

    /// With this configuration in a directory that already holds what it names.
    pub(crate) fn of_in(directory: Arc<TempDir>, text: &str) -> Self {
        configure(&directory, text);
        Self::spawn(directory)
    }

    fn spawn(directory: Arc<TempDir>) -> Self {
        let log = tempfile::Builder::new().suffix(".log").tempfile_in(&*directory).unwrap();
        let (log_file, log) = log.keep().unwrap();
        let mut command = command();
        command.arg("--config").arg(config_file(&directory)).env("KINGTIDE_TEST_TOKEN", "open sesame");
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let said = Said::of(&mut stdout, &config_file(&directory), &log);
        Self {
            child,
            address: said.listeners[0],
            addresses: said.listeners,
            admin: said.admin,
            directory,
            log,
            _stdout: stdout,
        }
    }

    /// A new process with the configuration of this one: with an `upgrade_socket` it takes its place.
    pub(crate) fn successor(&self) -> Self {
        Self::spawn(Arc::clone(&self.directory))
    }

    /// Writes another configuration, which a reload will find.
    pub(crate) fn configure(&self, text: &str) {
        configure(&self.directory, text);
    }

    /// SIGHUP, and waits until the proxy has said what came of it.
    pub(crate) fn reload(&self) {
        let said = || {
            self.log().matches("configuration reloaded").count()
                + self.log().matches("is not reloaded").count()
        };
        let before = said();
        self.signal(Signal::HUP);
        until("the reload", || (said() > before).then_some(()));
    }

    /// What it has written to stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// SIGTERM: drains, closes the capture, exits.
    pub(crate) fn stop(self) -> Left {
        self.terminate();
        self.left()
    }

    /// Waits until it ends by itself, as after a SIGTERM or an upgrade.
    pub(crate) fn left(mut self) -> Left {
        let status = until("the proxy's end", || self.child.try_wait().unwrap());
        Left { directory: Arc::clone(&self.directory), status }
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How large its files may become; `None` for any size.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// SIGKILL: no chance to close anything.
    pub(crate) fn kill(mut self) -> Left {
        self.child.kill().unwrap();
        self.left()
    }

    /// Reads the capture of a running proxy until it holds `count` exchanges.
    pub(crate) fn exchanges_once_there_are(&self, count: usize) -> Vec<Exchange> {
        until(&format!("{count} exchanges"), || {
            let exchanges = read(&self.directory.path().join("capture")).exchanges;
            (exchanges.len() >= count).then_some(exchanges)
        })
    }

    /// Spooled uploads: what the process's descriptors in the scene's directory point at, and its size.
    pub(crate) fn spooled_files(&self) -> Vec<(String, u64)> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let here = self.directory.path().to_str().unwrap();
        let spooled = open.filter_map(|entry| {
            let descriptor = entry.ok()?.path();
            let name = std::fs::read_link(&descriptor).ok()?.to_str()?.to_owned();
            let is_spool = name.starts_with(here) && name.ends_with("(deleted)");
            Some((name, std::fs::metadata(&descriptor).ok()?.len())).filter(|_| is_spool)
        });
        spooled.collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the proxy said:\n{}", self.log());
        }
    }
}

impl Left {
    pub(crate) fn capture(&self) -> PathBuf {
        self.directory.path().join("capture")
    }

    pub(crate) fn reading(&self) -> Reading {
        read(&self.capture())
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let reading = self.reading();
        assert_eq!(reading.damage, []);
        reading.exchanges
    }

    /// The only exchange of the capture.
    pub(crate) fn exchange(&self) -> Exchange {
        let mut exchanges = self.exchanges();
        assert_eq!(exchanges.len(), 1, "{exchanges:#?}");
        exchanges.remove(0)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Capture::open(&self.capture()).unwrap().manifest().unwrap().ledger()
    }

    /// All bytes of all files of the capture.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.capture()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

fn read(directory: &Path) -> Reading {
    Capture::open(directory).unwrap().read().unwrap()
}

fn config_file(directory: &TempDir) -> PathBuf {
    directory.path().join("proxy.toml")
}

fn configure(directory: &TempDir, text: &str) {
    let text = text.replace(HERE, directory.path().to_str().unwrap());
    std::fs::write(config_file(directory), text).unwrap();
}

/// Where the proxy says it listens.
struct Said {
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Said {
    fn of(stdout: &mut impl BufRead, config: &Path, log: &Path) -> Self {
        let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
        let count = |value: Option<&toml::Value>| value.and_then(toml::Value::as_array).map_or(0, Vec::len);
        let expected = count(config["server"].get("listen")) + count(config.get("listener"));
        let mut said = Self { listeners: Vec::new(), admin: None };
        while said.listeners.len() < expected {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let address = line.trim().rsplit_once("://").map(|(_, address)| address.parse().unwrap());
            let why = || panic!("the proxy said {line:?}\n{}", std::fs::read_to_string(log).unwrap());
            let address = address.unwrap_or_else(why);
            if line.starts_with("admin on") {
                said.admin = Some(address);
            } else {
                said.listeners.push(address);
            }
        }
        said
    }
}
