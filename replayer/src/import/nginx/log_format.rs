//! A `log_format` as a matcher: texts that must stand in a line, and variables between them.
//!
//! A variable ends where the next text begins. Inside quotes Nginx escapes what would end a value
//! (`escape=default` as `\x22`, `escape=json` as `\"`), so the first quote that is not escaped is the end.
//! Times of several upstreams are one value though they hold `, ` and ` : `.

use std::borrow::Cow;

use super::fields::Fields;

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
const TIMES: [&str; 3] = ["msec", "time_iso8601", "time_local"];
const REQUESTS: [&str; 3] = ["request", "request_uri", "uri"];

/// A log's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    pieces: Vec<Piece>,
    /// More may follow in a line.
    is_open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

/// Why a text is no format that lines could be read by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongFormat {
    #[error(
        "`${0}` and `${1}` follow each other without a text between them, so nothing tells where the one ends"
    )]
    Adjacent(String, String),
    #[error("it holds no time; requests cannot be placed without $msec, $time_iso8601 or $time_local")]
    NoTime,
    #[error("it holds no request; add $request, or $request_method and $request_uri")]
    NoRequest,
}

impl LogFormat {
    pub fn combined() -> Self {
        let pieces = pieces(COMBINED);
        Self { pieces, is_open: true }
    }

    /// A format as in nginx.conf: the text alone, or the whole directive with its quotes.
    pub fn parse(text: &str) -> Result<Self, WrongFormat> {
        let pieces = pieces(&directive_text(text));
        for pair in pieces.windows(2) {
            if let [Piece::Variable(one), Piece::Variable(other)] = pair {
                return Err(WrongFormat::Adjacent(one.clone(), other.clone()));
            }
        }
        let holds = |names: &[&str]| {
            pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Variable(name) if names.contains(&name.as_str())))
        };
        if !holds(&TIMES) {
            return Err(WrongFormat::NoTime);
        }
        if !holds(&REQUESTS) {
            return Err(WrongFormat::NoRequest);
        }
        Ok(Self { pieces, is_open: false })
    }

    /// The variables of a line; `None` when it is of another format.
    pub(super) fn fields(&self, line: &str) -> Option<Fields> {
        let mut fields = Fields::default();
        let mut rest = line;
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Variable(name) => {
                    let end = self.end(name, index, rest)?;
                    fields.insert(name, &unescaped(&rest[..end]));
                    rest = &rest[end..];
                }
            }
        }
        (rest.is_empty() || self.is_open).then_some(fields)
    }

    /// Where the value of a variable ends.
    fn end(&self, name: &str, index: usize, rest: &str) -> Option<usize> {
        let Some(Piece::Text(next)) = self.pieces.get(index + 1) else { return Some(rest.len()) };
        let from = if name.starts_with("upstream_") { list_bytes(rest) } else { 0 };
        let found = rest[from..].match_indices(next.as_str()).map(|(at, _)| from + at);
        found.into_iter().find(|at| !(next.starts_with('"') && is_escaped(rest, *at)))
    }
}

/// `'a' 'b'` of a directive are one text; what is no directive is the text itself.
fn directive_text(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let Some(arguments) =
        text.strip_prefix("log_format").filter(|rest| rest.starts_with(char::is_whitespace))
    else {
        return text.into();
    };
    let mut joined = String::new();
    let mut rest = arguments;
    while let Some(start) = rest.find(['\'', '"', ';']).filter(|start| !rest[*start..].starts_with(';')) {
        let quote = &rest[start..=start];
        let Some(end) = rest[start + 1..].find(quote) else { break };
        joined.push_str(&rest[start + 1..start + 1 + end]);
        rest = &rest[start + 2 + end..];
    }
    joined.into()
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find('$').unwrap_or(rest.len());
        let (before, variable) = rest.split_at(start);
        let (name, bytes) = variable_name(variable);
        if name.is_empty() {
            let bytes = start + bytes;
            push_text(&mut pieces, &rest[..bytes]);
            rest = &rest[bytes..];
        } else {
            push_text(&mut pieces, before);
            pieces.push(Piece::Variable(name.to_owned()));
            rest = &variable[bytes..];
        }
    }
    pieces
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// `$name` or `${name}`: the name, and the bytes of all of it. Without a name the `$` is a text.
fn variable_name(text: &str) -> (&str, usize) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(inner) = text.strip_prefix("${")
        && let Some(end) = inner.find('}')
    {
        return (&inner[..end], end + 3);
    }
    let Some(name) = text.strip_prefix('$') else { return ("", text.len()) };
    let end = name.find(|c| !is_name(c)).unwrap_or(name.len());
    (&name[..end], end + 1)
}

