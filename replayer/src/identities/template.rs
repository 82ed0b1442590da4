//! Templates for one column of the identities: `email=student{n:05}@school.example`.
//!
//! - `{n}`, `{n:05}`: a counter, one number for each user who logs in, padded with zeros;
//! - `{mint}`: made up, of the captured value's length, unlike any other user's of this run or another: for
//!   applications that take whoever registers;
//! - `{{`, `}}`: braces; `env:NAME`, alone: the value of an environment variable, as it is.
//!
//! Messages name the column and never the text: it may be a password.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use kingtide_common::fingerprint::Fingerprint;

use super::accounts::EMAIL;
use crate::sessions::{PASSWORD, normal};

const WIDTH_MAX: usize = 18;
/// Longest value that is made up, whatever a capture says.
const MINT_BYTES_MAX: usize = 256;
/// Characters of a minted address that differ between runs, at least, if the captured one is long enough.
const RUN_CHARACTERS_MIN: usize = 6;
/// Domains that are nobody's (RFC 2606), for minted addresses.
const DOMAINS: [&str; 2] = ["@example.com", "@u.test"];
/// What rules for passwords ask for.
const PASSWORD_START: &str = "Aa1-";

/// A template as it was written, not yet looked at. It is not printed: it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct TemplateText(String);

/// What a column says for each user.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) column: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Counter { width: usize },
    Mint,
}

/// Why a text is no template. Never shows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("--identity: write COLUMN=TEXT, such as 'email=student{{n:05}}@school.example'")]
    NoColumn,
    #[error("--identity {column}: a `{brace}` stands alone; write it twice to send one")]
    Brace { column: String, brace: char },
    #[error("--identity {column}: braces hold n, n:0WIDTH (up to n:018) or mint, such as {{n:05}}")]
    Unknown { column: String },
    #[error("--identity {column}: the environment variable {name} is not set (or not Unicode)")]
    NoVariable { column: String, name: String },
}

/// Who a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    /// Which of the users who log in, from 0.
    pub(super) index: usize,
    /// How many there are.
    pub(super) of: usize,
    pub(super) counter_from: u64,
    /// Unlike that of any other run.
    pub(super) salt: u64,
}

impl Template {
    pub(super) fn parse(
        text: &TemplateText,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Self, TemplateError> {
        let (column, text) = text.0.split_once('=').ok_or(TemplateError::NoColumn)?;
        let column = column.trim().to_owned();
        if normal(&column).is_empty() {
            return Err(TemplateError::NoColumn);
        }
        let pieces = match text.strip_prefix("env:") {
            Some(name) => {
                let unset = || TemplateError::NoVariable { column: column.clone(), name: name.to_owned() };
                vec![Piece::Text(variable(name).ok_or_else(unset)?)]
            }
            None => pieces(&column, text)?,
        };
        Ok(Self { column, pieces })
    }

    pub(super) fn is_for(&self, column: &str) -> bool {
        normal(&self.column) == normal(column)
    }

    /// Whether no two users get the same.
    pub(super) fn is_distinct(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)))
    }

    /// What a user sends in place of the captured text.
    pub(super) fn value(&self, seat: Seat, captured: &str) -> String {
        let number =
            |width: usize| format!("{:0width$}", seat.counter_from.saturating_add(seat.index as u64));
        let bytes = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Counter { width } => number(*width).len(),
            Piece::Mint => 0,
        };
        let room = captured_bytes(captured).saturating_sub(self.pieces.iter().map(bytes).sum());
        let written = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Counter { width } => number(*width),
            Piece::Mint => self.mint(seat, captured, room.min(MINT_BYTES_MAX)),
        };
        self.pieces.iter().map(written).collect()
    }

    fn mint(&self, seat: Seat, captured: &str, room: usize) -> String {
        let mint = Mint { seat, captured, column: &self.column };
        let has_domain =
            self.pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('@')));
        match normal(&self.column).as_str() {
            EMAIL if !has_domain => mint.address(room),
            PASSWORD if room > PASSWORD_START.len() + mint.width() => {
                PASSWORD_START.to_owned() + &mint.word(room - PASSWORD_START.len())
            }
            _ => mint.word(room),
        }
    }
}

