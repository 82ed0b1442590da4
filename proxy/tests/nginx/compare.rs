//! Two observations of one case: the facts in which they differ.

use crate::observation::{Fact, SUMMARY, Value};

/// Two instants are the same when they are this close: the machine is busy, and nginx lets a timer be up to
/// 300 ms early rather than set it anew.
const SAME_INSTANT_MS: u64 = 280;

/// One fact that is not the same at both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disagreement {
    pub(crate) fact: String,
    pub(crate) nginx: String,
    pub(crate) ours: String,
    pub(crate) is_of_time: bool,
}

/// The summary alone when it differs, as the rest then follows from it; else in nginx's order, and then what
/// only ours has.
pub(crate) fn disagreements(nginx: &[Fact], ours: &[Fact]) -> Vec<Disagreement> {
    if let Some(differ) = disagreement(SUMMARY, find(nginx, SUMMARY), find(ours, SUMMARY)) {
        return vec![differ];
    }
    let only_ours = ours.iter().filter(|(name, _)| find(nginx, name).is_none());
    let names = nginx.iter().chain(only_ours).map(|(name, _)| name.as_str());
    names.filter_map(|name| disagreement(name, find(nginx, name), find(ours, name))).collect()
}

fn disagreement(name: &str, nginx: Option<&Value>, ours: Option<&Value>) -> Option<Disagreement> {
    let are_same = match (nginx, ours) {
        (Some(Value::Ms(nginx)), Some(Value::Ms(ours))) => nginx.abs_diff(*ours) <= SAME_INSTANT_MS,
        (nginx, ours) => nginx == ours,
    };
    let is_of_time = matches!((nginx, ours), (Some(Value::Ms(_)), Some(Value::Ms(_))));
    let shown = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
    let differ = Disagreement { fact: name.to_owned(), nginx: shown(nginx), ours: shown(ours), is_of_time };
    (!are_same).then_some(differ)
}

fn find<'a>(facts: &'a [Fact], name: &str) -> Option<&'a Value> {
    facts.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(name: &str, value: Value) -> Fact {
        (name.to_owned(), value)
    }

    #[test]
    fn instants_may_be_apart_and_texts_may_not() {
        let nginx = [fact("at", Value::Ms(600)), fact("status", Value::Text("200".into()))];
        let ours = [fact("at", Value::Ms(640)), fact("status", Value::Text("400".into()))];
        let differ = disagreements(&nginx, &ours);
        assert_eq!(differ.len(), 1);
        assert_eq!((differ[0].nginx.as_str(), differ[0].ours.as_str()), ("200", "400"));
    }

    #[test]
    fn what_one_side_lacks_is_a_difference() {
        let differ = disagreements(&[], &[fact("closed at", Value::Ms(5))]);
        assert_eq!((differ[0].nginx.as_str(), differ[0].is_of_time), ("-", false));
    }
}
