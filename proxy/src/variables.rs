//! Templates of headers and redirects, with Nginx's variables: `https://$host$request_uri`.
//!
//! A template is compiled when the configuration is loaded, where a wrong name can still be told to the person
//! who wrote it, and rendered for each request without a lookup. Invariant: no CR, LF or NUL gets into what is
//! rendered. In the template they are an error; in a value (`$uri` is decoded, so `%0d%0a` would be a line's end)
//! they are left out.
//!
//! As in Nginx there is no way to write a dollar sign that begins no variable. A header that came several times
//! is joined with a comma (cookies with a semicolon), as Nginx does from 1.23 on.

use std::io::Write as _;
use std::net::IpAddr;

use crate::message::RequestHead;
use crate::uri;

/// What a request gives for the variables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) client: IpAddr,
    /// `X-Forwarded-For` of the client is carried on in `$proxy_add_x_forwarded_for`.
    pub(crate) trusts_client: bool,
    pub(crate) is_tls: bool,
    /// The port that the request came in at.
    pub(crate) server_port: u16,
    pub(crate) request_id: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Variable {
    Host,
    HttpHost,
    RequestUri,
    Uri,
    Args,
    IsArgs,
    Scheme,
    RemoteAddr,
    ProxyAddXForwardedFor,
    ServerPort,
    RequestId,
    RequestMethod,
    /// `$http_NAME`, by the name of the header.
    Header(String),
}

/// By name, but for `$http_NAME`.
const VARIABLES: [(&str, Variable); 12] = [
    ("host", Variable::Host),
    ("http_host", Variable::HttpHost),
    ("request_uri", Variable::RequestUri),
    ("uri", Variable::Uri),
    ("args", Variable::Args),
    ("is_args", Variable::IsArgs),
    ("scheme", Variable::Scheme),
    ("remote_addr", Variable::RemoteAddr),
    ("proxy_add_x_forwarded_for", Variable::ProxyAddXForwardedFor),
    ("server_port", Variable::ServerPort),
    ("request_id", Variable::RequestId),
    ("request_method", Variable::RequestMethod),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// The error names the variable that is not known, and those that are.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(bad) = text.chars().find(|char| char.is_control() && *char != '\t') {
            return Err(format!("a header cannot hold the control character {bad:?}"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            push_text(&mut pieces, before);
            let (name, after) = split_name(after)?;
            pieces.push(Piece::Variable(variable(name)?));
            rest = after;
        }
        push_text(&mut pieces, rest);
        Ok(Self { pieces })
    }

    /// Appends the text for this request.
    pub(crate) fn render(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => variable.render(values, out),
            }
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// The name after a dollar sign, with or without braces, and what follows it.
fn split_name(text: &str) -> Result<(&str, &str), String> {
    let wrong = || format!("`${text}` begins no variable: write $host or ${{host}}; known are {}", known());
    let (name, after) = if let Some(braced) = text.strip_prefix('{') {
        braced.split_once('}').ok_or_else(wrong)?
    } else {
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        text.split_at(text.find(|char| !is_name(char)).unwrap_or(text.len()))
    };
    if name.is_empty() { Err(wrong()) } else { Ok((name, after)) }
}

fn variable(name: &str) -> Result<Variable, String> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(own, _)| *own == name) {
        return Ok(variable.clone());
    }
    match name.strip_prefix("http_") {
        Some(header) if !header.is_empty() => Ok(Variable::Header(header.replace('_', "-"))),
        _ => Err(format!("`${name}` is no variable; known are {}", known())),
    }
}

fn known() -> String {
    let names = VARIABLES.iter().map(|(name, _)| format!("${name}"));
    names.chain(["$http_NAME".to_owned()]).collect::<Vec<_>>().join(" ")
}

impl Variable {
    fn render(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        let head = values.head;
        match self {
            Self::Host => out.extend(clean(name_of_host(head.host())).map(|byte| byte.to_ascii_lowercase())),
            Self::HttpHost => join(head, "host", out),
            Self::RequestUri => out.extend(clean(head.target())),
            // A path that cannot be resolved is refused before; as it came is the safe rest.
            Self::Uri => out.extend(clean(&uri::normalize(head.path()).unwrap_or(head.path().into()))),
            Self::Args => out.extend(clean(args(head).unwrap_or_default())),
            Self::IsArgs => out.extend(args(head).filter(|args| !args.is_empty()).map(|_| b'?')),
            Self::Scheme => out.extend_from_slice(if values.is_tls { b"https" } else { b"http" }),
            Self::RemoteAddr => push_number(values.client.to_canonical(), out),
            Self::ProxyAddXForwardedFor => add_forwarded_for(values, out),
            Self::ServerPort => push_number(values.server_port, out),
            Self::RequestId => out.extend(clean(values.request_id.as_bytes())),
            Self::RequestMethod => out.extend(clean(head.method().as_bytes())),
            Self::Header(name) => join(head, name, out),
        }
    }
}

fn clean(value: &[u8]) -> impl Iterator<Item = u8> {
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))
}

/// Without its port and without the dot of the root; an IPv6 address keeps its brackets.
fn name_of_host(host: &str) -> &[u8] {
    let address_ends = host.rfind(']').map_or(0, |at| at + 1);
    let name = host[address_ends..].find(':').map_or(host, |port| &host[..address_ends + port]);
    name.strip_suffix('.').unwrap_or(name).as_bytes()
}

