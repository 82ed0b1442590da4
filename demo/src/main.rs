//! `classroom`: reads its arguments, does what they say, and exits 0, 1 (not every request got 2xx) or 2 (bad input).

use std::process::ExitCode;

use clap::Parser;
use classroom::cli::{Cli, run};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("classroom: {error:#}");
            ExitCode::from(2)
        }
    }
}
