//! Trace context of the W3C (<https://www.w3.org/TR/trace-context/>) and identifiers of requests.
//!
//! A trace that comes in is continued with a span of our own; one that is not valid to the letter is left, as the
//! recommendation wants it, and a new one begun. Identifiers come from the thread's generator, seeded by the
//! operating system: unique, and nothing to guess secrets from. They cannot be zero, by their type.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// `version-trace-parent-flags`
const BYTES: usize = 55;
/// Sampled, and (level 2) random: what is passed on. Others have no meaning yet and must be sent as 0.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// A place in a trace: the span that what is sent belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    flags: u8,
    is_continued: bool,
}

impl TraceContext {
    /// Continues the trace of the `traceparent` headers that are believed. None, several or an invalid one:
    /// a new trace.
    pub(crate) fn continue_or_start<'a>(mut traceparents: impl Iterator<Item = &'a [u8]>) -> Self {
        let first = traceparents.next().filter(|_| traceparents.next().is_none());
        first.and_then(parse).map_or_else(Self::start, Self::next_span)
    }

    fn start() -> Self {
        Self { trace_id: rand::random(), span_id: rand::random(), flags: SAMPLED, is_continued: false }
    }

    /// The same trace with a span of its own: for each attempt upstream.
    pub(crate) fn next_span(self) -> Self {
        Self { span_id: rand::random(), ..self }
    }

    /// Only then `tracestate` goes on.
    pub(crate) fn is_continued(self) -> bool {
        self.is_continued
    }

    /// 32 hexadecimal digits, as in a backend's own spans.
    #[cfg(test)]
    pub(crate) fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 hexadecimal digits.
    #[cfg(test)]
    pub(crate) fn span_id(self) -> String {
        format!("{:016x}", self.span_id)
    }
}

impl fmt::Display for TraceContext {
    /// As `traceparent`, in version 00 whatever came in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// What came in, or `None` where the recommendation says to ignore it. Of versions to come only the first four
/// fields are read.
fn parse(value: &[u8]) -> Option<TraceContext> {
    let (fields, rest) = value.split_at_checked(BYTES)?;
    let is_version_0 = fields.starts_with(b"00");
    let may_follow = !is_version_0 && rest.first() == Some(&b'-');
    let dashes = [fields[2], fields[35], fields[52]] == *b"---";
    if !dashes || fields.starts_with(b"ff") || !(rest.is_empty() || may_follow) {
        return None;
    }
    hexadecimal(&fields[..2])?;
    Some(TraceContext {
        trace_id: NonZeroU128::new(hexadecimal(&fields[3..35])?)?,
        span_id: NonZeroU64::new(u64::try_from(hexadecimal(&fields[36..52])?).ok()?)?,
        flags: u8::try_from(hexadecimal(&fields[53..])?).ok()? & KNOWN_FLAGS,
        is_continued: true,
    })
}

/// At most 32 digits, lower case only.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    let add = |number: u128, digit: &u8| match digit {
        b'0'..=b'9' => Some(number << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Some(number << 4 | u128::from(digit - b'a' + 10)),
        _ => None,
    };
    digits.iter().try_fold(0, add)
}

/// 32 hexadecimal digits, as Nginx's `$request_id`.
pub(crate) fn request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn from(values: &[&str]) -> TraceContext {
        TraceContext::continue_or_start(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn a_valid_trace_is_continued_with_a_new_span() {
        let trace = from(&[&format!("00-{TRACE}-{PARENT}-01")]);
        assert!(trace.is_continued() && trace.trace_id() == TRACE && trace.span_id() != PARENT);
        assert_eq!(trace.to_string(), format!("00-{TRACE}-{}-01", trace.span_id()));
        let next = trace.next_span();
        assert!(next.trace_id() == TRACE && next.span_id() != trace.span_id() && next.is_continued());
    }

    #[test]
    fn versions_to_come_are_read_as_far_as_they_are_known() {
        for value in [format!("01-{TRACE}-{PARENT}-ff"), format!("cc-{TRACE}-{PARENT}-03-more-than-known")] {
            let trace = from(&[&value]);
            assert!(trace.is_continued() && trace.to_string().starts_with(&format!("00-{TRACE}-")));
            assert!(trace.to_string().ends_with("-03"), "flags without a meaning are not passed on");
        }
    }

    #[test]
    fn anything_else_begins_a_new_trace() {
        let valid = format!("00-{TRACE}-{PARENT}-01");
        let zeros = "0".repeat(32);
        for values in [
            vec![],
            vec![valid.as_str(), valid.as_str()],
            vec![""],
            vec![&valid[..54]],
            vec![&format!("{valid}-")],
            vec![&format!("ff-{TRACE}-{PARENT}-01")],
            vec![&format!("01-{TRACE}-{PARENT}-01.more")],
            vec![&format!("00-{zeros}-{PARENT}-01")],
            vec![&format!("00-{TRACE}-{}-01", &zeros[..16])],
            vec![&valid.to_uppercase()],
            vec![&valid.replace('-', "_")],
            vec![&format!("00-{TRACE}-{PARENT}-0g")],
            vec![&format!("0g-{TRACE}-{PARENT}-01")],
            vec![&format!(" {valid}")],
        ] {
            let trace = from(&values);
            assert!(!trace.is_continued() && trace.trace_id() != TRACE, "{values:?}");
            assert!(from(&[&trace.to_string()]).is_continued(), "what is begun is valid");
        }
    }

    #[test]
    fn identifiers_are_all_different() {
        let ids: HashSet<String> = (0..1000).map(|_| request_id()).collect();
        assert!(ids.len() == 1000 && ids.iter().all(|id| id.len() == 32));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(trace_id in 1_u128.., span_id in 1_u64.., flags in 0_u8..4) {
            let (trace_id, span_id) = (NonZeroU128::new(trace_id).unwrap(), NonZeroU64::new(span_id).unwrap());
            let trace = TraceContext { trace_id, span_id, flags, is_continued: true };
            prop_assert_eq!(parse(trace.to_string().as_bytes()), Some(trace));
        }

        #[test]
        fn no_bytes_panic(value in prop::collection::vec(any::<u8>(), 0..70), text in "[0-9a-f-]{50,60}") {
            let _ = (parse(&value), parse(text.as_bytes()));
        }
    }
}
