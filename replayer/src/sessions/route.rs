//! Route templates: requests to one endpoint under one name, whatever ids their paths carry.

use kingtide_common::fingerprint::Fingerprint;

const ID: &str = "{id}";

/// `POST /api/users/{id}`: UUIDs, integers, long hexadecimal numbers and fingerprints become `{id}`; the
/// query is left out.
pub fn template(method: &str, target: &str) -> String {
    let mut template = String::new();
    write_template(method, target, &mut template);
    template
}

/// Adds the same to a text.
pub(crate) fn write_template(method: &str, target: &str, template: &mut String) {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    template.push_str(method);
    let mut between = ' ';
    for segment in path.split('/') {
        template.push(between);
        template.push_str(if is_id(segment) { ID } else { segment });
        between = '/';
    }
}

/// Whether a path segment names one thing rather than a kind of things.
pub(super) fn is_id(segment: &str) -> bool {
    // Most segments are words, which are told from ids at once.
    let may_be = |byte: u8| byte.is_ascii_digit() || byte == b'{' || segment.len() == 36;
    if !segment.bytes().any(may_be) {
        return false;
    }
    let is_integer = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    is_integer || is_uuid(segment) || is_long_hex(segment) || !Fingerprint::find_all(segment).is_empty()
}

/// A UUID in its usual form of 36 characters.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn is_long_hex(segment: &str) -> bool {
    segment.len() >= 16
        && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
        && segment.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_one_route() {
        let templates = [
            ("/", "GET /"),
            ("/api/assignments?limit=5", "GET /api/assignments"),
            ("/api/assignments/42/activities", "GET /api/assignments/{id}/activities"),
            ("/u/6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11/", "GET /u/{id}/"),
            ("/f/00c0ffee00c0ffee.webm", "GET /f/00c0ffee00c0ffee.webm"),
            ("/f/00c0ffee00c0ffee", "GET /f/{id}"),
            ("/f/deadbeef", "GET /f/deadbeef"),
            ("/s/{fp:0123456789abcdef.8}", "GET /s/{id}"),
            ("/v1/users", "GET /v1/users"),
        ];
        for (target, route) in templates {
            assert_eq!(template("GET", target), route, "{target}");
        }
    }
}
