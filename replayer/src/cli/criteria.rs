//! Criteria that name routes: one about a route that is not there would always hold.

use anyhow::ensure;

use crate::capacity::slo::Criterion;
use crate::measure::route::Routes;
use crate::sessions::Outlines;

/// `place` says where the criteria stand.
pub(super) fn check_routes<'a>(
    place: &str,
    criteria: impl Iterator<Item = &'a Criterion>,
    sessions: &Outlines,
) -> anyhow::Result<()> {
    let routes = Routes::of(sessions);
    for route in criteria.filter_map(|criterion| criterion.route.as_ref()) {
        ensure!(
            routes.labels().contains(route),
            "{place}: the capture has no route `{route}`; it has {}",
            routes.labels().join(", ")
        );
    }
    Ok(())
}
