//! What a place does with requests.
//!
//! As in Nginx, `return` comes before who may enter, and that before where it goes. A place whose protection or
//! whose handler cannot be carried over answers by itself rather than being open or lost.

use super::context::Context;
use super::headers;
use super::losses::Losses;
use super::places::{Kind, Place};
use super::read::Directive;
use super::rewrites::{self, redirect_of, rewrite_of_prefix};
use super::sites::{Scope, Site};
use super::upstreams::{Groups, Target};
use super::values;

const NOT_FOUND: u16 = 404;
const FORBIDDEN: u16 = 403;
const BAD_GATEWAY: u16 = 502;
/// Closes without an answer.
const CLOSE: u16 = 444;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Upstream { name: String, rewrite: Option<String>, request_buffering: bool, buffer_size: Option<String> },
    Redirect { status: u16, to: String },
    Answer { status: u16, body: String, content_type: String },
}

impl Default for Action {
    fn default() -> Self {
        Self::answer(NOT_FOUND)
    }
}

impl Action {
    fn answer(status: u16) -> Self {
        Self::Answer { status, body: String::new(), content_type: "text/plain".to_owned() }
    }
}

/// Where in the file a route comes from, and which requests of it it is for.
pub(super) struct Spot<'s, 'a> {
    pub(super) site: &'s Site<'a>,
    pub(super) scope: &'s Scope<'a>,
    pub(super) place: &'s Place<'a>,
    /// The place, or an `if` in it.
    pub(super) context: Context<'a>,
    pub(super) methods: Vec<String>,
}

/// What a place does with requests, and what is to be said about it.
pub(super) struct Decision<'a> {
    pub(super) action: Action,
    pub(super) comments: Vec<String>,
    /// Where headers and limits are taken from: not the place itself for `try_files … @name`.
    pub(super) context: Context<'a>,
    pub(super) host: String,
    /// `rewrite ^/api/(.*)$ /$1 break`: from there on the rewritten requests are a route of their own.
    pub(super) deeper: Option<(String, String)>,
}

/// Decides, and lists what cannot be carried over.
#[derive(Debug)]
pub(super) struct Actions<'a> {
    pub(super) losses: &'a Losses,
    pub(super) groups: &'a mut Groups,
}

