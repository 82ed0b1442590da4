//! `kingtide`: arguments in, exit status out. What each command does stands in `cli/<command>.rs`.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// What the threads that read a capture allocate, another frees: the system's allocator takes a lock for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("KINGTIDE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    kingtide::cli::run(std::env::args_os()).into()
}
