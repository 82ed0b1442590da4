//! What monitors saw of a suspect: times alone only suspect it.

use std::fmt::Write as _;

use super::{Confidence, Suspect};
use crate::monitor::timeline::Timeline;

/// Of a PostgreSQL monitor: connections whose transaction is open while the application does something else.
const IDLE_IN_TRANSACTION: &str = ".idle_in_transaction";
/// Of what times say is held, so much was seen.
const SEEN_SHARE: f64 = 0.6;
/// Fewer may be one slow request.
const SEEN_MIN: f64 = 2.0;

/// A suspect that holds something beyond its stage is confirmed where as many connections were idle in transaction.
pub fn confirm(suspects: &mut [Suspect], watched: &Timeline) {
    let metrics = watched.series.keys().filter(|metric| metric.ends_with(IDLE_IN_TRANSACTION));
    let seen = metrics.filter_map(|metric| Some((metric, watched.max(metric)?)));
    let Some((metric, most)) = seen.max_by(|a, b| a.1.total_cmp(&b.1)) else { return };
    for suspect in suspects.iter_mut() {
        let held = suspect.held_beyond.filter(|held| most >= SEEN_MIN && most >= SEEN_SHARE * held);
        if held.is_some() {
            suspect.confidence = Confidence::Confirmed;
            // Into a text nothing can fail.
            let _ = write!(
                suspect.evidence,
                "; {metric} was up to {most:.0}: transactions stay open across the other stages"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::monitor::timeline::Point;

    fn watched(most: f64) -> Timeline {
        let points = [1.0, most, 2.0].map(|value| Point { at_s: 1.0, value: Some(value) }).to_vec();
        Timeline {
            series: BTreeMap::from([("pg.idle_in_transaction".to_owned(), points)]),
            events: Vec::new(),
        }
    }

    fn confidence(held_beyond: Option<f64>, watched: &Timeline) -> Confidence {
        let suspect = Suspect {
            stage: "auth".to_owned(),
            route: "POST /upload".to_owned(),
            growth_share: 1.0,
            tail_growth_share: 1.0,
            elasticity: None,
            slots: Some(5.0),
            held_beyond,
            evidence: String::new(),
            confidence: Confidence::Suspected,
            remedy: String::new(),
        };
        let mut suspects = [suspect];
        confirm(&mut suspects, watched);
        suspects[0].confidence
    }

    #[test]
    fn a_held_transaction_is_confirmed_by_idle_ones() {
        assert_eq!(confidence(Some(5.0), &watched(5.0)), Confidence::Confirmed);
        assert_eq!(confidence(Some(20.0), &watched(5.0)), Confidence::Suspected, "too few");
        assert_eq!(confidence(None, &watched(5.0)), Confidence::Suspected, "nothing is held beyond");
        assert_eq!(confidence(Some(5.0), &Timeline::default()), Confidence::Suspected, "nobody looked");
    }
}
