//! Identities: the accounts that clones log in with, from a CSV file.
//!
//! The first line names the columns (`email,password`, and whatever else the captured logins need); each
//! further line is one account. Every clone that needs an account gets its own: two clones as the same
//! user would test something else.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::plan::Plan;
use crate::sessions::{Session, Source};

/// Columns that name an account.
const LOGIN_COLUMNS: [&str; 2] = ["email", "username"];

/// One row of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    columns: Arc<HashMap<String, usize>>,
    values: Vec<String>,
}

/// All rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    path: PathBuf,
    columns: Arc<HashMap<String, usize>>,
    rows: Vec<Identity>,
}

/// Why a file cannot be used for a run. Names file, line, number and remedy; never a value.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read identities from `{path}`: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: csv::Error },
    #[error(
        "`{path}` has no accounts: write a header line such as `email,password`, then one account per line",
        path = path.display()
    )]
    Empty { path: PathBuf },
    #[error(
        "`{path}` lines {first} and {second} are the same account: each user of a replay needs its own",
        path = path.display()
    )]
    Repeated { path: PathBuf, first: usize, second: usize },
    #[error(
        "this replay has {needed} users who log in, but `{path}` has {available} accounts: \
         add {missing} more lines, or lower -x",
        path = path.display(), missing = needed - available
    )]
    TooFew { path: PathBuf, needed: usize, available: usize },
    #[error(
        "the captured logins need the column `{column}`, which `{path}` does not have (it has: {present}): \
         add it to the header line and to each account",
        path = path.display()
    )]
    NoColumn { path: PathBuf, column: String, present: String },
    #[error(
        "this replay has {needed} users who log in (fields: {columns}): \
         give a CSV file with as many accounts by --identities FILE"
    )]
    Absent { needed: usize, columns: String },
}

impl Identities {
    /// Reads a CSV file with a header line. Spaces around values are dropped.
    pub fn read(path: &Path) -> Result<Self, IdentityError> {
        let unreadable = |source| IdentityError::Unreadable { path: path.to_owned(), source };
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(unreadable)?;
        let header = reader.headers().map_err(unreadable)?;
        let columns: HashMap<String, usize> =
            header.iter().map(str::to_owned).enumerate().map(|(index, name)| (name, index)).collect();
        let columns = Arc::new(columns);
        let record = |record: csv::Result<csv::StringRecord>| {
            let values = record.map_err(unreadable)?.iter().map(str::to_owned).collect();
            Ok(Identity { columns: Arc::clone(&columns), values })
        };
        let rows = reader.records().map(record).collect::<Result<Vec<_>, _>>()?;
        Self { path: path.to_owned(), columns, rows }.checked()
    }

    fn checked(self) -> Result<Self, IdentityError> {
        const HEADER_LINES: usize = 1;
        if self.rows.is_empty() {
            return Err(IdentityError::Empty { path: self.path });
        }
        let mut seen = HashMap::new();
        for (index, row) in self.rows.iter().enumerate() {
            let line = index + 1 + HEADER_LINES;
            if let Some(first) = seen.insert(row.account(), line) {
                return Err(IdentityError::Repeated { path: self.path.clone(), first, second: line });
            }
        }
        Ok(self)
    }

    fn check(&self, needs: &Needs) -> Result<(), IdentityError> {
        let absent = needs.columns.iter().find(|column| !self.columns.contains_key(*column));
        if let Some(column) = absent {
            let (path, column) = (self.path.clone(), column.clone());
            return Err(IdentityError::NoColumn { path, column, present: self.present() });
        }
        if self.rows.len() < needs.clones {
            let (path, available) = (self.path.clone(), self.rows.len());
            return Err(IdentityError::TooFew { path, needed: needs.clones, available });
        }
        Ok(())
    }

    fn present(&self) -> String {
        let mut names: Vec<&str> = self.columns.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

impl Identity {
    /// What tells accounts apart: the names they log in with, else the whole line.
    fn account(&self) -> Vec<&str> {
        let names: Vec<&str> = LOGIN_COLUMNS.iter().filter_map(|name| self.column(name)).collect();
        if names.is_empty() { self.values.iter().map(String::as_str).collect() } else { names }
    }

    pub fn column(&self, name: &str) -> Option<&str> {
        self.values.get(*self.columns.get(name)?).map(String::as_str)
    }
}

impl std::fmt::Debug for Identity {
    /// Passwords are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity {{ {} values }}", self.values.len())
    }
}

/// What the clones of a plan need of an identities file.
struct Needs {
    clones: usize,
    columns: Vec<String>,
}

/// The identity of each clone of the plan, by its index; `None` for clones that log in nowhere.
///
/// Fails before anything is sent when the file cannot serve the whole plan.
pub fn assign<'a>(
    identities: Option<&'a Identities>,
    plan: &Plan,
    sessions: &[Session],
) -> Result<Vec<Option<&'a Identity>>, IdentityError> {
    let needing: Vec<bool> = sessions.iter().map(|session| columns_of(session).next().is_some()).collect();
    let needs = needs(plan, sessions, &needing);
    let Some(identities) = identities else {
        return without_file(&needs).map(|()| vec![None; plan.users()]);
    };
    identities.check(&needs)?;
    let mut rows = identities.rows.iter();
    let row = |needs: bool| if needs { rows.next() } else { None };
    Ok(plan.clones().map(|clone| needing[clone.session]).map(row).collect())
}

