//! The other programs of the workspace, as cargo built them beside this test.
//!
//! Cargo names only a package's own programs to its tests (`CARGO_BIN_EXE_*`), so they are looked up. A run of the
//! whole workspace builds them; a run of this package alone takes those of the last build.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long requests in flight may take when the proxy is told to stop; also in its configuration.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a program may take to end after that.
const END_DEADLINE: Duration = Duration::from_secs(15);
const END_POLL: Duration = Duration::from_millis(5);

/// The program `name` in the profile's directory, which is the one above the tests' `deps`.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile_dir = test.ancestors().nth(2).expect("tests stand in target/PROFILE/deps");
    let program = profile_dir.join(name);
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => String::new(),
        Some(profile) => format!(" --profile {profile}"),
    };
    assert!(
        program.is_file(),
        "{} is not there; build it: cargo build{profile} --bin {name}",
        program.display()
    );
    program
}

/// A running `kingtide-proxy` that passes everything to one backend and records it, `/health` excepted.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    child: Child,
    _config: TempDir,
}

impl Proxy {
    /// Starts it on a free port before `backend_url` (`http://HOST:PORT`); returns when it listens. Keep the capture's
    /// directory until the proxy has ended.
    pub(crate) fn start(backend_url: &str, capture_dir: &Path) -> Self {
        let config = tempfile::tempdir().unwrap();
        let file = config.path().join("proxy.toml");
        std::fs::write(&file, recording(backend_url, capture_dir)).unwrap();
        let mut command = Command::new(program("kingtide-proxy"));
        let mut child = command.arg("--config").arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let url = announced(&mut child);
        Self { url, child, _config: config }
    }

    /// SIGTERM: drains, closes the capture, exits with success. Blocks the thread, so a backend in the same process
    /// that still has answers to give needs another one.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = ended(&mut self.child);
        assert!(status.success(), "the proxy ended with {status}");
    }

    /// SIGKILL: no chance to close anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Fails when it has ended, which is the wish.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn recording(backend_url: &str, capture_dir: &Path) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\ndrain_timeout = \"{}s\"\n\
         [[upstream]]\nname = \"backend\"\npeers = [\"{backend_url}\"]\n\
         [[route]]\nname = \"all\"\nprefix = \"/\"\nupstream = \"backend\"\n\
         [capture]\nenabled = true\ndirectory = {:?}\nexclude = [\"/health\"]\n",
        DRAIN.as_secs(),
        capture_dir.display()
    )
}

fn announced(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ");
    url.unwrap_or_else(|| panic!("the proxy said {line:?}")).to_owned()
}

/// Waits until a program that was told to end has done so.
fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DRAIN + END_DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "process {} does not end", child.id());
        thread::sleep(END_POLL);
    }
}

#[test]
fn the_proxy_listens_until_it_is_stopped_or_killed() {
    let directory = tempfile::tempdir().unwrap();
    let listens = |url: &str| std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).is_ok();
    for end in [Proxy::stop, Proxy::kill] {
        let proxy = Proxy::start("http://127.0.0.1:1", &directory.path().join("capture"));
        let url = proxy.url.clone();
        assert!(listens(&url));
        end(proxy);
        assert!(!listens(&url));
    }
}