/// What follows the question mark, up to a fragment.
fn args(head: &RequestHead) -> Option<&[u8]> {
    let after = head.target()[head.path().len()..].strip_prefix(b"?")?;
    after.split(|byte| *byte == b'#').next()
}

/// The values of all headers of a name.
fn join(head: &RequestHead, name: &str, out: &mut Vec<u8>) {
    let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") { b"; " } else { b", " };
    for (place, value) in head.fields.all(name).enumerate() {
        out.extend_from_slice(if place == 0 { b"" } else { separator });
        out.extend(clean(value));
    }
}

fn add_forwarded_for(values: &Values<'_>, out: &mut Vec<u8>) {
    let before = out.len();
    if values.trusts_client {
        join(values.head, "x-forwarded-for", out);
    }
    if out.len() > before {
        out.extend_from_slice(b", ");
    }
    push_number(values.client.to_canonical(), out);
}

fn push_number(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render_for(template: &str, head: &RequestHead, client: &str) -> String {
        let (client, request_id) = (client.parse().unwrap(), "0123456789abcdef0123456789abcdef");
        let values =
            Values { head, client, trusts_client: true, is_tls: true, server_port: 8443, request_id };
        let mut out = Vec::new();
        Template::parse(template).unwrap().render(&values, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn render(template: &str) -> String {
        let fields = [("Host", "Example.com:8443"), ("X-Room", "5b"), ("Cookie", "a=1"), ("cookie", "b=2")];
        let head = RequestHead::sample("POST", "/a%20b//c?x=1&y=2", "Example.com:8443", &fields);
        render_for(template, &head, "::ffff:10.1.2.3")
    }

    #[test]
    fn each_variable_is_what_it_is_in_nginx() {
        for (template, text) in [
            ("https://$host$request_uri", "https://example.com/a%20b//c?x=1&y=2"),
            ("$http_host", "Example.com:8443"),
            ("$uri$is_args$args", "/a b/c?x=1&y=2"),
            ("$scheme:$server_port", "https:8443"),
            ("$remote_addr", "10.1.2.3"),
            ("$proxy_add_x_forwarded_for", "10.1.2.3"),
            ("id=${request_id}.", "id=0123456789abcdef0123456789abcdef."),
            ("$request_method", "POST"),
            ("$http_x_room", "5b"),
            ("${http_x_room}c", "5bc"),
            ("$http_cookie", "a=1; b=2"),
            ("$http_x_none", ""),
            ("max-age=31536000; includeSubDomains", "max-age=31536000; includeSubDomains"),
            ("", ""),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn addresses_are_appended_to_what_came_from_a_trusted_client() {
        let fields = [("X-Forwarded-For", "1.2.3.4"), ("x-forwarded-for", "5.6.7.8")];
        let head = RequestHead::sample("GET", "/", "a", &fields);
        assert_eq!(render_for("$proxy_add_x_forwarded_for", &head, "::1"), "1.2.3.4, 5.6.7.8, ::1");
        let values = Values {
            head: &head,
            client: IpAddr::from([127, 0, 0, 1]),
            trusts_client: false,
            is_tls: false,
            server_port: 80,
            request_id: "",
        };
        let mut out = Vec::new();
        Template::parse("$scheme $proxy_add_x_forwarded_for").unwrap().render(&values, &mut out);
        assert_eq!(out, b"http 127.0.0.1");
    }

    #[test]
    fn a_host_loses_its_port_and_its_capitals() {
        for (host, name) in
            [("A.b:80", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a.b.", "a.b"), ("", "")]
        {
            assert_eq!(render_for("$host", &RequestHead::sample("GET", "/", host, &[]), "::1"), name);
        }
    }

    #[test]
    fn a_question_mark_without_arguments_is_no_argument() {
        for target in ["/a", "/a?", "/a#?b", "/a?#b"] {
            let head = RequestHead::sample("GET", target, "a", &[]);
            assert_eq!(render_for("[$is_args$args]", &head, "::1"), "[]", "{target}");
        }
    }

    #[test]
    fn a_line_end_in_a_path_does_not_become_a_header() {
        let head = RequestHead::sample("GET", "/a%0d%0aSet-Cookie:%20b%0a", "a", &[]);
        assert_eq!(render_for("$uri", &head, "::1"), "/aSet-Cookie: b");
    }

    #[test]
    fn wrong_templates_say_what_is_known() {
        let wrong = |text| Template::parse(text).unwrap_err();
        assert!(wrong("$hostt").starts_with("`$hostt` is no variable; known are $host $http_host"));
        assert!(wrong("$http_").contains("$http_NAME"));
        for text in ["$", "a$-b", "${host", "${}"] {
            assert!(wrong(text).contains("write $host or ${host}"), "{text}");
        }
        assert!(wrong("a\r\nb: c").contains("control character '\\r'"));
    }

    proptest! {
        #[test]
        fn no_value_breaks_a_line(target in "(/|%0[aAdD0]|\r|\n|\0|[a-z?]){0,20}", value in "[\r\n\0a-z]{0,9}") {
            let head = RequestHead::sample(&value, &target, &value, &[("a", &value), ("host", &value)]);
            let out = render_for("$host$http_host$request_uri$uri$args$http_a$request_method", &head, "::1");
            prop_assert!(!out.contains(['\r', '\n', '\0']));
        }

        #[test]
        fn no_template_panics(text in "[$a-z{}_é]{0,30}") {
            let _ = Template::parse(&text);
        }
    }
}
