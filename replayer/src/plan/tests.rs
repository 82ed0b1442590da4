//! Properties of plans: identity at 1×, determinism, counts, and the law of bursts.

mod likeness;

use kingtide_common::exchange::Exchange;
use proptest::prelude::*;

use super::dispersion::WINDOWS_S;
use super::random::Draws;
use super::*;
use crate::sessions::{Outline, Session, Step};

/// A session of requests at these offsets.
fn session(start_us: u64, offsets_us: &[u64]) -> Session {
    let step = |offset_us: &u64| Step {
        exchange: Exchange { method: "GET".into(), target: "/".into(), ..Exchange::default() },
        offset_us: *offset_us,
        connection: 0,
        holes: Vec::new(),
    };
    let nanoseconds = i64::try_from(start_us * 1000).unwrap();
    Session {
        key: String::new(),
        start_ns: nanoseconds,
        steps: offsets_us.iter().map(step).collect(),
        orphan: false,
    }
}

/// A school's hour: a slow cycle, and every 5 minutes or so "upload now". `users` scales the rate.
fn school(users: f64, hours: f64, seed: u64) -> Outlines {
    let mut clock = Draws::new(Seed(5), 99);
    let span_s = hours * 3600.0;
    let mut bells: Vec<(f64, f64)> = Vec::new();
    let mut at_s = 0.0;
    while at_s < span_s {
        at_s += 150.0 + 300.0 * clock.unit();
        bells.push((at_s, 4.0 + 8.0 * clock.unit()));
    }
    let mut draws = Draws::new(Seed(seed), 98);
    let rate = |now_s: f64| {
        let since = bells.iter().map(|(bell_s, height)| (now_s - bell_s, height));
        let burst: f64 = since.filter(|(s, _)| *s >= 0.0).map(|(s, height)| height * (-s / 15.0).exp()).sum();
        0.5 * users * (1.0 + 0.6 * (now_s / 1800.0 * std::f64::consts::TAU).sin() + burst)
    };
    // Thinning of a Poisson process of a rate that is never reached.
    let rate_max = 10.0 * users;
    let mut sessions = Outlines::default();
    let mut now_s = 0.0;
    while now_s < span_s {
        now_s -= (1.0 - draws.unit()).ln() / rate_max;
        if draws.unit() * rate_max < rate(now_s) {
            sessions.push(&session(rounded_us(now_s * 1e6), &offsets(&mut draws)));
        }
    }
    sessions
}

/// One request, and with chance 0.65 another after 1–8 s of thinking.
fn offsets(draws: &mut Draws) -> Vec<u64> {
    let mut offsets_us = vec![0];
    while draws.unit() < 0.65 && offsets_us.len() < 12 {
        let last = offsets_us[offsets_us.len() - 1];
        offsets_us.push(last + rounded_us((1.0 + 7.0 * draws.unit()) * 1e6));
    }
    offsets_us
}

fn multiple(value: f64) -> Multiple {
    Multiple::new(value).unwrap()
}

fn at_5x(sessions: &Outlines, mode: Mode) -> Plan {
    amplify(sessions, multiple(5.0), mode, Seed(1))
}

/// When the captured requests went out, from the first of them.
fn captured_us(sessions: &Outlines) -> Vec<u64> {
    amplify(sessions, multiple(1.0), Mode::Crowd, Seed(0)).instants_us(sessions).collect()
}

fn clones(plan: &Plan) -> Vec<PlannedClone> {
    plan.clones().collect()
}

fn release_list(plan: &Plan, sessions: &Outlines) -> Vec<Release> {
    releases(plan, sessions).collect()
}

#[test]
fn once_is_the_capture_itself() {
    let sessions: Outlines = [session(5_000_000, &[0, 7]), session(6_500_000, &[0])].into_iter().collect();
    for mode in [Mode::Crowd, Mode::Volley, Mode::Tempo] {
        let plan = amplify(&sessions, multiple(1.0), mode, Seed(3));
        let clone = |session, start_us| PlannedClone { start_us, session };
        assert_eq!(clones(&plan), [clone(0, 0), clone(1, 1_500_000)], "{mode}");
        assert_eq!(plan.instants_us(&sessions).collect::<Vec<_>>(), [0, 7, 1_500_000]);
    }
}

