//! Nginx's times, sizes and texts in the words of `proxy.toml`.

use std::fmt::Write as _;
use std::time::Duration;

use kingtide_common::units::{ByteSize, Span};

use crate::variables::Template;

/// A text as a TOML string on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Writing to a String does not fail.
            char if char.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of strings in TOML.
pub(super) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// A time of Nginx: `60`, `1m30s`, `500ms`, `1d`.
pub(super) fn time(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|char: char| char.is_ascii_digit()).unwrap_or(rest.len());
        total = total.checked_add(unit_of_time(&rest[..unit])?.checked_mul(number)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(Span(total))
}

fn unit_of_time(unit: &str) -> Option<Duration> {
    const DAY_S: u64 = 24 * 60 * 60;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(1)),
        "" | "s" => Some(Duration::from_secs(1)),
        "m" => Some(Duration::from_mins(1)),
        "h" => Some(Duration::from_hours(1)),
        "d" => Some(Duration::from_secs(DAY_S)),
        "w" => Some(Duration::from_secs(7 * DAY_S)),
        "M" => Some(Duration::from_secs(30 * DAY_S)),
        "y" => Some(Duration::from_secs(365 * DAY_S)),
        _ => None,
    }
}

/// A time in TOML.
pub(super) fn time_toml(text: &str) -> Option<String> {
    time(text).map(|span| quoted(&span.to_string()))
}

/// A size in TOML: `1m`, `8K`, `1024`.
pub(super) fn size_toml(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    let size = text.parse::<ByteSize>().ok().filter(|_| !text.ends_with('b'))?;
    Some(if plain { size.0.to_string() } else { quoted(&text) })
}

/// A text with variables, when the proxy knows them all; else what it says about the first that it does not.
pub(super) fn with_variables(text: &str) -> Result<String, String> {
    Template::parse(text).map(|_| text.to_owned())
}

fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// `$http_x_api_key` → `X-Api-Key`
pub(super) fn header_of_variable(variable: &str) -> Option<String> {
    let name =
        variable.strip_prefix("$http_").filter(|name| !name.is_empty() && name.chars().all(is_of_name))?;
    let capital = |word: &str| {
        let (first, rest) = word.split_at(usize::from(!word.is_empty()));
        first.to_ascii_uppercase() + rest
    };
    Some(name.split('_').map(capital).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_those_of_nginx() {
        let times =
            [("60", "60s"), ("1m30s", "90s"), ("500ms", "500ms"), ("1d", "86400s"), ("1h 5m", "3900s")];
        for (text, wanted) in times {
            assert_eq!(time(text).unwrap().to_string(), wanted, "{text}");
        }
        assert!(["", "s", "1x", "-1", "1.5s"].iter().all(|text| time(text).is_none()));
        let sizes = [("1m", "\"1m\""), ("8K", "\"8k\""), ("1024", "1024"), ("0", "0"), ("2G", "\"2g\"")];
        for (text, wanted) in sizes {
            assert_eq!(size_toml(text).as_deref(), Some(wanted), "{text}");
        }
        assert!(["", "1b", "1t", "x", "-1"].iter().all(|text| size_toml(text).is_none()));
    }

    #[test]
    fn variables_are_carried_when_the_proxy_knows_them() {
        for text in ["https://$host$request_uri", "${scheme}://x", "$http_origin", "plain"] {
            assert_eq!(with_variables(text).unwrap(), text);
        }
        for text in ["$1", "a$geoip_country b", "$"] {
            assert!(with_variables(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strings_are_quoted_for_toml() {
        let text = "a \"b\" \\ \n\t\u{7} é";
        let table: toml::Table = toml::from_str(&format!("x = {}", quoted(text))).unwrap();
        assert_eq!(table["x"].as_str(), Some(text));
    }

    #[test]
    fn headers_are_named_as_people_write_them() {
        assert_eq!(header_of_variable("$http_x_api_key").as_deref(), Some("X-Api-Key"));
        assert!(header_of_variable("$http_").is_none() && header_of_variable("$http_a$b").is_none());
    }
}
