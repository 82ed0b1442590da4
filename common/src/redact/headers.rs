//! Redaction of header values.

use std::borrow::Cow;

use super::texts::Manner;
use super::values::percent_decoded;
use super::{HeaderVerdict, Privacy, Redactor};
use crate::body::disposition;
use crate::memo::Memo;

/// How a header is redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderKind {
    /// A scheme and a credential.
    Credentials,
    Cookie,
    SetCookie,
    Url,
    Disposition,
    Verdict(HeaderVerdict),
}

/// What the name of a header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderFacts {
    kind: HeaderKind,
    is_name_kept: bool,
}

/// A value of fewer bytes is looked at sooner than looked up.
const REMEMBERED_BYTES_MIN: usize = 16;

/// What became of header values that are kept but for what is secret in them, by the manner they are read in; `None`
/// where nothing had to be replaced. Credentials and cookies are never remembered: they are fingerprinted anew.
#[derive(Debug, Default)]
pub(super) struct HeaderValues {
    hashes: Memo<Option<Box<str>>>,
    texts: Memo<Option<Box<str>>>,
    targets: Memo<Option<Box<str>>>,
}

/// Attributes of `Set-Cookie` whose values are the browser's business (RFC 6265bis).
const COOKIE_ATTRIBUTES: [&str; 9] =
    ["domain", "path", "expires", "max-age", "secure", "httponly", "samesite", "priority", "partitioned"];

impl Redactor {
    /// The value of a header of a request or response.
    pub fn header(&self, name: &str, value: &str) -> String {
        self.header_value(self.header_facts(name).kind, value)
    }

    /// Name and value of a header.
    pub fn header_line(&self, name: &str, value: &str) -> (String, String) {
        let facts = self.header_facts(name);
        let kept = if facts.is_name_kept { name.to_owned() } else { self.header_name(name).into_owned() };
        (kept, self.header_value(facts.kind, value))
    }

    fn header_value(&self, kind: HeaderKind, value: &str) -> String {
        let strict = self.privacy == Privacy::Strict;
        match kind {
            HeaderKind::Credentials | HeaderKind::Verdict(HeaderVerdict::Hidden) => self.credentials(value),
            HeaderKind::Cookie => self.cookies(value),
            HeaderKind::SetCookie => self.set_cookie(value),
            HeaderKind::Url => remembered(&self.header_values.targets, value, || self.target(value)),
            HeaderKind::Verdict(HeaderVerdict::Plain) => self.kept_hashes(value),
            HeaderKind::Disposition if !strict => {
                let is_extension = |extension: &str| self.rules.is_file_extension(extension);
                self.kept(&disposition::masked_value(value, &is_extension), Manner::TEXT).into_owned()
            }
            _ if strict => self.hidden(value.trim()),
            HeaderKind::Verdict(HeaderVerdict::Hash) => self.kept_hashes(value),
            HeaderKind::Disposition | HeaderKind::Verdict(_) => {
                remembered(&self.header_values.texts, value, || self.kept(value, Manner::TEXT).into_owned())
            }
        }
    }

    fn kept_hashes(&self, value: &str) -> String {
        remembered(&self.header_values.hashes, value, || self.kept(value, Manner::HASHES).into_owned())
    }

    /// The name of a header or cookie, which anybody may choose.
    fn header_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.kept(name, Manner::TEXT)
    }

    fn header_facts(&self, name: &str) -> HeaderFacts {
        self.headers.get(name.as_bytes(), || HeaderFacts {
            kind: self.header_kind(name),
            is_name_kept: self.header_name(name) == name,
        })
    }

    fn header_kind(&self, name: &str) -> HeaderKind {
        match name.to_ascii_lowercase().as_str() {
            "authorization" | "proxy-authorization" => HeaderKind::Credentials,
            "cookie" => HeaderKind::Cookie,
            "set-cookie" => HeaderKind::SetCookie,
            "location" | "referer" | "content-location" => HeaderKind::Url,
            "content-disposition" => HeaderKind::Disposition,
            _ => HeaderKind::Verdict(self.rules.header(name)),
        }
    }

    /// A known scheme stays, what follows it goes; any other first word may be the secret itself.
    fn credentials(&self, value: &str) -> String {
        let value = value.trim();
        match value.split_once(|c: char| c.is_whitespace()) {
            Some((scheme, secret)) if self.rules.is_auth_scheme(scheme) => {
                format!("{scheme} {}", self.fingerprint(secret.trim().as_bytes()))
            }
            _ if value.is_empty() => String::new(),
            _ => self.fingerprint(value.as_bytes()),
        }
    }

    fn cookies(&self, value: &str) -> String {
        let cookies: Vec<String> = value.split(';').map(|pair| self.cookie(pair.trim())).collect();
        cookies.join("; ")
    }

    /// The name stays; a text without `=` is a value. A cookie that is set to nothing is being deleted.
    fn cookie(&self, pair: &str) -> String {
        match pair.split_once('=') {
            Some((name, value)) => {
                let value = percent_decoded(value.trim().trim_matches('"'));
                format!("{}={}", self.header_name(name), self.hidden_whole(&value))
            }
            None => self.hidden_whole(pair),
        }
    }

    fn set_cookie(&self, value: &str) -> String {
        let mut parts = value.split(';');
        let mut kept = self.cookie(parts.next().unwrap_or_default().trim());
        for attribute in parts {
            kept.push(';');
            kept.push_str(&self.cookie_attribute(attribute));
        }
        kept
    }

    fn cookie_attribute<'a>(&self, attribute: &'a str) -> Cow<'a, str> {
        let name = attribute.split('=').next().unwrap_or_default().trim();
        if COOKIE_ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return self.kept(attribute, Manner::TEXT);
        }
        let space = &attribute[..attribute.len() - attribute.trim_start().len()];
        format!("{space}{}", self.cookie(attribute.trim())).into()
    }
}

