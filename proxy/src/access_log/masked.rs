//! Targets without the values of secret query fields.

use std::borrow::Cow;

use memchr::memchr;

use kingtide_common::redact::Rules;

const MASK: &[u8] = b"***";

/// A request target or URL; borrowed where nothing had to be masked.
///
/// A name is compared as it is written, without percent-decoding: who hides a secret from the log by spelling
/// its name oddly gives away their own.
pub(super) fn masked<'a>(target: &'a [u8], rules: &Rules) -> Cow<'a, [u8]> {
    let Some(mark) = memchr(b'?', target) else { return target.into() };
    let (path, query) = target.split_at(mark + 1);
    if !query.split(|byte| *byte == b'&').any(|pair| secret_name(pair, rules).is_some()) {
        return target.into();
    }
    let mut kept = path.to_vec();
    for (position, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if position > 0 {
            kept.push(b'&');
        }
        push_pair(&mut kept, pair, rules);
    }
    kept.into()
}

fn push_pair(kept: &mut Vec<u8>, pair: &[u8], rules: &Rules) {
    match secret_name(pair, rules) {
        Some(name) => {
            kept.extend_from_slice(name);
            kept.push(b'=');
            kept.extend_from_slice(MASK);
        }
        None => kept.extend_from_slice(pair),
    }
}

/// The name of a pair whose value is secret.
fn secret_name<'a>(pair: &'a [u8], rules: &Rules) -> Option<&'a [u8]> {
    let name = &pair[..memchr(b'=', pair)?];
    rules.is_secret(&String::from_utf8_lossy(name)).then_some(name)
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
            ("https://school.example/a?apiKey=1#top", "https://school.example/a?apiKey=***"),
        ] {
            assert_eq!(masked(target), expected);
        }
    }
}
