//! At what speed a request's body goes out: as the captured client sent it, as the target takes it, or as a link of
//! one speed carries it.
//!
//! Each body has the link to itself, and only bodies are paced, not heads or answers: what is slow about an upload is
//! the way up. How long a body takes ([`Uplink::span_us`]) and when its bytes go out ([`Uplink::pacing`]) follow from
//! one curve, so the planned end and the timeouts know what the pacing does.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use kingtide_common::exchange::{Exchange, PacingPoint};

use super::pacing::Pacing;
use crate::sessions::StepOutline;

/// See the module. Written `recorded`, `unpaced`, or as a speed: `200kbps`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Uplink {
    /// Along the recorded curve of each upload.
    #[default]
    Recorded,
    /// As fast as the target takes it.
    Unpaced,
    /// Evenly, at so many bits a second.
    Link(NonZeroU64),
}

/// Links by name: the upload speeds of the presets "Good 3G", "Regular 4G / LTE" and "Wi-Fi" of Firefox's network
/// throttling, <https://firefox-source-docs.mozilla.org/devtools-user/network_monitor/throttling/>. Chrome and
/// Lighthouse send uploads of their "Slow 4G", which was called "Fast 3G", at the same 750 kbit/s.
const NAMED: [(&str, u64); 3] = [("3g", 750 * KILO), ("4g", 3 * MEGA), ("wifi", 15 * MEGA)];

const KILO: u64 = 1_000;
const MEGA: u64 = 1_000_000;
const GIGA: u64 = 1_000_000_000;

/// A body of 2 MB then takes 4.4 h.
const BITS_PER_S_MIN: u64 = KILO;
const BITS_PER_S_MAX: u64 = 100 * GIGA;

/// A text that is no uplink.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no uplink: write recorded, unpaced, 3g, 4g, wifi, \
     or a speed from 1kbps to 100gbps such as 200kbps or 1.5mbps"
)]
pub struct UplinkError(String);

impl Uplink {
    /// How long sending a request's body takes by itself, however fast the target is; microseconds.
    pub fn span_us(self, step: &StepOutline) -> u64 {
        match self {
            Self::Recorded => step.upload_us,
            Self::Unpaced => 0,
            Self::Link(bits_per_s) => carried_us(step.body_bytes, bits_per_s),
        }
    }

    /// When the bytes of a body go out that is sent for a captured request; `None` when as soon as they can.
    pub(super) fn pacing(self, exchange: &Exchange, body_bytes: u64) -> Option<Pacing> {
        match self {
            Self::Recorded => Pacing::new(&exchange.pacing, body_bytes),
            Self::Unpaced => None,
            Self::Link(bits_per_s) => {
                let end = PacingPoint { at_us: carried_us(body_bytes, bits_per_s), bytes: body_bytes };
                Pacing::new(&[end], body_bytes)
            }
        }
    }

    /// What a reader of a run must know: its numbers are not those of the captured clients' uploads.
    pub fn caution(self) -> Option<String> {
        let how = match self {
            Self::Recorded => return None,
            Self::Unpaced => "as fast as the target took them".to_owned(),
            Self::Link(_) => format!("at {self} each"),
        };
        Some(format!(
            "request bodies went out {how} (--uplink), not as the captured clients sent them: how long uploads take, \
             how many are in flight and when later requests of their users go out is not as captured"
        ))
    }
}

/// The last byte of a body arrives this long after its start.
fn carried_us(bytes: u64, bits_per_s: NonZeroU64) -> u64 {
    let bits = u128::from(bytes) * 8;
    u64::try_from((bits * 1_000_000).div_ceil(u128::from(bits_per_s.get()))).unwrap_or(u64::MAX)
}

impl FromStr for Uplink {
    type Err = UplinkError;

    fn from_str(text: &str) -> Result<Self, UplinkError> {
        let word = text.trim().to_ascii_lowercase();
        let named = NAMED.iter().find(|(name, _)| *name == word).map(|(_, bits_per_s)| *bits_per_s);
        match word.as_str() {
            "recorded" => Ok(Self::Recorded),
            "unpaced" => Ok(Self::Unpaced),
            speed => {
                let bits_per_s = named.or_else(|| speed_of(speed)).and_then(NonZeroU64::new);
                bits_per_s.map(Self::Link).ok_or_else(|| UplinkError(text.to_owned()))
            }
        }
    }
}

