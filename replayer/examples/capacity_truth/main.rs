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
    let only = std::env::var("ONLY").ok();
    let mut all = vec![];
    for kind in Kind::ALL {
        if only.as_ref().is_some_and(|o| !format!("{kind:?}").starts_with(o.as_str())) {
            continue;
        }
        let mut ratios = vec![];
        for i in 0..each {
            let subject = Subject::draw(kind, 1000 * i + kind as u64);
            let t0 = std::time::Instant::now();
            let cache = format!("/work/wt/scratch-search/truth/{kind:?}-{i}");
            let truth: f64 = std::fs::read_to_string(&cache)
                .ok()
                .map(|t| t.trim().parse().unwrap())
                .unwrap_or_else(|| {
                    let t = subject.truth_per_s(400_000.0, 7);
                    let _ = std::fs::write(&cache, t.to_string());
                    t
                });
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
            for t in &found.trials {
                println!(
                    "T {i} {:?} {:.5} {:.5} {:?} {} {:.5} {:?} {} {}",
                    t.trial.purpose,
                    t.trial.multiple * subject.unit_per_s / truth,
                    t.judged.planned_per_s / truth,
                    t.judged.verdict,
                    t.judged.is_high(),
                    t.judged.completed_per_s / truth,
                    t.judged
                        .shares
                        .iter()
                        .map(|s| (s.share / s.limit, s.n_effective.round(), s.limit))
                        .collect::<Vec<_>>(),
                    t.judged.window.to_s - t.judged.window.from_s,
                    t.judged.drift.map_or(0.0, |d| d.per_s)
                );
            }
            ratios.push(r);
            all.push((
                r,
                r > 0.0 && lo <= 1.0 && hi >= 1.0,
                (hi - lo) / 2.0,
                found.failure_mode.is_some_and(|m| subject.is_right(m, truth)),
            ));
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
        let n = all.len() - ratios.len();
        say(kind.name(), &all[n..]);
        ratios.sort_by(f64::total_cmp);
        println!(
            "== {} median {:.3}  {:?}",
            kind.name(),
            ratios[ratios.len() / 2],
            ratios.iter().map(|r| (r * 1000.).round() / 1000.).collect::<Vec<_>>()
        );
    }
    say("all", &all);
}
fn say(name: &str, rows: &[(f64, bool, f64, bool)]) {
    let n = rows.len() as f64;
    let share =
        |f: &dyn Fn(&(f64, bool, f64, bool)) -> bool| 100.0 * rows.iter().filter(|r| f(r)).count() as f64 / n;
    let mut r: Vec<f64> = rows.iter().map(|r| r.0).collect();
    r.sort_by(f64::total_cmp);
    let mut w: Vec<f64> = rows.iter().map(|r| r.2).collect();
    w.sort_by(f64::total_cmp);
    println!(
        "## {name}: n {n} median {:.3} p5 {:.3} p95 {:.3} in2% {:.0} in5% {:.0} cover {:.0} halfwidth {:.3} right {:.0}",
        r[r.len() / 2],
        r[r.len() / 20],
        r[r.len() * 19 / 20],
        share(&|r| (r.0 - 1.0).abs() <= 0.02),
        share(&|r| (r.0 - 1.0).abs() <= 0.05),
        share(&|r| r.1),
        w[w.len() / 2],
        share(&|r| r.3)
    );
}
