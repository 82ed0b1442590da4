//! One file of Nginx's configuration as plain directives: the only place that knows the parser crate.
//!
//! The crate splits `https://$host/` into several arguments and keeps the parentheses of `if`; here an
//! argument is what Nginx takes for one, with quotes and escapes resolved as `ngx_conf_read_token` does.

use std::rc::Rc;

use nginx_lint_parser::ast::{Argument, Block, ConfigItem, Position};
use nginx_lint_parser::error::ParseError;

use super::ImportError;

/// Far beyond what people write; the parser recurses.
pub(super) const DEPTH_MAX: usize = 64;

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    /// The files in the order in which Nginx reads them.
    pub(super) order: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) file: Rc<str>,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) at: At,
    pub(super) block: Option<Vec<Directive>>,
}

impl Directive {
    /// The first argument; empty when there is none.
    pub(super) fn first(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// `args[index]`, empty when there is none.
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    pub(super) fn is_on(&self) -> bool {
        self.first() == "on"
    }

    /// The value of `name=value` among the arguments.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.args.iter().any(|arg| arg == flag)
    }

    pub(super) fn directives(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

impl std::fmt::Display for Directive {
    /// As in the file, on one line and without its block.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.args.iter().try_for_each(|arg| {
            let shown = arg.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
            let is_plain = !arg.is_empty() && !arg.contains(char::is_whitespace);
            if is_plain { write!(f, " {shown}") } else { write!(f, " \"{shown}\"") }
        })
    }
}

/// The directives of a text, includes not yet resolved.
pub(super) fn parse(text: &str, file: &Rc<str>, order: usize) -> Result<Vec<Directive>, ImportError> {
    check_depth(text, file)?;
    let config = nginx_lint_parser::parse_string(text).map_err(|error| syntax(&error, file))?;
    Ok(directives(&config.items, file, order))
}

fn check_depth(text: &str, file: &Rc<str>) -> Result<(), ImportError> {
    let mut depth = 0_usize;
    for (line, text) in text.lines().enumerate() {
        for byte in text.bytes() {
            depth = match byte {
                b'{' => depth + 1,
                b'}' => depth.saturating_sub(1),
                _ => depth,
            };
        }
        if depth > DEPTH_MAX {
            return Err(ImportError::TooDeep { path: file.to_string(), line: line + 1 });
        }
    }
    Ok(())
}

fn syntax(error: &ParseError, file: &Rc<str>) -> ImportError {
    let message = match error {
        ParseError::UnexpectedToken { found, .. } => found.clone(),
        ParseError::UnclosedBlock { .. } => "this block is not closed".to_owned(),
        ParseError::IoError(why) => why.clone(),
    };
    let position = error.position().unwrap_or_default();
    ImportError::Syntax { path: file.to_string(), line: position.line, column: position.column, message }
}

fn directives(items: &[ConfigItem], file: &Rc<str>, order: usize) -> Vec<Directive> {
    let found = items.iter().filter_map(|item| match item {
        ConfigItem::Directive(found) => Some(found),
        ConfigItem::Comment(_) | ConfigItem::BlankLine(_) => None,
    });
    let directives = found.map(|found| Directive {
        name: found.name.clone(),
        args: arguments(&found.name, &found.args),
        at: at(found.name_span.start, file, order),
        block: found.block.as_ref().map(|block: &Block| directives(&block.items, file, order)),
    });
    directives.collect()
}

fn at(position: Position, file: &Rc<str>, order: usize) -> At {
    At { order, line: position.line, column: position.column, file: Rc::clone(file) }
}

/// Arguments that touch each other are one; quotes and escapes are resolved.
fn arguments(name: &str, found: &[Argument]) -> Vec<String> {
    let mut raw: Vec<String> = Vec::new();
    let mut end = None;
    for argument in found {
        match raw.last_mut().filter(|_| end == Some(argument.span.start.offset)) {
            Some(last) => last.push_str(&argument.raw),
            None => raw.push(argument.raw.clone()),
        }
        end = Some(argument.span.end.offset);
    }
    if name == "if" {
        raw = without_parentheses(&raw);
    }
    raw.iter().map(|raw| resolved(raw)).collect()
}

/// The words of an `if` between its parentheses.
fn without_parentheses(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(first) = words.first_mut() {
        *first = first.strip_prefix('(').unwrap_or(first).to_owned();
    }
    if let Some(last) = words.last_mut() {
        *last = last.strip_suffix(')').unwrap_or(last).to_owned();
    }
    words.retain(|word| !word.is_empty());
    words
}

fn resolved(raw: &str) -> String {
    let quoted = |quote: char| raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let inner = quoted('"').or_else(|| quoted('\'')).unwrap_or(raw);
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { chars.peek().copied().and_then(escape) } else { None };
        text.push(escaped.unwrap_or(char));
        if escaped.is_some() {
            chars.next();
        }
    }
    text
}

/// What `\` and this character stand for; other pairs are left as they are, for regular expressions.
fn escape(char: char) -> Option<char> {
    match char {
        '"' | '\'' | '\\' => Some(char),
        't' => Some('\t'),
        'r' => Some('\r'),
        'n' => Some('\n'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Directive> {
        parse(text, &"nginx.conf".into(), 0).unwrap()
    }

    fn args(text: &str) -> Vec<String> {
        read(text).remove(0).args
    }

    #[test]
    fn arguments_are_those_of_nginx() {
        assert_eq!(args("return 301 https://$host$request_uri;"), ["301", "https://$host$request_uri"]);
        assert_eq!(args(r#"return 200 "a\n\"b\"";"#), ["200", "a\n\"b\""]);
        assert_eq!(args(r"location ~* \.(js|css)$ {}"), ["~*", r"\.(js|css)$"]);
        assert_eq!(args("add_header X '';"), ["X", ""]);
        assert_eq!(args("proxy_pass http://${name}x/$1?a=$arg_a;"), ["http://${name}x/$1?a=$arg_a"]);
    }

    #[test]
    fn the_parentheses_of_if_are_no_arguments() {
        let wanted = ["$request_method", "=", "OPTIONS"];
        assert_eq!(args("if ($request_method = 'OPTIONS') {}"), wanted);
        assert_eq!(args("if ( $request_method = OPTIONS ) {}"), wanted);
        assert_eq!(args("if ($uri ~ ^/(a|b)$) {}"), ["$uri", "~", "^/(a|b)$"]);
    }

    #[test]
    fn lines_and_nesting_are_kept() {
        let http = read("# first\nhttp {\n  server {\n    listen 80;\n  }\n}\n").remove(0);
        let server = &http.directives()[0];
        assert_eq!((http.at.line, server.at.line, server.directives()[0].at.line), (2, 3, 4));
    }

    #[test]
    fn mistakes_are_placed() {
        let wrong = |text: &str| parse(text, &"nginx.conf".into(), 0).unwrap_err().to_string();
        assert_eq!(wrong("http {\n  a b; }\n}"), "nginx.conf:3:1: unexpected '}'");
        assert!(wrong("listen 80").starts_with("nginx.conf:1:"));
        assert!(wrong(&"a {".repeat(1000)).contains("nest deeper"));
    }

    #[test]
    fn a_directive_is_shown_on_one_line() {
        let shown = read("return 200 \"it's\nfine\\n\";").remove(0).to_string();
        assert_eq!(shown, "return 200 \"it's\\nfine\\n\"");
    }
}
