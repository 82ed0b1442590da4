//! `kingtide inspect --session` and `--exchange`: one of the many.

use std::path::Path;

use anyhow::{anyhow, bail};
use kingtide_common::capture::CaptureError;
use kingtide_common::exchange::{Exchange, Record};

use crate::cli::capture::{Recorded, explained, open};
use crate::inspect::waterfall;
use crate::report::format::counted;
use crate::sessions::{Rules, Session};
use crate::store::Store;

pub(super) fn session(path: &Path, wanted: &str, rules: &Rules) -> anyhow::Result<String> {
    let recorded = Recorded::read(path, rules)?;
    let Session { key, orphan, steps, .. } = found(&recorded.sessions.sessions, wanted)?;
    let exchanges: Vec<Exchange> = steps.into_iter().map(|step| step.exchange).collect();
    Ok(waterfall::session(&key, orphan, &exchanges))
}

/// A user whose exchanges an idle gap parts has several sessions of one key.
fn found(sessions: &Store, wanted: &str) -> anyhow::Result<Session> {
    if sessions.is_empty() {
        bail!("--session {wanted}: the capture holds no exchange");
    }
    if let Ok(number) = wanted.parse::<usize>() {
        let place = number.checked_sub(1).filter(|place| *place < sessions.len());
        let place = place
            .ok_or_else(|| anyhow!("--session {wanted}: the capture has sessions 1 to {}", sessions.len()))?;
        return Ok(sessions.session(place)?);
    }
    let mut of_key: Vec<usize> = Vec::new();
    for place in 0..sessions.len() {
        if sessions.session(place)?.key.starts_with(wanted) {
            of_key.push(place);
        }
    }
    match of_key[..] {
        [one] => Ok(sessions.session(one)?),
        [] => bail!(
            "--session {wanted}: no session has a key that begins so; the first one's is `{}`, numbers go from 1 to {}",
            sessions.session(0)?.key,
            sessions.len()
        ),
        _ => {
            let numbers: Vec<String> = of_key.iter().take(10).map(|place| (place + 1).to_string()).collect();
            bail!(
                "--session {wanted}: {} have a key that begins so; choose by number: {}",
                counted(of_key.len() as u64, "session"),
                numbers.join(", ")
            )
        }
    }
}

/// Goes through the capture without holding it.
pub(super) fn exchange(path: &Path, id: u64) -> anyhow::Result<String> {
    let (mut wanted, mut nearest) = (None, None::<u64>);
    let read = open(path)?.for_each_record(|record| -> Result<(), CaptureError> {
        if let Record::Exchange(exchange) = record {
            let is_nearer = nearest.is_none_or(|nearest| exchange.id.abs_diff(id) < nearest.abs_diff(id));
            nearest = if is_nearer { Some(exchange.id) } else { nearest };
            wanted = if exchange.id == id { Some(exchange) } else { wanted.take() };
        }
        Ok(())
    });
    read.map_err(|error| explained(&error))?;
    let name = path.display();
    match (wanted, nearest) {
        (Some(exchange), _) => Ok(waterfall::exchange(&exchange)),
        (None, Some(nearest)) => bail!("{name}: --exchange {id}: there is none; the nearest id is {nearest}"),
        (None, None) => bail!("{name}: --exchange {id}: the capture holds no exchange"),
    }
}
