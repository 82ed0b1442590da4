//! A search against a simulated target, from the first trial to the finding.

use super::rig::Rig;
use super::subject::Subject;
use kingtide::capacity::finding::Finding;
use kingtide::capacity::search::{Config, Next, Search};

/// The finding, and the simulated time that it took.
pub(crate) fn search(subject: &Subject, budget_s: u64) -> (Finding, f64) {
    let mut rig = Rig::new(subject, subject.seed ^ 0xacce);
    let config = Config::new(subject.slo.clone(), subject.unit_per_s, budget_s);
    let mut search = Search::new(config).expect("no session is longer than a trial");
    loop {
        match search.next() {
            Next::Done(found) => return (*found, rig.spent_s),
            Next::Trial(trial) => {
                let mut watch = search.watch();
                let late_above_ms = watch.late_above_ms();
                let observed = rig.observe(&trial, late_above_ms, |live| watch.on_second(live));
                search.on_trial(&trial, &observed);
            }
        }
    }
}