impl Actions<'_> {
    pub(super) fn decide<'a>(&mut self, spot: &Spot<'_, 'a>) -> Decision<'a> {
        let context = spot.context.clone();
        let plain = |action| Decision {
            action,
            comments: Vec::new(),
            context: context.clone(),
            host: String::new(),
            deeper: None,
        };
        if spot.place.kind == Kind::Slash && spot.methods.is_empty() {
            let to = format!("{}/$is_args$args", spot.place.prefix);
            return plain(Action::Redirect { status: 301, to });
        }
        if let Some(action) = self.returned(spot) {
            return plain(action);
        }
        if context.is_on("ssl_reject_handshake") {
            return plain(Action::answer(CLOSE));
        }
        let open = self.handled(spot);
        match self.closed(&context) {
            Some((status, comment)) => closed(open, status, comment),
            None => open,
        }
    }

    /// `return`, or a `rewrite` to another address.
    fn returned(&self, spot: &Spot<'_, '_>) -> Option<Action> {
        let context = &spot.context;
        let found = context.own().iter().find(|found| rewrites::is_answer(found))?;
        let action = match redirect_of(found) {
            Some((status, to)) => self.redirect(found, status, &to, spot.site),
            None => self.answer(found, context, spot.site),
        };
        Some(action.unwrap_or_else(|| Action::answer(BAD_GATEWAY)))
    }

    fn answer(&self, found: &Directive, context: &Context<'_>, site: &Site<'_>) -> Option<Action> {
        let Ok(status) = found.first().parse::<u16>() else {
            return self.redirect(found, 302, found.first(), site);
        };
        if matches!(status, 301 | 302 | 303 | 307 | 308) && found.args.len() > 1 {
            return self.redirect(found, status, found.arg(1), site);
        }
        let body = found.arg(1);
        if !(200..=599).contains(&status) || body.contains('$') {
            self.losses.add(
                found,
                "answers have a status from 200 to 599 and a text without variables: the route answers 502",
            );
            return None;
        }
        let content_type =
            if body.is_empty() { "text/plain".to_owned() } else { headers::content_type(context) };
        Some(Action::Answer { status, body: body.to_owned(), content_type })
    }

    fn redirect(&self, found: &Directive, status: u16, to: &str, site: &Site<'_>) -> Option<Action> {
        let name = site.names.first().map_or("$host", String::as_str);
        match values::with_variables(&to.replace("$server_name", name)) {
            Ok(to) if !to.is_empty() => Some(Action::Redirect { status, to }),
            Ok(_) => None,
            Err(why) => {
                self.losses
                    .add(found, &format!("{why}; the route answers 502 until it has another `redirect`"));
                None
            }
        }
    }

    /// What keeps requests out of a place, and what to say about it.
    fn closed(&self, context: &Context<'_>) -> Option<(u16, String)> {
        if context.own_last("internal").is_some() {
            return Some((NOT_FOUND, "internal".to_owned()));
        }
        let rules = access_rules(context);
        let only_deny = rules.iter().all(|rule| rule.name == "deny");
        if only_deny && rules.iter().any(|rule| rule.first() == "all") {
            for rule in rules {
                self.losses.settle(rule);
            }
            return Some((FORBIDDEN, "deny all".to_owned()));
        }
        let denying = rules.into_iter().find(|rule| rule.name == "deny");
        let asking = ["auth_basic", "auth_request", "auth_jwt", "ssl_verify_client"];
        let asking =
            asking.iter().filter_map(|name| context.last(name)).chain(context.own_last("limit_except"));
        let mut found = denying
            .into_iter()
            .chain(asking.filter(|found| !matches!(found.first(), "off" | "optional" | "optional_no_ca")));
        let found = found.next()?;
        let why = "who may enter is not checked here: what it protects answers 403 until you decide (the route says how)";
        self.losses.add(found, why);
        Some((FORBIDDEN, format!("closed because of {} {}", found.at, found.name)))
    }

    fn handled<'a>(&mut self, spot: &Spot<'_, 'a>) -> Decision<'a> {
        let named = self.named_location(spot);
        let context = named.unwrap_or_else(|| spot.context.clone());
        let decision = |action, comments: Vec<String>| Decision {
            action,
            comments,
            context: context.clone(),
            host: String::new(),
            deeper: None,
        };
        if let Some(pass) = context.own_last("proxy_pass") {
            return match self.groups.target(pass, &context, self.losses) {
                Ok(target) => self.proxied(spot, &context, target),
                Err(why) => {
                    self.losses.add(pass, &format!("{why}; the route answers 502"));
                    decision(
                        Action::answer(BAD_GATEWAY),
                        vec![format!("{} {pass}: not carried over", pass.at)],
                    )
                }
            };
        }
        let handler = context.own().iter().find(|found| found.name.ends_with("_pass"));
        match handler {
            Some(handler) => {
                decision(Action::answer(BAD_GATEWAY), vec![format!("{handler}: not carried over")])
            }
            None if context.own_last("stub_status").is_some() => {
                decision(Action::answer(NOT_FOUND), vec!["stub_status: see [admin]".to_owned()])
            }
            None if spot.place.kind == Kind::Rest && !serves_files(&context) => {
                decision(Action::answer(NOT_FOUND), vec!["what no location is for".to_owned()])
            }
            None => decision(Action::answer(NOT_FOUND), vec!["nginx served files here".to_owned()]),
        }
    }

    /// The location that `try_files` falls back to.
    fn named_location<'a>(&self, spot: &Spot<'_, 'a>) -> Option<Context<'a>> {
        let tried = spot.context.own_last("try_files")?;
        let name = tried.args.last().filter(|name| name.starts_with('@'))?;
        let location = spot.site.context.own_all("location").find(|location| location.first() == name)?;
        let why = format!("no files are served: all requests go to {name}");
        self.losses.add(tried, &why);
        Some(spot.site.context.inside(location))
    }

    fn proxied<'a>(&self, spot: &Spot<'_, 'a>, context: &Context<'a>, target: Target) -> Decision<'a> {
        let deeper = self.rewritten(spot, context, &target);
        let is_off = |name: &str| context.last(name).is_some_and(|found| found.first() == "off");
        let buffer_size =
            context.last("client_body_buffer_size").and_then(|found| values::size_toml(found.first()));
        let action = Action::Upstream {
            name: target.group,
            rewrite: target.uri.filter(|uri| *uri != spot.place.prefix),
            request_buffering: !is_off("proxy_request_buffering"),
            buffer_size,
        };
        Decision { action, comments: Vec::new(), context: context.clone(), host: target.host, deeper }
    }

    /// `rewrite ^/api/(.*)$ /$1 break` before a `proxy_pass`.
    fn rewritten(
        &self,
        spot: &Spot<'_, '_>,
        context: &Context<'_>,
        target: &Target,
    ) -> Option<(String, String)> {
        let rewrites: Vec<&Directive> = context.own_all("rewrite").collect();
        let simple = |rewrite: &Directive| {
            let (prefix, to) = rewrite_of_prefix(rewrite)?;
            let fits = prefix.starts_with(&spot.place.prefix) && !spot.place.exact && target.uri.is_none();
            fits.then_some((prefix, to))
        };
        let found = match rewrites[..] {
            [only] => simple(only),
            _ => None,
        };
        for rewrite in rewrites.iter().filter(|_| found.is_none()) {
            self.losses.add(rewrite, rewrites::WHY_NOT);
        }
        found
    }
}

fn closed(open: Decision<'_>, status: u16, comment: String) -> Decision<'_> {
    let mut comments = open.comments;
    comments.push(comment);
    if let Action::Upstream { name, .. } = &open.action {
        comments.push(format!(
            "to open it, put this in the place of `answer`: upstream = {}",
            values::quoted(name)
        ));
    }
    Decision { action: Action::answer(status), comments, deeper: None, ..open }
}

/// `allow` and `deny` of the innermost level that has one of them.
fn access_rules<'a>(context: &Context<'a>) -> Vec<&'a Directive> {
    let (allow, deny) = (context.all("allow"), context.all("deny"));
    let own = |rules: &[&Directive]| {
        rules.iter().any(|rule| context.own().iter().any(|own| std::ptr::eq(own, *rule)))
    };
    match (own(&allow), own(&deny)) {
        (true, false) => allow,
        (false, true) => deny,
        _ => allow.into_iter().chain(deny).collect(),
    }
}

fn serves_files(context: &Context<'_>) -> bool {
    ["root", "alias", "try_files"].iter().any(|name| context.last(name).is_some())
}
