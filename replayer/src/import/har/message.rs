//! Heads: the lists of headers and cookies of a request or an answer.

use super::node::Node;

/// The headers, in order. Pseudo headers of HTTP/2 are not among them; values that were joined by line
/// breaks, as Chromium's protocol joins them, are separate again.
pub(super) fn headers(message: Node<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, value) in pairs(message.get("headers")) {
        if !name.starts_with(':') {
            headers.extend(value.split('\n').map(|value| (name.to_owned(), value.trim().to_owned())));
        }
    }
    headers
}

/// The value of a pseudo header.
pub(super) fn pseudo<'a>(message: Node<'a>, name: &str) -> Option<&'a str> {
    pairs(message.get("headers")).find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// Adds what only the list of cookies holds.
pub(super) fn add_cookies(headers: &mut Vec<(String, String)>, request: Node<'_>) {
    let cookies: Vec<String> =
        pairs(request.get("cookies")).map(|(name, value)| format!("{name}={value}")).collect();
    if !cookies.is_empty() && !has(headers, "cookie") {
        headers.push(("Cookie".to_owned(), cookies.join("; ")));
    }
}

/// The same for an answer.
pub(super) fn add_set_cookies(headers: &mut Vec<(String, String)>, response: Node<'_>) {
    if !has(headers, "set-cookie") {
        let cookies = pairs(response.get("cookies"));
        headers.extend(cookies.map(|(name, value)| ("Set-Cookie".to_owned(), format!("{name}={value}"))));
    }
}

/// Adds the content type, where only the body's description holds it.
pub(super) fn add_content_type(headers: &mut Vec<(String, String)>, mime_type: Node<'_>) {
    let mime_type = mime_type.text().filter(|mime_type| *mime_type != "x-unknown");
    if let Some(mime_type) = mime_type.filter(|_| !has(headers, "content-type")) {
        headers.push(("Content-Type".to_owned(), mime_type.to_owned()));
    }
}

fn has(headers: &[(String, String)], name: &str) -> bool {
    headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

/// Names and values of a list of objects that have both.
fn pairs(list: Node<'_>) -> impl Iterator<Item = (&str, &str)> {
    list.list().filter_map(|pair| {
        let name = pair.get("name").text()?.trim();
        Some((name, pair.get("value").text().unwrap_or_default()))
    })
}
