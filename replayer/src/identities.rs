//! Identities: the accounts that clones log in with, from a CSV file, from templates, or from both.
//!
//! Every clone that needs an account gets one of its own: two clones as the same user would test something
//! else. What could give two of them the same account is refused before anything is sent.

mod accounts;
mod template;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use accounts::Accounts;
use template::{Seat, Template};
pub use template::{TemplateError, TemplateText};

use crate::plan::{Plan, PlannedClone};
use crate::report::format::counted;
use crate::sessions::{Outlines, PASSWORD, normal};

/// Where accounts come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    file: Option<Arc<Accounts>>,
    templates: Vec<Template>,
    /// First number of the templates' counter.
    counter_from: u64,
    /// Accounts that earlier runs took.
    passed_over: usize,
}

/// How many accounts the users of a plan take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    pub accounts: usize,
    /// How many there are; `None` where templates make as many as are asked for.
    pub held: Option<usize>,
}

/// Why these identities cannot serve a run. Names file, line, number and remedy; never a value.
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
        "`{path}` line {line} has {values} value(s) and the header line {columns} column(s): \
         write one for each, in quotes if it holds a comma",
        path = path.display()
    )]
    Ragged { path: PathBuf, line: usize, values: usize, columns: usize },
    #[error(
        "`{path}` has the columns `{first}` and `{second}`, which are one: take one out, or rename it",
        path = path.display()
    )]
    TwoColumns { path: PathBuf, first: String, second: String },
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
         add it to the header line and to each account, or give --identity '{column}=TEXT'",
        path = path.display()
    )]
    NoColumn { path: PathBuf, column: String, present: String },
    #[error("the captured logins need the column `{column}`: give --identity '{column}=TEXT' as well")]
    NoTemplate { column: String },
    #[error("--identity {column}: no captured login has it (they have: {needed}); leave it out")]
    Unused { column: String, needed: String },
    #[error("--identity {column} is given twice, or is a column of the identities file too: leave one out")]
    Twice { column: String },
    #[error(
        "every user would log in as the same account (fields: {columns}): put a counter into one, \
         such as --identity 'email=student{{n:05}}@school.example'"
    )]
    OneForAll { columns: String },
    #[error(
        "this replay has {needed} users who log in (fields: {columns}): \
         give a CSV file with as many accounts by --identities FILE, \
         or a template for each field, such as --identity 'email=student{{n:05}}@school.example'"
    )]
    Absent { needed: usize, columns: String },
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Identities {
    /// Reads a CSV file with a header line.
    pub fn read(path: &Path) -> Result<Self, IdentityError> {
        Ok(Self { file: Some(Arc::new(Accounts::read(path)?)), ..Self::default() })
    }

    /// Adds templates for columns that the file does not have. `variable` answers for `env:NAME`.
    pub fn with_templates(
        mut self,
        texts: &[TemplateText],
        counter_from: u64,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, IdentityError> {
        for text in texts {
            let template = Template::parse(text, &variable)?;
            let column = &template.column;
            if self.has_template(column) || self.is_in_file(column) {
                return Err(IdentityError::Twice { column: column.clone() });
            }
            self.templates.push(template);
        }
        self.counter_from = counter_from;
        Ok(self)
    }

    /// For people, without a value.
    pub fn sentence(&self) -> String {
        let file = self.file.as_ref().map(|file| counted(file.len() as u64, "account"));
        let columns: Vec<&str> = self.templates.iter().map(|template| template.column.as_str()).collect();
        let made = (!columns.is_empty()).then(|| format!("templates for {}", columns.join(", ")));
        [file, made].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// For a run after others that took so many accounts: its users get the next ones, and where the file ends its
    /// first ones again.
    #[must_use]
    pub fn after(&self, taken: usize) -> Self {
        Self { passed_over: taken, ..self.clone() }
    }

    /// See [`Demand::held`].
    fn held(&self, needs: &Needs) -> Option<usize> {
        let naming = needs.naming();
        let is_named = naming.iter().any(|column| self.is_in_file(column));
        self.file.as_ref().filter(|_| is_named && !self.makes_accounts(&naming)).map(|file| file.len())
    }

    /// Whether a template alone makes each user another one.
    fn makes_accounts(&self, naming: &[&str]) -> bool {
        naming.iter().any(|column| self.template(column).is_some_and(Template::is_distinct))
    }

    fn is_in_file(&self, column: &str) -> bool {
        self.file.as_ref().is_some_and(|file| file.has(column))
    }

    fn template(&self, column: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.is_for(column))
    }

    fn has_template(&self, column: &str) -> bool {
        self.template(column).is_some()
    }

    fn check(&self, needs: &Needs) -> Result<(), IdentityError> {
        self.check_columns(needs)?;
        self.check_distinct(needs)?;
        let short = self
            .file
            .as_ref()
            .filter(|file| file.len() < needs.clones && needs.columns.iter().any(|column| file.has(column)));
        match short {
            Some(file) => {
                let (path, available) = (file.path.clone(), file.len());
                Err(IdentityError::TooFew { path, needed: needs.clones, available })
            }
            None => Ok(()),
        }
    }

    fn check_columns(&self, needs: &Needs) -> Result<(), IdentityError> {
        let is_needed = |template: &&Template| needs.columns.iter().any(|column| template.is_for(column));
        if let Some(unused) = self.templates.iter().find(|template| !is_needed(template)) {
            return Err(IdentityError::Unused { column: unused.column.clone(), needed: needs.names() });
        }
        let is_given = |column: &&String| self.is_in_file(column) || self.has_template(column);
        let Some(column) = needs.columns.iter().find(|column| !is_given(column)) else { return Ok(()) };
        let column = column.clone();
        Err(match &self.file {
            Some(file) => IdentityError::NoColumn { path: file.path.clone(), column, present: file.names() },
            None => IdentityError::NoTemplate { column },
        })
    }

    /// That what names an account differs from user to user: all that logins need but the password.
    fn check_distinct(&self, needs: &Needs) -> Result<(), IdentityError> {
        let naming = needs.naming();
        if needs.clones <= 1 || self.makes_accounts(&naming) {
            return Ok(());
        }
        match &self.file {
            Some(file) if naming.iter().any(|column| file.has(column)) => file.check_unique(&naming),
            _ => Err(IdentityError::OneForAll { columns: needs.names() }),
        }
    }
}

/// The account of one clone.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    identities: &'a Identities,
    seat: Seat,
}

