//! What an edit hides: more than the recording did, never less.
//!
//! Tokens stay what they are, unless all are to be new ones; what newer rules hide becomes a token under a key that
//! is made for this edit and dies with it.

use kingtide_common::capture::Edit;
use kingtide_common::exchange::{Body, CutUser, Exchange, Gap, Header, Part, PartContent};
use kingtide_common::fingerprint::{Fingerprint, Fingerprinter};
use kingtide_common::redact::{Privacy, Redactor, Rules};

/// What is hidden.
#[derive(Debug, Default)]
pub struct Hiding {
    redactor: Option<Redactor>,
    is_strict: bool,
    rekeying: Option<Fingerprinter>,
    /// Lower case.
    dropped_headers: Vec<String>,
    drops_clients: bool,
}

/// No randomness for a key.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers for a key: {0}")]
pub struct HidingError(#[from] std::io::Error);

impl Hiding {
    /// By these rules on top of what is hidden already.
    pub fn redact(self, rules: Rules, privacy: Privacy) -> Result<Self, HidingError> {
        let fingerprinter = Fingerprinter::with_random_key()?.keeping_tokens();
        let redactor = Some(Redactor::new(rules, privacy, fingerprinter));
        Ok(Self { redactor, is_strict: privacy == Privacy::Strict, ..self })
    }

    /// Every fingerprint becomes another, equal ones equal ones: what was made of the same capture before cannot be
    /// joined with the result by them.
    pub fn rekey(self) -> Result<Self, HidingError> {
        Ok(Self { rekeying: Some(Fingerprinter::with_random_key()?), ..self })
    }

    #[must_use]
    pub fn drop_headers(self, names: &[String]) -> Self {
        Self { dropped_headers: names.iter().map(|name| name.to_ascii_lowercase()).collect(), ..self }
    }

    #[must_use]
    pub fn drop_clients(self, drops_clients: bool) -> Self {
        Self { drops_clients, ..self }
    }

    pub(super) fn apply(&self, exchange: &mut Exchange) {
        let is_kept = |header: &Header| !self.dropped_headers.contains(&header.name.to_ascii_lowercase());
        exchange.request_headers.retain(is_kept);
        exchange.response_headers.retain(is_kept);
        if self.drops_clients {
            exchange.client.clear();
        }
        if let Some(redactor) = &self.redactor {
            redact(redactor, exchange);
        }
        if let Some(key) = &self.rekeying {
            rekey(key, exchange);
        }
    }

    /// A gap names users as the exchanges do: by what fingerprints become, and by connections as of their start.
    pub(super) fn apply_to_gap(&self, gap: &mut Gap, ids_from: u64) {
        gap.cut.iter_mut().for_each(|user| match (user, &self.rekeying) {
            (CutUser::Connection(number), _) => *number = number.saturating_sub(ids_from),
            (CutUser::Credential(print), Some(key)) => *print = rekeyed(key, *print),
            (CutUser::Credential(_), None) => {}
        });
    }

    /// The privacy of a start that had `before`.
    pub(super) fn privacy(&self, before: &str) -> String {
        if self.is_strict { "strict".to_owned() } else { before.to_owned() }
    }

    /// A text that tells where the result comes from, unless that is to stay unknown.
    pub(super) fn unlinked(&self, text: Option<&str>) -> String {
        text.filter(|_| self.rekeying.is_none()).unwrap_or_default().to_owned()
    }

    pub(super) fn unlinked_edits(&self, edits: Vec<Edit>) -> Vec<Edit> {
        let unlinked = |edit: Edit| Edit {
            source: self.unlinked(Some(&edit.source)),
            source_digest: self.unlinked(Some(&edit.source_digest)),
            ..edit
        };
        edits.into_iter().map(unlinked).collect()
    }
}

fn redact(redactor: &Redactor, exchange: &mut Exchange) {
    exchange.target = redactor.target(&exchange.target);
    for header in exchange.request_headers.iter_mut().chain(&mut exchange.response_headers) {
        (header.name, header.value) = redactor.header_line(&header.name, &header.value);
    }
    redact_body(redactor, &mut exchange.request_body);
    redact_body(redactor, &mut exchange.response_body);
}

fn redact_body(redactor: &Redactor, body: &mut Body) {
    match body {
        Body::Empty | Body::Opaque | Body::Unread(_) => {}
        // A page stands as JSON of its forms.
        Body::Json(text) | Body::Html(text) => match redactor.json(text) {
            Some(redacted) => *text = redacted,
            // It was JSON once; as it is nobody can say what is in it.
            None => *body = Body::Unread("no JSON any more".to_owned()),
        },
        Body::Form(text) => *text = redactor.form(text),
        Body::Multipart(form) => form.parts.iter_mut().for_each(|part| redact_part(redactor, part)),
    }
}

fn redact_part(redactor: &Redactor, part: &mut Part) {
    if let PartContent::Field { value } = &mut part.content {
        *value = redactor.field(&part.name, value).into_owned();
    }
    part.head = redactor.part_head(&part.head).into_owned();
    part.name = redactor.text(&part.name).into_owned();
}

fn rekey(key: &Fingerprinter, exchange: &mut Exchange) {
    for text in [&mut exchange.target, &mut exchange.client, &mut exchange.host] {
        rekey_text(key, text);
    }
    for header in exchange.request_headers.iter_mut().chain(&mut exchange.response_headers) {
        rekey_text(key, &mut header.name);
        rekey_text(key, &mut header.value);
    }
    rekey_body(key, &mut exchange.request_body);
    rekey_body(key, &mut exchange.response_body);
}

fn rekey_body(key: &Fingerprinter, body: &mut Body) {
    match body {
        Body::Empty | Body::Opaque => {}
        Body::Json(text) | Body::Form(text) | Body::Html(text) | Body::Unread(text) => rekey_text(key, text),
        Body::Multipart(form) => form.parts.iter_mut().for_each(|part| rekey_part(key, part)),
    }
}

fn rekey_part(key: &Fingerprinter, part: &mut Part) {
    rekey_text(key, &mut part.head);
    rekey_text(key, &mut part.name);
    match &mut part.content {
        PartContent::Field { value } => rekey_text(key, value),
        PartContent::File { file } => {
            file.hash = format!("{:016x}", key.fingerprint(file.hash.as_bytes()).hash);
        }
    }
}

fn rekey_text(key: &Fingerprinter, text: &mut String) {
    for (range, print) in Fingerprint::find_all(text).into_iter().rev() {
        text.replace_range(range, &rekeyed(key, print).to_string());
    }
}

fn rekeyed(key: &Fingerprinter, print: Fingerprint) -> Fingerprint {
    Fingerprint { hash: key.fingerprint(&print.hash.to_be_bytes()).hash, bytes: print.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::scene::{Scene, post, secret};

    fn login() -> Scene {
        let body =
            format!(r#"{{"email":"{}","school":"North High","note":"to {} "}}"#, secret("anna"), secret("x"));
        let scene = post("/api/login?school=North&t=1").json(&body).bearer("token-of-anna");
        scene.header("X-School", "North High").header("Accept", "*/*").answers(r#"{"school":"North High"}"#)
    }

    fn rules() -> Rules {
        let built_in = include_str!("../../../configs/redaction.toml");
        let text = built_in.replacen("personal_names = [", "personal_names = [\"school\", ", 1);
        assert_ne!(text, built_in);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.toml");
        std::fs::write(&path, text).unwrap();
        Rules::load(&path).unwrap()
    }

    fn edited(hiding: &Hiding) -> Exchange {
        let mut exchange = login().0;
        hiding.apply(&mut exchange);
        exchange
    }

    #[test]
    fn newer_rules_hide_more_and_leave_tokens_as_they_are() {
        let exchange = edited(&Hiding::default().redact(rules(), Privacy::Default).unwrap());
        let text = format!("{exchange:?}");
        assert_eq!(exchange.request_header("authorization"), login().0.request_header("authorization"));
        let Body::Json(body) = &exchange.request_body else { panic!("{exchange:?}") };
        assert!(body.contains(&secret("anna")) && body.contains(&secret("x")), "{body}");
        assert!(!body.contains("North") && !exchange.target.contains("North"), "{text}");
        let Body::Json(answer) = &exchange.response_body else { panic!("{exchange:?}") };
        let token = Fingerprint::find_all(answer)[0].1;
        assert!(body.contains(&token.to_string()), "equal values have equal tokens: {body} {answer}");
        assert_eq!(token.bytes, "North High".len());
    }

    #[test]
    fn strict_hides_every_text_that_is_no_token_yet() {
        let exchange = edited(&Hiding::default().redact(Rules::built_in(), Privacy::Strict).unwrap());
        assert!(!format!("{exchange:?}").contains("North"), "{exchange:?}");
        assert_eq!(exchange.request_header("authorization"), login().0.request_header("authorization"));
        assert_eq!(exchange.request_header("accept"), Some("*/*"));
    }

    #[test]
    fn a_gap_names_a_cut_user_as_its_exchanges_do() {
        let hiding = Hiding::default().rekey().unwrap();
        let print = Fingerprint { hash: 7, bytes: 9 };
        let mut exchange = Exchange { target: format!("/{print}"), ..Exchange::default() };
        let cut = vec![CutUser::Credential(print), CutUser::Connection(1003)];
        let mut gap = Gap { cut, ..Gap::default() };
        hiding.apply(&mut exchange);
        hiding.apply_to_gap(&mut gap, 1000);
        let [CutUser::Credential(after), CutUser::Connection(3)] = gap.cut[..] else { panic!("{gap:?}") };
        assert_ne!(after, print);
        assert_eq!(exchange.target, format!("/{after}"));
    }

    #[test]
    fn rekeyed_tokens_are_others_and_equal_where_they_were_equal() {
        let mut before = login().upload(&[("f", "v")], 5_000).0;
        let Body::Multipart(form) = &mut before.request_body else { panic!("{before:?}") };
        let PartContent::File { file } = &mut form.parts[1].content else { panic!("{:?}", form.parts[1]) };
        "5f0c9a1e33b2d874".clone_into(&mut file.hash);
        let mut after = before.clone();
        Hiding::default().rekey().unwrap().apply(&mut after);
        let tokens = |exchange: &Exchange| {
            let text = format!("{exchange:?}");
            Fingerprint::find_all(&text).into_iter().map(|(_, print)| print).collect::<Vec<_>>()
        };
        let (old, new) = (tokens(&before), tokens(&after));
        assert_eq!(old.len(), new.len());
        for (one, other) in old.iter().zip(&new) {
            assert_eq!(one.bytes, other.bytes);
            assert!(!old.contains(other));
        }
        let pairs = |tokens: &[Fingerprint]| -> Vec<bool> {
            tokens.iter().flat_map(|one| tokens.iter().map(move |other| one == other)).collect()
        };
        assert_eq!(pairs(&old), pairs(&new));
        assert_ne!(before.files().next().unwrap().hash, after.files().next().unwrap().hash);
    }

    #[test]
    fn the_users_that_a_gap_names_are_rekeyed_like_their_tokens() {
        let hiding = Hiding::default().rekey().unwrap();
        let mut exchange = login().0;
        let print = |exchange: &Exchange| {
            Fingerprint::find_all(exchange.request_header("authorization").unwrap())[0].1
        };
        let cut = vec![CutUser::Credential(print(&exchange)), CutUser::Connection((1 << 40) + 7)];
        let mut gap = Gap { cut, ..Gap::default() };
        hiding.apply(&mut exchange);
        hiding.apply_to_gap(&mut gap, 1 << 40);
        assert_eq!(gap.cut, [CutUser::Credential(print(&exchange)), CutUser::Connection(7)]);
    }

    #[test]
    fn headers_and_clients_are_dropped() {
        let hiding = Hiding::default().drop_headers(&["x-school".to_owned()]).drop_clients(true);
        let exchange = edited(&hiding);
        assert_eq!((exchange.request_header("X-School"), exchange.client.as_str()), (None, ""));
        assert_eq!(exchange.request_header("Accept"), Some("*/*"));
    }
}
