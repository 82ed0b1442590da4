//! Starts the real `kingtide-proxy` with a configuration of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::profile::Profile;

#[derive(Debug)]
pub(crate) struct Ours {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

impl Ours {
    pub(crate) fn start(profile: &Profile, peers: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.toml");
        std::fs::write(&file, profile.proxy_toml(peers, directory.path())).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut child = Command::new(program())
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let address = listening(&mut child).unwrap_or_else(|said| {
            let log = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            panic!("the proxy said {said:?} and {log}")
        });
        Self { child, address, directory }
    }

    /// What it wrote to stderr, for a failure's message.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_kingtide-proxy").into()
}

fn listening(child: &mut Child) -> Result<SocketAddr, String> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").and_then(|text| text.parse().ok());
    address.ok_or(line)
}
