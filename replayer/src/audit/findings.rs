//! The findings: one for each kind in each place, counted; never the secret itself.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::detect::{Hit, Kind};
use super::leaves::Leaf;
use super::places::{self, Place};
use super::shape;

/// Findings listed at most.
const FINDINGS_MAX: usize = 1000;
/// Secrets of rows remembered, so that a column or file is not blamed for what a row was blamed for.
const SEEN_MAX: usize = 10_000;

/// A kind of secret in a place.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub place: Place,
    /// The first exchange that has it; null where it belongs to no row.
    pub exchange: Option<u64>,
    pub occurrences: u64,
    /// The shape of the first: `A` for upper case, `a` for lower case, `9` for a digit.
    pub excerpt: String,
    /// What to change, so that the next capture does not hold it.
    pub remedy: String,
}

#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<(Kind, Place), Finding>,
    left_out: u64,
    seen: HashSet<(Kind, String)>,
}

impl Findings {
    pub(super) fn add(&mut self, exchange: u64, leaf: &Leaf, hits: Vec<Hit>) {
        for hit in hits {
            self.note(Some(exchange), &leaf.place, &hit);
            if self.seen.len() < SEEN_MAX {
                self.seen.insert((hit.kind, hit.secret));
            }
        }
    }

    /// What no row has shown already.
    pub(super) fn add_raw(&mut self, place: &Place, hits: Vec<Hit>) {
        for hit in hits {
            // Compression may have cut off a part of it.
            let is_same = |(kind, secret): &(Kind, String)| *kind == hit.kind && secret.contains(&hit.secret);
            if !self.seen.iter().any(is_same) {
                self.note(None, place, &hit);
            }
        }
    }

    fn note(&mut self, exchange: Option<u64>, place: &Place, hit: &Hit) {
        let key = (hit.kind, place.clone());
        if let Some(finding) = self.found.get_mut(&key) {
            finding.occurrences += 1;
        } else if self.found.len() < FINDINGS_MAX {
            let finding = Finding {
                kind: hit.kind,
                place: place.clone(),
                exchange,
                occurrences: 1,
                excerpt: shape::of(&hit.secret),
                remedy: remedy(hit.kind, place),
            };
            self.found.insert(key, finding);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn into_list(self) -> (Vec<Finding>, u64) {
        (self.found.into_values().collect(), self.left_out)
    }
}

/// The rule to add to redaction.toml.
fn remedy(kind: Kind, place: &Place) -> String {
    let field = place.field();
    let rule = match place.kind {
        places::Kind::File if place.name.ends_with(".arrows") => {
            return "a segment holds it outside its rows: anonymise this capture".to_owned();
        }
        places::Kind::File => {
            return format!("remove the file `{}` from the capture, or what it holds", place.name);
        }
        places::Kind::Header if !matches!(kind, Kind::Email | Kind::Phone) => {
            format!("secret_headers = [{field:?}]")
        }
        places::Kind::Json | places::Kind::Form | places::Kind::Part | places::Kind::Query
            if !field.is_empty() =>
        {
            let is_personal = matches!(kind, Kind::PersonalField | Kind::Email | Kind::Phone);
            format!("{} = [{field:?}]", if is_personal { "personal_names" } else { "secret_names" })
        }
        places::Kind::Path if kind == Kind::PathSecret => "secret_paths = [\"SEGMENT BEFORE IT\"]".to_owned(),
        _ => "patterns = ['…']".to_owned(),
    };
    format!(
        "add `{rule}` under `[add]` of the redaction rules (capture.redaction in proxy.toml); anonymise this capture"
    )
}
