//! What the target is asked to hold: `p95<10s,errors<5%`.
//!
//! A percentile is a share in disguise: "p95 below 10 s" says that at most 5 % of the planned requests may take
//! longer. So each criterion of latency or errors becomes a count of bad ones among those it asks about, which adds
//! over seconds and has an interval; percentiles do neither.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kingtide_common::units::Span;

/// All of its criteria must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    pub criteria: Vec<Criterion>,
    /// As the user wrote it.
    typed: String,
}

/// One demand, of all requests or of one route's.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// As routes are named in reports: `POST /api/upload`; `None` for all.
    pub route: Option<String>,
    pub ask: Ask,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ask {
    /// At most `share` of the planned requests (0.05 for p95) may take longer than `limit` from their intended
    /// instant. What failed or was never sent took longer.
    Latency { limit: Duration, share: f64 },
    /// At most this share of the planned requests may fail.
    Errors { share: f64 },
    /// At least so many complete answers a second, where at least so many are asked for: a load below it says
    /// nothing about it.
    Throughput { per_s: f64 },
}

/// A part of an SLO that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` is no part of an SLO ({why}): write p95<10s, p99.9<800ms, errors<5% or throughput>100/s, \
     for one route p99(POST /api/upload)<8s or errors(GET /api/me)<1%, and join parts with commas"
)]
pub struct SloError {
    part: String,
    why: &'static str,
}

impl Slo {
    pub fn new(criteria: Vec<Criterion>) -> Self {
        let typed = criteria.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Self { criteria, typed }
    }

    /// The largest time that a criterion of all routes allows, and to what share; `None` when none is about latency. One of a
    /// single route says nothing about what else is in flight.
    pub fn loosest_latency(&self) -> Option<(Duration, f64)> {
        let limits = self.of_all_routes().filter_map(|criterion| match criterion.ask {
            Ask::Latency { limit, share } => Some((limit, share)),
            _ => None,
        });
        limits.max_by_key(|(limit, _)| *limit)
    }

    /// How many answers a second a target must have to spare so that waits are as short as the tightest criterion asks, by
    /// the law of heavy traffic (Kingman 1962): with Poisson arrivals and exponential service a wait exceeds L with a
    /// probability of at most e^(−spare·L). 0 without a criterion of latency.
    pub(super) fn spare_per_s(&self) -> f64 {
        let spare = self.criteria.iter().filter_map(|criterion| match criterion.ask {
            Ask::Latency { limit, share } => Some(-share.ln() / limit.as_secs_f64()),
            _ => None,
        });
        spare.fold(0.0, f64::max)
    }

    /// The smallest share of failed requests that misses a criterion of all routes; a failed request is a late one too.
    pub fn failed_share_max(&self) -> Option<f64> {
        let shares = self.of_all_routes().filter_map(|criterion| criterion.ask.share());
        shares.min_by(f64::total_cmp)
    }

    /// The most answers a second that a criterion asks for.
    pub fn throughput_per_s(&self) -> Option<f64> {
        let asked = self.criteria.iter().filter_map(|criterion| match criterion.ask {
            Ask::Throughput { per_s } => Some(per_s),
            _ => None,
        });
        asked.max_by(f64::total_cmp)
    }

    fn of_all_routes(&self) -> impl Iterator<Item = &Criterion> {
        self.criteria.iter().filter(|criterion| criterion.route.is_none())
    }
}

impl Ask {
    /// The largest share of bad requests; `None` for throughput.
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Latency { share, .. } | Self::Errors { share } => Some(share),
            Self::Throughput { .. } => None,
        }
    }
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        let criteria = parts(text).into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { criteria, typed: text.trim().to_owned() })
    }
}

impl FromStr for Criterion {
    type Err = SloError;

    fn from_str(part: &str) -> Result<Self, SloError> {
        let refuse = |why| SloError { part: part.trim().to_owned(), why };
        let sign = sign_at(part).ok_or_else(|| refuse("neither < nor >"))?;
        let (subject, bound) = (part[..sign].trim(), part[sign + 1..].trim());
        let (name, route) =
            name_and_route(subject).ok_or_else(|| refuse("the route's parenthesis is open or empty"))?;
        let ask = ask(name, part.as_bytes()[sign], bound).map_err(refuse)?;
        match (&ask, &route) {
            (Ask::Throughput { .. }, Some(_)) => Err(refuse("throughput is of all routes")),
            _ => Ok(Self { route: route.map(str::to_owned), ask }),
        }
    }
}

/// At the commas outside of parentheses: a route may hold commas.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let is_comma = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split(is_comma).collect()
}

/// After the route, which may hold one too.
fn sign_at(part: &str) -> Option<usize> {
    let after_route = part.rfind(')').map_or(0, |at| at + 1);
    part[after_route..].find(['<', '>']).map(|at| after_route + at)
}

fn name_and_route(subject: &str) -> Option<(&str, Option<&str>)> {
    let Some((name, rest)) = subject.split_once('(') else {
        return (!subject.contains(')')).then_some((subject, None));
    };
    let route = rest.strip_suffix(')')?.trim();
    (!route.is_empty()).then_some((name.trim(), Some(route)))
}

