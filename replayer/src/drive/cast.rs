//! What the clones of one session that are under way share: read when the first of them begins, gone with the last.
//!
//! Requests stay encoded until each is prepared, so that ten thousand uploads under way are not as many sessions in
//! memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::http::Protocols;
use super::request::is_approximated;
use super::script::Script;
use crate::sessions::Step;
use crate::store::{Entry, Store, StoreError};

/// See the module.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) script: Script,
    entry: Entry,
    answers: Vec<CapturedAnswer>,
}

/// What a replayed answer is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct CapturedAnswer {
    pub(super) status: Option<u16>,
    /// Its request goes out with filler.
    pub(super) is_approximated: bool,
}

/// The casts of one worker's clones under way, by session.
#[derive(Debug, Default)]
pub(super) struct Casts(RefCell<HashMap<usize, Weak<Cast>>>);

impl Cast {
    fn read(store: &Store, session: usize, protocols: Protocols) -> Result<Self, StoreError> {
        let (session, entry) = store.read(session)?;
        let answer = |Step { exchange, .. }: &Step| CapturedAnswer {
            status: exchange.status,
            is_approximated: is_approximated(exchange),
        };
        let answers = session.steps.iter().map(answer).collect();
        Ok(Self { script: Script::of(&session, store.credentials(&session), protocols), entry, answers })
    }

    /// A captured request, without its answer.
    pub(super) fn step(&self, store: &Store, step: usize) -> Step {
        store.step(&self.entry, step)
    }

    pub(super) fn captured_answer(&self, step: usize) -> CapturedAnswer {
        self.answers[step]
    }

    pub(super) fn steps(&self) -> usize {
        self.answers.len()
    }
}

impl Casts {
    /// Of a session a clone of which is about to begin.
    pub(super) fn of(
        &self,
        store: &Store,
        session: usize,
        protocols: Protocols,
    ) -> Result<Rc<Cast>, StoreError> {
        let mut casts = self.0.borrow_mut();
        if let Some(cast) = casts.get(&session).and_then(Weak::upgrade) {
            return Ok(cast);
        }
        // Before the table grows, and so seldom: what is gone need not be kept.
        if casts.len() == casts.capacity() {
            casts.retain(|_, cast| cast.strong_count() > 0);
        }
        let cast = Rc::new(Cast::read(store, session, protocols)?);
        casts.insert(session, Rc::downgrade(&cast));
        Ok(cast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Http;
    use crate::sessions::scene::{capture, get, post};
    use crate::sessions::{Rules, group};

    const PROTOCOLS: Protocols = Protocols { http: Http::Recorded, may_speak_http2: false };

    #[test]
    fn clones_under_way_share_what_is_read_and_leave_nothing() {
        let scenes = (0..1_000).map(|connection| get("/tasks").on(connection)).collect();
        let store = Store::of(group(capture(scenes), &Rules::default()).sessions).unwrap();
        let casts = Casts::default();
        let first = casts.of(&store, 3, PROTOCOLS).unwrap();
        assert!(Rc::ptr_eq(&first, &casts.of(&store, 3, PROTOCOLS).unwrap()));
        (0..store.len()).for_each(|session| drop(casts.of(&store, session, PROTOCOLS).unwrap()));
        assert!(casts.0.borrow().len() < 100, "{}", casts.0.borrow().len());
        assert!(Rc::ptr_eq(&first, &casts.of(&store, 3, PROTOCOLS).unwrap()));
    }

    #[test]
    fn a_request_is_as_it_was_captured() {
        let scenes = vec![
            post("/login")
                .json(r#"{"email":"a@b.example","password":"secret1"}"#)
                .answers(r#"{"id":"5000001"}"#)
                .at_s(0.0),
            post("/tasks/5000001").upload(&[("id", "5000001")], 9).refused(413).at_s(1.0),
        ];
        let sessions = group(capture(scenes), &Rules::default()).sessions;
        let store = Store::of(sessions.clone()).unwrap();
        let cast = Casts::default().of(&store, 0, PROTOCOLS).unwrap();
        for (number, captured) in sessions[0].steps.iter().enumerate() {
            let step = cast.step(&store, number);
            assert_eq!((step.offset_us, step.holes.len()), (captured.offset_us, captured.holes.len()));
            assert_eq!(step.exchange.target, captured.exchange.target);
            assert_eq!(step.exchange.request_body, captured.exchange.request_body);
            assert_eq!(cast.captured_answer(number).status, captured.exchange.status);
        }
    }
}