impl Identity<'_> {
    /// What stands in a column, in place of the captured text.
    pub fn value(&self, column: &str, captured: &str) -> Option<String> {
        let from_template =
            self.identities.template(column).map(|template| template.value(self.seat, captured));
        from_template.or_else(|| self.in_file(column))
    }

    fn in_file(&self, column: &str) -> Option<String> {
        let file = self.identities.file.as_ref()?;
        let row = (self.identities.passed_over + self.seat.index) % file.len();
        file.value(row, column).map(str::to_owned)
    }

    /// Whether a column tells who the user is, rather than proving it.
    pub fn is_naming(column: &str) -> bool {
        normal(column) != PASSWORD
    }
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity {{ {} of {} }}", self.seat.index, self.seat.of)
    }
}

/// Which clone has which account: those that log in have one each, in the order of the plan.
#[derive(Debug, Clone)]
pub struct Seating<'a> {
    identities: Option<&'a Identities>,
    taken: usize,
    salt: u64,
}

/// The place of an account among all that a plan takes, from 0.
pub type SeatNumber = usize;

impl<'a> Seating<'a> {
    pub fn of(&self, seat: SeatNumber) -> Option<Identity<'a>> {
        let identities = self.identities?;
        let counter_from = identities.counter_from.saturating_add(identities.passed_over as u64);
        let (index, of) = (seat, self.taken);
        Some(Identity { identities, seat: Seat { index, of, counter_from, salt: self.salt } })
    }
}

/// The clones of a plan, each with its seat; `None` for those that log in nowhere. A seat is the number of those before,
/// so that none of them is kept.
pub fn seated<'a>(
    plan: &'a Plan,
    sessions: &'a Outlines,
) -> impl Iterator<Item = (PlannedClone, Option<SeatNumber>)> + Send + 'a {
    let mut taken = 0;
    plan.clones().map(move |clone| {
        let needs_one = !sessions.get(clone.session).account.is_empty();
        let seat = needs_one.then_some(taken);
        taken += usize::from(needs_one);
        (clone, seat)
    })
}

/// What the clones of a plan need of identities.
struct Needs {
    clones: usize,
    columns: Vec<String>,
}

impl Needs {
    fn names(&self) -> String {
        if self.columns.is_empty() { "none".to_owned() } else { self.columns.join(", ") }
    }

    /// The columns that tell accounts apart.
    fn naming(&self) -> Vec<&str> {
        let all = self.columns.iter().map(String::as_str);
        let naming: Vec<&str> = all.clone().filter(|column| Identity::is_naming(column)).collect();
        if naming.is_empty() { all.collect() } else { naming }
    }
}

/// The accounts of a plan's clones. `salt` makes what is minted unlike that of other runs.
///
/// Fails before anything is sent when the identities cannot serve the whole plan.
pub fn assign<'a>(
    identities: Option<&'a Identities>,
    plan: &Plan,
    sessions: &Outlines,
    salt: u64,
) -> Result<Seating<'a>, IdentityError> {
    let needs = needs(plan, sessions);
    check(identities, &needs)?;
    Ok(Seating { identities, taken: needs.clones, salt })
}

/// What [`assign`] will take, or why it cannot.
pub fn demand(
    identities: Option<&Identities>,
    plan: &Plan,
    sessions: &Outlines,
) -> Result<Demand, IdentityError> {
    let needs = needs(plan, sessions);
    check(identities, &needs)?;
    Ok(Demand { accounts: needs.clones, held: identities.and_then(|all| all.held(&needs)) })
}

fn check(identities: Option<&Identities>, needs: &Needs) -> Result<(), IdentityError> {
    match identities {
        Some(identities) => identities.check(needs),
        None if needs.clones > 0 => {
            Err(IdentityError::Absent { needed: needs.clones, columns: needs.names() })
        }
        None => Ok(()),
    }
}

fn needs(plan: &Plan, sessions: &Outlines) -> Needs {
    let mut columns: BTreeSet<&String> = BTreeSet::new();
    let mut clones = 0;
    for clone in plan.clones() {
        let account = sessions.get(clone.session).account;
        columns.extend(account);
        clones += usize::from(!account.is_empty());
    }
    Needs { clones, columns: columns.into_iter().cloned().collect() }
}

#[cfg(test)]
mod tests;
