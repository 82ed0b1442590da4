//! What a browser sends back of an HTML page: the fields of its forms, and the tokens in its `meta` tags.
//!
//! A page's text is not kept in a capture, and a replay needs only what later requests repeat: hidden fields (a token
//! against forged requests, the id of what is edited), where a form leads, and `<meta name="csrf-token">` for scripts.
//! [`Page::of`] takes these out of any text, well-formed or not, by one pass over its tags; comments, scripts and styles
//! are skipped. The recording proxy and the replay use the same function, so that both mean the same field.
//!
//! As JSON: `{"forms":[{"action":"/posts","fields":{"csrf":"…"}}],"meta":{"csrf-token":"…"}}`. A form without fields keeps
//! its place in the list; of several fields with one name the first counts.

use serde::Serialize;
use serde_json::{Map, Value};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    pub forms: Vec<Form>,
    pub meta: Map<String, Value>,
}

/// A form and its fields that have a name and a value; those outside of forms are those of the form before them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Form {
    pub action: String,
    pub fields: Map<String, Value>,
}

const FORMS_MAX: usize = 32;
const FIELDS_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 4096;

impl Page {
    /// Never fails: what is no page has no forms.
    pub fn of(text: &str) -> Self {
        let mut page = Self::default();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            rest = page.tag(&rest[start + 1..]);
        }
        page
    }

    pub fn is_empty(&self) -> bool {
        self.meta.is_empty() && self.forms.iter().all(|form| form.fields.is_empty() && form.action.is_empty())
    }

    /// As a capture keeps it.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Takes in what follows a `<`, and returns what follows the tag.
    fn tag<'a>(&mut self, text: &'a str) -> &'a str {
        if let Some(comment) = text.strip_prefix("!--") {
            return after(comment, "-->");
        }
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let name = text[..end].to_ascii_lowercase();
        let (attributes, rest) = attributes(&text[end..]);
        match name.as_str() {
            "script" | "style" => return after_end_tag(rest, &name),
            "form" if self.forms.len() < FORMS_MAX => {
                let action = bounded(attribute(&attributes, "action").unwrap_or_default());
                self.forms.push(Form { action, fields: Map::new() });
            }
            "input" => self.input(&attributes),
            "meta" => self.meta(&attributes),
            _ => {}
        }
        rest
    }

    fn input(&mut self, attributes: &[(String, String)]) {
        let get = |key| attribute(attributes, key);
        let is_typed = get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("password"));
        let (Some(name), Some(value)) = (get("name"), get("value")) else { return };
        if self.forms.is_empty() {
            self.forms.push(Form::default());
        }
        let Some(form) = self.forms.last_mut().filter(|_| !is_typed) else { return };
        keep(&mut form.fields, name, value);
    }

    /// Only tokens against forged requests: other `meta` tags are for readers.
    fn meta(&mut self, attributes: &[(String, String)]) {
        let (Some(name), Some(value)) = (attribute(attributes, "name"), attribute(attributes, "content"))
        else {
            return;
        };
        let plain = name.to_ascii_lowercase();
        if ["csrf", "xsrf", "token", "nonce"].iter().any(|word| plain.contains(word)) {
            keep(&mut self.meta, name, value);
        }
    }
}

fn keep(fields: &mut Map<String, Value>, name: &str, value: &str) {
    let fits = fields.len() < FIELDS_MAX && name.len() <= VALUE_BYTES_MAX && value.len() <= VALUE_BYTES_MAX;
    if fits && !name.is_empty() && !value.is_empty() && !fields.contains_key(name) {
        fields.insert(name.to_owned(), Value::from(value));
    }
}

fn bounded(text: &str) -> String {
    if text.len() <= VALUE_BYTES_MAX { text.to_owned() } else { String::new() }
}

fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

/// What follows the end tag of a script or style, whose text may hold anything.
fn after_end_tag<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|is| is.eq_ignore_ascii_case(name)) {
            return rest;
        }
    }
    ""
}

fn attribute<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
    attributes.iter().find(|(is, _)| is == key).map(|(_, value)| value.as_str())
}