fn remembered(memo: &Memo<Option<Box<str>>>, value: &str, kept: impl FnOnce() -> String) -> String {
    if value.len() < REMEMBERED_BYTES_MIN {
        return kept();
    }
    let replaced = memo.get(value.as_bytes(), || Some(kept()).filter(|kept| kept != value).map(Into::into));
    replaced.map_or_else(|| value.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::super::tests::redactor;
    use super::*;

    #[test]
    fn strict_keeps_only_headers_that_say_nothing_of_the_user() {
        let redactor = redactor(Privacy::Strict);
        assert_eq!(redactor.header("Content-Type", "audio/webm"), "audio/webm");
        for name in ["X-Class", "ETag", "Content-Disposition"] {
            assert!(redactor.header(name, "7b").starts_with("{fp:"), "{name}");
        }
    }

    #[test]
    fn credentials_keep_their_scheme_and_match_the_token_of_the_login() {
        let redactor = redactor(Privacy::Default);
        let token = redactor.fingerprint(b"abc.def");
        assert_eq!(redactor.header("Authorization", "Bearer abc.def"), format!("Bearer {token}"));
        assert_eq!(redactor.header("X-Authorization", "bearer\tabc.def"), format!("bearer {token}"));
        assert_eq!(redactor.header("authorization", "abc.def"), token);
        assert!(redactor.json(r#"{"access_token":"abc.def"}"#).unwrap().contains(&token));
        assert!(
            redactor
                .json(r#"{"authorization":"Bearer abc.def"}"#)
                .unwrap()
                .contains(&format!("Bearer {token}"))
        );
    }

    #[test]
    fn nothing_of_any_credential_is_left() {
        let redactor = redactor(Privacy::Default);
        for value in [
            "hunter2",
            "hunter2 and more",
            "Basic hunter2",
            "Digest username=\"hunter2\", response=\"hunter2\"",
            "AWS4-HMAC-SHA256 Credential=hunter2/x, Signature=hunter2",
            "Negotiate hunter2==",
            "MyScheme hunter2",
        ] {
            assert!(!redactor.header("Authorization", value).contains("hunter2"), "{value}");
        }
    }

    #[test]
    fn cookies_keep_names_and_attributes() {
        let redactor = redactor(Privacy::Default);
        let (sid, theme) = (redactor.fingerprint(b"s3:cr3t"), redactor.fingerprint(b"dark"));
        assert_eq!(
            redactor.header("Cookie", "sid=s3%3Acr3t; theme=\"dark\"; gone="),
            format!("sid={sid}; theme={theme}; gone=")
        );
        let set = redactor.header("Set-Cookie", "sid=s3:cr3t; Path=/; HttpOnly");
        assert_eq!(set, format!("sid={sid}; Path=/; HttpOnly"));
        assert_eq!(redactor.header("Cookie", ""), "");
    }

    #[test]
    fn names_and_attributes_of_cookies_hide_nothing_either() {
        let redactor = redactor(Privacy::Default);
        for (name, value) in [
            ("Cookie", "anna@school.example=1"),
            ("Cookie", "anna@school.example"),
            ("Set-Cookie", "a=1; Comment=anna"),
            ("Set-Cookie", "a=1; Path=/users/anna@school.example"),
        ] {
            assert!(
                !redactor.header(name, value).contains("anna"),
                "{value}: {}",
                redactor.header(name, value)
            );
        }
        let (name, _) = redactor.header_line("X-anna@school.example", "1");
        assert!(!name.contains("anna"), "{name}");
    }

    #[test]
    fn other_headers_are_kept_but_for_what_is_secret_in_them() {
        let redactor = redactor(Privacy::Default);
        for kept in [
            ("Accept", "*/*"),
            ("ETag", "W/\"2-vyGp6PvFo4RvsFtPoIWeCReyIC8\""),
            ("Content-Type", "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gWQ"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
            ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("X-Request-Id", "e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd"),
        ] {
            assert_eq!(redactor.header(kept.0, kept.1), kept.1);
        }
        assert!(redactor.header("X-Api-Key", "k").starts_with("{fp:"));
        assert!(redactor.header("X-Note", "from anna@school.example").contains("from {fp:"));
        let user_info = redactor.header("Referer", "http://anna:s3cr3t@a.example/x");
        assert!(user_info.starts_with("http://{fp:") && user_info.ends_with("}@a.example/x"), "{user_info}");
        for (name, value) in [
            ("Referer", "https://a.example/x?token=zz9"),
            ("Refresh", "0; url=https://a.example/x?token=zz9"),
            ("Link", "<https://a.example/x?access_token=zz9>; rel=next"),
            ("Location", "https://a.example/cb#id_token=zz9"),
            ("Origin", "https://u:zz9@a.example"),
            ("X-Original-URL", "/x?code=zz9"),
            ("X-Filter", r#"{"password":"zz9"}"#),
            ("Sec-WebSocket-Protocol", "bearer, zz9"),
            ("X-Debug", "password=zz9"),
            ("Content-Disposition", "attachment; filename=\"zz9.pdf\""),
        ] {
            let redacted = redactor.header(name, value);
            assert!(!redacted.contains("zz9"), "{name}: {redacted}");
        }
    }
}
