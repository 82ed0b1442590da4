//! The cases, a file for each topic.

mod chunks;
mod connections;
mod expect;
mod headers;
mod hosts;
mod lengths;
mod lines;
mod rates;
mod sizes;
mod slow;
mod uploads;
mod upstreams;

use std::collections::HashSet;

use crate::case::Case;
use crate::differences::DIFFERENCES;
use crate::run::check;

/// One test for each topic, and the list of all cases.
macro_rules! topics {
    ($($topic:ident),* $(,)?) => {
        $(
            #[test]
            fn $topic() {
                check($topic::cases());
            }
        )*

        fn all_cases() -> Vec<Case> {
            [$($topic::cases()),*].concat()
        }
    };
}

topics!(chunks, connections, expect, headers, hosts, lengths, lines, rates, sizes, slow, uploads, upstreams);

#[test]
fn there_are_150_cases_and_each_has_a_name_of_its_own() {
    let cases = all_cases();
    let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert!(cases.len() >= 150, "{}", cases.len());
    assert_eq!(names.len(), cases.len());
}

#[test]
fn each_difference_is_that_of_a_case() {
    let cases = all_cases();
    for difference in DIFFERENCES {
        assert!(!difference.why.is_empty());
        for (name, ..) in difference.cases {
            assert!(cases.iter().any(|case| case.name == *name), "{name}");
        }
    }
}
