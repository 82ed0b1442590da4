//! What requests create at the target, for whoever clears it away: the ids in answers to POST.
//!
//! They are asked for beside what later steps need, and only of what is read anyway: an answer that came compressed, because
//! no step needs a value of it, is not looked into, as asking for it otherwise would be another load.

use std::borrow::Cow;

use http::Method;

use super::exchange::Answer;
use crate::sessions::ResponsePlace;

/// Of statuses that say that something is there now.
const CREATED: [u16; 2] = [200, 201];

/// The better one first.
fn places() -> [ResponsePlace; 2] {
    let pointer = "/id".to_owned();
    [ResponsePlace::Header { name: "location".to_owned() }, ResponsePlace::Json { pointer }]
}

/// What is asked of an answer, with what may say that something was created.
pub(super) fn demands<'a>(needed: &'a [ResponsePlace], method: &Method) -> Cow<'a, [ResponsePlace]> {
    if method != Method::POST {
        return Cow::Borrowed(needed);
    }
    let more = places().into_iter().filter(|place| !needed.contains(place));
    needed.iter().cloned().chain(more).collect()
}

/// The id of what an answer to POST says was created.
pub(super) fn id(answer: &Answer) -> Option<String> {
    let is_created = CREATED.contains(&answer.status);
    let value = |place: &ResponsePlace| answer.found.iter().find(|(from, _)| from == place);
    let found = places().iter().find_map(|place| value(place).map(|(_, value)| value.clone()));
    found.filter(|_| is_created)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, found: &[(usize, &str)]) -> Answer {
        let found = found.iter().map(|(place, value)| (places()[*place].clone(), (*value).to_owned()));
        Answer {
            status,
            retry_after: None,
            found: found.collect(),
            cookies: Vec::new(),
            server_timing: Vec::new(),
        }
    }

    #[test]
    fn a_location_goes_before_an_id_and_only_good_answers_create() {
        let cases = [
            (answer(201, &[(1, "7"), (0, "/tasks/7")]), Some("/tasks/7")),
            (answer(200, &[(1, "7")]), Some("7")),
            (answer(201, &[]), None),
            (answer(409, &[(1, "7")]), None),
            (answer(302, &[(0, "/login")]), None),
        ];
        for (answer, expected) in cases {
            assert_eq!(id(&answer).as_deref(), expected, "{answer:?}");
        }
    }

    #[test]
    fn only_posts_are_asked_and_nothing_twice() {
        let needed = [places()[1].clone()];
        assert_eq!(demands(&needed, &Method::GET), Cow::Borrowed(&needed[..]));
        assert_eq!(demands(&needed, &Method::POST).len(), 2);
    }
}
