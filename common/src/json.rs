//! Where the keys and scalars of a JSON text stand: their byte ranges, and each scalar's pointer.
//!
//! serde_json reads values and forgets where they stood, and a redacted body is edited in place so that
//! everything else keeps its bytes. The text is checked by serde_json first (syntax, and its depth limit of
//! 128); the scanner may therefore be simple, and still never panics on what it is given.

use std::ops::Range;

use serde::de::IgnoredAny;

/// A string, number, boolean or null within a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// RFC 6901.
    pub pointer: String,
    /// Of the scalar as written, quotes included.
    pub range: Range<usize>,
}

/// Is told what a JSON text holds, in its order.
pub trait Visitor {
    /// An object or array begins.
    fn open(&mut self, is_object: bool);
    /// The innermost object or array ends.
    fn close(&mut self);
    /// A key as written, quotes included; its value follows.
    fn key(&mut self, range: Range<usize>);
    /// A scalar as written, quotes included.
    fn scalar(&mut self, range: Range<usize>);
    /// An item of an array follows.
    fn item(&mut self) {}
}

/// Goes through a text; `None`, before anything is told, when it is not JSON.
pub fn visit(text: &str, visitor: &mut impl Visitor) -> Option<()> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Scanner { text, at: 0, visitor }.value()
}

/// All scalars in the order of the text; `None` when it is not JSON.
pub fn scalars(text: &str) -> Option<Vec<Scalar>> {
    let mut collector = Collector { text, pointer: String::new(), frames: Vec::new(), found: Vec::new() };
    visit(text, &mut collector)?;
    Some(collector.found)
}

/// What a scalar says: a string without quotes and escapes, anything else as written.
pub fn decoded(raw: &str) -> String {
    if raw.starts_with('"') { serde_json::from_str(raw).unwrap_or_default() } else { raw.to_owned() }
}

/// Collects scalars with their pointers.
struct Collector<'a> {
    text: &'a str,
    pointer: String,
    /// Of each open object or array: bytes of its own pointer, and the index of the next item.
    frames: Vec<(usize, usize)>,
    found: Vec<Scalar>,
}

impl Collector<'_> {
    fn under(&mut self, key: &str) {
        let parent = self.frames.last().map_or(0, |(bytes, _)| *bytes);
        self.pointer.truncate(parent);
        self.pointer.push('/');
        self.pointer.push_str(key);
    }
}

impl Visitor for Collector<'_> {
    fn open(&mut self, _is_object: bool) {
        self.frames.push((self.pointer.len(), 0));
    }

    fn close(&mut self) {
        let parent = self.frames.pop().map_or(0, |(bytes, _)| bytes);
        self.pointer.truncate(parent);
    }

    fn key(&mut self, range: Range<usize>) {
        let key = decoded(&self.text[range]);
        self.under(&escape_key(&key));
    }

    fn item(&mut self) {
        let Some((_, next)) = self.frames.last_mut() else { return };
        let index = *next;
        *next += 1;
        self.under(&index.to_string());
    }

    fn scalar(&mut self, range: Range<usize>) {
        self.found.push(Scalar { pointer: self.pointer.clone(), range });
    }
}

struct Scanner<'a, V> {
    text: &'a str,
    at: usize,
    visitor: &'a mut V,
}

impl<V: Visitor> Scanner<'_, V> {
    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            _ => self.scalar(),
        }
    }

    fn object(&mut self) -> Option<()> {
        self.at += 1;
        self.visitor.open(true);
        while self.peek()? != b'}' {
            let key = self.string()?;
            self.visitor.key(key);
            self.expect(b':')?;
            self.value()?;
            self.skip_comma()?;
        }
        self.visitor.close();
        self.expect(b'}')
    }

    fn array(&mut self) -> Option<()> {
        self.at += 1;
        self.visitor.open(false);
        while self.peek()? != b']' {
            self.visitor.item();
            self.value()?;
            self.skip_comma()?;
        }
        self.visitor.close();
        self.expect(b']')
    }

    fn scalar(&mut self) -> Option<()> {
        let range = if self.peek()? == b'"' { self.string()? } else { self.word() };
        self.visitor.scalar(range);
        Some(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.skip_space();
        let (start, bytes) = (self.at, self.text.as_bytes());
        let mut end = start + 1;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at = end + 1;
        Some(start..self.at)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Range<usize> {
        let rest = &self.text[self.at..];
        let length = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        let range = self.at..self.at + length;
        self.at = range.end;
        range
    }

    fn skip_comma(&mut self) -> Option<()> {
        if self.peek()? == b',' {
            self.at += 1;
        }
        Some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }
}

/// A key as a reference token of a JSON pointer.
pub fn escape_key(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let scalars = scalars(text).unwrap();
        scalars.into_iter().map(|scalar| (scalar.pointer, text[scalar.range].to_owned())).collect()
    }

    #[test]
    fn scalars_stand_where_they_are_written() {
        let text = r#" {"a" : [1, "x\"y", {"b/c": null}], "é~": true, "": -1.5e3, "n":[ ]} "#;
        let expected =
            [("/a/0", "1"), ("/a/1", r#""x\"y""#), ("/a/2/b~1c", "null"), ("/é~0", "true"), ("/", "-1.5e3")];
        assert_eq!(found(text), expected.map(|(pointer, raw)| (pointer.to_owned(), raw.to_owned())));
        assert_eq!(found("7"), [(String::new(), "7".to_owned())]);
    }

    #[test]
    fn what_is_not_json_has_no_scalars() {
        for text in ["", "{", r#"{"a":}"#, "[1,]", "x", r#""open"#, &"[".repeat(200)] {
            assert_eq!(scalars(text), None, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,4}", inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    fn leaves(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(leaves).sum(),
            Value::Object(fields) => fields.values().map(leaves).sum(),
            _ => 1,
        }
    }

    proptest! {
        #[test]
        fn spans_agree_with_serde_json(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let scalars = scalars(&text).unwrap();
            prop_assert_eq!(scalars.len(), leaves(&value));
            for scalar in scalars {
                let read: Value = serde_json::from_str(&text[scalar.range]).unwrap();
                prop_assert_eq!(Some(&read), value.pointer(&scalar.pointer));
            }
        }

        #[test]
        fn any_text_is_scanned_without_a_panic(text in r#"[\[\]{}",:\\a0é \n]{0,40}"#) {
            let _ = scalars(&text);
        }
    }
}
