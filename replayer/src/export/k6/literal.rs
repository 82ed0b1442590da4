//! Texts as JavaScript expressions.

use kingtide_common::fingerprint::Fingerprint;

use crate::sessions::{Escape, Fresh, Hole, ResponsePlace, Source, TextPart, TimeFormat, Zone};

/// A string literal: JSON's, but for two characters that older engines take for line ends.
pub(super) fn string(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A text with its holes filled by live values; a plain string where it has none.
pub(super) fn template<'h>(text: &str, holes: impl IntoIterator<Item = &'h Hole>) -> String {
    let mut literal = String::new();
    let (mut from, mut is_live) = (0, false);
    for hole in holes {
        push(&mut literal, &text[from..hole.range.start]);
        match value(&hole.source) {
            Some(value) => {
                literal.extend(["${", &escaped(&value, hole.escape), "}"]);
                is_live = true;
            }
            None => push(&mut literal, &filler(&text[hole.range.clone()])),
        }
        from = hole.range.end;
    }
    push(&mut literal, &text[from..]);
    // Without a value a template says no more than a string; most texts are such.
    if is_live || from > 0 { format!("`{literal}`") } else { string(text) }
}

/// What a template literal would take for something else is escaped; it would also turn CR LF into LF.
fn push(literal: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' | '`' | '$' => literal.extend(['\\', character]),
            '\r' => literal.push_str("\\r"),
            '\n' => literal.push_str("\\n"),
            control if control.is_control() => literal.extend(control.escape_unicode()),
            other => literal.push(other),
        }
    }
}

fn escaped(value: &str, escape: Escape) -> String {
    match escape {
        Escape::Raw => value.to_owned(),
        Escape::JsonString => format!("inJson({value})"),
        Escape::JsonScalar => format!("asJson({value})"),
        Escape::Percent => format!("encodeURIComponent({value})"),
    }
}

/// What fills a hole; `None` leaves filler of the captured length.
fn value(source: &Source) -> Option<String> {
    match source {
        Source::Response { step, from } => Some(place(from, *step)),
        Source::Identity { column } => Some(format!("me[{}]", string(column))),
        // What is invented may be anything that is new.
        Source::Fresh(Fresh::Uuid { slot } | Fresh::Alike { slot }) => Some(format!("fresh.uuid({slot})")),
        Source::Fresh(Fresh::Time { slot, format, ahead_us }) => {
            Some(time(*format, &format!("fresh.time({slot}, {})", ahead_us / 1000)))
        }
        Source::Text(text) => Some(string(text)),
        Source::Filler | Source::Unresolved => None,
    }
}

fn time(format: TimeFormat, instant: &str) -> String {
    match format {
        TimeFormat::Epoch { per_second, digits } => format!("epoch({instant}, {per_second}, {digits})"),
        TimeFormat::Date => format!("iso({instant}, 'T', 0, 0, '').slice(0, 10)"),
        TimeFormat::Iso { separator, digits, zone } => {
            let (minutes, written) = match zone {
                Zone::None => (0, String::new()),
                Zone::Utc => (0, "Z".to_owned()),
                Zone::Offset(minutes) => (minutes, offset(minutes)),
            };
            let separator = string(&separator.to_string());
            format!("iso({instant}, {separator}, {digits}, {minutes}, {})", string(&written))
        }
    }
}

/// `+01:00`
fn offset(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn place(from: &ResponsePlace, step: usize) -> String {
    match from {
        ResponsePlace::Json { pointer } => format!("json(r{step}, {})", string(&path(pointer))),
        ResponsePlace::Header { name } => format!("header(r{step}, {})", string(name)),
        ResponsePlace::Cookie { name } => format!("cookie(r{step}, {})", string(name)),
        ResponsePlace::Within { of, part } => within(&place(of, step), part),
    }
}

fn within(of: &str, part: &TextPart) -> String {
    match part {
        TextPart::Segment { from_end } => format!("segment({of}, {from_end})"),
        TextPart::Query { key } => format!("query({of}, {})", string(key)),
        TextPart::Link { relation } => format!("link({of}, {})", string(relation)),
        TextPart::Uuid { nth } => format!("uuidIn({of}, {nth})"),
        TextPart::Between { before, after } => {
            format!("between({of}, {}, {})", string(before), string(after))
        }
    }
}

/// A JSON pointer as a path of k6's `json()`, where `.` separates and `\` escapes.
fn path(pointer: &str) -> String {
    const MEANS_SOMETHING: &str = ".*?|#@\\!{}[]()=<>%\"";
    let key = |key: &str| {
        let key = key.replace("~1", "/").replace("~0", "~");
        let mut escaped = String::new();
        for character in key.chars() {
            if MEANS_SOMETHING.contains(character) {
                escaped.push('\\');
            }
            escaped.push(character);
        }
        escaped
    };
    pointer.split('/').skip(1).map(key).collect::<Vec<_>>().join(".")
}

fn filler(captured: &str) -> String {
    const BYTES_MAX: usize = 64 * 1024;
    match Fingerprint::parse(captured) {
        Some(fingerprint) => "x".repeat(fingerprint.bytes.min(BYTES_MAX)),
        None => captured.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::{Choice, Place};

    fn hole(text: &str, part: &str, escape: Escape, source: Source) -> Hole {
        let start = text.find(part).unwrap();
        let range = start..start + part.len();
        Hole { place: Place::Body, range, escape, source, choice: Choice::default() }
    }

    fn response(pointer: &str) -> Source {
        Source::Response { step: 3, from: ResponsePlace::Json { pointer: pointer.to_owned() } }
    }

    #[test]
    fn texts_become_strings_or_templates() {
        assert_eq!(template("a\"b\n", []), r#""a\"b\n""#);
        let text = "{\"id\":\"OLD\",\"cost\":\"${5}`\\\r\n\"}";
        let hole = hole(text, "OLD", Escape::JsonString, response("/0/a.b~1c"));
        assert_eq!(
            template(text, [&hole]),
            r#"`{"id":"${inJson(json(r3, "0.a\\.b/c"))}","cost":"\${5}\`\\\r\n"}`"#
        );
    }

    #[test]
    fn what_nothing_supplies_is_filler() {
        let text = "/s/{fp:0123456789abcdef.5}";
        let hole = hole(text, "{fp:0123456789abcdef.5}", Escape::Percent, Source::Unresolved);
        assert_eq!(template(text, [&hole]), "`/s/xxxxx`");
    }

    #[test]
    fn every_source_is_an_expression() {
        let location = ResponsePlace::Header { name: "Location".to_owned() };
        let part = |part| ResponsePlace::Within { of: Box::new(location.clone()), part };
        let from = |from| Source::Response { step: 0, from };
        let iso = TimeFormat::Iso { separator: 'T', digits: 3, zone: Zone::Offset(-90) };
        let expected = [
            (from(part(TextPart::Segment { from_end: 1 })), r#"segment(header(r0, "Location"), 1)"#),
            (from(part(TextPart::Query { key: "c".to_owned() })), r#"query(header(r0, "Location"), "c")"#),
            (from(ResponsePlace::Cookie { name: "sid".to_owned() }), r#"cookie(r0, "sid")"#),
            (Source::Identity { column: "email".to_owned() }, r#"me["email"]"#),
            (Source::Fresh(Fresh::Uuid { slot: 2 }), "fresh.uuid(2)"),
            (Source::Fresh(Fresh::Alike { slot: 3 }), "fresh.uuid(3)"),
            (
                Source::Fresh(Fresh::Time { slot: 1, format: iso, ahead_us: 5_000 }),
                r#"iso(fresh.time(1, 5), "T", 3, -90, "-01:30")"#,
            ),
            (Source::Text("it's".to_owned()), r#""it's""#),
        ];
        for (source, expression) in expected {
            assert_eq!(value(&source).as_deref(), Some(expression));
        }
        assert_eq!((value(&Source::Filler), value(&Source::Unresolved)), (None, None));
    }
}
