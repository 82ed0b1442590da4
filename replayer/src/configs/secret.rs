//! `${VARIABLE}` in a file's texts, and the refusal of secrets that stand in the file themselves.
//!
//! A text is a secret by its key (`password`, `api_token`), or by being a URL with a password in it. It must come from a
//! variable, without a default: a default would stand in the file.

/// Last words of keys whose texts are secrets.
const SECRET_WORDS: [&str; 10] =
    ["apikey", "credential", "credentials", "key", "passwd", "password", "pin", "secret", "token", "webhook"];

/// What a text says with its variables' values; `None` when it has none.
pub fn filled(
    key: &str,
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let is_secret = is_secret_key(key);
    if is_literal_secret(is_secret, text) {
        return Err(format!(
            "a secret does not stand in a file: write \"${{{}}}\", and set that variable in the environment, or in \
             the file .env beside this one",
            variable_for(key)
        ));
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, after) = after.split_once('}').ok_or("a `${` has no `}`; write ${NAME}")?;
        filled.push_str(before);
        filled.push_str(&value(inner, is_secret || has_password(text), &variable)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(text.contains("${").then_some(filled))
}

/// Of `NAME` or `NAME:-default`.
fn value(inner: &str, is_secret: bool, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("`${{{name}…` names no variable; write ${{NAME}} or ${{NAME:-default}}"));
    }
    if is_secret && default.is_some() {
        return Err(format!("the default of ${{{name}}} would be a secret in a file: write ${{{name}}}"));
    }
    variable(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!(
            "the variable {name} is not set: export it, or write {name}=… into the file .env beside this one"
        )
    })
}

/// Whether the last word of a key says that its text is a secret.
pub fn is_secret_key(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    let name = last.split('[').next().unwrap_or_default();
    let word = name.rsplit(['_', '-']).next().unwrap_or_default();
    SECRET_WORDS.contains(&word.to_ascii_lowercase().as_str())
        || SECRET_WORDS.contains(&last_hump(word).to_ascii_lowercase().as_str())
}

/// `Key` of `apiKey`.
fn last_hump(word: &str) -> &str {
    let is_start = |(at, c): &(usize, char)| {
        c.is_ascii_uppercase() && word[..*at].ends_with(|before: char| before.is_ascii_lowercase())
    };
    word.char_indices().rfind(is_start).map_or(word, |(at, _)| &word[at..])
}

/// What a template makes up (`{mint}`), or takes from a variable (`env:NAME`), is none.
fn is_literal_secret(is_secret: bool, text: &str) -> bool {
    let without = without_braces(text);
    let is_from_elsewhere = text.contains("${") || text.starts_with("env:") || without.is_empty();
    (is_secret && !is_from_elsewhere) || password_in_url(text).is_some_and(|word| !word.contains("${"))
}

fn without_braces(text: &str) -> String {
    let mut without = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once('{') {
        without.push_str(before);
        rest = inside.split_once('}').map_or("", |(_, after)| after);
    }
    without + rest
}

fn has_password(text: &str) -> bool {
    password_in_url(text).is_some()
}

/// The password of `scheme://user:password@host`, or of its query.
fn password_in_url(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("://")?;
    // A default of a variable may hold what ends an authority.
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let of_user = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let in_user = of_user.map(|(_, password)| password);
    in_user.or_else(|| password_in_query(after)).filter(|password| !password.is_empty())
}

fn password_in_query(after: &str) -> Option<&str> {
    let (_, query) = after.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| is_secret_key(name)).map(|(_, value)| value)
}

/// A name to suggest.
fn variable_for(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or_default();
    let name: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    name.trim_matches('_').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, text: &str) -> Result<Option<String>, String> {
        filled(key, text, |name| (name == "SET").then(|| "value".to_owned()))
    }

    #[test]
    fn variables_are_filled_in() {
        let cases = [
            ("url", "https://a.example", None),
            ("url", "https://${SET}.example", Some("https://value.example")),
            ("url", "${SET}${SET}", Some("valuevalue")),
            ("url", "${UNSET:-https://a}", Some("https://a")),
            ("url", "${SET:-other}", Some("value")),
            ("url", "costs $5", None),
            ("identities.columns.password", "${SET}", Some("value")),
            ("identities.columns.password", "A-${SET}", Some("A-value")),
            ("identities.columns.password", "{mint}", None),
            ("identities.columns.password", "env:PASSWORD", None),
            ("monitor[0].url", "postgres://u:${SET}@db/x", Some("postgres://u:value@db/x")),
            ("monitor[0].url", "postgres://u@db/x", None),
            ("tls.key_file", "key.pem", None),
        ];
        for (key, text, expected) in cases {
            assert_eq!(said(key, text).unwrap().as_deref(), expected, "{key} = {text}");
        }
    }

    #[test]
    fn secrets_in_the_file_are_refused_and_not_repeated() {
        for (key, text) in [
            ("identities.columns.password", "hunter2"),
            ("identities.columns.password", "hunter{n}2"),
            ("monitor[0].api_token", "hunter2"),
            ("monitor[1].headers.X-Api-Key", "hunter2"),
            ("alert.webhook", "https://hooks.example/hunter2"),
            ("monitor[0].url", "postgres://u:hunter2@db/x"),
            ("monitor[0].url", "postgres://db/x?sslmode=require&password=hunter2"),
            ("monitor[0].url", "http://h/metrics?apiKey=hunter2"),
            ("monitor[0].url", "http://h/metrics?client-secret=hunter2"),
            ("monitor[0].url", "postgres://u:${SET:-hunter2}@db/x"),
            ("identities.columns.password", "${SET:-hunter2}"),
        ] {
            let refused = said(key, text).unwrap_err();
            assert!(refused.contains("secret") && refused.contains("${"), "{key}: {refused}");
            assert!(!refused.contains("hunter"), "{key}: {refused}");
        }
        assert!(said("a.api_token", "x").unwrap_err().contains("${API_TOKEN}"));
    }

    #[test]
    fn what_cannot_be_filled_is_said() {
        for (text, part) in [
            ("${UNSET}", "the variable UNSET is not set"),
            ("${SET", "has no `}`"),
            ("${}", "names no variable"),
            ("${1x}", "names no variable"),
        ] {
            assert!(said("url", text).unwrap_err().contains(part), "{text}");
        }
    }
}
