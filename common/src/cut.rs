//! Sessions that a gap cuts: something of them was recorded, the rest was not.
//!
//! A gap names their users by what their requests show, or were given, and by their connections.

use std::collections::HashSet;

use crate::exchange::{Body, CutUser, Exchange, Gap};
use crate::fingerprint::Fingerprint;

/// Everybody whom the gaps of a capture name.
#[derive(Debug, Clone, Default)]
pub struct CutUsers {
    named: HashSet<CutUser>,
}

impl CutUsers {
    pub fn of(gaps: &[Gap]) -> Self {
        Self { named: gaps.iter().flat_map(|gap| gap.cut.iter().copied()).collect() }
    }

    pub fn is_nobody(&self) -> bool {
        self.named.is_empty()
    }

    /// Whether this exchange is one of a session that is cut.
    pub fn include(&self, exchange: &Exchange) -> bool {
        !self.is_nobody()
            && (self.include_connection(exchange.connection)
                || prints(exchange).any(|print| self.include_credential(print)))
    }

    pub fn include_connection(&self, connection: u64) -> bool {
        self.named.contains(&CutUser::Connection(connection))
    }

    /// Whoever shows this fingerprint in a request, or is given it.
    pub fn include_credential(&self, print: Fingerprint) -> bool {
        self.named.contains(&CutUser::Credential(print))
    }
}

/// The fingerprints that a request shows, and those that its answer gives.
fn prints(exchange: &Exchange) -> impl Iterator<Item = Fingerprint> {
    let headers = exchange.request_headers.iter().chain(&exchange.response_headers);
    let body = match &exchange.response_body {
        Body::Json(text) | Body::Form(text) => text.as_str(),
        _ => "",
    };
    let texts = headers.map(|header| header.value.as_str()).chain([body]);
    texts.flat_map(Fingerprint::find_all).map(|(_, print)| print)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Header;

    #[test]
    fn a_user_is_found_by_connection_by_credential_and_by_the_login_that_issued_it() {
        let print = Fingerprint { hash: 7, bytes: 20 };
        let gap = Gap { cut: vec![CutUser::Connection(3), CutUser::Credential(print)], ..Gap::default() };
        let cut = CutUsers::of(&[Gap::default(), gap]);
        let header = Header { name: "Authorization".into(), value: format!("Bearer {print}") };
        let login = Body::Json(format!("{{\"token\":\"{print}\"}}"));
        assert!(cut.include(&Exchange { connection: 3, ..Exchange::default() }));
        assert!(cut.include(&Exchange { request_headers: vec![header], ..Exchange::default() }));
        assert!(cut.include(&Exchange { response_body: login, ..Exchange::default() }));
        assert!(!cut.include(&Exchange { connection: 4, ..Exchange::default() }));
        assert!(!CutUsers::of(&[]).include(&Exchange::default()));
    }
}
