//! The command line: one struct per subcommand, each turned into the config of the module that does the work.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use url::Url;

use crate::accounts;
use crate::faults::{FAULT_FORMS, Fault, Faults};
use crate::law::{NUMBER_MAX, ServiceLaw, StoreLatency, capacity, number};
use crate::serve::{self, ServeConfig, UploadLimits};
use crate::students::{self, PlanConfig, StudentsConfig};

/// The sample upload service of Kingtide, and its students.
#[derive(Debug, Parser)]
#[command(name = "classroom", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the upload service.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Visit the service as students.
    #[command(after_help = STUDENTS_EXAMPLES)]
    Students(StudentsArgs),
    /// Print accounts as CSV (`email,password`), for a replayer's identities.
    #[command(after_help = ACCOUNTS_EXAMPLES)]
    Accounts(AccountsArgs),
    /// Print what a service with these flags can take, as JSON.
    #[command(after_help = CAPACITY_EXAMPLES)]
    Capacity(CapacityArgs),
}

const SERVE_EXAMPLES: &str = "Examples:
  classroom serve                                    the reference case on a free port
  classroom serve --listen 127.0.0.1:8000 --slots 20 --store-ms 3000
  classroom serve --store-ms lognormal:3000:0.5 --fault held-transaction
  classroom serve --fault hang-after:50              hangs after 50 uploads
  classroom serve --database postgres://school@127.0.0.1:5432/school";

const STUDENTS_EXAMPLES: &str = "Examples:
  classroom students --target http://127.0.0.1:8000 --count 50 --duration 60
  classroom students --target http://127.0.0.1:8000 --count 30 --duration 20 --think 0.2..1 --burst-every 6
  classroom students --target http://127.0.0.1:8000 --offset 1000 --json students.json

Exit code 0 when every planned request got a 2xx answer, else 1.";

const ACCOUNTS_EXAMPLES: &str = "Examples:
  classroom accounts --count 500 > identities.csv
  classroom accounts --count 500 --offset 1000 --seed 7 > identities.csv";

const CAPACITY_EXAMPLES: &str = "Examples:
  classroom capacity --slots 20 --store-ms 3000      6.67 uploads/s, limited by the store slots
  classroom capacity --fault held-transaction        5.48 uploads/s, limited by the pool";

/// Most uploads one student can be asked for.
const UPLOADS_MAX: u32 = 250;
/// Fastest slow uplink, kbit/s.
const SLOW_KBIT_PER_S_MAX: u32 = 10_000_000;

/// A range `A..B`, or one number for both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span<T>(T, T);

impl<T: PartialOrd + Copy> Span<T> {
    fn parse(text: &str, number: impl Fn(&str) -> Option<T>) -> Result<Self, String> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        match (number(low), number(high)) {
            (Some(low), Some(high)) if low <= high => Ok(Self(low, high)),
            _ => Err(format!("`{text}` is not a range here; write `A..B` with A not above B, or one number")),
        }
    }
}

fn seconds_span(text: &str) -> Result<Span<f64>, String> {
    Span::parse(text, number)
}

fn uploads_span(text: &str) -> Result<Span<u32>, String> {
    Span::parse(text, |text| text.parse().ok().filter(|count| *count <= UPLOADS_MAX))
}

fn speed_span(text: &str) -> Result<Span<u32>, String> {
    Span::parse(text, |text| text.parse().ok().filter(|speed| (1..=SLOW_KBIT_PER_S_MAX).contains(speed)))
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

fn non_negative(text: &str) -> Result<f64, String> {
    number(text).ok_or_else(|| format!("`{text}` is not a number from 0 to {NUMBER_MAX}"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text).filter(|share| *share <= 1.0).ok_or_else(|| format!("`{text}` is not between 0 and 1"))
}

/// Flags of `serve` and `capacity`: how time passes in the service.
#[derive(Debug, Args)]
struct LawArgs {
    /// Concurrent object-store calls; 0 is unlimited
    #[arg(long, value_name = "K", default_value_t = 0)]
    slots: usize,
    /// Latency of an object-store call in ms: `3000`, `2000..5000` or `lognormal:MEAN:CV`
    #[arg(long, value_name = "LATENCY", default_value = "2000..5000")]
    store_ms: StoreLatency,
    /// Connections in the database pool; 0 is unlimited
    #[arg(long, value_name = "P", default_value_t = 20)]
    pool: usize,
    /// Time of the token check while a pool connection is held, ms
    #[arg(long, value_name = "MS", default_value_t = 50.0, value_parser = non_negative)]
    auth_ms: f64,
    /// Time of the write after the store call while a pool connection is held, ms
    #[arg(long, value_name = "MS", default_value_t = 100.0, value_parser = non_negative)]
    db_ms: f64,
    /// Serial work of every request, as in a single-threaded event loop, ms
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = non_negative)]
    block_ms: f64,
    #[arg(long = "fault", value_name = "NAME[:ARG]", help = format!("Repeatable: {FAULT_FORMS}"))]
    faults: Vec<Fault>,
}

