//! What a search is to find, and how far it may go: by its flags, by the environment, and by the guard.

use anyhow::ensure;
use kingtide_common::units::Multiple;

use super::CapacityArgs;
use super::load::Load;
use crate::capacity::slo::Slo;
use crate::cli::criteria::check_routes;
use crate::cli::target::Site;
use crate::guard;
use crate::guard::overseer::KillFiles;

/// Where neither a flag nor an environment says one.
const SLO: &str = "p95<10s,errors<5%";

/// See the module.
pub(super) struct Aim {
    pub(super) slo: Slo,
    pub(super) multiple_min: f64,
    pub(super) multiple_max: f64,
    /// Ends the search while it is there.
    pub(super) kill_files: KillFiles,
}

impl Aim {
    /// Refuses what the guard does not let a search do.
    pub(super) fn of(args: &CapacityArgs, site: &Site, load: &Load) -> anyhow::Result<Self> {
        let slo = slo(args, site)?;
        check_routes("--slo", slo.criteria.iter(), load.outlines())?;
        let multiple_max = multiple_max(args, site, load.users())?;
        let multiple_min = args.min.get();
        ensure!(
            multiple_min <= multiple_max,
            "--min {multiple_min} is above --max {multiple_max}: no load lies between them"
        );
        guard::admit(&site.on_search(args.budget.0))?;
        Ok(Self { slo, multiple_min, multiple_max, kill_files: site.kill_files.clone() })
    }
}

fn slo(args: &CapacityArgs, site: &Site) -> anyhow::Result<Slo> {
    let of_environment = || site.environment.as_ref().and_then(|environment| environment.slo.clone());
    Ok(args.slo.clone().or_else(of_environment).map_or_else(|| SLO.parse(), Ok)?)
}

/// The largest load that it may try; one that was asked for beyond it is refused.
fn multiple_max(args: &CapacityArgs, site: &Site, users: Option<u64>) -> anyhow::Result<f64> {
    let allowed = site.guard.multiple_max(users).unwrap_or(Multiple::LARGEST);
    let asked = args.max.into_iter().chain(args.steps.iter().flatten().copied()).map(Multiple::get);
    let asked = asked.reduce(f64::max).unwrap_or(0.0);
    ensure!(
        asked <= allowed,
        "the guard refuses: {}: a search up to {asked}x is above {allowed}x; give --max {allowed} or less (--steps no \
         more)",
        site.guard.place("guard.multiple_max or users_max")
    );
    Ok(args.max.map_or(allowed, Multiple::get))
}
