//! Requests that find out whether an environment works: one at all, and one login.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use kingtide_common::exchange::Exchange;
use kingtide_common::units::{Multiple, Seed};
use tokio::sync::watch;

use crate::cli::capture::{Recorded, RulesArgs};
use crate::cli::replay::machine::MachineArgs;
use crate::cli::replay::users::accounts_of;
use crate::cli::target::Site;
use crate::drive::{self, DriveConfig, Measured, Stop};
use crate::model::{Arrivals, Model};
use crate::plan::{self, Mode, Plan};
use crate::report::format::ms;
use crate::sessions::{Hole, Outlines, Session, Source, Step};
use crate::store::{Store, Stored};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a model: long enough for a visit to begin.
const VISIT: Duration = Duration::from_mins(1);
/// Between the requests of a login.
const STEP_US: u64 = 1_000;

/// Any answer to `GET /` is one.
pub(super) fn answer(site: &Site) -> anyhow::Result<String> {
    let exchange = Exchange {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        http_version: 11,
        status: Some(200),
        ..Exchange::default()
    };
    let step = Step { exchange, offset_us: 0, connection: 0, holes: Vec::new() };
    let session = Session { key: String::new(), start_ns: 0, steps: vec![step], orphan: false };
    let measured = played(&config(site), session)?;
    let statuses = statuses(&measured);
    ensure!(
        !statuses.is_empty(),
        "GET / got no answer: {}; is the service behind it running?",
        failures(&measured)
    );
    let took = measured.recorder.total().latency.quantile_ms(0.5);
    Ok(format!("GET / was answered with {statuses} after {}", ms(took)))
}

/// The sessions of a capture, or of one user of a model.
pub(super) fn traffic(
    capture: Option<&Path>,
    model: Option<&Path>,
    rules: &RulesArgs,
) -> anyhow::Result<Recorded> {
    match (capture, model) {
        (_, Some(path)) => {
            let model = Model::read(path).map_err(|error| anyhow!("--model: {}", error.in_one_line()))?;
            let arrivals = Arrivals { users: NonZeroUsize::MIN, spawn_per_s: 1.0, duration: VISIT };
            let sessions = Store::of(model.sessions(&arrivals, Seed(1))?)?;
            Ok(Recorded::of_model(path, Stored { sessions, ..Stored::default() }))
        }
        (Some(path), None) => Recorded::read_traffic(path, rules),
        (None, None) => bail!("name a capture, or a model with --model"),
    }
}

/// The first session that logs in does, as the first account.
pub(super) fn login(site: &Site, recorded: &Recorded) -> anyhow::Result<String> {
    let mut sessions = recorded.sessions.sessions.sessions();
    let login = sessions.find_map(|session| session.map(until_login).transpose()).transpose()?;
    let Some(session) = login else { return Ok(format!("nobody logs in in {}", recorded.name)) };
    let exchange = &session.steps.last().expect("it logs in").exchange;
    let request = format!("{} {}", exchange.method, exchange.target);
    let steps = session.steps.len() as u64;
    let measured = played(&with_accounts(site)?, session)?;
    let total = measured.recorder.total();
    if total.failed == 0 && total.done == steps {
        return Ok(format!("{request} was answered with {}", statuses(&measured)));
    }
    bail!(
        "{request} as the first account: {}; is the account there, and its password that of the variable?",
        [statuses(&measured), failures(&measured)]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    )
}

/// Whether a replay at 1x can be played from here.
pub(super) fn machine(site: &Site, recorded: &Recorded, machine: &MachineArgs) -> anyhow::Result<String> {
    let plan = once(recorded.outlines());
    let found = machine.look(&plan, &recorded.sessions.sessions, &with_accounts(site)?)?;
    let tight = found.preflight.warnings().count();
    let headroom = found.headroom.map_or_else(String::new, |headroom| format!("; {}", headroom.sentence()));
    Ok(match tight {
        0 => format!("this machine is enough for it at 1×{headroom}"),
        tight => format!("{tight} things are tight for it at 1×, see above{headroom}"),
    })
}

/// Its requests up to the one that an account is needed for, without waits.
fn until_login(mut session: Session) -> Option<Session> {
    let is_identity = |hole: &Hole| matches!(hole.source, Source::Identity { .. });
    let login = session.steps.iter().position(|step| step.holes.iter().any(is_identity))?;
    session.steps.truncate(login + 1);
    for (step, offset_us) in session.steps.iter_mut().zip((0_u64..).map(|step| step * STEP_US)) {
        step.offset_us = offset_us;
    }
    Some(session)
}

fn played(config: &DriveConfig, session: Session) -> anyhow::Result<Measured> {
    let store = Store::of([session])?;
    let plan = once(store.outlines());
    Ok(drive::run(&plan, &store, config, &Arc::default())?)
}

fn once(sessions: &Outlines) -> Plan {
    let multiple = Multiple::new(1.0).expect("1 is a multiple");
    plan::amplify(sessions, multiple, Mode::Crowd, Seed(1))
}

fn with_accounts(site: &Site) -> anyhow::Result<DriveConfig> {
    let environment = site.environment.as_ref();
    let accounts = environment.map(|environment| accounts_of(&environment.accounts, None, Some(environment)));
    Ok(DriveConfig { identities: accounts.transpose()?.flatten(), ..config(site) })
}

/// Without accounts.
fn config(site: &Site) -> DriveConfig {
    let (_, stop) = watch::channel(Stop::Run);
    let mut config = DriveConfig::new(site.target.clone(), TIMEOUT, stop);
    site.apply(&mut config);
    config.workers = NonZeroUsize::MIN;
    config.drain = TIMEOUT;
    config
}

fn statuses(measured: &Measured) -> String {
    let statuses = measured.recorder.total().statuses;
    statuses.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn failures(measured: &Measured) -> String {
    let classes = measured.recorder.failures.keys().map(|failure| failure.class.name());
    classes.collect::<Vec<_>>().join(", ")
}
