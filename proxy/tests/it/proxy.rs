//! Starts and stops the real program.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kingtide_common::capture::{Capture, Reading};
use kingtide_common::exchange::Exchange;
use kingtide_common::ledger::Ledger;
use tempfile::TempDir;

/// A running proxy with its capture in a directory of its own.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

/// What a proxy left behind.
pub(crate) struct Left {
    pub(crate) directory: TempDir,
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
        let directory = tempfile::tempdir().unwrap();
        let config_file = directory.path().join("proxy.toml");
        std::fs::write(
            &config_file,
            config_before(backends, &directory.path().join("capture"), more_capture_keys),
        )
        .unwrap();
        let mut child = command().arg("--config").arg(&config_file).stdout(Stdio::piped()).spawn().unwrap();
        let address = listening(&mut child);
        Self { child, address, directory }
    }

    /// SIGTERM: drains, closes the capture, exits.
    pub(crate) fn stop(mut self) -> Left {
        self.terminate();
        let status = self.child.wait().unwrap();
        Left { directory: self.take_directory(), status }
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// SIGKILL: no chance to close anything.
    pub(crate) fn kill(mut self) -> Left {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        Left { directory: self.take_directory(), status }
    }

    fn take_directory(&mut self) -> TempDir {
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// Reads the capture of a running proxy until it holds `count` exchanges.
    pub(crate) fn exchanges_once_there_are(&self, count: usize) -> Vec<Exchange> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let exchanges = read(&self.directory.path().join("capture")).exchanges;
            if exchanges.len() >= count {
                return exchanges;
            }
            assert!(Instant::now() < deadline, "{} of {count} exchanges", exchanges.len());
            std::thread::yield_now();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

fn listening(child: &mut Child) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://");
    address.unwrap_or_else(|| panic!("the proxy said {line:?}")).parse().unwrap()
}
