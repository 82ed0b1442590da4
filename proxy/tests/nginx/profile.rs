//! How both proxies of a case are configured: one set of values, written once as `nginx.conf` and once as
//! `proxy.toml`.
//!
//! Times that a case does not ask for are far longer than any case, so that it is clear which timer fired.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// The time limit of a case that is about one.
pub(crate) const LIMIT_MS: u64 = 600;

const NEVER_MS: u64 = 20_000;

#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) max_body: u64,
    pub(crate) header_timeout_ms: u64,
    pub(crate) body_timeout_ms: u64,
    pub(crate) send_timeout_ms: u64,
    pub(crate) keepalive_timeout_ms: u64,
    pub(crate) keepalive_requests: u64,
    pub(crate) header_buffer: u64,
    /// Number and size.
    pub(crate) large_header_buffers: (u64, u64),
    pub(crate) connect_timeout_ms: u64,
    pub(crate) proxy_send_timeout_ms: u64,
    pub(crate) proxy_read_timeout_ms: u64,
    pub(crate) lingering_time_ms: u64,
    pub(crate) lingering_timeout_ms: u64,
    /// The upload is read whole before the upstream is opened.
    pub(crate) buffered: bool,
    pub(crate) body_buffer: u64,
    pub(crate) upstream_keepalive: u64,
    pub(crate) rate: Option<Rate>,
    /// Requests in progress at once from one address.
    pub(crate) connections: Option<u64>,
    /// `Upgrade` is passed on.
    pub(crate) upgrade: bool,
}

/// `limit_req`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_s: u64,
    pub(crate) burst: u64,
    pub(crate) delay: Delay,
    pub(crate) by_header: bool,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Delay {
    All,
    After(u64),
    None,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            max_body: 1 << 20,
            header_timeout_ms: NEVER_MS,
            body_timeout_ms: NEVER_MS,
            send_timeout_ms: NEVER_MS,
            keepalive_timeout_ms: NEVER_MS,
            keepalive_requests: 1000,
            header_buffer: 1 << 10,
            large_header_buffers: (4, 8 << 10),
            connect_timeout_ms: NEVER_MS,
            proxy_send_timeout_ms: NEVER_MS,
            proxy_read_timeout_ms: NEVER_MS,
            lingering_time_ms: NEVER_MS,
            lingering_timeout_ms: LIMIT_MS,
            buffered: false,
            body_buffer: 16 << 10,
            upstream_keepalive: 4,
            rate: None,
            connections: None,
            upgrade: false,
        }
    }
}

/// The usual one: streamed uploads of up to 1 MiB.
pub(crate) fn usual() -> Profile {
    Profile::default()
}

pub(crate) fn buffered() -> Profile {
    Profile { buffered: true, ..Profile::default() }
}

pub(crate) fn max_body(max_body: u64) -> Profile {
    Profile { max_body, ..Profile::default() }
}

pub(crate) fn header_timeout() -> Profile {
    Profile { header_timeout_ms: LIMIT_MS, ..Profile::default() }
}

pub(crate) fn body_timeout() -> Profile {
    Profile { body_timeout_ms: LIMIT_MS, ..Profile::default() }
}

pub(crate) fn send_timeout() -> Profile {
    Profile { send_timeout_ms: LIMIT_MS, ..Profile::default() }
}

pub(crate) fn keepalive_timeout() -> Profile {
    Profile { keepalive_timeout_ms: LIMIT_MS, ..Profile::default() }
}

pub(crate) fn connect_timeout() -> Profile {
    Profile { connect_timeout_ms: LIMIT_MS, ..Profile::default() }
}

pub(crate) fn proxy_send_timeout() -> Profile {
    Profile { proxy_send_timeout_ms: LIMIT_MS, max_body: 0, ..Profile::default() }
}

pub(crate) fn proxy_read_timeout() -> Profile {
    Profile { proxy_read_timeout_ms: LIMIT_MS, ..Profile::default() }
}

/// A short time for all of lingering; nginx counts it in whole seconds of the clock on the wall.
pub(crate) fn lingering_time() -> Profile {
    Profile { lingering_time_ms: 2000, ..Profile::default() }
}

pub(crate) fn rate(rate: Rate) -> Profile {
    Profile { rate: Some(rate), ..Profile::default() }
}

impl Profile {
    pub(crate) fn buffering(self) -> Self {
        Self { buffered: true, ..self }
    }

