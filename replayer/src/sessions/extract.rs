//! The value at a place of a response. One rule for captured and live responses.

use std::borrow::Cow;

use serde_json::Value;

use super::ResponsePlace;

/// Reads the value at `from`, out of a response's headers (name, value) and its JSON body (of an HTML page: its
/// description).
///
/// `None` when the response has no such place or the value is empty, null, an object or an array.
/// Numbers and booleans come as JSON writes them. Names of headers compare without case; the first header
/// that has the value counts.
pub fn extract<'a, H>(from: &ResponsePlace, headers: H, body_json: Option<&Value>) -> Option<String>
where
    H: IntoIterator<Item = (&'a str, &'a str)> + Clone,
{
    let value = match from {
        ResponsePlace::Json { pointer } => scalar(body_json?.pointer(pointer)?),
        ResponsePlace::Header { name } => {
            named(headers, name).next().map(|value| without_scheme(value).to_owned())
        }
        ResponsePlace::Cookie { name } => {
            named(headers, "set-cookie").find_map(|text| cookie(text, name)).map(ToOwned::to_owned)
        }
        ResponsePlace::Within { of, part } => match of.as_ref() {
            ResponsePlace::Header { name } => {
                named(headers, name).find_map(|text| part.of(text)).map(Cow::into_owned)
            }
            of => part.of(&extract(of, headers, body_json)?).map(Cow::into_owned),
        },
    };
    value.filter(|value| !value.is_empty())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn named<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    name: &str,
) -> impl Iterator<Item = &'a str> {
    headers.into_iter().filter(move |(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// `abc` of `Bearer abc`: what a client keeps of it.
fn without_scheme(value: &str) -> &str {
    let value = value.trim();
    match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        _ => value,
    }
}

/// Name and value of a `Set-Cookie` header.
pub(super) fn set_cookie(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split(';').next()?.split_once('=')?;
    Some((name.trim(), value.trim()))
}

fn cookie<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    set_cookie(text).filter(|(is, _)| *is == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::TextPart;
    use super::*;

    fn header(name: &str) -> ResponsePlace {
        ResponsePlace::Header { name: name.to_owned() }
    }

    #[test]
    fn scalars_come_out_as_a_client_would_write_them() {
        let body = json!({"a": [{"id": "x"}, {"id": 17}], "yes": true, "no": null, "": "empty key", "e": ""});
        let places = [
            ("/a/0/id", Some("x")),
            ("/a/1/id", Some("17")),
            ("/yes", Some("true")),
            ("/", Some("empty key")),
            ("/no", None),
            ("/a", None),
            ("/e", None),
            ("/a/2/id", None),
        ];
        for (pointer, value) in places {
            let from = ResponsePlace::Json { pointer: pointer.to_owned() };
            assert_eq!(extract(&from, [], Some(&body)).as_deref(), value, "{pointer}");
            assert_eq!(extract(&from, [], None), None);
        }
    }

    #[test]
    fn headers_and_cookies_are_found_by_name() {
        let headers = [
            ("set-cookie", "theme=dark"),
            ("Set-Cookie", "sid=abc=d; Path=/; HttpOnly"),
            ("AUTHORIZATION", "Bearer t0ken"),
            ("etag", "\"v 1\""),
            ("Set-Cookie", "gone=; Max-Age=0"),
        ];
        let cookie = |name: &str| ResponsePlace::Cookie { name: name.to_owned() };
        assert_eq!(extract(&cookie("sid"), headers, None).as_deref(), Some("abc=d"));
        assert_eq!(extract(&cookie("gone"), headers, None), None);
        assert_eq!(extract(&header("Authorization"), headers, None).as_deref(), Some("t0ken"));
        assert_eq!(extract(&header("ETag"), headers, None).as_deref(), Some("\"v 1\""));
        assert_eq!(extract(&header("Location"), headers, None), None);
    }

    #[test]
    fn parts_of_a_location_are_found() {
        let headers = [("location", "https://app.example/uploads/9f/parts?code=abc&x=1#top")];
        let segment = |from_end| header("Location").part(TextPart::Segment { from_end });
        let key = |key: &str| header("Location").part(TextPart::Query { key: key.to_owned() });
        assert_eq!(extract(&segment(0), headers, None).as_deref(), Some("parts"));
        assert_eq!(extract(&segment(1), headers, None).as_deref(), Some("9f"));
        assert_eq!(extract(&segment(3), headers, None), None);
        assert_eq!(extract(&key("code"), headers, None).as_deref(), Some("abc"));
        assert_eq!(extract(&key("y"), headers, None), None);
        assert_eq!(extract(&segment(0), [("Location", "https://app.example")], None), None);
    }

    #[test]
    fn parts_nest() {
        let url = ResponsePlace::Json { pointer: "/next".to_owned() };
        let cursor = TextPart::Query { key: "cursor".to_owned() };
        let body = json!({"next": "https://h/items?cursor=a%2Bb"});
        assert_eq!(extract(&url.part(cursor.clone()), [], Some(&body)).as_deref(), Some("a+b"));
        let next = header("Link").part(TextPart::Link { relation: "next".to_owned() }).part(cursor);
        let headers = [("link", "</i?cursor=1>; rel=\"prev\", </i?cursor=3>; rel=\"next\"")];
        assert_eq!(extract(&next, headers, None).as_deref(), Some("3"));
    }
}
