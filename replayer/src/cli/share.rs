//! A share of the requests, as users write it: `1%` or `0.01`.

use std::str::FromStr;

/// 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Share(f64);

impl Share {
    pub(super) fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let percent = trimmed.strip_suffix('%');
        let number: f64 = percent.unwrap_or(trimmed).trim().parse().map_err(|_| refusal(text))?;
        let share = if percent.is_some() { number / 100.0 } else { number };
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(refusal(text)) }
    }
}

fn refusal(text: &str) -> String {
    format!("`{text}` is no share between 0 and 1: write 1% or 0.01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_or_fractions() {
        for (text, share) in [("1%", 0.01), ("0.5 %", 0.005), ("0.25", 0.25), ("0", 0.0), ("100%", 1.0)] {
            assert!((text.parse::<Share>().unwrap().get() - share).abs() < 1e-12, "{text}");
        }
        for text in ["101%", "2", "-1%", "", "%", "NaN"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