/// Bits a second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
fn speed_of(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let unit = match unit {
        "bps" => 1,
        "kbps" => KILO,
        "mbps" => MEGA,
        "gbps" => GIGA,
        _ => return None,
    };
    let bits_per_s = number.trim_end().parse::<f64>().ok()? * unit as f64;
    let is_allowed = (BITS_PER_S_MIN as f64..=BITS_PER_S_MAX as f64).contains(&bits_per_s);
    is_allowed.then(|| bits_per_s.round() as u64)
}

impl fmt::Display for Uplink {
    /// In the largest unit that needs no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Link(bits_per_s) = self else {
            return f.write_str(if *self == Self::Recorded { "recorded" } else { "unpaced" });
        };
        let units = [(GIGA, "gbps"), (MEGA, "mbps"), (KILO, "kbps"), (1, "bps")];
        let whole = units.into_iter().find(|(unit, _)| bits_per_s.get().is_multiple_of(*unit));
        let (unit, name) = whole.unwrap_or((1, "bps"));
        write!(f, "{}{name}", bits_per_s.get() / unit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn uplink(text: &str) -> Uplink {
        text.parse().unwrap()
    }

    #[test]
    fn uplinks_are_written_as_they_are_read() {
        let written = [
            ("recorded", "recorded"),
            ("Unpaced", "unpaced"),
            ("3g", "750kbps"),
            ("4G", "3mbps"),
            ("wifi", "15mbps"),
            ("200kbps", "200kbps"),
            (" 1.5 Mbps", "1500kbps"),
            ("56600bps", "56600bps"),
            ("2Gbps", "2gbps"),
        ];
        for (text, expected) in written {
            assert_eq!(uplink(text).to_string(), expected, "{text}");
            assert_eq!(uplink(expected), uplink(text), "{text}");
        }
        for text in
            ["", "5g", "200", "200kb", "200KB/s", "0kbps", "-1kbps", "999bps", "101gbps", "nanbps", "infbps"]
        {
            assert!(text.parse::<Uplink>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_carries_bodies_evenly_and_the_span_says_for_how_long() {
        let (bytes, recorded) = (50_000, vec![PacingPoint { at_us: 9_000_000, bytes: 50_000 }]);
        let exchange = Exchange { request_body_bytes: bytes, pacing: recorded, ..Exchange::default() };
        let step = StepOutline { upload_us: 9_000_000, body_bytes: bytes, ..StepOutline::default() };
        let spans = [("recorded", 9_000_000), ("unpaced", 0), ("200kbps", 2_000_000), ("4g", 133_334)];
        for (text, span_us) in spans {
            assert_eq!(uplink(text).span_us(&step), span_us, "{text}");
            let span = uplink(text).pacing(&exchange, bytes).map_or(Duration::ZERO, |pacing| pacing.span());
            assert_eq!(span, Duration::from_micros(span_us), "{text}");
        }
        let pacing = uplink("200kbps").pacing(&exchange, bytes).unwrap();
        assert_eq!(
            [0, 500_000, 1_000_000, 1_999_999].map(|us| pacing.allowed_bytes(us)),
            [0, 12_500, 25_000, 49_999]
        );
        assert!(pacing.allowed_bytes(2_000_000) >= bytes);
    }

    #[test]
    fn what_a_link_carries_at_once_is_not_paced() {
        let exchange = Exchange { request_body_bytes: 200, ..Exchange::default() };
        assert_eq!(uplink("wifi").pacing(&exchange, 200), None);
        assert_eq!(uplink("200kbps").pacing(&exchange, 0), None);
    }

    #[test]
    fn only_the_recorded_uplink_needs_no_caution() {
        assert_eq!(Uplink::Recorded.caution(), None);
        assert!(Uplink::Unpaced.caution().unwrap().contains("as fast as the target took them"));
        assert!(uplink("3g").caution().unwrap().contains("at 750kbps each"));
    }
}
