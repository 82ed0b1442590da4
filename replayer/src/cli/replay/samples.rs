//! The flags of the file of raw samples.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use kingtide_common::units::ByteSize;

use crate::measure::raw::SampleWriter;
use crate::measure::route::Routes;
use crate::report::SAMPLES_FILE;
use crate::sessions::Outlines;

const HEADING: &str = "Every request";

/// See the module.
#[derive(Debug, Args)]
pub(super) struct SamplesArgs {
    /// Write every request's instants, outcome and bytes into this file, as CSV in gzip
    /// [default: samples.csv.gz in the directory of --out].
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Size that the file of samples never exceeds; what comes after is counted. 0 writes none.
    #[arg(help_heading = HEADING, long, value_name = "SIZE", default_value = "64m")]
    samples_max: ByteSize,
}

impl SamplesArgs {
    /// One file holds the samples of one run.
    pub(super) fn check(&self, runs: usize) -> anyhow::Result<()> {
        ensure!(
            runs == 1 || self.samples.is_none(),
            "--samples names one file, and --seeds makes {runs} runs: leave --samples out, with --out each run \
             writes its own into its directory"
        );
        Ok(())
    }

    /// Makes the file, if one is wanted.
    pub(super) fn start(
        &self,
        out: Option<&Path>,
        sessions: &Outlines,
    ) -> anyhow::Result<Option<SampleWriter>> {
        let path = self.samples.clone().or_else(|| out.map(|directory| directory.join(SAMPLES_FILE)));
        let Some(path) = path.filter(|_| self.samples_max.0 > 0) else { return Ok(None) };
        let labels = Routes::of(sessions).labels().to_vec();
        let writer = SampleWriter::create(&path, self.samples_max.0, labels).with_context(|| {
            format!("--samples: cannot write {}; give a file in a directory that exists", path.display())
        })?;
        Ok(Some(writer))
    }
}
