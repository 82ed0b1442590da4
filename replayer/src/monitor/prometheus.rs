//! Any endpoint in Prometheus' text format: the samples that a selector names, added up.

mod selector;
mod text;

use std::time::{Duration, Instant};

use super::http::Endpoint;
use super::look::{Blind, Look};
use super::settings::Sample;
pub use selector::{Selector, SelectorError};

/// See the module.
#[derive(Debug)]
pub(super) struct Prometheus {
    endpoint: Endpoint,
    metrics: Vec<Sample>,
    /// When, and what the sums were, for rates.
    before: Option<(Instant, Vec<Option<f64>>)>,
}

impl Prometheus {
    pub(super) fn new(endpoint: Endpoint, metrics: Vec<Sample>) -> Self {
        Self { endpoint, metrics, before: None }
    }

    pub(super) fn metrics(&self) -> Vec<String> {
        self.metrics.iter().map(|metric| metric.metric.clone()).collect()
    }

    pub(super) async fn look(&mut self) -> Result<Look, Blind> {
        let answer = self.endpoint.get().await?;
        if answer.status != http::StatusCode::OK {
            return Err(Blind(format!("{} answered {}", self.endpoint, answer.status)));
        }
        let (at, sums) = (Instant::now(), sums(&String::from_utf8_lossy(&answer.body), &self.metrics));
        let before = self.before.take().map(|(then, before)| (at.saturating_duration_since(then), before));
        let look =
            told(&self.metrics, &sums, before.as_ref().map(|(passed, before)| (*passed, before.as_slice())));
        self.before = Some((at, sums));
        Ok(look)
    }
}

/// What the samples of an exposition add up to for each metric.
fn sums(exposition: &str, metrics: &[Sample]) -> Vec<Option<f64>> {
    let mut sums: Vec<Option<f64>> = vec![None; metrics.len()];
    for sample in text::samples(exposition) {
        for (sum, metric) in sums.iter_mut().zip(metrics) {
            if metric.selector.selects(&sample) {
                *sum = Some(sum.unwrap_or(0.0) + sample.value);
            }
        }
    }
    sums
}

/// The sums, and of rates what they have grown by since `before`.
fn told(metrics: &[Sample], sums: &[Option<f64>], before: Option<(Duration, &[Option<f64>])>) -> Look {
    let mut look = Look::default();
    for (at, (metric, sum)) in metrics.iter().zip(sums).enumerate() {
        if sum.is_none() {
            look.note(format!("there is no sample for `{}` (of {})", metric.selector, metric.metric));
        }
        let sum = sum.filter(|sum| sum.is_finite());
        let value = if metric.is_rate {
            before.and_then(|(passed, before)| rate(before[at]?, sum?, passed))
        } else {
            sum
        };
        // The first look at a rate has nothing to tell, which is no gap.
        if !metric.is_rate || before.is_some() {
            look.value(metric.metric.as_str(), value);
        }
    }
    look
}

/// A counter that is smaller than before began anew.
fn rate(before: f64, now: f64, passed: Duration) -> Option<f64> {
    let grown = if now < before { now } else { now - before };
    (!passed.is_zero()).then(|| grown / passed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_are_selected_are_added_up() {
        let text = "# TYPE requests_total counter\n\
                    requests_total{code=\"200\",path=\"/a\"} 7\n\
                    requests_total{code=\"500\",path=\"/a\"} 2\n\
                    requests_total{code=\"500\",path=\"/b\"} 3\n\
                    pool_size 20\n\
                    broken NaN\n";
        let metric = |metric: &str, selector: &str| Sample {
            metric: metric.to_owned(),
            selector: selector.parse().unwrap(),
            is_rate: false,
        };
        let metrics = [
            metric("errors", "requests_total{code=~\"5..\"}"),
            metric("all", "requests_total"),
            metric("pool", "pool_size"),
            metric("broken", "broken"),
            metric("gone", "requests_total{code=\"404\"}"),
        ];
        let look = told(&metrics, &sums(text, &metrics), None);
        let values: Vec<Option<f64>> = look.values.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [Some(5.0), Some(12.0), Some(20.0), None, None]);
        assert_eq!(look.notes, ["there is no sample for `requests_total{code=\"404\"}` (of gone)"]);
    }

    #[test]
    fn a_rate_is_what_a_counter_grows_by_in_a_second() {
        let selector: Selector = "requests_total".parse().unwrap();
        let metrics = [Sample { metric: "requests_per_s".to_owned(), selector, is_rate: true }];
        assert_eq!(told(&metrics, &[Some(10.0)], None).values, []);
        for (before, now, expected) in
            [(Some(10.0), Some(35.0), Some(5.0)), (Some(10.0), Some(5.0), Some(1.0)), (None, Some(5.0), None)]
        {
            let look = told(&metrics, &[now], Some((Duration::from_secs(5), &[before])));
            assert_eq!(look.values, [("requests_per_s".to_owned(), expected)]);
        }
    }
}
