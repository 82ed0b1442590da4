//! `kingtide-proxy`: accept → limits → tap → upstream.

mod accept;
mod access_log;
mod admin;
mod cli;
mod clock;
mod config;
mod connection;
mod downstream;
mod exchange;
mod http1;
mod http2;
mod import_nginx;
mod limits;
mod message;
mod metrics;
mod passage;
mod relay;
mod routes;
#[cfg(test)]
mod sample;
mod serve;
mod server_timing;
mod site;
mod spool;
mod stream;
mod tap;
mod timer;
mod trace;
mod tunnel;
mod upgrade;
mod upstream;
mod uri;
mod variables;
mod worker;
mod zones;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use accept::tls::BadCertificate;
use admin::AdminError;
use cli::{Arguments, Command};
use config::Config;
use kingtide_common::config::ConfigError;
use site::SiteError;
use upstream::GroupError;

/// What workers allocate, the capture's writer frees: the system's allocator takes a lock for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BAD_INPUT: u8 = 2;
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    if let Some(Command::ImportNginx { file, output }) = &arguments.command {
        return import_nginx::run(file, output.as_deref());
    }
    rustls::crypto::ring::default_provider().install_default().expect("nothing installed one before");
    let path = arguments.config.expect("clap requires it where there is no command");
    let (config, text) = match Config::load(&path) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(error),
    };
    if arguments.check {
        if let Err(error) = serve::check(&config, &text) {
            return fail(error);
        }
        print!("{}", toml::to_string(&config).expect("what was read from TOML can be written as TOML"));
        return ExitCode::SUCCESS;
    }
    match serve::run(&path, &config, &text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// What the configuration names may be wrong too.
fn fail(error: anyhow::Error) -> ExitCode {
    match error.downcast::<ConfigError>() {
        Ok(error) => refuse(error),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_bad_input(&error) { BAD_INPUT } else { FAILED })
        }
    }
}

/// The user's to mend in the configuration, unlike an address in use or a name that does not resolve now.
fn is_bad_input(error: &anyhow::Error) -> bool {
    let unusable =
        matches!(error.downcast_ref(), Some(SiteError::Route(_) | SiteError::Group(GroupError::Tls { .. })));
    unusable
        || matches!(error.downcast_ref(), Some(AdminError::Access(_)))
        || error.downcast_ref::<BadCertificate>().is_some()
}

fn refuse(error: ConfigError) -> ExitCode {
    eprintln!("{:?}", miette::Report::new(error));
    ExitCode::from(BAD_INPUT)
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal();
    // Where even the log's disk is full, nobody can be told of it; a panic would end what still works.
    let log = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    log.with_writer(std::io::stderr).with_ansi(colours).init();
}
