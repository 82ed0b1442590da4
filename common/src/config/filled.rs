//! A TOML file whose texts are filled before they are read: `${VARIABLE}` becomes what stands for it.
//!
//! Filling happens in the parsed values, not in the file's text: what is put in cannot change the file's form, and errors keep
//! the lines of the file. What was put in may be a secret, so that no error shows it.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, SPANNED, at_span, wrong_at};

/// What becomes of a text: `None` when it stays as it is. The error is for people and does not show the text.
pub type Fill<'a> = &'a mut dyn FnMut(&str, &str) -> Result<Option<String>, String>;

/// Like [`super::parse`]; `fill` is given the dotted path of each text and the text.
pub fn parse_filled<T: DeserializeOwned>(name: &str, text: &str, fill: Fill<'_>) -> Result<T, ConfigError> {
    let mut root = DeTable::parse(text).map_err(|error| at_span(name, text, &error, ""))?;
    let mut filler = Filler { fill, filled: Vec::new() };
    filler
        .table(root.get_mut(), "")
        .map_err(|Mistake { at, key, why }| wrong_at(name, text, at, format!("{key}: {why}")))?;
    let filled = filler.filled;
    serde_path_to_error::deserialize(toml::Deserializer::from(root)).map_err(|error| {
        let key = error.path().to_string().replace(SPANNED, "");
        let mut error = at_span(name, text, error.inner(), &key);
        if let ConfigError::Wrong(wrong) = &mut error {
            wrong.message = hidden(&wrong.message, &filled);
            wrong.help = wrong.help.take().map(|help| hidden(&help, &filled));
        }
        error
    })
}

struct Filler<'a> {
    fill: Fill<'a>,
    /// What was put in, and in place of what.
    filled: Vec<(String, String)>,
}

struct Mistake {
    at: Range<usize>,
    key: String,
    why: String,
}

impl Filler<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, path: &str) -> Result<(), Mistake> {
        for (key, value) in table.iter_mut() {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", key.get_ref());
            self.value(value.span(), value.get_mut(), &path)?;
        }
        Ok(())
    }

    fn value(&mut self, at: Range<usize>, value: &mut DeValue<'_>, path: &str) -> Result<(), Mistake> {
        match value {
            DeValue::String(text) => self.text(at, text, path),
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(values) => {
                let mut values = values.iter_mut().enumerate();
                values.try_for_each(|(index, value)| {
                    self.value(value.span(), value.get_mut(), &format!("{path}[{index}]"))
                })
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, at: Range<usize>, text: &mut Cow<'_, str>, path: &str) -> Result<(), Mistake> {
        let filled = (self.fill)(path, text).map_err(|why| Mistake { at, key: path.to_owned(), why })?;
        if let Some(filled) = filled {
            self.filled.push((filled.clone(), text.to_string()));
            *text = Cow::Owned(filled);
        }
        Ok(())
    }
}

/// A message with the file's own text in place of what was put in, as it is or as Rust quotes it.
fn hidden(message: &str, filled: &[(String, String)]) -> String {
    let mut message = message.to_owned();
    for (value, text) in filled.iter().filter(|(value, _)| !value.is_empty()) {
        message = message.replace(value, text).replace(&value.escape_debug().to_string(), text);
    }
    message
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::units::Span;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        wait: Span,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        name: String,
    }

    /// `$x` becomes `value`; `$y` cannot be filled.
    fn parsed(text: &str, value: &str) -> Result<Config, String> {
        let mut fill = |_: &str, text: &str| match text {
            "$x" => Ok(Some(value.to_owned())),
            "$y" => Err("there is no y".to_owned()),
            _ => Ok(None),
        };
        parse_filled("a.toml", text, &mut fill).map_err(|error| error.in_one_line())
    }

    #[test]
    fn texts_are_filled_wherever_they_stand() {
        let config = parsed("wait = \"$x\"\n[[inner]]\nname = \"$x\"\n", "3s").unwrap();
        assert_eq!((config.wait.0.as_secs(), config.inner[0].name.as_str()), (3, "3s"));
    }

    #[test]
    fn what_is_put_in_does_not_change_the_form() {
        let quoted = "\"\nwait = 3";
        let config = parsed("wait = \"1s\"\ninner = [{ name = \"$x\" }]", quoted).unwrap();
        assert_eq!(config.inner[0].name, quoted);
    }

    #[test]
    fn what_cannot_be_filled_is_named_with_its_line_and_key() {
        let refused = parsed("wait = \"1s\"\n[[inner]]\nname = \"$y\"\n", "").unwrap_err();
        assert_eq!(refused, "a.toml:3: inner[0].name: there is no y");
    }

    #[test]
    fn what_was_put_in_is_never_shown() {
        for secret in ["hunter2", "with \"quotes\" and \\"] {
            let refused = parsed("\nwait = \"$x\"", secret).unwrap_err();
            assert!(refused.starts_with("a.toml:2: wait: `$x`"), "{refused}");
            assert!(!refused.contains("hunter") && !refused.contains("quotes"), "{refused}");
        }
    }
}