impl LawArgs {
    fn law(&self) -> ServiceLaw {
        ServiceLaw {
            slots: self.slots,
            store: self.store_ms,
            pool: self.pool,
            auth_ms: self.auth_ms,
            db_ms: self.db_ms,
            block_ms: self.block_ms,
        }
    }
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// `sqlite::memory:`, `sqlite:FILE` or `postgres://USER@HOST:PORT/NAME`
    #[arg(
        long,
        value_name = "URL",
        env = "CLASSROOM_DATABASE",
        hide_env_values = true,
        default_value = "sqlite::memory:"
    )]
    database: String,
    /// Seed of accounts, ids and store latencies
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Accounts that exist
    #[arg(long, value_name = "N", default_value_t = 2000)]
    students: u64,
    /// Life of a token, seconds
    #[arg(long, value_name = "S", default_value_t = 3600)]
    token_ttl_s: u64,
    /// Smallest audio file, bytes
    #[arg(long, value_name = "BYTES", default_value_t = UploadLimits::default().min_bytes)]
    min_bytes: u64,
    /// Largest audio file, bytes
    #[arg(long, value_name = "BYTES", default_value_t = UploadLimits::default().max_bytes)]
    max_bytes: u64,
    /// How long a shutdown waits for requests in flight, seconds
    #[arg(long, value_name = "S", default_value_t = 15.0, value_parser = non_negative)]
    drain_s: f64,
    #[command(flatten)]
    law: LawArgs,
}

impl ServeArgs {
    fn config(self) -> ServeConfig {
        ServeConfig {
            listen: self.listen,
            law: self.law.law(),
            faults: Faults::of(&self.law.faults),
            database: self.database,
            seed: self.seed,
            students: self.students,
            token_ttl_s: self.token_ttl_s,
            limits: UploadLimits { min_bytes: self.min_bytes, max_bytes: self.max_bytes },
            drain: seconds(self.drain_s),
        }
    }
}

#[derive(Debug, Args)]
struct StudentsArgs {
    /// The service, or a proxy before it
    #[arg(long, value_name = "URL")]
    target: Url,
    /// Students
    #[arg(long, value_name = "N", default_value_t = 50)]
    count: u64,
    /// Length of the visit in seconds; students arrive in its first 60 %
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = non_negative)]
    duration: f64,
    /// Seed of plan, accounts and contents; the accounts must be those of `serve --seed`
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Account of the first student
    #[arg(long, value_name = "K", default_value_t = 0)]
    offset: u64,
    /// Think time between uploads, seconds
    #[arg(long, value_name = "A..B", default_value = "1..5", value_parser = seconds_span)]
    think: Span<f64>,
    /// Uploads per student
    #[arg(long, value_name = "A..B", default_value = "1..4", value_parser = uploads_span)]
    uploads: Span<u32>,
    /// Share of students on slow uplinks
    #[arg(long, value_name = "SHARE", default_value_t = 0.15, value_parser = share)]
    slow_share: f64,
    /// Speed of slow uplinks, kbit/s
    #[arg(long, value_name = "A..B", default_value = "1000..4000", value_parser = speed_span)]
    slow_kbps: Span<u32>,
    /// A class uploads at once every so many seconds ("the teacher says: upload now")
    #[arg(long, value_name = "S", value_parser = non_negative)]
    burst_every: Option<f64>,
    /// A quarter of the duration between bells, where --burst-every does not say it
    #[arg(long)]
    bursts: bool,
    /// Share of students who come with a class, when there are bells
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = share)]
    burst_share: f64,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = non_negative)]
    timeout_s: f64,
    /// How long students may go on after the duration, seconds; who has not finished then has failed
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = non_negative)]
    grace_s: f64,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl StudentsArgs {
    fn config(self) -> StudentsConfig {
        let burst_every_s = self.burst_every.or_else(|| self.bursts.then_some(self.duration / 4.0));
        StudentsConfig {
            plan: PlanConfig {
                count: self.count,
                offset: self.offset,
                seed: self.seed,
                duration: seconds(self.duration),
                think: (seconds(self.think.0), seconds(self.think.1)),
                uploads: (self.uploads.0, self.uploads.1),
                slow_share: self.slow_share,
                slow_kbit_per_s: (self.slow_kbps.0, self.slow_kbps.1),
                burst_every: burst_every_s.map(seconds),
                burst_share: self.burst_share,
            },
            target: self.target,
            timeout: seconds(self.timeout_s),
            grace: seconds(self.grace_s),
            json: self.json,
        }
    }
}

