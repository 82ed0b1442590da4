//! The text of a query without what it says about people: literals become `?`, comments go, space shrinks.
//!
//! A lexer of PostgreSQL's own rules (manual, 4.1 Lexical Structure), nothing more. A text that was cut off within a
//! literal is masked to its end. A plain string with a backslash before a quote can be read in two ways
//! (`standard_conforming_strings`) and hides all that follows.

/// Characters of a masked text; what is longer ends in `…`.
const CHARS_MAX: usize = 300;

/// See the module.
pub fn masked(sql: &str) -> String {
    let mut masked = Masked::default();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, bytes) = token(rest, first);
        masked.push(token, &rest[..bytes]);
        rest = &rest[bytes..];
    }
    masked.finish()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal,
    /// Comments are space too.
    Space,
    /// Kept as it is.
    Plain,
}

/// What a backslash within quotes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Plain,
    Escapes,
    /// As the server is set.
    Unclear,
}

/// The first token of a text and its length.
fn token(text: &str, first: char) -> (Token, usize) {
    let second = text[first.len_utf8()..].chars().next().unwrap_or(' ');
    match (first, second) {
        _ if first.is_whitespace() => (Token::Space, first.len_utf8()),
        ('-', '-') => (Token::Space, text.find('\n').unwrap_or(text.len())),
        ('/', '*') => (Token::Space, comment(text)),
        ('\'', _) => (Token::Literal, quoted(text, 0, Backslash::Unclear)),
        ('e' | 'E', '\'') => (Token::Literal, quoted(text, 1, Backslash::Escapes)),
        ('b' | 'B' | 'x' | 'X' | 'n' | 'N', '\'') => (Token::Literal, quoted(text, 1, Backslash::Unclear)),
        ('u' | 'U', '&') if text[2..].starts_with('\'') => {
            (Token::Literal, quoted(text, 2, Backslash::Unclear))
        }
        ('u' | 'U', '&') if text[2..].starts_with('"') => (Token::Plain, quoted(text, 2, Backslash::Plain)),
        ('"', _) => (Token::Plain, quoted(text, 0, Backslash::Plain)),
        ('$', '0'..='9') => (Token::Plain, 1 + run(&text[1..], |c| c.is_ascii_digit())),
        ('$', _) => dollar_quoted(text).map_or((Token::Plain, 1), |bytes| (Token::Literal, bytes)),
        ('0'..='9', _) => (Token::Literal, number(text)),
        ('.', '0'..='9') => (Token::Literal, 1 + number(&text[1..])),
        _ if is_word_start(first) => (Token::Plain, run(text, is_word)),
        _ => (Token::Plain, first.len_utf8()),
    }
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word(c: char) -> bool {
    is_word_start(c) || c == '$' || c.is_numeric()
}

/// Bytes at the beginning that consist of such characters.
fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

/// Bytes of a literal or a quoted name whose quote stands at `open`; a doubled quote is one of its characters.
fn quoted(text: &str, open: usize, backslash: Backslash) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes[open];
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslash == Backslash::Escapes => at += 1,
            b'\\' if backslash == Backslash::Unclear && bytes.get(at + 1) == Some(&quote) => {
                return text.len();
            }
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// `$$…$$` and `$tag$…$tag$`; `None` where the dollar opens nothing.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = 1 + run(&text[1..], |c| is_word(c) && c != '$');
    let opening = text.get(..=tag).filter(|opening| opening.ends_with('$'))?;
    let body = &text[opening.len()..];
    Some(body.find(opening).map_or(text.len(), |end| end + 2 * opening.len()))
}

