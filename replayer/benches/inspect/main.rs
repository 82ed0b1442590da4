//! `kingtide inspect` over a million exchanges: wall time and processor time of the whole program.
//!
//! The capture is made once per version of this program and kept beside the build, for making it takes
//! longer than all measurements. `cargo bench --bench inspect -- 100000` takes another number of exchanges.

#[expect(dead_code, reason = "it makes its traffic copy by copy")]
#[path = "../../../common/benches/capture/traffic.rs"]
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kingtide_common::capture::{CaptureWriter, WriterOptions};
use kingtide_common::exchange::{Exchange, Record};
use kingtide_common::ledger::Ledger;

const EXCHANGES: usize = 1_000_000;
const RUNS: usize = 5;
/// Exchanges made and written at a time.
const CHUNK: usize = 70_000;

fn main() {
    let exchanges = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(EXCHANGES);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inspect-{exchanges}"));
    if !directory.join("done").exists() {
        make(&directory, exchanges);
    }
    println!("{exchanges} exchanges, {} MB on disk", size_of(&directory) / 1_000_000);
    println!("{:>10} {:>10} {:>10}", "wall", "processor", "memory");
    for _ in 0..RUNS {
        let run = Run::of(&directory);
        println!("{:>8.2} s {:>8.2} s {:>7} MB", run.wall.as_secs_f64(), run.processor_s, run.memory_mb);
    }
}

/// What one run of the program took.
struct Run {
    wall: Duration,
    processor_s: f64,
    /// The most that it held at a time.
    memory_mb: u64,
}

impl Run {
    fn of(capture: &Path) -> Self {
        let (before_s, begun) = (processor_of_children_s(), Instant::now());
        let mut child = Command::new(env!("CARGO_BIN_EXE_kingtide"))
            .arg("inspect")
            .arg(capture)
            .stdout(Stdio::null())
            .spawn()
            .expect("the program was built for this bench");
        let mut memory_mb = 0;
        while child.try_wait().expect("a child of ours").is_none() {
            memory_mb = memory_mb_of(child.id()).unwrap_or(memory_mb);
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { wall: begun.elapsed(), processor_s: processor_of_children_s() - before_s, memory_mb }
    }
}

/// `cutime` and `cstime` of `/proc/self/stat`, in ticks of 10 ms.
fn processor_of_children_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this bench runs on Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn memory_mb_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1000)
}

fn make(directory: &Path, count: usize) {
    println!("making {count} exchanges in {} …", directory.display());
    let _ = fs::remove_dir_all(directory);
    let mut writer =
        CaptureWriter::create(directory, WriterOptions::of("bench", 0)).expect("the disk takes it");
    let golden = traffic::golden();
    let copies = count.div_ceil(golden.len()) as u64;
    for first in (0..copies).step_by(CHUNK / golden.len()) {
        let until = copies.min(first + (CHUNK / golden.len()) as u64);
        let mut made: Vec<Exchange> = (first..until).flat_map(|copy| traffic::copy(&golden, copy)).collect();
        made.truncate(count - usize::try_from(first).unwrap_or(0) * golden.len());
        made.sort_by_key(Exchange::done_ns);
        for exchange in made {
            writer.push(Record::Exchange(Box::new(exchange)), Instant::now()).expect("the disk takes it");
        }
    }
    writer.flush(Instant::now()).expect("the disk takes it");
    let all = count as u64;
    let ledger = Ledger { accepted: all, recorded: all, ..Ledger::default() };
    writer.close(ledger, 1).expect("the disk takes it");
    fs::write(directory.join("done"), "").expect("the disk takes it");
}

fn size_of(directory: &PathBuf) -> u64 {
    let files = fs::read_dir(directory).expect("just made").filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
