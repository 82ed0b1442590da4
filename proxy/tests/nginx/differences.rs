//! Where we do something else than nginx on purpose, and why: all of it, in one table.
//!
//! Each row is checked: the case must give exactly these facts at ours, so that a row that no longer holds
//! fails its case.

use crate::observation::SUMMARY;

/// What we do otherwise, and in which cases it shows.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) why: &'static str,
    pub(crate) cases: &'static [Row],
}

/// A case, a fact in which it differs, and what that is at ours.
pub(crate) type Row = (&'static str, &'static str, &'static str);

const HEADERS: &str = "upstream request 1 headers";

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        why: "HTTP/0.9 is refused: nobody speaks it any more, and a request without version or headers can \
              neither be timed in stages nor replayed.",
        cases: &[("version-0.9", SUMMARY, "400 fin | nothing")],
    },
    Difference {
        why: "HTTP/2 with prior knowledge is served on a plain port; here its first frame is answered.",
        cases: &[("http-2-preface", SUMMARY, "? open | nothing")],
    },
    Difference {
        why: "The upstream's Host is the host that the request was routed by: that of an absolute target, as \
              RFC 9112 section 3.2.2 has it. nginx routes by the target and its $http_host passes on the \
              Host header, which may name another.",
        cases: &[
            ("absolute-other-host", HEADERS, "host: b.example"),
            ("absolute-with-port", HEADERS, "host: a.example:81"),
            ("absolute-upper-case", HEADERS, "host: A.EXAMPLE"),
            ("absolute-in-http-1.0", HEADERS, "host: a.example"),
            ("absolute-ipv6", HEADERS, "host: [::1]"),
        ],
    },
    Difference {
        why: "HTTP/1.1 requires a Host, so the upstream gets an empty one when an HTTP/1.0 client sent none.",
        cases: &[("host-missing-in-http-1.0", HEADERS, "host: ")],
    },
    Difference {
        why: "Headers that are about one connection end here (RFC 9110 section 7.6.1).",
        cases: &[
            ("connection-names-a-header", HEADERS, "host: a.example"),
            ("hop-by-hop", HEADERS, "host: a.example"),
            ("upgrade-not-asked-for", HEADERS, "host: a.example"),
        ],
    },
    Difference {
        why: "A CR without its LF is refused wherever it stands: others take it for a line end.",
        cases: &[("header-cr-cr-lf", SUMMARY, "400 fin | nothing")],
    },
    Difference {
        why: "What a client may send without an end has a bound: chunk extensions and trailers.",
        cases: &[
            ("chunk-extension-of-10k", SUMMARY, "400 fin | nothing"),
            ("trailer-of-70k", SUMMARY, "400 fin | nothing"),
        ],
    },
    Difference {
        why: "A chunk over the limit is refused when it is announced; nginx waits for its first byte.",
        cases: &[("chunk-announced-over-the-limit-without-data", SUMMARY, "413 fin | nothing")],
    },
    Difference {
        why: "Interim answers of the upstream are not passed on. nginx 1.22 takes the first for the final \
              answer and the final one for its body, without an end; newer versions drop them as we do.",
        cases: &[
            ("interim-100", SUMMARY, "200 open | whole"),
            ("interim-103", SUMMARY, "200 open | whole"),
            ("interim-100-a-thousand-times", SUMMARY, "502 open | whole"),
            ("interim-and-nothing-more", SUMMARY, "502 open | whole"),
            ("expect-and-the-origin-says-100-too", SUMMARY, "100 200 open | whole"),
            ("switching-without-being-asked", SUMMARY, "502 open | whole"),
        ],
    },
    Difference {
        why: "An answer without a status line is no HTTP/0.9 answer: the client would take it for garbage.",
        cases: &[
            ("answer-is-nonsense", SUMMARY, "502 open | whole"),
            ("answer-with-status-of-2-digits", SUMMARY, "502 open | whole"),
            ("answer-with-letters-as-status", SUMMARY, "502 open | whole"),
        ],
    },
    Difference {
        why: "An answer whose length is not known for certain is not passed on; newer versions of nginx do \
              the same.",
        cases: &[
            ("answer-with-two-different-lengths", SUMMARY, "502 open | whole"),
            ("answer-with-negative-length", SUMMARY, "502 open | whole"),
            ("answer-gzip-coded", SUMMARY, "502 open | whole"),
        ],
    },
    Difference {
        why: "A redirect of the upstream to itself becomes one to the host that the client asked for, with the \
              port it named; nginx appends the port it listens at, which is wrong behind another proxy.",
        cases: &[(
            "answer-with-redirect-to-the-upstream",
            "client 1 answer 1 headers",
            "location: http://a.example/b; refresh: 1; url=/b; x-origin: yes",
        )],
    },
    Difference {
        why: "A connection on which the upstream sent more than it should have is not used again.",
        cases: &[("answer-to-head-with-a-body", "upstream connections left open", "0")],
    },
];

/// The facts in which the case differs on purpose.
pub(crate) fn intended(case: &str) -> Vec<(&'static str, &'static str)> {
    let rows = DIFFERENCES.iter().flat_map(|difference| difference.cases);
    rows.filter(|(name, ..)| *name == case).map(|(_, fact, ours)| (*fact, *ours)).collect()
}
