//! The load of `bench/slow.sh`: many clients whose uploads crawl, and one client who wants small answers at once.
//!
//! What a proxy pays for slow uploads is not CPU but what each of them holds: memory, descriptors, a place in
//! somebody's queue. So the uploads are held open all together, each at its pace, while a probe asks small things
//! through the same proxy, open loop: a probe that had to wait counts from the instant it was due. The server is
//! watched from outside, through /proc, so that any server can be compared.
//!
//! Bounded: so many uploads, each with a deadline; Ctrl-C ends it with what is known so far. Exit code 1 when an
//! upload or a probe failed.

mod answer;
mod body;
mod probe;
mod report;
mod uploads;
mod watched;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::probe::{Kind, Probe};
use crate::report::Report;
use crate::uploads::{Plan, Tally};
use crate::watched::{Peaks, Watched};

/// Open connections of the server are looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Parser)]
#[command(about = "Slow uploads through a proxy, and a probe beside them")]
struct Arguments {
    /// The proxy.
    #[arg(long)]
    target: SocketAddr,
    /// Process id of the proxy, whose memory, CPU and descriptors are watched, with its children.
    #[arg(long)]
    pid: u32,
    /// Uploads at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Bytes of each upload.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1024..=1 << 30))]
    bytes: u64,
    /// Bytes per second of each upload.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    rate: u64,
    /// Seconds over which the uploads begin.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=600))]
    ramp: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let plan = Plan {
        target: arguments.target,
        connections: arguments.connections,
        body: body::multipart(usize::try_from(arguments.bytes)?),
        rate: arguments.rate,
        ramp: Duration::from_secs(arguments.ramp),
    };
    let watched = Watched::new(arguments.pid)?;
    watched.reset_peak_memory();
    let before = watched.look()?;
    let probes = [Kind::Fresh, Kind::Kept].map(|kind| Probe::start(plan.target, kind));

    let begun = Instant::now();
    let (mut tally, mut peaks) = (Tally::default(), Peaks::default());
    let interrupted = tokio::select! {
        () = uploads::run(plan, &mut tally) => false,
        () = look_on(&watched, &mut peaks) => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    let wall = begun.elapsed();
    let probes = probes.map(Probe::stop);
    let report = Report { tally, probes, before, after: watched.look()?, peaks, wall, interrupted };
    print!("{report}");
    Ok(report.exit_code())
}

/// Ends only when the server is gone.
async fn look_on(watched: &Watched, peaks: &mut Peaks) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    while let Ok(seen) = watched.look() {
        peaks.add(&seen);
        interval.tick().await;
    }
}
