//! What this machine has against what a plan needs, before the first request: whether the generator would be
//! the bottleneck.
//!
//! [`Needs`] come from the plan, [`Facts`] are measured, [`judge`] is pure. What cannot work is an error with its
//! remedy; what is tight is a warning, which the run's report repeats. What only a run can tell (was it late, did
//! requests pile up) is told by its gates.

mod facts;
mod needs;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::facts::Facts;
use self::needs::Needs;
use crate::drive::DriveConfig;
use crate::plan::Plan;
use crate::report::format::{count, counted, ms, number};
use crate::sessions::Outlines;

/// A slower target holds connections for longer than the captured one: there should be room for so many times as many.
const SLOWER_TARGET: u64 = 2;
/// Runnable threads for each core, the last minute's mean. Above it a wake has to wait for its turn.
const LOAD_PER_CORE_MAX: f64 = 0.7;
/// TSC and the clocks of hypervisors take some 20 to 60 ns; HPET and the ACPI timer over 500 ns.
const CLOCK_NS_MAX: f64 = 500.0;
/// A part of what the gate `lag` allows (5 ms).
const TIMER_LATE_MS_MAX: f64 = 1.0;
/// Farther targets are measured together with the way to them.
const CONNECT_MS_MAX: f64 = 50.0;

/// One thing that a replay needs of its machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub value: f64,
    /// At least or at most, as the meaning says.
    pub needed: f64,
    pub pass: bool,
    pub meaning: String,
    /// What is tight, and what helps; only of what does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The checks by name. What could not be found out is not in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Preflight(BTreeMap<String, Check>);

/// Why a plan cannot be played from here, even if the target answers as captured.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Impossible {
    #[error(
        "the plan holds {needed} at once if the target answers as captured, but this process may have \
         {limit} (ulimit -Hn) and needs {own} for itself; raise the hard limit (`ulimit -n {enough}` as root, \
         LimitNOFILE={enough} in a systemd unit, --ulimit nofile={enough} of a container) or lower -x",
        needed = counted(*connections, "connection"), limit = counted(*descriptors, "descriptor")
    )]
    Descriptors { connections: u64, descriptors: u64, own: u64, enough: u64 },
    #[error(
        "the plan holds {needed} at once if the target answers as captured, but there are {ports} local ports to \
         connect from; use more addresses (--source-addresses 127.0.1.0/24 for a target on this machine), widen \
         the range (sysctl net.ipv4.ip_local_port_range=\"1024 65535\") or lower -x",
        needed = counted(*connections, "connection"), ports = count(*ports)
    )]
    Ports { connections: u64, ports: u64 },
}

/// Measures this machine and the way to the target; takes some 50 ms, and connects five times.
pub fn check(plan: &Plan, sessions: &Outlines, config: &DriveConfig) -> Result<Preflight, Impossible> {
    let facts = Facts::measure(config, plan.users() as u64);
    let needs = Needs::of(plan, sessions, config.uplink, config.protocols(), facts.port_held);
    judge(&needs, &facts)
}

fn judge(needs: &Needs, facts: &Facts) -> Result<Preflight, Impossible> {
    let checks = [
        Some(("descriptors", descriptors(needs, facts)?)),
        Some(("ports", ports(needs, facts)?)),
        Some(("in_flight", in_flight(needs, facts))),
        Some(("target_apart", target_apart(facts))),
        Some(("clock", clock(facts))),
        facts.load_per_core.map(|load| ("cpu", cpu(load, facts))),
        facts.timer_late_ms.map(|late_ms| ("timer", timer(late_ms))),
        facts.connect_ms.map(|connect_ms| ("route", route(connect_ms, facts))),
    ];
    Ok(Preflight(checks.into_iter().flatten().map(|(name, check)| (name.to_owned(), check)).collect()))
}

fn descriptors(needs: &Needs, facts: &Facts) -> Result<Check, Impossible> {
    let (connections, descriptors, own) = (needs.connections, facts.descriptors, facts.descriptors_own);
    let enough = own + SLOWER_TARGET * connections;
    if own + connections > descriptors {
        return Err(Impossible::Descriptors { connections, descriptors, own, enough });
    }
    let meaning = "descriptors this process may have, for its own and twice the connections that the plan holds \
                   if the target answers as captured";
    Ok(Check::at_least(descriptors, enough, meaning, || {
        format!(
            "{} (ulimit -Hn) suffice for the {} that the plan holds if the target answers as captured, not if it \
             answers slower; {} would",
            counted(descriptors, "descriptor"),
            counted(connections, "connection"),
            count(enough)
        )
    }))
}

