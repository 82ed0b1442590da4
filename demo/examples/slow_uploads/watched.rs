//! A server seen from outside: memory, CPU and descriptors of its process and its children, from /proc.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// Of the times in /proc/PID/stat; fixed by the kernel's interface (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);
/// Where user and system time stand in /proc/PID/stat, counted after the name's closing bracket.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// Its processes, found once: neither Nginx nor Kingtide starts any later.
#[derive(Debug)]
pub(crate) struct Watched {
    processes: Vec<u32>,
}

/// All processes together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) cpu: Duration,
    /// Peak resident memory since it was last reset.
    pub(crate) peak_memory_kb: u64,
    pub(crate) descriptors: u64,
}

/// The most that was seen.
#[derive(Debug, Default)]
pub(crate) struct Peaks {
    pub(crate) descriptors: u64,
}

impl Peaks {
    pub(crate) fn add(&mut self, look: &Look) {
        self.descriptors = self.descriptors.max(look.descriptors);
    }
}

impl Watched {
    pub(crate) fn new(pid: u32) -> anyhow::Result<Self> {
        let mut processes = vec![pid];
        for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("no process {pid}"))? {
            let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            processes.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        Ok(Self { processes })
    }

    /// Best effort: without the right to do it, peaks are those since the server started.
    pub(crate) fn reset_peak_memory(&self) {
        for &pid in &self.processes {
            fs::write(file(pid, "clear_refs"), "5").ok();
        }
    }

    /// Fails when one of the processes is gone.
    pub(crate) fn look(&self) -> anyhow::Result<Look> {
        let mut all = Look { cpu: Duration::ZERO, peak_memory_kb: 0, descriptors: 0 };
        for &pid in &self.processes {
            all.cpu += cpu(pid)?;
            all.peak_memory_kb += peak_memory_kb(pid)?;
            all.descriptors += fs::read_dir(file(pid, "fd"))?.count() as u64;
        }
        Ok(all)
    }
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read(pid: u32, name: &str) -> anyhow::Result<String> {
    fs::read_to_string(file(pid, name)).with_context(|| format!("process {pid} is gone"))
}

fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = read(pid, "stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    ensure!(fields.len() > SYSTEM_TIME, "/proc/{pid}/stat is not as expected");
    let ticks = fields[USER_TIME].parse::<u32>()? + fields[SYSTEM_TIME].parse::<u32>()?;
    Ok(TICK * ticks)
}

/// None is left once a process ended, before its parent looked.
fn peak_memory_kb(pid: u32) -> anyhow::Result<u64> {
    let status = read(pid, "status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the process has ended")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
