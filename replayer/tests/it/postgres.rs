//! A PostgreSQL of the test's own, and PgBouncer before it: in a temporary directory, reachable by sockets in it only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tempfile::TempDir;

/// Nothing that is waited for takes so long.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
const BOUNCER_PORT: u16 = 6432;

pub(super) struct Postgres {
    directory: TempDir,
    binaries: PathBuf,
    settings: String,
    bouncer: Option<Child>,
}

impl Postgres {
    pub(super) fn start() -> Self {
        Self::with("")
    }

    /// With more settings: `-c max_connections=4`.
    pub(super) fn with(settings: &str) -> Self {
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let postgres = Self { directory, binaries: binaries(), settings: settings.to_owned(), bouncer: None };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(postgres.path()));
        }
        let data = postgres.data();
        run(postgres.command("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(data));
        postgres.up();
        postgres
    }

    pub(super) fn up(&self) {
        let socket = self.path().display();
        let settings = format!("-c listen_addresses='' -c fsync=off -k {socket} {}", self.settings);
        let log = self.path().join("log");
        run(self.pg_ctl().args(["-w", "-t", "60", "-o", &settings, "-l"]).arg(log).arg("start"));
    }

    pub(super) fn down(&self) {
        run(self.pg_ctl().args(["-m", "immediate", "stop"]));
    }

    /// As this user.
    pub(super) fn url(&self, user: &str) -> String {
        format!("postgres://{user}@localhost/postgres?host={}", self.path().display())
    }

    /// By PgBouncer in transaction mode, with two connections to the server.
    pub(super) fn bouncer_url(&mut self) -> String {
        if self.bouncer.is_none() {
            self.bouncer = Some(self.start_bouncer());
        }
        format!("{}&port={BOUNCER_PORT}", self.url("postgres"))
    }

    /// A client whose connection has this name.
    pub(super) async fn client(&self, name: &str) -> PgConnection {
        PgConnection::connect(&format!("{}&application_name={name}", self.url("postgres"))).await.unwrap()
    }

    fn start_bouncer(&self) -> Child {
        let socket = self.path().display();
        let config = format!(
            "[databases]\n* = host={socket} port=5432\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
             listen_addr =\nlisten_port = {BOUNCER_PORT}\nunix_socket_dir = {socket}\ndefault_pool_size = 2\n\
             logfile = {socket}/pgbouncer.log\n"
        );
        // `any` logs in as a user that the database line names.
        let config = config.replace("port=5432", "port=5432 user=postgres");
        let file = self.path().join("pgbouncer.ini");
        fs::write(&file, config).unwrap();
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
        let program = program.into_iter().find(|program| program.exists());
        let program = program.expect("PgBouncer pools the connections: apt-get install pgbouncer");
        let mut bouncer = self.as_owner(program);
        let mut bouncer = bouncer.arg("-q").arg(&file).spawn().unwrap();
        let socket = self.path().join(format!(".s.PGSQL.{BOUNCER_PORT}"));
        let since = Instant::now();
        while !socket.exists() {
            assert!(bouncer.try_wait().unwrap().is_none(), "PgBouncer ended; its log lies in the directory");
            assert!(since.elapsed() < PATIENCE, "PgBouncer does not listen");
            std::thread::yield_now();
        }
        bouncer
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn pg_ctl(&self) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.data());
        command
    }

    fn command(&self, program: &str) -> Command {
        self.as_owner(&self.binaries.join(program))
    }

    /// As a user that PostgreSQL and PgBouncer accept: they refuse to run as root.
    fn as_owner(&self, program: &Path) -> Command {
        let mut command = if is_root() { Command::new("setpriv") } else { Command::new(program) };
        if is_root() {
            // Not a shell's child: a signal reaches it.
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        }
        command.current_dir(self.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut bouncer) = self.bouncer.take() {
            let _ = bouncer.kill();
            let _ = bouncer.wait();
        }
        // A failed start leaves nothing to stop.
        let _ = self.pg_ctl().args(["-m", "immediate", "stop"]).output();
    }
}

/// The server's process of a connection.
pub(super) async fn pid(client: &mut PgConnection) -> i32 {
    client.fetch_one("SELECT pg_backend_pid()").await.unwrap().get(0)
}

pub(super) async fn execute(client: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(client).await.unwrap();
}

/// Debian's directory of the newest version.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin"));
    let found = found.filter(|bin| bin.join("initdb").exists()).max();
    found.expect("no PostgreSQL in /usr/lib/postgresql; install it: apt-get install postgresql")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Output goes to files: the started server inherits it, and a pipe would never end.
fn run(command: &mut Command) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = command.stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap()).status().unwrap();
    assert!(status.success(), "{command:?}: {}", fs::read_to_string(log.path()).unwrap());
}
