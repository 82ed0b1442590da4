//! The `rewrite`s that a redirect or the `rewrite` of a route can say.

use super::context::Context;
use super::read::Directive;

pub(super) const WHY_NOT: &str = "write a route with `prefix` and `rewrite`, or a `redirect`";

/// Whether a level answers everything that comes to it.
pub(super) fn answers_itself(context: &Context<'_>) -> bool {
    context.own().iter().any(is_answer)
}

/// A `return`, or a `rewrite` that is one.
pub(super) fn is_answer(directive: &Directive) -> bool {
    directive.name == "return" || redirect_of(directive).is_some()
}

/// `rewrite ^ https://$host$request_uri permanent` and its like: status and target.
pub(super) fn redirect_of(directive: &Directive) -> Option<(u16, String)> {
    if directive.name != "rewrite" {
        return None;
    }
    let (pattern, to) = (directive.first(), directive.arg(1));
    let is_absolute = to.starts_with("http://") || to.starts_with("https://") || to.starts_with("$scheme://");
    let status = match directive.arg(2) {
        "permanent" => 301,
        "redirect" => 302,
        _ if is_absolute => 302,
        _ => return None,
    };
    let to = to.strip_suffix('?').unwrap_or(to);
    let to = match pattern {
        "^" | ".*" | "^.*$" | "^/" => to.to_owned(),
        "^(.*)" | "^(.*)$" | "(.*)" | "^/?(.*)$" if !to.contains("/$1") => to.replace("$1", "$request_uri"),
        "^/(.*)" | "^/(.*)$" | "^/?(.*)$" => to.replace("/$1", "$request_uri"),
        _ => return None,
    };
    Some((status, to))
}

/// `^/api/(.*)$ /v1/$1 break` → `/api/`, `/v1/`.
pub(super) fn rewrite_of_prefix(directive: &Directive) -> Option<(String, String)> {
    let pattern = directive.first().strip_prefix('^').unwrap_or(directive.first());
    let prefix = pattern.strip_suffix("(.*)$").or_else(|| pattern.strip_suffix("(.*)"))?;
    let to = directive.arg(1).strip_suffix("$1")?;
    let is_plain = |text: &str| {
        text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte))
    };
    let fits = directive.arg(2) == "break" && is_plain(prefix) && is_plain(to);
    fits.then(|| (prefix.to_owned(), to.to_owned()))
}

/// The prefix of the requests that the only `rewrite` of a place is for, when it is longer than that of the place.
pub(super) fn longer_prefix(prefix: &str, context: &Context<'_>) -> Option<String> {
    let mut rewrites = context.own_all("rewrite");
    let (only, None) = (rewrites.next()?, rewrites.next()) else { return None };
    let (longer, _) = rewrite_of_prefix(only)?;
    (longer.len() > prefix.len() && longer.starts_with(prefix)).then_some(longer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    fn directive(text: &str) -> Directive {
        read::parse(text, &"nginx.conf".into(), 0).unwrap().remove(0)
    }

    #[test]
    fn a_rewrite_of_everything_is_a_redirect() {
        let redirect = |text: &str| redirect_of(&directive(text));
        let whole = Some((301, "https://x$request_uri".to_owned()));
        for text in [
            "rewrite ^ https://x$request_uri? permanent;",
            "rewrite ^(.*)$ https://x$1 permanent;",
            "rewrite ^/(.*)$ https://x/$1 permanent;",
        ] {
            assert_eq!(redirect(text), whole, "{text}");
        }
        assert_eq!(redirect("rewrite ^ http://x;"), Some((302, "http://x".to_owned())));
        for text in ["rewrite ^/a$ /b permanent;", "rewrite ^ /b last;", "return 301 https://x;"] {
            assert_eq!(redirect(text), None, "{text}");
        }
    }

    #[test]
    fn a_rewrite_of_the_prefix_is_one_of_the_route() {
        let prefix = |text: &str| rewrite_of_prefix(&directive(text));
        let wanted = Some(("/api/".to_owned(), "/v1/".to_owned()));
        assert_eq!(prefix("rewrite ^/api/(.*)$ /v1/$1 break;"), wanted);
        assert_eq!(prefix("rewrite /api/(.*) /v1/$1 break;"), wanted);
        for text in [
            "rewrite ^/api/(.*)$ /v1/$1 last;",
            "rewrite ^/(a|b)/(.*)$ /$1 break;",
            "rewrite ^/a/(.*)x$ /$1 break;",
        ] {
            assert_eq!(prefix(text), None, "{text}");
        }
    }
}