#[test]
fn the_target_is_what_five_times_the_users_do() {
    let truth: Vec<Vec<u64>> = (10..14).map(|seed| captured_us(&school(5.0, 1.0, seed))).collect();
    let targets: Vec<_> = (1..5).map(|seed| dispersion::targets(&school(1.0, 1.0, seed), 5.0)).collect();
    for (at, window_s) in WINDOWS_S.into_iter().enumerate() {
        let true_mean =
            truth.iter().map(|us| dispersion(us, window_s, 3_600_000_000).unwrap()).sum::<f64>() / 4.0;
        let target_mean = targets.iter().map(|targets| targets[at].target).sum::<f64>() / 4.0;
        assert!((target_mean / true_mean - 1.0).abs() < 0.2, "{window_s} s: {target_mean} for {true_mean}");
    }
}

#[test]
fn clumps_of_independent_users_are_not_taken_for_a_shared_clock() {
    // Ten requests in a second from each user, users independent: dispersion 10 at any multiple.
    let mut draws = Draws::new(Seed(2), 97);
    let offsets_us: Vec<u64> = (0..10).map(|at| at * 100_000).collect();
    let starts_us = (0..3000).map(|_| rounded_us(draws.unit() * 3.6e9));
    let sessions: Outlines = starts_us.map(|start_us| session(start_us, &offsets_us)).collect();
    let target = dispersion::targets(&sessions, 5.0)[2];
    assert!((8.0..14.0).contains(&target.target), "{target:?}, and not 1 + 5·(I − 1) = 46");
}

#[test]
fn tempo_divides_starts_and_gaps() {
    let sessions: Outlines = [session(0, &[0, 400]), session(1000, &[0])].into_iter().collect();
    let plan = amplify(&sessions, multiple(4.0), Mode::Tempo, Seed(0));
    let intended: Vec<u64> = releases(&plan, &sessions).map(|release| release.intended_us).collect();
    assert_eq!(intended, [0, 100, 250]);
}

#[test]
fn a_volley_copies_each_session_at_its_instant() {
    let sessions: Outlines =
        [0, 1000, 2000, 3000].map(|start_us| session(start_us, &[0])).into_iter().collect();
    let plan = amplify(&sessions, multiple(2.5), Mode::Volley, Seed(0));
    let clones = clones(&plan);
    assert_eq!(clones.len(), 10);
    for (at, start_us) in [0, 1000, 2000, 3000].into_iter().enumerate() {
        let copies = clones.iter().filter(|clone| clone.session == at && clone.start_us == start_us).count();
        assert!((2..=3).contains(&copies), "{copies}");
    }
}

#[test]
fn steady_has_no_bursts() {
    let sessions = school(1.0, 1.0, 1);
    let start_us = |one: Outline<'_>| one.start_ns.unsigned_abs() / 1000;
    let single: Outlines = sessions.iter().map(|one| session(start_us(one), &[0])).collect();
    let plan = at_5x(&single, Mode::Steady);
    let index = dispersion(&plan.instants_us(&single).collect::<Vec<_>>(), 10.0, 3_600_000_000).unwrap();
    assert!((0.7..1.3).contains(&index), "{index}");
}

/// Made with whole numbers only, so that it is the same on every machine.
fn pinned_capture() -> Outlines {
    let start_us = |at: u64| at * at * 7_919 % 600_000_000 + at % 7 * 1_000;
    let offsets_us = |at: u64| (0..=at % 5).map(|step| step * (400_000 + at * 37)).collect::<Vec<_>>();
    (0..2_000).map(|at| session(start_us(at), &offsets_us(at))).collect()
}

