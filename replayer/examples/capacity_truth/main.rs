//! The proof of the capacity search: 200 searches against simulated targets whose capacity is known.
mod arrivals;
mod backend;
mod random;
mod rig;
mod subject;

use kingtide::capacity::search::{Config, Next, Search};
use rig::Rig;
use subject::{Kind, Subject};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let each: u64 = args.get(1).map_or(4, |text| text.parse().unwrap());
    let budget: u64 = args.get(2).map_or(3600, |text| text.parse().unwrap());
    for kind in Kind::ALL {
        let mut ratios = vec![];
        for i in 0..each {
            let subject = Subject::draw(kind, 1000 * i + kind as u64);
            let t0 = std::time::Instant::now();
            let truth = subject.truth_per_s(400_000.0, 7);
            let t1 = t0.elapsed();
            let mut rig = Rig::new(&subject, 99 + i);
            let mut search =
                Search::new(Config { ..Config::new(subject.slo.clone(), subject.unit_per_s, budget) });
            let found = loop {
                match search.next() {
                    Next::Done(f) => break f,
                    Next::Trial(t) => {
                        let watch = search.watch(&t);
                        let o = rig.observe(&t, Some(watch));
                        let j = search.on_trial(&t, &o);
                        if args.len() > 3 {
                            println!(
                                "   {:?} {:.3} ({:.3} of truth) len {} {:?} x={:.3} rec {:?} {:?}",
                                t.purpose,
                                t.multiple,
                                j.planned_per_s / truth,
                                o.sending_s,
                                j.verdict,
                                j.completed_per_s / truth,
                                j.drift.map(|d| d.per_s_low),
                                j.reasons.first()
                            );
                        }
                    }
                }
            };
            let c = found.capacity.map(|c| {
                (
                    c.multiple * subject.unit_per_s / truth,
                    c.low * subject.unit_per_s / truth,
                    c.high * subject.unit_per_s / truth,
                )
            });
            let (r, lo, hi) = c.unwrap_or((0., 0., 0.));
            ratios.push(r);
            println!(
                "{:22} fill {:.3} C {:6.1} {:9} {:?} r {:.3} [{:.3} {:.3}] {:?} right {:?} rec {:?} after {:?} trials {} D {} time {:.0} truth {:.1?} total {:.1?}",
                kind.name(),
                truth / subject.saturated_per_s,
                truth,
                subject.slo.to_string(),
                found.verdict,
                r,
                lo,
                hi,
                found.failure_mode,
                found.failure_mode.map(|m| subject.is_right(m, truth)),
                found.recovery_s,
                found.after_overload_multiple.map(|m| m * subject.unit_per_s / truth),
                found.trials.len(),
                found.capacity.map_or(0, |c| c.trial_s),
                rig.spent_s,
                t1,
                t0.elapsed()
            );
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "== {} median {:.3}  {:?}",
            kind.name(),
            ratios[ratios.len() / 2],
            ratios.iter().map(|r| (r * 1000.).round() / 1000.).collect::<Vec<_>>()
        );
    }
}
