//! What the names of headers, fields, cookies and routes say about the values they carry.
//!
//! Every list that decides about a binding stands here, so that it can be reviewed; a user's rules add to them
//! ([`super::rules`]).

/// Lower case, letters and digits only: `X-Session_Id` and `xSessionId` are one name.
pub(crate) fn normal(name: &str) -> String {
    if name.is_ascii() {
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        return letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    }
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Request headers that belonged to the captured hop or edge, or that the drive writes itself: a replay
/// leaves them out, so they have no holes.
pub fn is_drives(header: &str) -> bool {
    const NAMES: [&str; 17] = [
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
        "x-request-id",
    ];
    let name = header.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || name.starts_with("x-forwarded-")
}

/// Request headers whose plain values are the client's, not the server's.
pub(super) fn is_constant(header: &str) -> bool {
    const NAMES: [&str; 10] = [
        "cache-control",
        "content-type",
        "date",
        "dnt",
        "origin",
        "pragma",
        "priority",
        "referer",
        "upgrade-insecure-requests",
        "user-agent",
    ];
    let name = header.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || name.starts_with("accept") || name.starts_with("sec-")
}

/// Response headers that may name something a client sends back.
pub(super) fn may_supply(header: &str) -> bool {
    const NAMES: [&str; 7] = [
        "authorization",
        "content-location",
        "etag",
        "last-modified",
        "link",
        "location",
        "www-authenticate",
    ];
    let name = header.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || (name.starts_with("x-") && !is_drives(&name))
}

/// Response headers whose value is a URL.
pub(super) fn holds_url(header: &str) -> bool {
    header.eq_ignore_ascii_case("location") || header.eq_ignore_ascii_case("content-location")
}

/// The column of the identities file that fills a login field of this name.
pub(super) fn identity_column(field: &str) -> Option<&'static str> {
    match normal(field).as_str() {
        "email" | "emailaddress" | "mail" => Some("email"),
        "username" | "login" | "user" | "loginname" => Some("username"),
        "pass" | "passwd" | "pwd" | "pin" | "passphrase" => Some(PASSWORD),
        name if name.contains("password") => Some(PASSWORD),
        _ => None,
    }
}

/// The column whose values never bind to a response.
pub(crate) const PASSWORD: &str = "password";

/// Whether a path is where users log in or register.
pub(super) fn is_login_path(path: &str) -> bool {
    const WORDS: [&str; 8] = ["login", "logon", "signin", "signup", "register", "token", "session", "auth"];
    let path = normal(path.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    WORDS.iter().any(|word| path.contains(word))
}

/// Request headers that carry a user's credential.
pub(crate) fn is_credential_header(header: &str) -> bool {
    const NAMES: [&str; 6] =
        ["authorization", "xaccesstoken", "xauthtoken", "xsessionid", "xsessiontoken", "xusertoken"];
    NAMES.contains(&normal(header).as_str())
}

/// Cookies that name a user's session rather than a preference.
pub(crate) fn is_session_cookie(cookie: &str) -> bool {
    const WORDS: [&str; 7] = ["sess", "sid", "token", "auth", "jwt", "login", "remember"];
    let name = normal(cookie);
    WORDS.iter().any(|word| name.contains(word))
}

/// Fields that carry something the server issued to this one client.
pub(super) fn is_credential_field(field: &str) -> bool {
    const WORDS: [&str; 6] = ["token", "session", "refresh", "ticket", "assertion", "authcode"];
    let name = normal(field);
    WORDS.iter().any(|word| name.contains(word)) || name == "code"
}

/// Headers in which a client invents an id for every request.
pub(super) fn is_invented(header: &str) -> bool {
    const WORDS: [&str; 5] = ["idempoten", "correlation", "requestid", "messageid", "nonce"];
    let name = normal(header);
    WORDS.iter().any(|word| name.contains(word))
}

/// How well the name of a source fits the name of a destination; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    None,
    /// Both are ids, of whatever.
    BothIds,
    /// `activity_id` or `/activities/…` from the `id` of an activity; `cursor` from `next_cursor`.
    SameThing,
    /// `activity_id` from `activity_id`.
    SameName,
}

/// Compares `destination` (field, header, cookie, or the path segment before an id) with the last key of a
/// source and what contains that key (`activities` in `/activities/0/id`).
pub(super) fn fit(destination: &str, in_path: bool, key: &str, container: &str) -> Fit {
    let (destination, key) = (normal(destination), normal(key));
    if destination == key {
        return Fit::SameName;
    }
    let container = singular(&normal(container));
    let same_kind = !container.is_empty() && singular(&destination) == container;
    let same_thing = if in_path { same_kind && is_id_name(&key) } else { destination == container + &key };
    if same_thing || shares_end(&destination, &key) {
        return Fit::SameThing;
    }
    let both_ids = is_id_name(&key) && (in_path || is_id_name(&destination));
    if both_ids { Fit::BothIds } else { Fit::None }
}

fn shares_end(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    short.len() >= 3 && long.ends_with(short)
}

fn is_id_name(name: &str) -> bool {
    ["id", "uuid", "guid", "key", "slug", "code", "ref"].iter().any(|end| name.ends_with(end))
}

fn singular(name: &str) -> String {
    let stem = |end: &str| name.strip_suffix(end).filter(|stem| stem.len() > 1);
    if let Some(stem) = stem("ies") {
        return format!("{stem}y");
    }
    let plural = ["sses", "xes", "ches", "shes"].iter().any(|end| name.ends_with(end));
    let singular = if plural { stem("es") } else { stem("s").filter(|stem| !stem.ends_with('s')) };
    singular.unwrap_or(name).to_owned()
}

/// Name of the cookie that a position of a `Cookie` header belongs to.
pub(crate) fn cookie_at(header: &str, position: usize) -> &str {
    let pair = header[..position].rsplit(';').next().unwrap_or_default();
    pair.split('=').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_by_what_they_name() {
        let fits = [
            ("activity_id", false, "activity_id", "", Fit::SameName),
            ("activityId", false, "activity_id", "", Fit::SameName),
            ("activity_id", false, "id", "activities", Fit::SameThing),
            ("assignments", true, "id", "assignments", Fit::SameThing),
            ("class_id", false, "id", "classes", Fit::SameThing),
            ("cursor", false, "next_cursor", "", Fit::SameThing),
            ("activity_id", false, "id", "assignments", Fit::BothIds),
            ("files", true, "id", "assignments", Fit::BothIds),
            ("duration_ms", false, "max_bytes", "limits", Fit::None),
            ("status", false, "id", "status", Fit::None),
        ];
        for (destination, in_path, key, container, expected) in fits {
            assert_eq!(fit(destination, in_path, key, container), expected, "{destination} from {key}");
        }
    }

    #[test]
    fn identity_fields_have_columns() {
        let columns = [
            ("email", Some("email")),
            ("E-Mail", Some("email")),
            ("userName", Some("username")),
            ("login", Some("username")),
            ("PIN", Some("password")),
            ("new_password", Some("password")),
            ("title", None),
            ("spinner", None),
        ];
        for (field, column) in columns {
            assert_eq!(identity_column(field), column, "{field}");
        }
    }

    #[test]
    fn the_drives_headers_are_left_alone() {
        for header in ["Host", "content-length", "X-Forwarded-For", "Traceparent", "X-Request-ID", "Expect"] {
            assert!(is_drives(header), "{header}");
        }
        for header in ["Authorization", "X-Requested-With", "Cookie"] {
            assert!(!is_drives(header), "{header}");
        }
    }
}
