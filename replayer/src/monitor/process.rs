//! Processes of this machine, by name, number or pid file, added up; and the limits of the cgroup they are in.

mod cgroup;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use procfs::ProcError;
use procfs::process::{Process, Stat, all_processes};

use self::cgroup::Cgroup;
use super::host::unreadable;
use super::look::{Blind, Look};
use super::settings::Which;

/// What it can say of each look.
pub(super) const METRICS: &[&str] =
    &["processes", "cpu_share", "cpu_cores", "rss_bytes", "descriptors", "threads"];

/// Programs that are called by the script they run.
const INTERPRETERS: [&str; 6] = ["python", "node", "ruby", "perl", "php", "java"];

/// See the module.
#[derive(Debug)]
pub(super) struct Processes {
    which: Which,
    cores: f64,
    before: Option<Before>,
    cgroup: Option<Cgroup>,
}

/// Processor time at the last look, by pid and start: a pid may be somebody else's by now.
#[derive(Debug)]
struct Before {
    at: Instant,
    ticks: HashMap<(i32, u64), u64>,
}

impl Processes {
    pub(super) fn new(which: Which) -> Self {
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        Self { which, cores, before: None, cgroup: None }
    }

    pub(super) fn look(&mut self) -> Result<Look, Blind> {
        let found = found(&self.which)?;
        let Some((first, _)) = found.first() else {
            self.before = None;
            return Err(Blind(format!("there is no {}", self.which.described())));
        };
        let mut look = Look::default();
        let stats = || found.iter().map(|(_, stat)| stat);
        look.value("processes", found.len() as f64);
        look.value("rss_bytes", (stats().map(|stat| stat.rss).sum::<u64>() * procfs::page_size()) as f64);
        look.value("threads", stats().map(|stat| stat.num_threads.max(0)).sum::<i64>() as f64);
        let descriptors = descriptors(&found, &mut look);
        look.value("descriptors", descriptors);
        self.cpu(stats(), &mut look);
        self.cgroup(first, &mut look);
        Ok(look)
    }

    fn cpu<'a>(&mut self, stats: impl Iterator<Item = &'a Stat>, look: &mut Look) {
        let ticks = stats.map(|stat| ((stat.pid, stat.starttime), stat.utime + stat.stime)).collect();
        let now = Before { at: Instant::now(), ticks };
        if let Some(before) = &self.before {
            let cores = now.cores_since(before);
            look.value("cpu_cores", cores);
            look.value("cpu_share", cores.map(|cores| cores / self.cores));
        }
        self.before = Some(now);
    }

    /// That of the first process: those of one name are in one as a rule.
    fn cgroup(&mut self, process: &Process, look: &mut Look) {
        let now = cgroup_path(process).map(|path| Cgroup::read(Path::new("/sys/fs/cgroup"), &path));
        if let Some(now) = &now {
            now.tell(self.cgroup.as_ref(), look);
        }
        self.cgroup = now;
    }
}

impl Before {
    /// Processors that were busy, in the mean. Who has come since counts from its beginning.
    fn cores_since(&self, before: &Self) -> Option<f64> {
        let passed_s = self.at.saturating_duration_since(before.at).as_secs_f64();
        let since = |(id, ticks): (&(i32, u64), &u64)| {
            ticks.saturating_sub(before.ticks.get(id).copied().unwrap_or(0))
        };
        let ticks: u64 = self.ticks.iter().map(since).sum();
        (passed_s > 0.0).then(|| ticks as f64 / procfs::ticks_per_second() as f64 / passed_s)
    }
}

impl Which {
    fn described(&self) -> String {
        match self {
            Self::Named(name) => format!("process `{name}`"),
            Self::Pid(pid) => format!("process {pid}"),
            Self::PidFile(file) => format!("process of {}", file.display()),
        }
    }
}

fn found(which: &Which) -> Result<Vec<(Process, Stat)>, Blind> {
    match which {
        Which::Named(name) => {
            let all = all_processes().map_err(|error| unreadable(&error))?;
            // Some end while they are looked at.
            let alive = all.flatten().filter_map(|process| alive(process).ok());
            Ok(alive.filter(|(process, stat)| is_called(process, stat, name)).collect())
        }
        Which::Pid(pid) => Ok(one(*pid)),
        Which::PidFile(file) => {
            let text = fs::read_to_string(file);
            let text = text.map_err(|error| Blind(format!("{}: {error}", file.display())))?;
            let pid = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
            Ok(one(pid.ok_or_else(|| Blind(format!("{} holds no number of a process", file.display())))?))
        }
    }
}