#[derive(Debug, Args)]
struct AccountsArgs {
    /// Accounts
    #[arg(long, value_name = "N", default_value_t = 2000)]
    count: u64,
    /// The seed of `serve`
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// First account
    #[arg(long, value_name = "K", default_value_t = 0)]
    offset: u64,
}

#[derive(Debug, Args)]
struct CapacityArgs {
    /// Uploads per student, for the bounds of the whole chain
    #[arg(long, value_name = "N", default_value_t = 2.5, value_parser = non_negative)]
    uploads_per_student: f64,
    #[command(flatten)]
    law: LawArgs,
}

/// Does what the command line says; false when the students' target was missed.
pub fn run(cli: Cli) -> anyhow::Result<bool> {
    match cli.command {
        Command::Serve(args) => block_on(serve::run(args.config()))?.map(|()| true).map_err(Into::into),
        Command::Students(args) => Ok(block_on(students::run(&args.config()))??.is_ok()),
        Command::Accounts(args) => print_accounts(&args).map(|()| true),
        Command::Capacity(args) => print_capacity(&args).map(|()| true),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime can be started")?;
    let result = runtime.block_on(work);
    // Hung requests (a fault) must not keep the process.
    runtime.shutdown_background();
    Ok(result)
}

fn print_accounts(args: &AccountsArgs) -> anyhow::Result<()> {
    accounts::write_csv(std::io::stdout().lock(), args.seed, args.offset, args.count)
        .context("the accounts cannot be printed")
}

fn print_capacity(args: &CapacityArgs) -> anyhow::Result<()> {
    let capacity = capacity(&args.law.law(), &Faults::of(&args.law.faults), args.uploads_per_student);
    println!("{}", serde_json::to_string_pretty(&capacity)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn serve_config(args: &[&str]) -> ServeConfig {
        let line = ["classroom", "serve"].iter().chain(args);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Serve(args) => args.config(),
            other => panic!("not serve: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_flags_it_is_the_reference_case() {
        let config = serve_config(&[]);
        assert_eq!(config.law, ServiceLaw::default());
        assert_eq!(config.faults, Faults::default());
        assert_eq!(config.limits, UploadLimits::default());
    }

    #[test]
    fn flags_reach_the_law() {
        let config =
            serve_config(&["--slots", "8", "--store-ms", "30", "--fault", "leak:5", "--fault", "slow-db:2"]);
        assert_eq!((config.law.slots, config.law.store), (8, StoreLatency::Constant(30.0)));
        assert_eq!((config.faults.leak_bytes, config.faults.slow_db_factor), (5, 2.0));
    }

    #[test]
    fn a_span_is_a_range_or_one_number() {
        assert_eq!(seconds_span("1..5"), Ok(Span(1.0, 5.0)));
        assert_eq!(seconds_span("0.2"), Ok(Span(0.2, 0.2)));
        assert_eq!(uploads_span("0..250"), Ok(Span(0, 250)));
        for wrong in ["5..1", "a..b", "-1", "", "1..1e12", "nan"] {
            assert!(seconds_span(wrong).is_err(), "{wrong}");
        }
        assert!(uploads_span("1..251").is_err());
        assert!(speed_span("0..5").is_err());
    }
}