/// The attributes of a tag, names in lower case, and what follows its `>`.
fn attributes(text: &str) -> (Vec<(String, String)>, &str) {
    const ATTRIBUTES_MAX: usize = 64;
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        match rest.chars().next() {
            None => return (found, ""),
            Some('>') => return (found, &rest[1..]),
            Some(_) => {}
        }
        // A name has at least one character, whichever it is.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        let end = rest[first..].find(is_end).map_or(rest.len(), |at| first + at);
        let (name, after_name) = rest.split_at(end);
        let (value, after_value) = value(after_name);
        if found.len() < ATTRIBUTES_MAX {
            found.push((name.to_ascii_lowercase(), value));
        }
        rest = after_value;
    }
}

/// What follows an attribute's name: its value, if it has one, and the rest.
fn value(text: &str) -> (String, &str) {
    let Some(text) = text.trim_start().strip_prefix('=') else { return (String::new(), text) };
    let text = text.trim_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let end = quoted.find(quote).unwrap_or(quoted.len());
            return (unescaped(&quoted[..end]), quoted.get(end + 1..).unwrap_or_default());
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    (unescaped(&text[..end]), &text[end..])
}

/// Character references that serialisers of attributes write; others stay as they are.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, bytes) = reference(rest).unwrap_or(('&', 1));
        plain.push(character);
        rest = &rest[bytes..];
    }
    plain + rest
}

/// The character reference that a text begins with, and its bytes.
fn reference(text: &str) -> Option<(char, usize)> {
    // `&#x10FFFF;` is the longest.
    const BYTES_MAX: usize = 10;
    let end = text.bytes().take(BYTES_MAX).position(|byte| byte == b';')?;
    Some((character(&text[1..end])?, end + 1))
}

fn character(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_and_tokens_are_found_in_a_page_as_frameworks_write_it() {
        let page = r#"<!DOCTYPE html><html><head><META Name="csrf-token" content="t&amp;1" />
            <meta name=viewport content="width=device-width">
            <script>if (a < b) document.write("<input name='no' value='no'>")</script></head>
            <body><!-- <input name="old" value="x"> -->
            <form method=get action=/search><input name=q></form>
            <form action="/posts/17?x=1&#38;y=2" method="post">
              <input type="hidden" name="_csrf" value='a"b&lt;' ><INPUT TYPE=HIDDEN NAME=id VALUE=17/>
              <input type="password" name="password" value="typed"><input name="id" value="second">
              <input type=checkbox checked name=agree value=yes>
            </form></body>"#;
        assert_eq!(
            Page::of(page).to_json(),
            json!({
                "forms": [
                    {"action": "/search", "fields": {}},
                    {"action": "/posts/17?x=1&y=2", "fields": {"_csrf": "a\"b<", "id": "17/", "agree": "yes"}},
                ],
                "meta": {"csrf-token": "t&1"},
            })
        );
    }

    #[test]
    fn fields_without_a_form_have_one_of_their_own() {
        let page = Page::of("<input name=a value=1><p>");
        assert_eq!(page.forms[0].fields["a"], "1");
        assert!(!page.is_empty() && Page::of("no <b>page</b>").is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = "<form><input name=x value=y>".repeat(FORMS_MAX + 5);
        assert_eq!(Page::of(&many).forms.len(), FORMS_MAX);
        let fields: Vec<String> =
            (0..FIELDS_MAX + 5).map(|at| format!("<input name=f{at} value=v>")).collect();
        assert_eq!(Page::of(&fields.concat()).forms[0].fields.len(), FIELDS_MAX);
        let long = format!("<input name=a value={}>", "x".repeat(VALUE_BYTES_MAX + 1));
        assert!(Page::of(&long).forms[0].fields.is_empty());
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(<|>|input|form|meta|script|/|=|\"|'| |name|value|&#x?|;|!--|-->|é|a){0,40}") {
            let _ = Page::of(&text);
        }

        #[test]
        fn a_value_that_a_serialiser_escaped_comes_back(value in "[ -~é]{1,40}") {
            let escaped = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            let page = Page::of(&format!("<form action=/><input name=\"n\" value=\"{escaped}\">"));
            prop_assert_eq!(&page.forms[0].fields["n"], &Value::from(value));
        }
    }
}
