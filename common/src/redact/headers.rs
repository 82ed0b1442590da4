//! Redaction of header values.

use super::{Privacy, Redactor};

impl Redactor {
    /// The value of a header of a request or response.
    pub fn header(&self, name: &str, value: &str) -> String {
        match name.to_ascii_lowercase().as_str() {
            "authorization" | "proxy-authorization" => self.credentials(value),
            "cookie" => self.cookies(value),
            "set-cookie" => self.set_cookie(value),
            "location" | "referer" | "content-location" => self.target(value),
            name if self.hides_header(name) => self.fingerprint(value.as_bytes()),
            _ => self.patterns(value).into_owned(),
        }
    }

    fn hides_header(&self, name: &str) -> bool {
        let strict = self.privacy == Privacy::Strict;
        self.rules.hides_header(name) || (strict && !self.rules.is_plain_header(name))
    }

    /// The scheme stays, what follows it goes.
    fn credentials(&self, value: &str) -> String {
        match value.trim().split_once(' ') {
            Some((scheme, secret)) => format!("{scheme} {}", self.fingerprint(secret.trim().as_bytes())),
            None => self.fingerprint(value.trim().as_bytes()),
        }
    }

    fn cookies(&self, value: &str) -> String {
        let cookies: Vec<String> = value.split(';').map(|pair| self.cookie(pair.trim())).collect();
        cookies.join("; ")
    }

    /// The name stays; a text without `=` is a value.
    fn cookie(&self, pair: &str) -> String {
        match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", self.fingerprint(value.trim_matches('"').as_bytes())),
            None if pair.is_empty() => String::new(),
            None => self.fingerprint(pair.as_bytes()),
        }
    }

    fn set_cookie(&self, value: &str) -> String {
        match value.split_once(';') {
            Some((pair, attributes)) => format!("{};{attributes}", self.cookie(pair.trim())),
            None => self.cookie(value.trim()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Privacy;
    use super::super::tests::redactor;

    #[test]
    fn strict_keeps_only_headers_that_say_nothing_of_the_user() {
        let redactor = redactor(Privacy::Strict);
        assert_eq!(redactor.header("Content-Type", "audio/webm"), "audio/webm");
        assert!(redactor.header("X-Class", "7b").starts_with("{fp:"));
    }

    #[test]
    fn credentials_keep_their_scheme_and_match_the_token_of_the_login() {
        let redactor = redactor(Privacy::Default);
        let token = redactor.fingerprint(b"abc.def");
        assert_eq!(redactor.header("Authorization", "Bearer abc.def"), format!("Bearer {token}"));
        assert_eq!(redactor.header("authorization", "abc.def"), token);
        assert!(redactor.json(r#"{"access_token":"abc.def"}"#).unwrap().contains(&token));
    }

    #[test]
    fn cookies_keep_names_and_attributes() {
        let redactor = redactor(Privacy::Default);
        let (sid, theme) = (redactor.fingerprint(b"s3cr3t"), redactor.fingerprint(b"dark"));
        assert_eq!(redactor.header("Cookie", "sid=s3cr3t; theme=dark"), format!("sid={sid}; theme={theme}"));
        let set = redactor.header("Set-Cookie", "sid=s3cr3t; Path=/; HttpOnly");
        assert_eq!(set, format!("sid={sid}; Path=/; HttpOnly"));
        assert_eq!(redactor.header("Cookie", ""), "");
    }

    #[test]
    fn other_headers_are_kept_but_for_patterns() {
        let redactor = redactor(Privacy::Default);
        assert_eq!(redactor.header("Accept", "*/*"), "*/*");
        assert!(redactor.header("X-Api-Key", "k").starts_with("{fp:"));
        assert!(redactor.header("X-Note", "from anna@school.example").contains("from {fp:"));
        let user_info = redactor.header("Referer", "http://anna:s3cr3t@a.example/x");
        assert!(user_info.starts_with("http://{fp:") && user_info.ends_with("}@a.example/x"), "{user_info}");
        assert!(redactor.header("Referer", "https://a.example/x?token=zz").contains("token={fp:"));
    }
}
