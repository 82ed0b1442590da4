//! What could not be carried over, with the place, the reason and the remedy.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use super::read::{At, Directive};

/// A directive that `proxy.toml` has no room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotCarried {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// With its arguments, on one line.
    pub(crate) directive: String,
    /// The reason, and the remedy where there is one.
    pub(crate) why: String,
    /// Clients and backends will not see a difference.
    pub(crate) harmless: bool,
}

/// Collects them; the same one found twice counts once.
#[derive(Debug, Default)]
pub(super) struct Losses {
    list: RefCell<BTreeSet<(At, String, String, bool)>>,
    settled: RefCell<HashSet<(At, String)>>,
}

impl Losses {
    /// What the directive did is gone.
    pub(super) fn add(&self, directive: &Directive, why: &str) {
        self.note(directive, why, false);
    }

    /// The directive has no counterpart and needs none.
    pub(super) fn harmless(&self, directive: &Directive, why: &str) {
        self.note(directive, why, true);
    }

    fn note(&self, directive: &Directive, why: &str, harmless: bool) {
        self.settle(directive);
        let entry = (directive.at.clone(), directive.to_string(), why.to_owned(), harmless);
        self.list.borrow_mut().insert(entry);
    }

    /// The directive is dealt with: nobody else need list it.
    pub(super) fn settle(&self, directive: &Directive) {
        self.settled.borrow_mut().insert(key(directive));
    }

    pub(super) fn is_settled(&self, directive: &Directive) -> bool {
        self.settled.borrow().contains(&key(directive))
    }

    pub(super) fn into_list(self) -> Vec<NotCarried> {
        let listed = self.list.into_inner().into_iter().map(|(at, directive, why, harmless)| NotCarried {
            file: at.file.to_string(),
            line: at.line,
            directive,
            why,
            harmless,
        });
        listed.collect()
    }
}

fn key(directive: &Directive) -> (At, String) {
    (directive.at.clone(), directive.to_string())
}

/// The list as people read it: what is lost first.
pub(super) fn listed(not_carried: &[NotCarried]) -> String {
    let (harmless, lost): (Vec<_>, Vec<_>) = not_carried.iter().partition(|item| item.harmless);
    let mut text = String::new();
    for (items, title) in
        [(lost, "Not carried over"), (harmless, "Without a counterpart, and none is needed")]
    {
        if items.is_empty() {
            continue;
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{title} ({}):", items.len());
        for item in items {
            let _ = writeln!(text, "{}:{}: {}\n    {}", item.file, item.line, item.directive, item.why);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directive(line: usize, name: &str) -> Directive {
        let at = At { order: 0, line, column: 1, file: "nginx.conf".into() };
        Directive { name: name.to_owned(), args: vec!["on".to_owned()], at, block: None }
    }

    #[test]
    fn the_list_is_in_order_and_says_each_thing_once() {
        let losses = Losses::default();
        losses.harmless(&directive(1, "sendfile"), "not needed");
        losses.add(&directive(9, "gzip"), "not done");
        losses.add(&directive(3, "expires"), "not done");
        losses.add(&directive(3, "expires"), "not done");
        assert!(losses.is_settled(&directive(9, "gzip")) && !losses.is_settled(&directive(8, "gzip")));
        let wanted = "Not carried over (2):\nnginx.conf:3: expires on\n    not done\nnginx.conf:9: gzip on\n    not done\n\
                      Without a counterpart, and none is needed (1):\nnginx.conf:1: sendfile on\n    not needed\n";
        assert_eq!(listed(&losses.into_list()), wanted);
    }
}
