//! Targets without secrets: the values of query fields, of fields in a fragment and of parameters of the path.

use std::borrow::Cow;
use std::ops::Range;

use kingtide_common::redact::{Rules, percent_decoded};

const MASK: &[u8] = b"***";

/// What begins a field.
const BEGINS: &[u8] = b"?&;#";

/// A request target or URL; borrowed where nothing had to be masked.
///
/// Paths are kept as Nginx keeps them, but for `;jsessionid=` and its like.
pub(super) fn masked<'a>(target: &'a [u8], rules: &Rules) -> Cow<'a, [u8]> {
    let mut values = secret_values(target, rules).peekable();
    if values.peek().is_none() {
        return target.into();
    }
    let (mut kept, mut from) = (Vec::with_capacity(target.len()), 0);
    for value in values {
        kept.extend_from_slice(&target[from..value.start]);
        kept.extend_from_slice(MASK);
        from = value.end;
    }
    kept.extend_from_slice(&target[from..]);
    kept.into()
}

/// Where the values of secret fields stand. A value ends where the next field of its kind begins: a `;` within a
/// query belongs to the value before it unless it began a field itself.
fn secret_values<'a>(target: &'a [u8], rules: &'a Rules) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let begin = at + target[at..].iter().position(|byte| BEGINS.contains(byte))?;
            at = begin + 1;
            let name_bytes =
                target[at..].iter().take_while(|byte| **byte != b'=' && !BEGINS.contains(byte)).count();
            let value = at + name_bytes + 1;
            if target.get(value - 1) != Some(&b'=') || !is_secret(&target[at..value - 1], rules) {
                continue;
            }
            let ends: &[u8] = if target[begin] == b';' { b"?/&;#" } else { b"&#" };
            let length = target[value..].iter().take_while(|byte| !ends.contains(byte)).count();
            at = value + length;
            return Some(value..at);
        }
    })
}

fn is_secret(name: &[u8], rules: &Rules) -> bool {
    rules.is_secret(&percent_decoded(&String::from_utf8_lossy(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_fields_are_masked_and_nothing_else() {
        let rules = Rules::built_in();
        let masked =
            |target: &str| String::from_utf8(masked(target.as_bytes(), &rules).into_owned()).unwrap();
        for (target, expected) in [
            ("/a", "/a"),
            ("/a?b=1&c", "/a?b=1&c"),
            ("/a?b=1&access_token=x%20y&c=2", "/a?b=1&access_token=***&c=2"),
            ("/a?X-Amz-Signature=f00&", "/a?X-Amz-Signature=***&"),
            ("/a?password=&code=1?2", "/a?password=***&code=***"),
            ("https://school.example/a?apiKey=1#top", "https://school.example/a?apiKey=***#top"),
            ("https://school.example/a#access_token=1&x=2", "https://school.example/a#access_token=***&x=2"),
            ("/a?pass%77ord=1;2&b", "/a?pass%77ord=***&b"),
            ("/a;jsessionid=1/b?c=1;token=2", "/a;jsessionid=***/b?c=1;token=***"),
        ] {
            assert_eq!(masked(target), expected);
        }
    }
}
