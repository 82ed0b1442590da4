//! A comparison as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use super::Comparison;
use super::text::{FOOTNOTE, TITLES, headline, sentences, shown};

/// Ends in a line feed.
pub fn render(comparison: &Comparison) -> String {
    let Comparison { a, b, .. } = comparison;
    let mut text = format!("### kingtide: {}\n\n", escaped(&headline(comparison)));
    for (letter, side) in [("A", a), ("B", b)] {
        let told = format!(
            "{} of {}, to {}, {}: {}",
            side.setting, side.capture, side.target, side.started, side.verdict
        );
        let _ = writeln!(text, "- **{letter}** {}", escaped(&told));
    }
    let told = shown(comparison);
    if !told.rows.is_empty() {
        let _ = writeln!(text, "\n| {} |\n|---|---:|---:|---:|---|", TITLES.join(" | "));
        for row in told.rows {
            let _ = writeln!(text, "| {} |", row.map(|cell| escaped(&cell)).join(" | "));
        }
        let _ = writeln!(text, "\n{}{}", escaped(FOOTNOTE), told.rest);
    }
    let sentences: Vec<String> =
        sentences(comparison).iter().map(|told| format!("- {}\n", escaped(told))).collect();
    if sentences.is_empty() { text } else { format!("{text}\n{}", sentences.concat()) }
}

/// What a table or a paragraph would take for its own.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "\\|*_<>`[]".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_stays_in_its_cell() {
        assert_eq!(escaped("GET /a|b/*_x"), r"GET /a\|b/\*\_x");
    }
}
