//! A text with `*` for any stretch of characters.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// `*` stands for any stretch, an empty one too; everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What stands between the stars.
    pieces: Vec<String>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { pieces: text.split('*').map(str::to_owned).collect() }
    }

    pub fn matches(&self, text: &str) -> bool {
        let [first, rest @ ..] = self.pieces.as_slice() else { return false };
        let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
        for piece in middle {
            let Some(at) = left.find(piece.as_str()) else { return false };
            left = &left[at + piece.len()..];
        }
        left.ends_with(last.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

impl FromStr for Pattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_stretch() {
        let cases = [
            ("/api/x", "/api/x", true),
            ("/api/x", "/api/xy", false),
            ("*", "", true),
            ("/api/*", "/api/", true),
            ("/api/*/photos", "/api/users/7/photos", true),
            ("/api/*/photos", "/api/photos", false),
            ("*a*b*", "xxaxxb", true),
            ("*a*b*", "xxbxxa", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
            assert_eq!(Pattern::new(pattern).to_string(), pattern);
        }
    }
}