/// One made-up value: the user's index, which no other user has, then letters by chance.
struct Mint<'a> {
    seat: Seat,
    captured: &'a str,
    column: &'a str,
}

impl Mint<'_> {
    fn address(&self, room: usize) -> String {
        let fits = |domain: &&&str| room >= domain.len() + self.width() + RUN_CHARACTERS_MIN;
        let domain = DOMAINS.iter().find(fits).unwrap_or(&DOMAINS[DOMAINS.len() - 1]);
        self.word(room.saturating_sub(domain.len())) + domain
    }

    fn word(&self, bytes: usize) -> String {
        let index =
            (0..self.width()).scan(self.seat.index, |rest, _| Some(self.letter(take(rest, self.base()))));
        let mut random = self.hash();
        let chance = (self.width()..bytes).map(|position| {
            // Splits one hash into many by position.
            random = mixed(random, position);
            self.letter(usize::try_from(random % self.base() as u64).expect("below the base"))
        });
        index.chain(chance).collect()
    }

    /// Digits that every index of the run fits in.
    fn width(&self) -> usize {
        let last = self.seat.of.saturating_sub(1).max(1);
        usize::try_from(last.ilog(self.base())).expect("few digits") + 1
    }

    fn base(&self) -> usize {
        if self.is_number() { 10 } else { 26 }
    }

    fn letter(&self, digit: usize) -> char {
        let first = if self.is_number() { b'0' } else { b'a' };
        char::from(first + u8::try_from(digit).expect("a digit is below the base"))
    }

    fn is_number(&self) -> bool {
        !self.captured.is_empty() && self.captured.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The same for the same captured value, so that a password is confirmed with itself.
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seat.salt, self.seat.index, normal(self.column), self.captured).hash(&mut hasher);
        hasher.finish()
    }
}

fn take(rest: &mut usize, base: usize) -> usize {
    let digit = *rest % base;
    *rest /= base;
    digit
}

fn mixed(random: u64, position: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (random, position).hash(&mut hasher);
    hasher.finish()
}

fn captured_bytes(captured: &str) -> usize {
    Fingerprint::parse(captured).map_or(captured.len(), |fingerprint| fingerprint.bytes)
}

