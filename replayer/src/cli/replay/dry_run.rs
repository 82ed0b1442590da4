//! `--dry-run`: what would be sent, and what the guard says of it. Nothing is: not even a connection is opened.

use std::fmt::Write as _;

use kingtide_common::units::{ByteSize, Seed};

use super::driving::DrivingArgs;
use super::player::Planning;
use crate::cli::source::Traffic;
use crate::cli::target::Site;
use crate::cli::{Exit, print_result};
use crate::drive::{self, Marking};
use crate::guard::overseer::Orders;
use crate::guard::{Decision, Load};
use crate::report::format::{counted, rate};

/// Says it of each seed; exits as bad input when the guard would refuse any.
pub(in crate::cli) fn run(
    driving: &DrivingArgs,
    planning: &Planning,
    orders: &Orders,
    site: &Site,
    traffic: &Traffic,
    seeds: &[Seed],
) -> anyhow::Result<Exit> {
    let door = site.at_the_door();
    let mut text = format!("dry run: nothing is sent to {}\n", site.target.origin());
    let mut is_allowed = door.iter().all(|decision| decision.is_allowed);
    for &seed in seeds {
        let recorded = traffic.sessions(seed)?;
        let sessions = recorded.outlines();
        let plan = planning.plan(sessions, seed)?;
        let load = Load::of(&plan, sessions, driving.uplink.uplink);
        let decisions = site.on_plan(&load);
        is_allowed &= decisions.iter().all(|decision| decision.is_allowed);
        let requests = drive::planned_requests(&plan, sessions);
        text += &sentence(&recorded.name, seed, &load, requests);
        text += &table(decisions.iter());
    }
    text += "the target\n";
    text += &table(door.iter());
    text += &told(orders, site);
    print_result(&text)?;
    Ok(if is_allowed { Exit::Held } else { Exit::BadInput })
}

fn sentence(name: &str, seed: Seed, load: &Load, requests: u64) -> String {
    let seconds = load.duration.as_secs_f64();
    format!(
        "{name}, seed {}: {} with {} and request bodies of {} in {seconds:.0} s, {} in the mean\n",
        seed.0,
        counted(load.users, "user"),
        counted(requests, "request"),
        ByteSize(load.body_bytes),
        rate(requests, seconds),
    )
}

fn table<'a>(decisions: impl Iterator<Item = &'a Decision>) -> String {
    decisions.fold(String::new(), |mut text, decision| {
        let word = if decision.is_allowed { "allowed" } else { "REFUSED" };
        let _ = writeln!(text, "  {word}  {decision}");
        text
    })
}

fn told(orders: &Orders, site: &Site) -> String {
    let kill_files = orders.kill_files.0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let kill_file = if kill_files.is_empty() { "none".to_owned() } else { kill_files.join(" or ") };
    let marking = site.guard.rules.synthetic.clone().unwrap_or(Marking::Off);
    format!("ended by {}; kill file: {kill_file}; marked by: {marking}\n", orders.rules)
}
