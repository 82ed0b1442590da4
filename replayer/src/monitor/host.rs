//! The machine that kingtide runs on: processors, memory, disks, network, from /proc.

use std::path::Path;
use std::time::Instant;

use procfs::{Current as _, CurrentSI as _, DiskStats, KernelStats, LoadAverage, Meminfo};

use super::look::{Blind, Look};

/// Of /proc/diskstats, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;
/// Block devices that only pass on what others do, or are memory.
const NO_DISKS: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];
/// What it can say of each look.
pub(super) const METRICS: &[&str] = &["cpu_share", "memory_share", "load"];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Host {
    before: Option<Counters>,
}

/// Numbers that only grow.
#[derive(Debug, Clone, Copy)]
struct Counters {
    at: Instant,
    cpu_busy_ticks: u64,
    cpu_ticks: u64,
    disk_read_bytes: u64,
    disk_written_bytes: u64,
    network_received_bytes: u64,
    network_sent_bytes: u64,
}

impl Host {
    pub(super) fn look(&mut self) -> Result<Look, Blind> {
        let mut look = Look::default();
        let memory = Meminfo::current().map_err(|error| unreadable(&error))?;
        let available = memory.mem_available.unwrap_or(memory.mem_free);
        look.value("memory_share", 1.0 - available as f64 / memory.mem_total.max(1) as f64);
        look.value("load", f64::from(LoadAverage::current().map_err(|error| unreadable(&error))?.one));
        let now = Counters::now()?;
        if let Some(before) = self.before.replace(now) {
            now.since(&before, &mut look);
        }
        Ok(look)
    }
}

impl Counters {
    fn now() -> Result<Self, Blind> {
        let cpu = KernelStats::current().map_err(|error| unreadable(&error))?.total;
        let idle = cpu.idle + cpu.iowait.unwrap_or(0);
        let busy = [cpu.user, cpu.nice, cpu.system].into_iter().sum::<u64>()
            + [cpu.irq, cpu.softirq, cpu.steal].into_iter().flatten().sum::<u64>();
        // Some containers have no /proc/diskstats.
        let disks: Vec<_> = DiskStats::current().map_or_else(|_| Vec::new(), |stats| stats.0);
        let disks = || disks.iter().filter(|disk| is_disk(&disk.name));
        let links = procfs::net::dev_status().map_err(|error| unreadable(&error))?;
        let links = || links.values().filter(|link| link.name != "lo");
        Ok(Self {
            at: Instant::now(),
            cpu_busy_ticks: busy,
            cpu_ticks: busy + idle,
            disk_read_bytes: disks().map(|disk| disk.sectors_read * SECTOR_BYTES).sum(),
            disk_written_bytes: disks().map(|disk| disk.sectors_written * SECTOR_BYTES).sum(),
            network_received_bytes: links().map(|link| link.recv_bytes).sum(),
            network_sent_bytes: links().map(|link| link.sent_bytes).sum(),
        })
    }

    fn since(&self, before: &Self, look: &mut Look) {
        let ticks = self.cpu_ticks.saturating_sub(before.cpu_ticks);
        let busy = self.cpu_busy_ticks.saturating_sub(before.cpu_busy_ticks);
        look.value("cpu_share", (ticks > 0).then(|| busy as f64 / ticks as f64));
        let passed_s = self.at.saturating_duration_since(before.at).as_secs_f64();
        // A disk or a link that went away makes sums smaller.
        let mut rate = |name: &str, now: u64, before: u64| {
            look.value(name, (now >= before && passed_s > 0.0).then(|| (now - before) as f64 / passed_s));
        };
        rate("disk_read_bytes_per_s", self.disk_read_bytes, before.disk_read_bytes);
        rate("disk_written_bytes_per_s", self.disk_written_bytes, before.disk_written_bytes);
        rate("network_received_bytes_per_s", self.network_received_bytes, before.network_received_bytes);
        rate("network_sent_bytes_per_s", self.network_sent_bytes, before.network_sent_bytes);
    }
}

/// A whole disk; what its partitions do it does too.
fn is_disk(name: &str) -> bool {
    !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)) && Path::new("/sys/block").join(name).exists()
}

pub(super) fn unreadable(error: &procfs::ProcError) -> Blind {
    Blind(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn this_machine_has_shares_between_none_and_all() {
        let look = Host::default().look().unwrap();
        let names: Vec<&str> = look.values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["memory_share", "load"], "rates need two looks");
        assert!(look.values[0].1.is_some_and(|share| share > 0.0 && share < 1.0));
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let at = Instant::now();
        let counters = |at, ticks, bytes| Counters {
            at,
            cpu_busy_ticks: ticks / 4,
            cpu_ticks: ticks,
            disk_read_bytes: bytes,
            disk_written_bytes: 0,
            network_received_bytes: 5_000 - bytes,
            network_sent_bytes: 2 * bytes,
        };
        let mut look = Look::default();
        let before = counters(at, 0, 1_000);
        counters(at + Duration::from_secs(5), 1_000, 2_000).since(&before, &mut look);
        let values: Vec<Option<f64>> = look.values.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [Some(0.25), Some(200.0), Some(0.0), None, Some(400.0)]);
    }

    #[test]
    fn partitions_and_loops_are_no_disks() {
        assert!(!is_disk("loop0") && !is_disk("dm-0") && !is_disk("no such disk"));
    }
}
