//! What a name says about its value: secret, personal, or nothing.
//!
//! Pure; a name is looked at as one word (`accessToken`, `access_token` and `ACCESS-TOKEN` alike) and, where it is a
//! path of names (`user[password]`, `user.password`), word by word.

use std::collections::HashSet;

/// What is to be hidden under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    #[default]
    Plain,
    /// The value and all below it.
    Secret,
    /// The value, or each value of a list.
    Personal,
    /// The value, and every text below it that is no id.
    PersonalObject,
}

/// What stands between the names of a path: `user[password]`, `user.password`.
const PATH_SIGNS: [char; 5] = ['[', ']', '.', '/', ':'];

/// The lists of names, normalised.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) words: Vec<String>,
    pub(super) endings: Vec<String>,
    pub(super) whole: HashSet<String>,
    pub(super) last_words: HashSet<String>,
    pub(super) plain: HashSet<String>,
    pub(super) personal: HashSet<String>,
    pub(super) personal_endings: Vec<String>,
    pub(super) personal_objects: HashSet<String>,
}

impl Names {
    /// The verdict on the name of a field.
    pub(super) fn field(&self, name: &str) -> Verdict {
        if self.hides_all(name) {
            return Verdict::Secret;
        }
        let named = words(name).rev().find(|word| !is_index(word));
        named.map_or(Verdict::Plain, |name| self.personal(name))
    }

    /// Whether the name is that of a secret.
    pub(super) fn hides_all(&self, name: &str) -> bool {
        self.is_secret(name) || (words(name).nth(1).is_some() && words(name).any(|word| self.is_secret(word)))
    }

    /// One word, or a name without structure.
    fn is_secret(&self, word: &str) -> bool {
        let whole = normal(word);
        if self.plain.contains(&whole) {
            return false;
        }
        self.whole.contains(&whole)
            || self.words.iter().any(|word| whole.contains(word.as_str()))
            || ends_with(&self.endings, &whole)
            || last_word(word).is_some_and(|last| self.last_words.contains(&normal(last)))
    }

    fn personal(&self, word: &str) -> Verdict {
        let whole = normal(word);
        let singulars = [Some(whole.as_str()), whole.strip_suffix('s'), whole.strip_suffix("es")];
        let is_in = |names: &HashSet<String>| singulars.iter().flatten().any(|name| names.contains(*name));
        if self.plain.contains(&whole) {
            Verdict::Plain
        } else if is_in(&self.personal_objects) {
            Verdict::PersonalObject
        } else if is_in(&self.personal) || ends_with(&self.personal_endings, &whole) {
            Verdict::Personal
        } else {
            Verdict::Plain
        }
    }
}

impl Verdict {
    pub fn is_hidden(self) -> bool {
        self != Self::Plain
    }
}

fn words(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split(PATH_SIGNS).filter(|word| !word.is_empty())
}

/// Also as a plural.
fn ends_with(endings: &[String], name: &str) -> bool {
    let is = |name: &str| endings.iter().any(|ending| name.ends_with(ending.as_str()));
    is(name) || name.strip_suffix('s').is_some_and(is)
}

/// The last of several words of a name: `cvv` of `card_cvv`, `Pin` of `userPin`.
fn last_word(name: &str) -> Option<&str> {
    let at_separator = name.rfind(['_', '-', ' ']).map(|at| at + 1);
    let bytes = name.as_bytes();
    let is_hump = |at: &usize| bytes[*at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
    let at_hump = (1..bytes.len()).rev().find(is_hump);
    at_separator.max(at_hump).map(|at| &name[at..])
}

fn is_index(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without case, `_`, `-`, spaces and brackets.
pub(super) fn normal(name: &str) -> String {
    let is_kept = |c: &char| !matches!(c, '_' | '-' | ' ' | '[' | ']' | '$');
    name.chars().filter(is_kept).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;

    #[test]
    fn secret_names_are_recognised_however_they_are_written() {
        let rules = Rules::built_in();
        for secret in [
            "password",
            "newPassword",
            "access_token",
            "refreshToken",
            "tokens",
            "csrf-token",
            "API_KEY",
            "client_secret",
            "sid",
            "user[password]",
            "user[pin]",
            "password[]",
            "login.otp",
            "card_cvv",
            "userPin",
            "_csrf",
            "$pwd_psk",
            "JSESSIONID",
            "X-Amz-Credential",
        ] {
            assert_eq!(rules.field(secret), Verdict::Secret, "{secret}");
        }
    }

    #[test]
    fn names_of_ordinary_fields_are_plain() {
        let rules = Rules::built_in();
        for plain in [
            "token_type",
            "expires_in",
            "activity_id",
            "id",
            "status",
            "status_code",
            "pinned",
            "inside",
            "max_tokens",
            "title",
            "petName",
            "country_code",
            "spin",
            "",
        ] {
            assert_eq!(rules.field(plain), Verdict::Plain, "{plain}");
        }
    }

    #[test]
    fn personal_names_hide_values_and_some_all_below() {
        let rules = Rules::built_in();
        for personal in
            ["E-Mail", "first_name", "parentEmail", "emails", "user", "user[first_name]", "names[0]"]
        {
            assert!(rules.field(personal).is_hidden(), "{personal}");
        }
        assert_eq!(rules.field("user"), Verdict::Personal);
        assert_eq!(rules.field("addresses"), Verdict::PersonalObject);
    }
}
