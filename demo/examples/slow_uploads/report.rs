//! What is printed: a name and a value a line, for people and for `bench/slow.sh`.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use crate::probe::{Kind, Seen};
use crate::uploads::Tally;
use crate::watched::{Look, Peaks};

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    pub(crate) probes: [Seen; 2],
    pub(crate) before: Look,
    pub(crate) after: Look,
    pub(crate) peaks: Peaks,
    pub(crate) wall: Duration,
    pub(crate) interrupted: bool,
}

impl Report {
    /// 1 when something failed, 130 when it was interrupted.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let failed = self.tally.failed + self.probes.iter().map(|seen| seen.failed).sum::<u64>();
        ExitCode::from(if self.interrupted { 130 } else { u8::from(failed > 0) })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, before, after, .. } = self;
        writeln!(f, "uploads_ok {}", tally.ok)?;
        writeln!(f, "uploads_failed {}", tally.failed)?;
        writeln!(f, "bytes_confirmed {}", tally.bytes_confirmed)?;
        writeln!(f, "wall_s {:.1}", self.wall.as_secs_f64())?;
        writeln!(f, "cpu_s {:.2}", after.cpu.saturating_sub(before.cpu).as_secs_f64())?;
        writeln!(f, "rss_peak_mb_before {:.1}", before.peak_memory_kb as f64 / 1024.0)?;
        writeln!(f, "rss_peak_mb {:.1}", after.peak_memory_kb as f64 / 1024.0)?;
        writeln!(f, "descriptors_before {}", before.descriptors)?;
        writeln!(f, "descriptors_peak {}", self.peaks.descriptors)?;
        writeln!(f, "descriptors_after {}", after.descriptors)?;
        for seen in &self.probes {
            write_probe(f, seen)?;
        }
        for (why, times) in &tally.failures {
            writeln!(f, "failure {times} x {why}")?;
        }
        Ok(())
    }
}

fn write_probe(f: &mut fmt::Formatter<'_>, seen: &Seen) -> fmt::Result {
    let name = match seen.kind {
        Kind::Fresh => "fresh",
        Kind::Kept => "kept",
    };
    let ms = |latency_us: u64| latency_us as f64 / 1000.0;
    writeln!(f, "{name}_count {}", seen.latency_us.len())?;
    writeln!(f, "{name}_failed {}", seen.failed)?;
    writeln!(f, "{name}_ms_p50 {:.2}", ms(seen.latency_us.value_at_quantile(0.5)))?;
    writeln!(f, "{name}_ms_p99 {:.2}", ms(seen.latency_us.value_at_quantile(0.99)))?;
    writeln!(f, "{name}_ms_max {:.2}", ms(seen.latency_us.max()))?;
    if let Some(why) = &seen.first_failure {
        writeln!(f, "failure {name}: {why}")?;
    }
    Ok(())
}