fn pieces(column: &str, text: &str) -> Result<Vec<Piece>, TemplateError> {
    let lonely = |brace| TemplateError::Brace { column: column.to_owned(), brace };
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let (brace, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        let brace = char::from(brace);
        rest = match (brace, after.strip_prefix(brace)) {
            (_, Some(after)) => {
                plain.push(brace);
                after
            }
            ('{', None) => {
                let (name, after) = after.split_once('}').ok_or_else(|| lonely('{'))?;
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(
                    Piece::named(name).ok_or_else(|| TemplateError::Unknown { column: column.to_owned() })?,
                );
                after
            }
            _ => return Err(lonely('}')),
        };
    }
    plain.push_str(rest);
    pieces.push(Piece::Text(plain));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

impl Piece {
    fn named(name: &str) -> Option<Self> {
        match name {
            "n" => Some(Self::Counter { width: 0 }),
            "mint" => Some(Self::Mint),
            _ => {
                let width = name.strip_prefix("n:0")?.parse().ok()?;
                (1..=WIDTH_MAX).contains(&width).then_some(Self::Counter { width })
            }
        }
    }
}

impl From<String> for TemplateText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl TemplateText {
    /// What is before the `=`.
    pub fn column(&self) -> Option<&str> {
        self.0.split_once('=').map(|(column, _)| column.trim())
    }
}

impl fmt::Debug for TemplateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TemplateText {{ {} bytes }}", self.0.len())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template {{ {} }}", self.column)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn template(text: &str) -> Result<Template, TemplateError> {
        let variable = |name: &str| (name == "PASSWORD").then(|| "{n} is no counter here".to_owned());
        Template::parse(&TemplateText(text.to_owned()), variable)
    }

    fn seat(index: usize, of: usize) -> Seat {
        Seat { index, of, counter_from: 1, salt: 7 }
    }

    fn written(text: &str, index: usize, captured: &str) -> String {
        template(text).unwrap().value(seat(index, 100), captured)
    }

    #[test]
    fn counters_count() {
        let cases = [
            ("email=student{n:05}@school.example", 41, "student00042@school.example"),
            ("email=s{n}-{n:03}@x", 999, "s1000-1000@x"),
            ("password=se{{cr}}et", 3, "se{cr}et"),
            ("password==a=b", 0, "=a=b"),
            ("password=env:PASSWORD", 0, "{n} is no counter here"),
        ];
        for (text, index, expected) in cases {
            assert_eq!(written(text, index, "whatever"), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_column_and_not_the_text() {
        let mistakes = [
            ("hunter2", "COLUMN=TEXT"),
            ("=hunter2", "COLUMN=TEXT"),
            ("password=hunter2{", "a `{` stands alone"),
            ("password=hunter2}", "a `}` stands alone"),
            ("password=hunter2{m}", "braces hold n"),
            ("password=hunter2{n:5}", "braces hold n"),
            ("password=hunter2{n:019}", "braces hold n"),
            ("password=env:HUNTER", "HUNTER is not set"),
        ];
        for (text, expected) in mistakes {
            let refused = template(text).unwrap_err().to_string();
            assert!(refused.contains(expected) && !refused.contains("hunter2"), "{text}: {refused}");
        }
        assert!(!format!("{:?}", template("password=hunter2")).contains("hunter2"));
        assert!(!format!("{:?}", TemplateText("password=hunter2".to_owned())).contains("hunter2"));
    }

    #[test]
    fn minted_values_have_the_captured_shape() {
        let print = "{fp:0123456789abcdef.30}";
        let address = written("email={mint}", 5, print);
        assert!(address.len() == 30 && address.ends_with("@example.com"), "{address}");
        let short = written("email={mint}", 5, "{fp:0123456789abcdef.12}");
        assert!(short.len() == 12 && short.ends_with("@u.test"), "{short}");
        let own = written("email={mint}@school.example", 5, print);
        assert!(own.len() == 30 && own.ends_with("@school.example"), "{own}");
        let password = written("password={mint}", 5, print);
        assert!(password.len() == 30 && password.starts_with("Aa1-"), "{password}");
        assert!(written("pin={mint}", 5, "123456").bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(written("password={mint}", 5, print), password, "confirmed with itself");
    }

    #[test]
    fn another_run_mints_others() {
        let template = template("email={mint}").unwrap();
        let of_run = |salt| template.value(Seat { salt, ..seat(0, 10) }, "{fp:0123456789abcdef.30}");
        assert_ne!(of_run(1), of_run(2));
    }

    proptest! {
        #[test]
        fn no_two_users_have_the_same(
            of in 1..2_000_usize,
            captured_bytes in 0..40_usize,
            salt: u64,
            text in prop::sample::select(vec!["email={mint}", "user={mint}", "password={mint}", "email=a{n}@x"]),
        ) {
            let template = template(text).unwrap();
            let captured = format!("{{fp:0123456789abcdef.{captured_bytes}}}");
            let value = |index| template.value(Seat { salt, ..seat(index, of) }, &captured);
            let values: HashSet<String> = (0..of).map(value).collect();
            prop_assert_eq!(values.len(), of);
        }

        #[test]
        fn any_text_is_a_template_or_refused(text in ".{0,40}") {
            if let Ok(template) = template(&text) {
                template.value(seat(0, 1), &text);
            }
        }
    }
}
