//! The command line.

use std::path::PathBuf;

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  kingtide-proxy --config configs/proxy.toml --check   validate, and print what is in effect
  kingtide-proxy --config configs/proxy.toml           serve until SIGTERM or Ctrl-C
  RUST_LOG=debug kingtide-proxy --config proxy.toml    with more diagnostics on stderr";

/// Stands in Nginx's position before a backend: times every stage of every request and records the
/// traffic as sessions, without secrets and without slowing it.
#[derive(Debug, Parser)]
#[command(name = "kingtide-proxy", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The configuration; configs/proxy.toml documents every key
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Validate the configuration, print it with all defaults, and exit
    #[arg(long)]
    pub(crate) check: bool,
}