    /// Those that have one name at both.
    fn timeouts(&self) -> [(&'static str, u64); 7] {
        [
            ("client_header_timeout", self.header_timeout_ms),
            ("client_body_timeout", self.body_timeout_ms),
            ("send_timeout", self.send_timeout_ms),
            ("keepalive_timeout", self.keepalive_timeout_ms),
            ("proxy_connect_timeout", self.connect_timeout_ms),
            ("proxy_send_timeout", self.proxy_send_timeout_ms),
            ("proxy_read_timeout", self.proxy_read_timeout_ms),
        ]
    }

    pub(crate) fn nginx_conf(&self, listen: SocketAddr, peers: &[SocketAddr], directory: &Path) -> String {
        let directory = directory.display();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {directory}/{name};"))
            .join(" ");
        format!(
            "daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log info;\n\
             events {{ worker_connections 64; }}\n\
             http {{ {temp} access_log off; {zones}\n{limits}\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             upstream backend {{ {peers} {keepalive} }}\n\
             server {{ listen {listen} reuseport; location / {{\n\
             proxy_pass http://backend; proxy_http_version 1.1; proxy_buffering off;\n\
             proxy_set_header Host $http_host; {upgrade} }} }} }}\n",
            zones = self.nginx_zones(),
            peers =
                peers.iter().fold(String::new(), |all, peer| all + &format!("server {peer} max_fails=0; ")),
            keepalive = match self.upstream_keepalive {
                0 => String::new(),
                connections => format!("keepalive {connections};"),
            },
            upgrade = if self.upgrade {
                "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
            } else {
                "proxy_set_header Connection '';"
            },
            limits = self.nginx_limits(),
        )
    }

    fn nginx_limits(&self) -> String {
        let mut limits = format!(
            "client_max_body_size {}; client_body_buffer_size {}; proxy_request_buffering {};\n\
             client_header_buffer_size {}; large_client_header_buffers {} {};\n",
            self.max_body,
            self.body_buffer,
            if self.buffered { "on" } else { "off" },
            self.header_buffer,
            self.large_header_buffers.0,
            self.large_header_buffers.1
        );
        let lingering =
            [("lingering_time", self.lingering_time_ms), ("lingering_timeout", self.lingering_timeout_ms)];
        for (name, ms) in self.timeouts().into_iter().chain(lingering) {
            let _ = write!(limits, "{name} {ms}ms; ");
        }
        let _ = write!(limits, "keepalive_requests {};", self.keepalive_requests);
        if let Some(rate) = self.rate {
            let delay = match rate.delay {
                Delay::All => String::new(),
                Delay::After(requests) => format!(" delay={requests}"),
                Delay::None => " nodelay".to_owned(),
            };
            let burst = match rate.burst {
                0 => String::new(),
                requests => format!(" burst={requests}"),
            };
            let _ = write!(limits, " limit_req zone=rate{burst}{delay}; limit_req_status {};", rate.status);
        }
        if let Some(connections) = self.connections {
            let _ = write!(limits, " limit_conn connections {connections};");
        }
        limits
    }

    fn nginx_zones(&self) -> String {
        let mut zones = "limit_conn_zone $binary_remote_addr zone=connections:1m;".to_owned();
        if let Some(rate) = self.rate {
            let key = if rate.by_header { "$http_x_key" } else { "$binary_remote_addr" };
            let _ = write!(zones, " limit_req_zone {key} zone=rate:1m rate={}r/s;", rate.per_s);
        }
        zones
    }

    pub(crate) fn proxy_toml(&self, peers: &[SocketAddr], directory: &Path) -> String {
        let peers: Vec<String> = peers.iter().map(|peer| format!("http://{peer}")).collect();
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nthreads = 1\nanswer_timeouts = false\n\
             lingering_time = \"{}ms\"\nlingering_timeout = \"{}ms\"\nspool_directory = {:?}\n\
             [limits]\n{}\
             [[upstream]]\nname = \"backend\"\npeers = {peers:?}\nkeepalive = {}\nmax_fails = 0\n\
             [[route]]\nname = \"all\"\nupstream = \"backend\"\nrequest_buffering = {}\nclient_body_buffer_size = {}\n\
             {}",
            self.lingering_time_ms,
            self.lingering_timeout_ms,
            directory.display(),
            self.our_limits(),
            self.upstream_keepalive,
            self.buffered,
            self.body_buffer,
            self.our_zones(),
        )
    }

    fn our_limits(&self) -> String {
        let mut limits = format!(
            "client_max_body_size = {}\nkeepalive_requests = {}\nclient_header_buffer_size = {}\n\
             large_client_header_buffers = \"{} {}\"\n",
            self.max_body,
            self.keepalive_requests,
            self.header_buffer,
            self.large_header_buffers.0,
            self.large_header_buffers.1
        );
        for (name, ms) in self.timeouts() {
            let _ = writeln!(limits, "{name} = \"{ms}ms\"");
        }
        if let Some(rate) = self.rate {
            let delay = match rate.delay {
                Delay::All => "",
                Delay::After(requests) => &format!(", delay = {requests}"),
                Delay::None => ", nodelay = true",
            };
            let _ = writeln!(
                limits,
                "limit_req = [{{ zone = \"rate\", burst = {}{delay}, status = {} }}]",
                rate.burst, rate.status
            );
        }
        if let Some(connections) = self.connections {
            let _ =
                writeln!(limits, "limit_conn = [{{ zone = \"connections\", connections = {connections} }}]");
        }
        limits
    }

    fn our_zones(&self) -> String {
        let mut zones = "[[zone]]\nname = \"connections\"\nkey = \"address\"\n".to_owned();
        if let Some(rate) = self.rate {
            let key = if rate.by_header { "header:x-key" } else { "address" };
            let _ =
                write!(zones, "[[zone]]\nname = \"rate\"\nkey = \"{key}\"\nrate = \"{}r/s\"\n", rate.per_s);
        }
        zones
    }
}
