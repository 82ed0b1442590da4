//! Starts Debian's nginx with a configuration of its own, in one process, in a directory of its own.
//!
//! The port is held by a socket that is bound and never listens (`SO_REUSEPORT`), so that nobody else gets it
//! before nginx does.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tempfile::TempDir;

use crate::profile::Profile;

#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
    _held_port: OwnedFd,
}

impl Nginx {
    pub(crate) fn start(profile: &Profile, peers: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (held_port, address) = hold_port();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, profile.nginx_conf(address, peers, directory.path())).unwrap();
        let child = Command::new(program())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(directory.path().join("error.log"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, address, directory, _held_port: held_port };
        nginx.wait_until_it_listens();
        nginx
    }

    fn wait_until_it_listens(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.address).is_err() {
            let has_ended = self.child.try_wait().unwrap().is_some();
            assert!(!has_ended && Instant::now() < deadline, "nginx does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its error log, for a failure's message.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }
}

fn hold_port() -> (OwnedFd, SocketAddr) {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    sockopt::set_socket_reuseport(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> &'static str {
    let names = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"];
    let found = names.into_iter().find(|name| Path::new(name).exists());
    found.expect("these tests compare with nginx, which is missing: apt-get install nginx-light")
}