fn needs(plan: &Plan, sessions: &[Session], needing: &[bool]) -> Needs {
    let mut is_cloned = vec![false; sessions.len()];
    let mut clones = 0;
    for clone in plan.clones() {
        is_cloned[clone.session] = true;
        clones += usize::from(needing[clone.session]);
    }
    let cloned = sessions.iter().zip(is_cloned).filter(|(_, is_cloned)| *is_cloned);
    let columns: BTreeSet<&String> = cloned.flat_map(|(session, _)| columns_of(session)).collect();
    Needs { clones, columns: columns.into_iter().cloned().collect() }
}

fn without_file(needs: &Needs) -> Result<(), IdentityError> {
    let absent = || IdentityError::Absent { needed: needs.clones, columns: needs.columns.join(", ") };
    if needs.clones == 0 { Ok(()) } else { Err(absent()) }
}

fn columns_of(session: &Session) -> impl Iterator<Item = &String> {
    session.steps.iter().flat_map(|step| &step.holes).filter_map(|hole| match &hole.source {
        Source::Identity { column } => Some(column),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use kingtide_common::exchange::Exchange;
    use kingtide_common::units::{Multiple, Seed};

    use super::*;
    use crate::plan::{Mode, amplify};
    use crate::sessions::{Choice, Escape, Hole, Place, Step};

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn read(text: &str) -> Result<Identities, IdentityError> {
        Identities::read(file(text).path())
    }

    fn session(columns: &[&str]) -> Session {
        let hole = |column: &&str| Hole {
            place: Place::Body,
            range: 0..0,
            escape: Escape::Raw,
            source: Source::Identity { column: (*column).to_owned() },
            choice: Choice::default(),
        };
        let holes = columns.iter().map(hole).collect();
        let step = Step { exchange: Exchange::default(), offset_us: 0, connection: 0, holes };
        Session { key: String::new(), start_ns: 0, steps: vec![step], orphan: false }
    }

    /// Each session once.
    fn plan(sessions: &[Session]) -> Plan {
        amplify(sessions, Multiple::new(1.0).unwrap(), Mode::Crowd, Seed(1))
    }

    #[test]
    fn each_clone_that_logs_in_has_its_own_account() {
        let identities = read("email,password\na@x, one\nb@x,\"t,wo\"\n").unwrap();
        let login = session(&["email", "password"]);
        let sessions = [login.clone(), session(&[]), login];
        let assigned = assign(Some(&identities), &plan(&sessions), &sessions).unwrap();
        let passwords: Vec<_> =
            assigned.iter().map(|identity| identity.and_then(|row| row.column("password"))).collect();
        assert_eq!(passwords, [Some("one"), None, Some("t,wo")]);
    }

    #[test]
    fn a_file_that_cannot_serve_the_plan_is_refused_with_the_remedy() {
        let identities = read("email,password\na@x,1\n").unwrap();
        let refused = |sessions: &[&[&str]], identities: Option<&Identities>| {
            let sessions: Vec<Session> = sessions.iter().map(|columns| session(columns)).collect();
            let error = assign(identities, &plan(&sessions), &sessions).unwrap_err().to_string();
            let path = identities.map(|file| file.path.display().to_string()).unwrap_or_default();
            if path.is_empty() { error } else { error.replace(&path, "FILE") }
        };
        assert_eq!(
            refused(&[&["email"], &["email"], &["email"]], Some(&identities)),
            "this replay has 3 users who log in, but `FILE` has 1 accounts: add 2 more lines, or lower -x"
        );
        assert_eq!(
            refused(&[&["email", "username"]], Some(&identities)),
            "the captured logins need the column `username`, which `FILE` does not have \
             (it has: email, password): add it to the header line and to each account"
        );
        assert_eq!(
            refused(&[&["email"], &["email", "username"]], None),
            "this replay has 2 users who log in (fields: email, username): \
             give a CSV file with as many accounts by --identities FILE"
        );
    }

    #[test]
    fn a_capture_without_logins_needs_no_file() {
        let sessions = [session(&[]), session(&[])];
        assert_eq!(assign(None, &plan(&sessions), &sessions).unwrap(), [None, None]);
    }

    #[test]
    fn broken_files_are_refused() {
        assert!(matches!(read("email,password\n"), Err(IdentityError::Empty { .. })));
        assert!(matches!(read("email,password\na@x\n"), Err(IdentityError::Unreadable { .. })));
        let twice = read("email,password\na@x,1\nb@x,1\na@x,another\n");
        assert!(matches!(twice, Err(IdentityError::Repeated { first: 2, second: 4, .. })));
        assert!(matches!(Identities::read(Path::new("absent.csv")), Err(IdentityError::Unreadable { .. })));
    }

    #[test]
    fn passwords_are_not_printed() {
        let identities = read("email,password\na@x,hunter2\n").unwrap();
        assert!(!format!("{identities:?}").contains("hunter2"));
    }
}