fn ask(name: &str, sign: u8, bound: &str) -> Result<Ask, &'static str> {
    match (name, sign) {
        ("errors", b'<') => share(bound).map(|share| Ask::Errors { share }),
        ("throughput", b'>') => rate(bound).map(|per_s| Ask::Throughput { per_s }),
        ("errors", _) => Err("errors have an upper bound"),
        ("throughput", _) => Err("throughput has a lower bound"),
        (name, sign) => {
            let percentile =
                name.strip_prefix('p').ok_or("neither a percentile nor errors nor throughput")?;
            let share = tail(percentile)?;
            if sign != b'<' {
                return Err("a percentile has an upper bound");
            }
            Ok(Ask::Latency { limit: duration(bound)?, share })
        }
    }
}

/// The share above a percentile: 0.05 for 95.
fn tail(percentile: &str) -> Result<f64, &'static str> {
    let number: f64 = percentile.parse().map_err(|_| "the percentile is no number")?;
    // To the ninth place, so that p99.9 is 0.001 and not a neighbour of it.
    let share = (1e7 * (100.0 - number)).round() / 1e9;
    (1.0..=99.99).contains(&number).then_some(share).ok_or("percentiles go from p1 to p99.99")
}

fn share(text: &str) -> Result<f64, &'static str> {
    let percent = text.strip_suffix('%');
    let number: f64 = percent.unwrap_or(text).trim().parse().map_err(|_| "the share is no number")?;
    let share = if percent.is_some() { number / 100.0 } else { number };
    (share > 0.0 && share < 1.0).then_some(share).ok_or("a share lies between 0 and 100 %")
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix("/s").ok_or("a rate ends in /s")?;
    let per_s: f64 = number.trim().parse().map_err(|_| "the rate is no number")?;
    (per_s > 0.0 && per_s.is_finite()).then_some(per_s).ok_or("the rate is not above 0")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let span: Span = text.parse().ok().filter(|_| has_unit).ok_or("the time needs a unit: 800ms, 10s, 2m")?;
    (!span.0.is_zero()).then_some(span.0).ok_or("the time is not above 0")
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route.as_ref().map(|route| format!("({route})")).unwrap_or_default();
        match self.ask {
            Ask::Latency { limit, share } => {
                write!(f, "p{}{route}<{}", rounded(100.0 - share * 100.0), Span(limit))
            }
            Ask::Errors { share } => write!(f, "errors{route}<{}%", rounded(share * 100.0)),
            Ask::Throughput { per_s } => write!(f, "throughput>{}/s", rounded(per_s)),
        }
    }
}

/// Without the last places of binary fractions.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Slo>().unwrap_err().to_string()
    }

    #[test]
    fn an_slo_is_read_and_given_back_as_typed() {
        let slo: Slo = " p95<10s, errors(POST /api/a,b)<0.5%,throughput>100/s ".parse().unwrap();
        let asks: Vec<Ask> = slo.criteria.iter().map(|criterion| criterion.ask).collect();
        let limit = Duration::from_secs(10);
        let share = 0.005;
        assert_eq!(
            asks,
            [Ask::Latency { limit, share: 0.05 }, Ask::Errors { share }, Ask::Throughput { per_s: 100.0 }]
        );
        assert_eq!(slo.criteria[1].route.as_deref(), Some("POST /api/a,b"));
        assert_eq!(slo.to_string(), "p95<10s, errors(POST /api/a,b)<0.5%,throughput>100/s");
    }

    #[test]
    fn criteria_are_written_as_they_are_read() {
        for text in [
            "p50<1s",
            "p99.9<800ms",
            "p99(POST /api/upload)<8s",
            "errors<5%",
            "errors(GET /a<b)<0.1%",
            "throughput>2.5/s",
        ] {
            let slo: Slo = text.parse().unwrap();
            assert_eq!(Slo::new(slo.criteria).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_part_is_named_with_its_reason() {
        let wrong = [
            ("p95<10s,", "(neither < nor >)"),
            ("p95=10s", "`p95=10s`"),
            ("p95<10", "needs a unit"),
            ("p95<0s", "not above 0"),
            ("p95>1s", "upper bound"),
            ("p0<1s", "p1 to p99.99"),
            ("p100<1s", "p1 to p99.99"),
            ("q95<1s", "neither a percentile"),
            ("p95(POST /x<1s", "parenthesis"),
            ("p95()<1s", "parenthesis"),
            ("errors<0", "between 0"),
            ("errors<100%", "between 0"),
            ("errors>1%", "upper bound"),
            ("throughput<5/s", "lower bound"),
            ("throughput>5", "/s"),
            ("throughput(GET /)>5/s", "all routes"),
        ];
        for (text, reason) in wrong {
            assert!(refusal(text).contains(reason), "{text}: {}", refusal(text));
        }
    }

    #[test]
    fn the_limits_of_the_watch_are_the_loosest_time_and_the_tightest_share() {
        let slo: Slo = "p95<10s,p90<5s,p99(POST /x)<30s,errors<2%".parse().unwrap();
        assert_eq!(slo.loosest_latency(), Some((Duration::from_secs(10), 0.05)));
        assert_eq!(slo.failed_share_max(), Some(0.02));
        let of_a_route: Slo = "p95(GET /me)<200ms".parse().unwrap();
        assert_eq!((of_a_route.loosest_latency(), of_a_route.failed_share_max()), (None, None));
    }
}