fn ports(needs: &Needs, facts: &Facts) -> Result<Check, Impossible> {
    let (connections, ports) = (needs.connections, facts.ports);
    if connections > ports {
        return Err(Impossible::Ports { connections, ports });
    }
    let needed = needs.ports + (SLOWER_TARGET - 1) * connections;
    let meaning = "local ports of all source addresses, for those that the plan holds, open and closed lately, \
                   and its connections once more";
    Ok(Check::at_least(ports, needed, meaning, || {
        format!(
            "{} local ports to connect from, of which the plan holds {} at once, as a closed connection keeps its \
             own for {} s; --source-addresses (127.0.1.0/24 for a target on this machine) or a wider \
             net.ipv4.ip_local_port_range gives more",
            count(ports),
            count(needs.ports),
            facts.port_held.as_secs()
        )
    }))
}

fn in_flight(needs: &Needs, facts: &Facts) -> Check {
    let meaning =
        "requests in flight at which the run stops, for those that are if the target answers as captured";
    Check::at_least(facts.in_flight_max, needs.in_flight, meaning, || {
        format!(
            "the run stops at {} in flight, and the plan has {} if the target answers as captured; raise \
             --in-flight-max or the limit of descriptors (ulimit -Hn)",
            counted(facts.in_flight_max, "request"),
            count(needs.in_flight)
        )
    })
}

fn target_apart(facts: &Facts) -> Check {
    let meaning = "1 if the target is on another machine, 0 if it shares this one's cores";
    Check::at_least(u64::from(!facts.is_target_here), 1, meaning, || {
        format!("target and generator share {}: what one takes the other lacks", counted(facts.cores, "core"))
    })
}

fn cpu(load_per_core: f64, facts: &Facts) -> Check {
    let meaning = "threads that wanted to run for each core of the machine, mean of the last minute";
    Check::at_most(load_per_core, LOAD_PER_CORE_MAX, meaning, || {
        format!(
            "this machine is busy: {} threads for each core wanted to run in the last minute ({} for kingtide); \
             end what else runs",
            number(Some(load_per_core)),
            counted(facts.cores, "core")
        )
    })
}

fn clock(facts: &Facts) -> Check {
    let read_ns = facts.clock_read_ns as f64;
    Check::at_most(read_ns, CLOCK_NS_MAX, "nanoseconds to read the clock", || {
        let source = facts.clock_source.as_deref().unwrap_or("unknown");
        format!(
            "reading the clock takes {} ns (clocksource {source}); tsc or the hypervisor's own takes some 50 \
             (/sys/devices/system/clocksource/clocksource0/available_clocksource)",
            number(Some(read_ns))
        )
    })
}

fn timer(late_ms: f64) -> Check {
    let meaning = "how late the latest of 20 waits of 1 ms ended, milliseconds";
    Check::at_most(late_ms, TIMER_LATE_MS_MAX, meaning, || {
        format!("a wait of 1 ms ended {} late; requests will be as late", ms(Some(late_ms)))
    })
}

fn route(connect_ms: f64, facts: &Facts) -> Check {
    let meaning = "median time of five TCP connects to the target, milliseconds";
    Check::at_most(connect_ms, CONNECT_MS_MAX, meaning, || {
        let from = facts.connect_from.map(|from| format!(" from {from}")).unwrap_or_default();
        format!(
            "a connect to the target{from} takes {}: short requests measure the way to it",
            ms(Some(connect_ms))
        )
    })
}

impl Check {
    fn at_least(value: u64, needed: u64, meaning: &str, warning: impl FnOnce() -> String) -> Self {
        let pass = value >= needed;
        let meaning = format!("{meaning}, at least");
        let warning = (!pass).then(warning);
        Self { value: value as f64, needed: needed as f64, pass, meaning, warning }
    }

    fn at_most(value: f64, needed: f64, meaning: &str, warning: impl FnOnce() -> String) -> Self {
        let pass = value <= needed;
        Self { value, needed, pass, meaning: format!("{meaning}, at most"), warning: (!pass).then(warning) }
    }
}

impl Preflight {
    /// Of what is tight.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(|check| check.warning.as_deref())
    }

    pub fn check(&self, name: &str) -> Option<&Check> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests;
