//! Prometheus' text exposition format 0.0.4, as far as sums need it: name, labels, value of each sample.
//!
//! A line that cannot be read is left out; an endpoint that answers something else has no samples.

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Vec<(&'a str, String)>,
    pub(super) value: f64,
}

impl Sample<'_> {
    /// A label that is not there is as one that is empty, as in Prometheus.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

/// Of an exposition.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    let (name, rest) = name(line)?;
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    // A timestamp may follow.
    let value = rest.split_whitespace().next()?;
    Some(Sample { name, labels, value: value.parse().ok()? })
}

/// A metric's or a label's name at the beginning.
pub(super) fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (name.starts_with(|c: char| !c.is_ascii_digit())).then_some((name, rest))
}

/// Those after the opening brace, and what follows the closing one.
fn labels(mut text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = name(text)?;
        let (value, rest) = quoted(rest.trim_start().strip_prefix('=')?.trim_start(), '"')?;
        labels.push((name, value));
        text = rest;
    }
}

/// A quoted value at the beginning, its escapes resolved, and what follows.
pub(super) fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let text = text.strip_prefix(quote)?;
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ if c == quote => return Some((value, &text[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_are_read_and_what_is_none_is_left_out() {
        let text = "# HELP a b\na 1\na{} 2\na{x=\"1\",} 3 1700000000\n\nb{x=\"q\\\"\\\\\\n}\" , y=\"\"} +Inf\n<html>\n\
                    9a 1\nb{x=1} 2\nb{x=\"1\" 2\nc\nc one\n";
        let samples: Vec<Sample<'_>> = samples(text).collect();
        let found: Vec<(&str, usize, f64)> =
            samples.iter().map(|sample| (sample.name, sample.labels.len(), sample.value)).collect();
        assert_eq!(found, [("a", 0, 1.0), ("a", 0, 2.0), ("a", 1, 3.0), ("b", 2, f64::INFINITY)]);
        assert_eq!((samples[3].label("x"), samples[3].label("z")), ("q\"\\\n}", ""));
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "(\\PC|\n|\"|\\{|\\}|=|\\\\){0,80}") {
            let _ = samples(&text).count();
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z_:][a-z0-9_:]{0,8}", label in "\\PC{0,12}", value in -1e9..1e9) {
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("{name}{{l=\"{escaped}\"}} {value}");
            let read = samples(&line).next().unwrap();
            prop_assert_eq!((read.name, read.label("l"), read.value), (name.as_str(), label.as_str(), value));
        }
    }
}
