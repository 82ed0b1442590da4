//! The same service on a SQLite file and on a real PostgreSQL that the test starts itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classroom::faults::{Fault, Faults};
use classroom::serve::{DatabaseError, ServeConfig, ServeError, start};
use tempfile::TempDir;

use crate::school::{health, quick, school, stuck_in_store, student, until};

/// A school on this database that takes an upload, keeps it over a restart, grows, and belongs to one seed.
async fn check_database(url: &str) {
    let config = ServeConfig { database: url.to_owned(), ..quick() };
    let server = school(config.clone()).await;
    let own = student(&server, 11).await;
    let answer = own.upload("audio/webm", &[1; 6_000]).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(health(&server).await.uploads.bytes, 6_000);
    assert!(server.shutdown().await);

    let server = school(ServeConfig { students: 130, ..config.clone() }).await;
    let profile = student(&server, 11).await.browser.get("/api/students/me").await.json();
    assert_eq!((profile["recordings"].as_u64(), profile["recorded_bytes"].as_u64()), (Some(1), Some(6_000)));
    student(&server, 129).await;
    assert!(server.shutdown().await);

    let other = start(ServeConfig { seed: 2, ..config }).await;
    assert!(
        matches!(other, Err(ServeError::Database(DatabaseError::OtherSeed { found, .. })) if found == "1")
    );
}

#[tokio::test]
async fn a_sqlite_file_keeps_the_school() {
    let directory = tempfile::tempdir().unwrap();
    check_database(&format!("sqlite:{}", directory.path().join("school.db").display())).await;
}

#[tokio::test]
async fn a_postgresql_keeps_the_school_and_shows_held_transactions() {
    let postgres = Postgres::start();
    check_database(&postgres.url()).await;

    let faults = Faults::of(&[Fault::HeldTransaction]);
    let config = ServeConfig { database: postgres.url(), faults, students: 130, ..quick() };
    let server = school(stuck_in_store(config)).await;
    let own = student(&server, 0).await;
    let upload = tokio::spawn(async move { own.upload("audio/webm", &[1; 6_000]).await });
    until(&server, |health| health.slots.in_use == 1).await;
    assert_eq!(postgres.count("state = 'idle in transaction' AND application_name = 'classroom'").await, 1);
    upload.abort();
}

/// A PostgreSQL in a temporary directory, reachable by its socket only; stopped on drop.
struct Postgres {
    directory: TempDir,
    binaries: PathBuf,
}

impl Postgres {
    fn start() -> Self {
        let postgres = Self { directory: tempfile::tempdir_in("/tmp").unwrap(), binaries: binaries() };
        let owner = if is_root() { "postgres" } else { "" };
        if !owner.is_empty() {
            run(Command::new("chown").arg(owner).arg(postgres.directory.path()));
        }
        run(postgres
            .command("initdb")
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
            .arg(postgres.data()));
        let options =
            format!("-c listen_addresses='' -c fsync=off -k {}", postgres.directory.path().display());
        let log = postgres.directory.path().join("log");
        run(postgres.pg_ctl().args(["-w", "-t", "60", "-o", &options, "-l"]).arg(log).arg("start"));
        postgres
    }

    fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.directory.path().display())
    }

    /// Rows of pg_stat_activity that fulfil a condition.
    async fn count(&self, condition: &str) -> i64 {
        let pool = sqlx::PgPool::connect(&self.url()).await.unwrap();
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {condition}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn pg_ctl(&self) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.data());
        command
    }

    /// One of PostgreSQL's programs, as a user it accepts: it refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&program) };
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A failed start leaves nothing to stop.
        let _ = self.pg_ctl().args(["-m", "immediate", "stop"]).output();
    }
}

/// Debian's directory of the newest version.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin")).filter(|bin| has_initdb(bin)).max();
    found.expect("no PostgreSQL in /usr/lib/postgresql; install it: apt-get install postgresql")
}

fn has_initdb(directory: &Path) -> bool {
    directory.join("initdb").exists()
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

/// Output goes to files: the started server inherits it, and a pipe would never end.
fn run(command: &mut Command) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = command.stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap()).status().unwrap();
    assert!(status.success(), "{command:?}: {}", fs::read_to_string(log.path()).unwrap());
}
