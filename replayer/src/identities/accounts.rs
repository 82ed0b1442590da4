//! Accounts of a CSV file: the header line names the columns, each further record is one account.
//!
//! Names of columns compare as names of fields do (`E-Mail` is `email`). Lines in messages are those of an
//! editor: blank lines count, and a record begins where its first value does.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::IdentityError;
use crate::sessions::normal;

/// Columns that each name an account: no two accounts have the same value in one of them.
const LOGIN_COLUMNS: [&str; 2] = [EMAIL, "username"];
pub(super) const EMAIL: &str = "email";

/// All accounts of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) path: PathBuf,
    /// As the header line has them.
    names: Vec<String>,
    /// By the normal form of its name.
    columns: HashMap<String, usize>,
    rows: Vec<Row>,
}

#[derive(Clone, PartialEq, Eq)]
struct Row {
    line: usize,
    values: Vec<String>,
}

impl Accounts {
    /// Reads a CSV file with a header line. Spaces around values are dropped.
    pub(super) fn read(path: &Path) -> Result<Self, IdentityError> {
        const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, error.into()))?;
        Self::parse(path, bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes))?.checked()
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text);
        let header = reader.headers().map_err(|error| unreadable(path, error))?;
        let names: Vec<String> = header.iter().map(str::to_owned).collect();
        let columns = columns_of(path, &names)?;
        let mut lines = Lines { text, at: 0, line: 1 };
        let row = |record: csv::Result<csv::StringRecord>| {
            let record = record.map_err(|error| unreadable(path, error))?;
            let line = lines.of(record.position().map_or(0, csv::Position::byte));
            if record.len() != names.len() {
                let (path, values, columns) = (path.to_owned(), record.len(), names.len());
                return Err(IdentityError::Ragged { path, line, values, columns });
            }
            Ok(Row { line, values: record.iter().map(str::to_owned).collect() })
        };
        let rows = reader.records().map(row).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { path: path.to_owned(), names, columns, rows })
    }

    fn checked(self) -> Result<Self, IdentityError> {
        if self.rows.is_empty() {
            return Err(IdentityError::Empty { path: self.path });
        }
        for column in LOGIN_COLUMNS {
            self.check_unique(&[column])?;
        }
        Ok(self)
    }

    /// That no two accounts have the same values in these columns; those without any of them do not count.
    pub(super) fn check_unique(&self, columns: &[&str]) -> Result<(), IdentityError> {
        let present: Vec<&str> = columns.iter().copied().filter(|column| self.has(column)).collect();
        let mut seen = HashMap::new();
        for (index, row) in self.rows.iter().enumerate() {
            let value = |column: &&str| compared(column, self.value(index, column).unwrap_or_default());
            let key: Vec<String> = present.iter().map(value).collect();
            if key.iter().all(String::is_empty) {
                continue;
            }
            if let Some(first) = seen.insert(key, row.line) {
                let path = self.path.clone();
                return Err(IdentityError::Repeated { path, first, second: row.line });
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(&normal(column))
    }

    pub(super) fn value(&self, row: usize, column: &str) -> Option<&str> {
        let index = *self.columns.get(&normal(column))?;
        self.rows.get(row)?.values.get(index).map(String::as_str)
    }

    /// Its columns, for messages.
    pub(super) fn names(&self) -> String {
        self.names.join(", ")
    }
}

impl fmt::Debug for Row {
    /// Passwords are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row {{ line {}, {} values }}", self.line, self.values.len())
    }
}

fn unreadable(path: &Path, source: csv::Error) -> IdentityError {
    IdentityError::Unreadable { path: path.to_owned(), source }
}

fn columns_of(path: &Path, names: &[String]) -> Result<HashMap<String, usize>, IdentityError> {
    let mut columns = HashMap::new();
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if let Some(first) = columns.insert(normal(name), index) {
            let (first, second) = (names[first].clone(), name.clone());
            return Err(IdentityError::TwoColumns { path: path.to_owned(), first, second });
        }
    }
    Ok(columns)
}

/// No mail server tells `Ann@x` from `ann@x`; user names are their application's.
fn compared(column: &str, value: &str) -> String {
    if column == EMAIL { value.to_lowercase() } else { value.to_owned() }
}

/// Lines of ascending offsets.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of what comes first from `offset` on, blank lines left out: the parser's own count begins
    /// before them.
    fn of(&mut self, offset: u64) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).clamp(self.at, self.text.len());
        let blank = self.text[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = from + blank;
        self.line += memchr::memchr_iter(b'\n', &self.text[self.at..start]).count();
        self.at = start;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Accounts, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display().to_string();
        Accounts::read(file.path()).map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn columns_are_found_however_they_are_written() {
        let accounts = read("\u{feff} E-Mail ,PASSWORD,Student No\na@x, one ,7\n").unwrap();
        for (column, value) in [("email", "a@x"), ("password", "one"), ("student_no", "7")] {
            assert_eq!(accounts.value(0, column), Some(value), "{column}");
        }
        assert_eq!((accounts.value(0, "username"), accounts.value(1, "email")), (None, None));
    }

    #[test]
    fn a_column_that_is_there_twice_is_refused() {
        let refused = read("email,E-mail,password\na@x,b@x,1\n").unwrap_err();
        assert!(refused.contains("`email` and `E-mail`"), "{refused}");
        assert!(read("email,,\na@x,,\n").is_ok(), "columns without a name are nobody's");
    }

    #[test]
    fn lines_are_those_of_an_editor() {
        let cases = [
            ("email,password\na@x,1\nb@x,1\na@x,2\n", "lines 2 and 4"),
            ("\n\nemail,password\n\na@x,1\n\r\n\na@x,2\n", "lines 5 and 8"),
            ("email,note\na@x,\"two\nlines\"\nb@x,\"\n\n\"\na@x,x\n", "lines 2 and 7"),
            ("email,note\r\na@x,\"two\r\nlines\"\r\n\r\na@x,x\r\n", "lines 2 and 5"),
            ("email,password\n\na@x,1\n\nb@x\n", "line 5 has 1 value"),
            ("\u{feff}email,password\na@x,1\na@x,2", "lines 2 and 3"),
        ];
        for (text, expected) in cases {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(expected), "{text:?}: {refused}");
        }
    }

    #[test]
    fn each_column_that_names_an_account_does() {
        let repeated = [
            ("one address, two names", "email,username\na@x,ann\na@x,bob\n"),
            ("one name, two addresses", "email,username\na@x,ann\nb@x,ann\n"),
            ("one address in two spellings", "Email,password\nann@x,1\nAnn@X,2\n"),
        ];
        for (case, text) in repeated {
            assert!(read(text).is_err_and(|refused| refused.contains("lines 2 and 3")), "{case}");
        }
        let different = [
            ("names in two spellings", "username\nann\nAnn\n"),
            ("no address for some", "email,username\n,ann\n,bob\n"),
            ("one password", "email,password\na@x,1\nb@x,1\n"),
        ];
        for (case, text) in different {
            assert!(read(text).is_ok(), "{case}");
        }
    }

    #[test]
    fn broken_files_are_refused() {
        assert!(read("email,password\n").is_err_and(|refused| refused.contains("no accounts")));
        assert!(read("").is_err());
        assert!(Accounts::read(Path::new("absent.csv")).unwrap_err().to_string().contains("absent.csv"));
    }
}
