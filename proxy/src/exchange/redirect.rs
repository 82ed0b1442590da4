//! Redirects of an upstream to its own address, which clients cannot reach (Nginx: `proxy_redirect default`).

/// Addresses that stand for each other.
#[derive(Debug)]
pub(super) struct Redirect<'a> {
    /// The peer's URL, and that of its group, without a path.
    pub(super) upstreams: [&'a str; 2],
    /// The path that the route's prefix became, and the prefix.
    pub(super) paths: [&'a str; 2],
    /// Scheme and host as clients know them.
    pub(super) site: &'a str,
}

impl Redirect<'_> {
    /// The field's value for the client, where it names the upstream.
    pub(super) fn of(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let prefix = self.paths[1].as_bytes();
        match name.len() {
            8 if name.eq_ignore_ascii_case(b"location") => {
                Some([self.site.as_bytes(), prefix, self.rest(value)?].concat())
            }
            7 if name.eq_ignore_ascii_case(b"refresh") => {
                let at = value.windows(4).position(|four| four.eq_ignore_ascii_case(b"url="))? + 4;
                Some([&value[..at], prefix, self.rest(&value[at..])?].concat())
            }
            _ => None,
        }
    }

    /// What follows the upstream's own address.
    fn rest<'v>(&self, url: &'v [u8]) -> Option<&'v [u8]> {
        let after = |upstream: &&str| {
            let path = url.strip_prefix(upstream.trim_end_matches('/').as_bytes())?;
            path.strip_prefix(self.paths[0].as_bytes())
        };
        self.upstreams.iter().find_map(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_the_upstream_become_redirects_to_us() {
        let redirect = Redirect {
            upstreams: ["http://10.0.0.1:8000/", "http://backend"],
            paths: ["/v1/", "/api/"],
            site: "https://a.example",
        };
        let of = |name: &str, value: &str| {
            redirect.of(name.as_bytes(), value.as_bytes()).map(|value| String::from_utf8(value).unwrap())
        };
        assert_eq!(of("Location", "http://10.0.0.1:8000/v1/x?y").unwrap(), "https://a.example/api/x?y");
        assert_eq!(of("Refresh", "1; url=http://backend/v1/x").unwrap(), "1; url=/api/x");
        assert_eq!(of("location", "https://other.example/"), None);
        assert_eq!(of("Location", "/x"), None);
        assert_eq!(of("X-Location", "http://10.0.0.1:8000/v1/x"), None);
    }
}