/// Bytes of `0.001, 0.002 : -`.
fn list_bytes(text: &str) -> usize {
    let mut bytes = 0;
    loop {
        let item = text[bytes..].find([' ', ',', '"', '\'']).map_or(text.len(), |end| bytes + end);
        let separator = [", ", " : "].iter().find(|separator| text[item..].starts_with(*separator));
        let Some(separator) = separator else { return bytes };
        bytes = item + separator.len();
    }
}

/// An odd number of backslashes stands before `at`.
fn is_escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// `\xHH` of `escape=default`, and the escapes of JSON.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        let (decoded, used) = escape(&rest[start..]);
        bytes.extend_from_slice(&decoded);
        rest = &rest[start + used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// What an escape at the start of `text` stands for, and its bytes; what is none stands for itself.
fn escape(text: &str) -> (Vec<u8>, usize) {
    let hex = |digits: usize| text.get(2..2 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let one = |byte: u8| (vec![byte], 2);
    let itself = || (b"\\".to_vec(), 1);
    match text.as_bytes().get(1) {
        Some(b'x') => {
            hex(2).and_then(|byte| u8::try_from(byte).ok()).map_or_else(itself, |byte| (vec![byte], 4))
        }
        Some(b'u') => {
            hex(4).and_then(char::from_u32).map_or_else(itself, |c| (c.to_string().into_bytes(), 6))
        }
        Some(b'n') => one(b'\n'),
        Some(b'r') => one(b'\r'),
        Some(b't') => one(b'\t'),
        Some(byte @ (b'"' | b'\\' | b'/')) => one(*byte),
        _ => itself(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(format: &str, line: &str, name: &str) -> Option<String> {
        LogFormat::parse(format).unwrap().fields(line)?.text(name).map(str::to_owned)
    }

    #[test]
    fn variables_stand_between_texts() {
        let format = r#"[$time_local] "$request" ${status}b $upstream_response_time $request_time"#;
        let line = r#"[x] "GET /a\x22b HTTP/1.1" 200b 0.001, 0.002 : 0.003 0.5"#;
        assert_eq!(value(format, line, "request").as_deref(), Some("GET /a\"b HTTP/1.1"));
        assert_eq!(value(format, line, "status").as_deref(), Some("200"));
        assert_eq!(value(format, line, "upstream_response_time").as_deref(), Some("0.001, 0.002 : 0.003"));
        assert_eq!(value(format, line, "request_time").as_deref(), Some("0.5"));
        assert_eq!(value(format, "something else", "status"), None);
    }

    #[test]
    fn an_escaped_quote_ends_no_value() {
        let line = r#"{"time":"1.5","request":"GET /x?q=\"a\\" ,"}"#;
        let format = r#"{"time":"$msec","request":"$request" ,"}"#;
        assert_eq!(value(format, line, "request").as_deref(), Some("GET /x?q=\"a\\"));
    }

    #[test]
    fn a_directive_is_read_with_its_quotes() {
        let directive =
            "log_format  kt escape=json '$msec $request_method '\n    '$request_uri';\n  access_log 'x';";
        assert_eq!(value(directive, "1.5 GET /a", "request_uri").as_deref(), Some("/a"));
    }

    #[test]
    fn a_format_that_cannot_be_read_by_says_why() {
        let wrong = |format| LogFormat::parse(format).unwrap_err();
        assert_eq!(wrong("$msec$request"), WrongFormat::Adjacent("msec".into(), "request".into()));
        assert_eq!(wrong("$request"), WrongFormat::NoTime);
        assert_eq!(wrong("$msec $status"), WrongFormat::NoRequest);
    }

    #[test]
    fn combined_takes_what_others_append() {
        let line = r#"1.2.3.4 - - [24/Nov/2026:13:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "curl" "9.9.9.9""#;
        assert_eq!(LogFormat::combined().fields(line).unwrap().text("http_user_agent"), Some("curl"));
    }
}
