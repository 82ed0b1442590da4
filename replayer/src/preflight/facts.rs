//! What this machine has: its limits, how busy it is, its clock, and its way to the target. Read once; a file that is
//! not there (another kernel, a container) leaves its fact out.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::drive::in_flight::{cap, raised_descriptors};
use crate::drive::{DriveConfig, PreciseTimer};

/// A worker's epoll, its timer, what wakes it; rounded up.
const DESCRIPTORS_PER_WORKER: u64 = 6;
/// The report, the samples, the threads for display and signals; rounded up.
const DESCRIPTORS_BESIDE: u64 = 8;
/// `TCP_TIMEWAIT_LEN` of the kernel, and how soon it gives a port again where `net.ipv4.tcp_tw_reuse` says so.
const TIME_WAIT: Duration = Duration::from_mins(1);
const TIME_WAIT_REUSED: Duration = Duration::from_secs(1);
/// The kernel's own default.
const PORTS_DEFAULT: u64 = 60_999 - 32_768 + 1;
const TIMER_WAITS: u32 = 20;
const CONNECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) descriptors: u64,
    /// Open already, and those that workers and reports will open.
    pub(super) descriptors_own: u64,
    pub(super) in_flight_max: u64,
    /// Of all addresses that connections come from.
    pub(super) ports: u64,
    /// How long a port is taken after its connection is closed.
    pub(super) port_held: Duration,
    /// That this process may use: affinity and the container's quota count.
    pub(super) cores: u64,
    pub(super) load_per_core: Option<f64>,
    pub(super) is_target_here: bool,
    pub(super) clock_source: Option<String>,
    pub(super) clock_read_ns: u64,
    pub(super) timer_late_ms: Option<f64>,
    pub(super) connect_ms: Option<f64>,
    pub(super) connect_from: Option<IpAddr>,
}

impl Facts {
    pub(super) fn measure(config: &DriveConfig, users: u64) -> Self {
        let target = config.target.address();
        let connects = connects(target);
        let sources = config.source_addresses.map_or(1, |range| range.count().min(users).max(1));
        let reuse = read("/proc/sys/net/ipv4/tcp_tw_reuse");
        // A port that is bound before the connect is not given twice, whatever tcp_tw_reuse says.
        let is_reused = config.source_addresses.is_none() && is_reused(reuse.as_deref(), target.ip());
        Self {
            descriptors: raised_descriptors(),
            descriptors_own: descriptors_own(config.workers),
            in_flight_max: cap(config.in_flight_max),
            ports: ports_of(read("/proc/sys/net/ipv4/ip_local_port_range").as_deref())
                .saturating_mul(sources),
            port_held: if is_reused { TIME_WAIT_REUSED } else { TIME_WAIT },
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            load_per_core: load_per_core(read("/proc/loadavg").as_deref(), read("/proc/stat").as_deref()),
            is_target_here: is_here(target.ip()),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            clock_read_ns: clock_read_ns(),
            timer_late_ms: timer_late().ok().map(|late| late.as_secs_f64() * 1e3),
            connect_ms: connects.get(connects.len() / 2).map(|(took, _)| took.as_secs_f64() * 1e3),
            connect_from: connects.first().map(|(_, from)| *from),
        }
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn descriptors_own(workers: NonZeroUsize) -> u64 {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    open + DESCRIPTORS_BESIDE + DESCRIPTORS_PER_WORKER * workers.get() as u64
}

/// Of one address, from `ip_local_port_range`: `32768 60999`.
fn ports_of(range: Option<&str>) -> u64 {
    let ports = |range: &str| {
        let mut ends = range.split_whitespace().map(str::parse::<u64>);
        let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
        (last + 1).checked_sub(first)
    };
    range.and_then(ports).unwrap_or(PORTS_DEFAULT)
}

/// Whether the kernel gives the port of a closed connection to the target again at once (`tcp_tw_reuse`: 1 always,
/// 2 on loopback).
fn is_reused(tw_reuse: Option<&str>, target: IpAddr) -> bool {
    match tw_reuse {
        Some("1") => true,
        Some("2") => target.is_loopback(),
        _ => false,
    }
}

/// From `/proc/loadavg` and the `cpuN` lines of `/proc/stat`: both are of the whole machine, also in a container.
fn load_per_core(loadavg: Option<&str>, stat: Option<&str>) -> Option<f64> {
    let load: f64 = loadavg?.split_whitespace().next()?.parse().ok()?;
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cores = stat?.lines().filter(is_core).count();
    (cores > 0).then(|| load / cores as f64)
}

/// Whether an address is one of this machine's: only those can be bound.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// Of the quickest batch: what else runs only makes others slower.
fn clock_read_ns() -> u64 {
    const READS: u32 = 1_000;
    let batch = || {
        let began = Instant::now();
        for _ in 1..READS {
            std::hint::black_box(Instant::now());
        }
        began.elapsed() / READS
    };
    let quickest = (0..5).map(|_| batch()).min().unwrap_or_default();
    u64::try_from(quickest.as_nanos()).unwrap_or(u64::MAX)
}

/// How late the latest of some short waits ended, by the timer that requests are released by.
fn timer_late() -> io::Result<Duration> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let timer = PreciseTimer::new()?;
        tokio::select! {
            error = timer.drive() => Err(error),
            late = latest(&timer) => Ok(late),
        }
    })
}

