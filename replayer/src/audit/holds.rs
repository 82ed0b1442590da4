//! What a capture holds: each place, how often, how much of it as fingerprints.

use std::collections::BTreeMap;

use kingtide_common::fingerprint::Fingerprint;
use serde::Serialize;

use super::detect::plain_pieces;
use super::leaves::Leaf;
use super::places::{Kind, Place};
use super::shape;

/// Places listed at most.
const PLACES_MAX: usize = 10_000;
/// Examples of plain values of a place.
const EXAMPLES_MAX: usize = 3;

/// The values of one place.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    pub place: Place,
    pub values: u64,
    /// Values that are, or hold, a fingerprint.
    pub fingerprinted: u64,
    /// Values of which something is plain.
    pub plain: u64,
    /// Some plain values, shortened; of one that is a finding only the shape.
    pub examples: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Holds {
    places: BTreeMap<Place, Held>,
    left_out: u64,
}

impl Holds {
    pub(super) fn add(&mut self, leaf: &Leaf, is_finding: bool) {
        if leaf.place.kind == Kind::JsonKeys {
            return;
        }
        if !self.places.contains_key(&leaf.place) {
            if self.places.len() >= PLACES_MAX {
                self.left_out += 1;
                return;
            }
            let place = leaf.place.clone();
            let held =
                Held { place: place.clone(), values: 0, fingerprinted: 0, plain: 0, examples: Vec::new() };
            self.places.insert(place, held);
        }
        if let Some(held) = self.places.get_mut(&leaf.place) {
            held.add(&leaf.value, is_finding);
        }
    }

    pub(super) fn into_list(self) -> (Vec<Held>, u64) {
        (self.places.into_values().collect(), self.left_out)
    }
}

impl Held {
    fn add(&mut self, value: &str, is_finding: bool) {
        self.values += 1;
        self.fingerprinted += u64::from(!Fingerprint::find_all(value).is_empty());
        let is_plain = !plain_pieces(value).is_empty() || Fingerprint::find_all(value).is_empty();
        self.plain += u64::from(is_plain);
        if is_plain && self.examples.len() < EXAMPLES_MAX {
            let example = if is_finding { shape::of(value) } else { shape::shortened(value) };
            if !self.examples.contains(&example) {
                self.examples.push(example);
            }
        }
    }
}
