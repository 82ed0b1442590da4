//! The zones that `limit_req` and `limit_conn` count in; they live through a reload.

use std::sync::Arc;

use crate::config::{self, Config};
use crate::limits::{connections, rate};

#[derive(Debug)]
struct Zone {
    config: config::Zone,
    /// `None` without a rate.
    rate: Option<Arc<rate::Zone>>,
    connections: Arc<connections::Zone>,
}

#[derive(Debug)]
pub(crate) struct Zones {
    zones: Vec<Arc<Zone>>,
}

impl Zones {
    /// A zone that has not changed keeps what it has counted.
    pub(crate) fn new(config: &Config, before: Option<&Self>) -> Self {
        let kept = |zone: &config::Zone| {
            let mut zones = before.iter().flat_map(|before| &before.zones);
            zones.find(|kept| kept.config == *zone).map(Arc::clone)
        };
        let fresh = |zone: &config::Zone| {
            Arc::new(Zone {
                config: zone.clone(),
                rate: rate::Zone::new(zone).map(Arc::new),
                connections: Arc::new(connections::Zone::new(zone)),
            })
        };
        let zone = |zone: &config::Zone| kept(zone).unwrap_or_else(|| fresh(zone));
        Self { zones: config.zone.iter().map(zone).collect() }
    }

    pub(crate) fn rates(&self, rules: &[config::RequestRate]) -> Vec<rate::Rule> {
        let rule = |rule: &config::RequestRate| {
            let zone = self.zone(&rule.zone)?.rate.as_ref()?;
            Some(rate::Rule::new(Arc::clone(zone), rule))
        };
        rules.iter().filter_map(rule).collect()
    }

    pub(crate) fn connections(&self, rules: &[config::Connections]) -> Vec<connections::Rule> {
        let rule = |rule: &config::Connections| {
            Some(connections::Rule::new(Arc::clone(&self.zone(&rule.zone)?.connections), rule))
        };
        rules.iter().filter_map(rule).collect()
    }

    /// That rules name zones that are there was checked with the configuration.
    fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().map(Arc::as_ref).find(|zone| zone.config.name == name)
    }
}