async fn latest(timer: &PreciseTimer) -> Duration {
    let mut latest = Duration::ZERO;
    for _ in 0..TIMER_WAITS {
        let deadline = Instant::now() + Duration::from_millis(1);
        timer.sleep_until(deadline).await;
        latest = latest.max(deadline.elapsed());
    }
    latest
}

/// How long connects took, the quickest first, and where they came from.
fn connects(target: SocketAddr) -> Vec<(Duration, IpAddr)> {
    let connect = |_| {
        let began = Instant::now();
        let stream = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT).ok()?;
        Some((began.elapsed(), stream.local_addr().ok()?.ip()))
    };
    // It has answered before; should it have stopped since, five timeouts are no better than one.
    let mut connects: Vec<_> = (0..CONNECTS).map_while(connect).collect();
    connects.sort_unstable();
    connects
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::sync::watch;

    use super::*;
    use crate::drive::{Stop, Target};

    #[test]
    fn ports_are_those_of_the_range() {
        let ranges = [
            (Some("32768\t60999"), 28_232),
            (Some("1024 65535"), 64_512),
            (Some("9 8"), 0),
            (Some("9 1"), PORTS_DEFAULT),
            (Some("all"), PORTS_DEFAULT),
            (None, PORTS_DEFAULT),
        ];
        for (range, ports) in ranges {
            assert_eq!(ports_of(range), ports, "{range:?}");
        }
    }

    #[test]
    fn ports_are_given_again_where_the_kernel_says_so() {
        let (loopback, other) = ("127.0.0.1".parse().unwrap(), "10.0.0.7".parse().unwrap());
        let cases =
            [(None, [false; 2]), (Some("0"), [false; 2]), (Some("1"), [true; 2]), (Some("2"), [true, false])];
        for (tw_reuse, expected) in cases {
            assert_eq!([loopback, other].map(|target| is_reused(tw_reuse, target)), expected, "{tw_reuse:?}");
        }
    }

    #[test]
    fn load_is_spread_over_the_cores_of_the_machine() {
        let stat = "cpu  10 0 10\ncpu0 5 0 5\ncpu1 5 0 5\nintr 12\ncpus 1\n";
        assert_eq!(load_per_core(Some("3.00 1.00 0.50 2/321 99"), Some(stat)), Some(1.5));
        for (loadavg, stat) in
            [(None, Some(stat)), (Some("3.0 1 1"), None), (Some("x"), Some(stat)), (Some("1"), Some(""))]
        {
            assert_eq!(load_per_core(loadavg, stat), None, "{loadavg:?} {stat:?}");
        }
    }

    #[test]
    fn a_machine_knows_its_own_addresses() {
        assert!(is_here("127.0.0.1".parse().unwrap()));
        assert!(!is_here("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn this_machine_can_be_measured() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::resolve(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let mut config = DriveConfig::new(target, Duration::from_secs(1), watch::channel(Stop::Run).1);
        config.source_addresses = Some("127.0.1.0/30".parse().unwrap());
        let facts = Facts::measure(&config, 9);
        assert!(facts.descriptors_own < facts.descriptors && facts.in_flight_max < facts.descriptors);
        assert_eq!((facts.ports % 2, facts.port_held), (0, TIME_WAIT), "two addresses, bound by us");
        assert!(facts.is_target_here && facts.clock_read_ns > 0);
        assert!(facts.timer_late_ms.is_some() && facts.connect_ms.is_some());
        assert_eq!(facts.connect_from, Some("127.0.0.1".parse().unwrap()));
    }
}