/// FNV-1a of all clones.
fn hash(plan: &Plan) -> u64 {
    let words = plan.clones().flat_map(|clone| [clone.start_us, clone.session as u64]);
    let bytes = words.flat_map(u64::to_le_bytes);
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[test]
fn plans_are_pinned() {
    let sessions = pinned_capture();
    let modes = [
        (Mode::Crowd, 1.0),
        (Mode::Crowd, 7.5),
        (Mode::Steady, 7.5),
        (Mode::Volley, 7.5),
        (Mode::Tempo, 7.5),
    ];
    let plans = modes.map(|(mode, times)| amplify(&sessions, multiple(times), mode, Seed(1)));
    assert_eq!(plans.each_ref().map(|plan| plan.shift_s.to_string()), ["0", "120", "0", "0", "0"]);
    let pinned = [
        10_698_291_903_795_615_227,
        1_057_172_084_644_569_295,
        13_176_828_101_564_132_868,
        3_293_192_288_014_540_587,
        15_877_517_550_234_063_488,
    ];
    assert_eq!(plans.each_ref().map(hash), pinned);
}

#[test]
fn a_plan_of_many_blocks_draws_every_session_alike_and_comes_in_order() {
    let sessions: Outlines = (0..500).map(|at| session(at * 1_000_000, &[0])).collect();
    for mode in [Mode::Crowd, Mode::Steady] {
        let plan = amplify(&sessions, multiple(200.0), mode, Seed(1));
        let mut copies = [0_u32; 500];
        plan.clones().for_each(|clone| copies[clone.session] += 1);
        assert_eq!(copies.iter().sum::<u32>(), 100_000);
        let squares = copies.iter().map(|copies| (f64::from(*copies) - 200.0) * (f64::from(*copies) - 200.0));
        let dispersion = squares.sum::<f64>() / 200.0 / 499.0;
        assert!((0.8..1.2).contains(&dispersion), "{mode}: as often as independent draws: {dispersion}");
        assert!(plan.clones().is_sorted(), "{mode}");
    }
}

/// What the clones of a large plan cost; for people, never asserted.
#[test]
#[ignore = "a measurement, not a check"]
fn memory_of_ten_million_clones() {
    let peak_kib = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut draws = Draws::new(Seed(1), 96);
    // A lesson's worth of users every ten minutes, for a day.
    let start_us = |draws: &mut Draws| draws.index(144) as u64 * 600_000_000 + draws.index(60_000_000) as u64;
    let sessions: Outlines = (0..100_000).map(|_| session(start_us(&mut draws), &[0])).collect();
    let before = peak_kib();
    let plan = amplify(&sessions, multiple(100.0), Mode::Crowd, Seed(1));
    let made = peak_kib();
    let clones = plan.clones().count();
    eprintln!("{clones} clones, h = {} s: fitted in {} KiB", plan.shift_s, made - before);
    eprintln!("played in {} KiB more", peak_kib() - made);
    let walked = peak_kib();
    let passes = fidelity(&plan, &sessions).passes();
    eprintln!("compared in {} KiB more, passes: {passes}", peak_kib() - walked);
}

#[test]
fn an_empty_capture_has_an_empty_plan() {
    for mode in [Mode::Crowd, Mode::Steady, Mode::Volley, Mode::Tempo] {
        let none = Outlines::default();
        let plan = at_5x(&none, mode);
        assert_eq!(clones(&plan), []);
        assert_eq!(release_list(&plan, &none), []);
        assert!(fidelity(&plan, &none).passes());
    }
}

fn any_sessions() -> impl Strategy<Value = Outlines> {
    let session =
        (0..20_000_000_u64, prop::collection::vec(0..3_000_000_u64, 0..5)).prop_map(|(start, gaps)| {
            let mut offsets_us = vec![0];
            for gap_us in gaps {
                offsets_us.push(offsets_us[offsets_us.len() - 1] + gap_us);
            }
            session(start, &offsets_us)
        });
    prop::collection::vec(session, 1..20).prop_map(|sessions| sessions.into_iter().collect())
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Crowd), Just(Mode::Steady), Just(Mode::Volley), Just(Mode::Tempo)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plans_are_repeatable_counted_and_in_order(
        sessions in any_sessions(), times in 0.1..6.0_f64, mode in any_mode(), seed in any::<u64>(),
    ) {
        let plan = amplify(&sessions, multiple(times), mode, Seed(seed));
        prop_assert_eq!(&plan, &amplify(&sessions, multiple(times), mode, Seed(seed)));
        let sessions_wanted = if mode == Mode::Tempo { sessions.len() as f64 } else { times * sessions.len() as f64 };
        prop_assert!((plan.users() as f64 - sessions_wanted).abs() <= 1.0);
        prop_assert_eq!(plan.clones().count(), plan.users());
        prop_assert!(plan.clones().is_sorted());

        let list = release_list(&plan, &sessions);
        let mut expected: Vec<u64> = plan.instants_us(&sessions).collect();
        expected.sort_unstable();
        prop_assert_eq!(list.iter().map(|release| release.intended_us).collect::<Vec<_>>(), expected);
        prop_assert!(list.is_sorted());
    }

    #[test]
    fn starts_stay_within_the_capture(sessions in any_sessions(), times in 1.1..6.0_f64, seed in any::<u64>()) {
        let span_us = Starts::of(&sessions).span_us;
        let plan = amplify(&sessions, multiple(times), Mode::Crowd, Seed(seed));
        prop_assert!(plan.clones().all(|clone| clone.start_us <= span_us));
    }
}