fn one(pid: i32) -> Vec<(Process, Stat)> {
    Process::new(pid).and_then(alive).into_iter().collect()
}

/// What has ended and only waits for its parent is no process any more.
fn alive(process: Process) -> Result<(Process, Stat), ProcError> {
    let stat = process.stat()?;
    if stat.state == 'Z' { Err(ProcError::NotFound(None)) } else { Ok((process, stat)) }
}

/// By the kernel's name, by the program's file, or by the script that an interpreter runs.
fn is_called(process: &Process, stat: &Stat, name: &str) -> bool {
    if stat.comm == name {
        return true;
    }
    let words = process.cmdline().unwrap_or_default();
    let base = |word: &String| Path::new(word).file_name().map(|base| base.to_string_lossy().into_owned());
    let is_it = |word: &String| base(word).is_some_and(|base| base == name);
    let is_interpreter = words
        .first()
        .and_then(base)
        .is_some_and(|program| INTERPRETERS.iter().any(|interpreter| program.starts_with(interpreter)));
    // `python3 -m uvicorn app:app`
    words.first().is_some_and(is_it) || (is_interpreter && words.iter().skip(1).take(2).any(is_it))
}

/// `None` where one of them may not be looked at.
fn descriptors(found: &[(Process, Stat)], look: &mut Look) -> Option<f64> {
    let mut sum = 0;
    for (process, stat) in found {
        match process.fd_count() {
            Ok(count) => sum += count,
            Err(ProcError::NotFound(_)) => {}
            Err(error) => {
                look.note(format!(
                    "descriptors of {} cannot be counted: {error}; only its own user and root may",
                    stat.comm
                ));
                return None;
            }
        }
    }
    Some(sum as f64)
}

/// In the unified hierarchy: `/system.slice/app.service`.
fn cgroup_path(process: &Process) -> Option<String> {
    let groups = process.cgroups().ok()?;
    let unified = groups.0.into_iter().find(|group| group.hierarchy == 0)?;
    Some(unified.pathname)
}

/// A file that is not there leaves its number out.
fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .inspect_err(|error| {
            if error.kind() != ErrorKind::NotFound {
                tracing::debug!("{}: {error}", path.display());
            }
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn looked(which: Which) -> HashMap<String, Option<f64>> {
        Processes::new(which).look().unwrap().values.into_iter().collect()
    }

    #[test]
    fn this_process_is_found_by_its_number_and_by_its_pid_file() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{pid}\n")).unwrap();
        for which in [Which::Pid(pid), Which::PidFile(file.path().to_owned())] {
            let values = looked(which);
            assert_eq!(values["processes"], Some(1.0));
            for metric in ["rss_bytes", "descriptors", "threads"] {
                assert!(values[metric].is_some_and(|value| value >= 1.0), "{metric}");
            }
        }
    }

    #[test]
    fn processes_are_found_by_name() {
        let mut sleeping = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let name = format!("sleep-{}", std::process::id());
        assert!(looked(Which::Named("sleep".to_owned()))["processes"].is_some_and(|count| count >= 1.0));
        sleeping.kill().unwrap();
        sleeping.wait().unwrap();
        let blind = Processes::new(Which::Named(name.clone())).look().unwrap_err();
        assert_eq!(blind.to_string(), format!("there is no process `{name}`"));
        let gone = Processes::new(Which::Pid(i32::try_from(sleeping.id()).unwrap())).look();
        assert!(gone.is_err(), "it has ended");
    }

    #[test]
    fn a_pid_that_is_somebody_elses_by_now_counts_anew() {
        let at = Instant::now();
        let ticks = |of: &[((i32, u64), u64)]| of.iter().copied().collect();
        let before = Before { at, ticks: ticks(&[((1, 5), 900), ((2, 5), 100)]) };
        let second = procfs::ticks_per_second();
        let later = Before {
            at: at + Duration::from_secs(2),
            ticks: ticks(&[((1, 7), second), ((2, 5), 100 + 2 * second)]),
        };
        assert_eq!(later.cores_since(&before), Some(1.5));
    }
}
