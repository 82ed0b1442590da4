//! Nginx's inheritance: a directive counts from the innermost level that has it.

use super::read::Directive;

/// The levels around a place, outermost first: `http`, `server`, `location`, …
#[derive(Debug, Clone)]
pub(super) struct Context<'a> {
    levels: Vec<&'a [Directive]>,
}

impl<'a> Context<'a> {
    /// The level of a block at the top of the file; empty when it is not there.
    pub(super) fn of(main: &'a [Directive], block: &str) -> Self {
        let found = main.iter().find(|directive| directive.name == block);
        Self { levels: vec![found.map(Directive::directives).unwrap_or_default()] }
    }

    pub(super) fn inside(&self, block: &'a Directive) -> Self {
        let mut levels = self.levels.clone();
        levels.push(block.directives());
        Self { levels }
    }

    /// The innermost level.
    pub(super) fn own(&self) -> &'a [Directive] {
        self.levels.last().copied().unwrap_or_default()
    }

    pub(super) fn own_all(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        self.own().iter().filter(move |directive| directive.name == name)
    }

    pub(super) fn own_last(&self, name: &str) -> Option<&'a Directive> {
        self.own_all(name).last()
    }

    /// A directive that can be there once a level.
    pub(super) fn last(&self, name: &str) -> Option<&'a Directive> {
        let mut levels = self.levels.iter().rev();
        levels.find_map(|level| level.iter().rfind(|directive| directive.name == name))
    }

    /// A directive that adds up within its level and replaces those of the levels around it.
    pub(super) fn all(&self, name: &str) -> Vec<&'a Directive> {
        let of_level = |level: &'a [Directive]| -> Vec<&'a Directive> {
            level.iter().filter(|directive| directive.name == name).collect()
        };
        self.levels
            .iter()
            .rev()
            .map(|level| of_level(level))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.last(name).is_some_and(Directive::is_on)
    }

    /// All occurrences on all levels, outermost first.
    pub(super) fn everywhere(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        self.levels.iter().flat_map(|level| level.iter()).filter(move |directive| directive.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    #[test]
    fn the_innermost_level_that_has_a_directive_counts() {
        let text = "http { send_timeout 1s; add_header A 1; add_header B 2;
                    server { send_timeout 2s; location / { add_header C 3; } } }";
        let main = read::parse(text, &"nginx.conf".into(), 0).unwrap();
        let http = Context::of(&main, "http");
        let server = http.inside(http.own_last("server").unwrap());
        let location = server.inside(server.own_last("location").unwrap());
        let count = |context: &Context<'_>| context.all("add_header").len();
        assert_eq!((count(&http), count(&server), count(&location)), (2, 2, 1));
        assert_eq!(location.last("send_timeout").unwrap().first(), "2s");
        assert_eq!(location.everywhere("send_timeout").count(), 2);
        assert!(location.last("gzip").is_none() && location.own_last("send_timeout").is_none());
    }
}
