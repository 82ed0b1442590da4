//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  kingtide-proxy --config configs/proxy.toml --check   validate, and print what is in effect
  kingtide-proxy --config configs/proxy.toml           serve until SIGTERM or Ctrl-C
  kingtide-proxy import-nginx /etc/nginx/nginx.conf    the same as a proxy.toml, and what it could not carry
  RUST_LOG=debug kingtide-proxy --config proxy.toml    with more diagnostics on stderr

Signals: SIGTERM and SIGINT drain, SIGHUP reads the configuration and certificates again, SIGUSR1 reopens the
access log.";

/// Stands in Nginx's position before a backend: enforces the edge's limits, times every stage of every request
/// and records the traffic as sessions, without secrets and without slowing it.
#[derive(Debug, Parser)]
#[command(name = "kingtide-proxy", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// The configuration; configs/proxy.toml documents every key
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,
    /// Validate the configuration, print it with all defaults, and exit
    #[arg(long)]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the proxy.toml that does what an nginx.conf says; list what could not be carried over
    ImportNginx {
        /// The nginx.conf; files that it includes are read too
        file: PathBuf,
        /// Where to write the proxy.toml; stdout when left out
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}
