//! Which route a request belongs to in the report: its method and its path with the ids taken out.

use crate::sessions::Outlines;

/// More different routes than this are counted as one: each has its own histograms.
const ROUTES_MAX: usize = 64;
const OTHER: &str = "(other routes)";

/// The routes of a capture, numbered by first use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    labels: Vec<String>,
}

impl Routes {
    pub fn of(outlines: &Outlines) -> Self {
        let templates = outlines.templates();
        let is_too_many = templates.len() > ROUTES_MAX;
        let own = if is_too_many { ROUTES_MAX - 1 } else { templates.len() };
        let other = is_too_many.then(|| OTHER.to_owned());
        let labels = templates[..own].iter().cloned().chain(other).collect();
        Self { labels }
    }

    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The route of what [`Outlines::templates`] has at this place.
    pub fn of_template(&self, template: u32) -> usize {
        (template as usize).min(self.labels.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Exchange;

    use super::*;
    use crate::sessions::{Session, Step};

    fn routes(targets: impl Iterator<Item = String>) -> Routes {
        let exchange = |target| Exchange { method: "GET".to_owned(), target, ..Exchange::default() };
        let step = |target| Step { exchange: exchange(target), offset_us: 0, connection: 0, holes: vec![] };
        let steps = targets.map(step).collect();
        let session = Session { key: String::new(), start_ns: 0, steps, orphan: false };
        Routes::of(&[session].into_iter().collect())
    }

    #[test]
    fn routes_are_numbered_by_first_use_and_bounded() {
        assert_eq!(routes(["/a", "/b", "/a"].map(String::from).into_iter()).labels, ["GET /a", "GET /b"]);
        for (pages, labels, last) in [(64, 64, "GET /page-63"), (65, 64, OTHER), (100, 64, OTHER)] {
            let many = routes((0..pages).map(|number| format!("/page-{number}")));
            assert_eq!((many.labels.len(), many.labels[ROUTES_MAX - 1].as_str()), (labels, last), "{pages}");
            assert_eq!(many.of_template(pages - 1), ROUTES_MAX - 1);
        }
    }
}
