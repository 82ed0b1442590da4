//! A body described: however it is cut into pieces, the description is the same, and nothing panics.

#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use kingtide_common::body::budget::Budget;
use kingtide_common::body::describe::Describer;
use kingtide_common::body::{BodyCollector, Bounds};
use kingtide_common::exchange::Body;
use kingtide_common::fingerprint::Fingerprinter;
use kingtide_common::redact::{Privacy, Redactor, Rules};
use libfuzzer_sys::fuzz_target;

const TYPES: [&str; 5] = [
    "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=----WebKitFormBoundaryAb12Cd34Ef56Gh78",
    "application/json",
    "application/x-www-form-urlencoded",
    "text/html",
];
const CODINGS: [Option<&str>; 5] = [None, Some("gzip"), Some("deflate"), Some("br"), Some("zstd")];

static DESCRIBER: LazyLock<Describer> = LazyLock::new(|| {
    let fingerprinter = Fingerprinter::with_key([7; 32]);
    Describer::new(Redactor::new(Rules::built_in(), Privacy::Default, fingerprinter), 4096)
});

#[derive(Debug, Arbitrary)]
struct Sent<'a> {
    kind: u8,
    coding: u8,
    complete: bool,
    piece: u16,
    body: &'a [u8],
}

fuzz_target!(|sent: Sent<'_>| {
    let whole = described(&sent, sent.body.len());
    assert_eq!(described(&sent, usize::from(sent.piece) + 1), whole);
});

fn described(sent: &Sent<'_>, piece: usize) -> Body {
    let bounds = Bounds {
        body_bytes_max: 4096,
        hash_bytes_max: 1024,
        budget: Budget::new(1 << 20),
        hasher: Arc::new(DESCRIBER.redactor.hasher()),
    };
    let content_type = TYPES[usize::from(sent.kind) % TYPES.len()];
    let coding = CODINGS[usize::from(sent.coding) % CODINGS.len()];
    let mut collector = BodyCollector::new(Some(content_type), coding, &bounds);
    sent.body.chunks(piece.max(1)).for_each(|piece| collector.take(piece));
    DESCRIBER.body(collector.finish(sent.complete))
}