/// `/* … */`, nested as PostgreSQL nests them.
fn comment(text: &str) -> usize {
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0_usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// `42`, `4_2`, `4.2e-1`, `0x2A`.
fn number(text: &str) -> usize {
    let whole = run(text, |c| c == '_' || c == '.' || c.is_alphanumeric());
    let has_signed_exponent = text[..whole].ends_with(['e', 'E']) && text[whole..].starts_with(['+', '-']);
    if has_signed_exponent { whole + 1 + run(&text[whole + 1..], |c| c.is_ascii_digit()) } else { whole }
}

#[derive(Debug, Default)]
struct Masked {
    text: String,
    is_spaced: bool,
}

impl Masked {
    fn push(&mut self, token: Token, text: &str) {
        if token == Token::Space {
            self.is_spaced = true;
            return;
        }
        if std::mem::take(&mut self.is_spaced) && !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(if token == Token::Literal { "?" } else { text });
    }

    fn finish(self) -> String {
        match self.text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_and_comments_are_not_shown() {
        let cases = [
            ("SELECT * FROM users WHERE id = 42", "SELECT * FROM users WHERE id = ?"),
            ("SELECT 'anna@example.com'", "SELECT ?"),
            ("SELECT 'it''s', E'it\\'s', N'x', B'01', X'2A', U&'d\\0061t'", "SELECT ?, ?, ?, ?, ?, ?"),
            (r"SELECT 'a\', 'secret'", "SELECT ?"),
            (r"SELECT 'a\', b FROM t WHERE c = 'secret'", "SELECT ?"),
            ("SELECT $$anna$$, $q$an $$ na$q$, $1", "SELECT ?, ?, $1"),
            ("SELECT 1.5e-3, .5, 0x2A, 1_000, -7, 1e5", "SELECT ?, ?, ?, ?, -?, ?"),
            ("SELECT t1.a2, \"Col \"\"7\"\" x\" FROM t1", "SELECT t1.a2, \"Col \"\"7\"\" x\" FROM t1"),
            ("SELECT 1 -- anna\n  , 2 /* a /* b */ anna */ FROM t", "SELECT ? , ? FROM t"),
            ("  SELECT\n\t1  ", "SELECT ?"),
            ("UPDATE t SET name = 'ann", "UPDATE t SET name = ?"),
            ("SELECT $tag$ann", "SELECT ?"),
            ("SELECT /* ann", "SELECT"),
            ("SELECT a$1 FROM é WHERE ü='ß'", "SELECT a$1 FROM é WHERE ü=?"),
            ("SELECT '2026-01-01'::date, interval '1 day'", "SELECT ?::date, interval ?"),
            ("SELECT a-1, b/2, c->>'key'", "SELECT a-?, b/?, c->>?"),
            ("ALTER ROLE app PASSWORD 'secret'", "ALTER ROLE app PASSWORD ?"),
            ("", ""),
        ];
        for (sql, expected) in cases {
            assert_eq!(masked(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let masked = masked(&format!("SELECT {}", "é, ".repeat(500)));
        assert_eq!(masked.chars().count(), CHARS_MAX + 1);
        assert!(masked.ends_with('…'));
    }

    /// A literal that holds the word, in each of the ways to write one.
    fn literal() -> impl Strategy<Value = String> {
        let inner = r"[a-z0-9 ;*/\-\$\\]{0,6}";
        (inner, 0..6_usize, inner).prop_map(|(before, form, after)| {
            let word = format!("{before}SECRET{after}");
            match form {
                0 => format!("'{word}'"),
                1 => format!(r"E'{0}\'{0}'", word.replace('\\', "")),
                2 => format!("'{word}''{word}'"),
                3 => format!("$tag${}$tag$", word.replace('$', "")),
                4 => format!("/* {} */", word.replace(['*', '/'], "")),
                _ => format!("-- {word}\n"),
            }
        })
    }

    /// Names and literals in turn.
    fn sql(parts_max: usize) -> impl Strategy<Value = String> {
        let part =
            ("[a-z_]{1,5}( [=,(] | )", literal()).prop_map(|(before, literal)| before + &literal + " ");
        prop::collection::vec(part, 0..parts_max).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_literal_is_ever_shown(sql in sql(8)) {
            let masked = masked(&sql);
            prop_assert!(!masked.contains("SECRET"), "{sql} → {masked}");
        }

        #[test]
        fn any_text_can_be_masked(sql in "\\PC{0,80}") {
            prop_assert!(masked(&sql).chars().count() <= CHARS_MAX + 1);
        }

        #[test]
        fn a_text_that_was_cut_shows_no_more(sql in sql(4), cut in any::<prop::sample::Index>()) {
            let ends: Vec<usize> = sql.char_indices().map(|(at, _)| at).chain([sql.len()]).collect();
            let masked = masked(&sql[..*cut.get(&ends)]);
            prop_assert!(!masked.contains("SECRET"), "{sql} → {masked}");
        }
    }
}
