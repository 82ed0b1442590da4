//! Who comes when and does what: a pure function of a seed.
//!
//! Single students arrive as a Poisson process with its number of arrivals given, which is that many independent
//! uniform instants (Cox and Lewis 1966). Classes arrive in the seconds before their bell ("upload now") and send
//! their first recording within [`BELL_SPREAD`] of it. Arrivals end at [`ARRIVAL_SHARE`] of the duration, so that
//! those who came have time to finish.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::accounts::{Purpose, stream};

/// Share of the duration in which students arrive.
const ARRIVAL_SHARE: f64 = 0.6;
/// After the bell a class uploads within this time.
const BELL_SPREAD: Duration = Duration::from_secs(2);
/// A class arrives this long before its bell, where the run is old enough.
const BELL_LEAD_S: RangeInclusive<f64> = 3.0..=6.0;
/// Sizes of recordings with their shares: 50 KB 26 %, 200 KB 53 %, 500 KB 16 %, 2 MB 5 % (1 KB is 1,000 bytes).
const SIZES: [(f64, u64); 4] = [(0.26, 50_000), (0.53, 200_000), (0.16, 500_000), (0.05, 2_000_000)];
/// A size is within one such part of its class, above or below.
const SIZE_JITTER_PART: u64 = 10;
/// Most bells of one run.
const BELLS_MAX: u32 = 100_000;
/// What the service accepts at most and least, bytes.
const FILE_BYTES: RangeInclusive<u64> = 5_000..=2_000_000;
/// Pauses between login and the lists, as a share of the think time: pages load, nobody thinks.
const PAGE_SHARE: f64 = 0.1;

/// What the plan is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanConfig {
    /// Students.
    pub count: u64,
    /// Account of the first student.
    pub offset: u64,
    /// Seed of plan, accounts and contents.
    pub seed: u64,
    /// Length of the visit.
    pub duration: Duration,
    /// Think time between uploads, least and most.
    pub think: (Duration, Duration),
    /// Uploads per student, least and most.
    pub uploads: (u32, u32),
    /// Share of students on slow uplinks.
    pub slow_share: f64,
    /// Speed of slow uplinks, kbit/s, least and most.
    pub slow_kbit_per_s: (u32, u32),
    /// Time between two bells; none when absent.
    pub burst_every: Option<Duration>,
    /// Share of students who come with a class, when there are bells.
    pub burst_share: f64,
}

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            count: 50,
            offset: 0,
            seed: 1,
            duration: Duration::from_mins(1),
            think: (Duration::from_secs(1), Duration::from_secs(5)),
            uploads: (1, 4),
            slow_share: 0.15,
            slow_kbit_per_s: (1_000, 4_000),
            burst_every: None,
            burst_share: 0.3,
        }
    }
}

/// One student's visit. All instants are offsets from the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStudent {
    /// Which account.
    pub account: u64,
    /// When the student connects and logs in.
    pub start: Duration,
    /// How fast bodies leave.
    pub uplink: Uplink,
    /// Pauses before profile, assignments and activities.
    pub pauses: [Duration; 3],
    /// Uploads in order.
    pub uploads: Vec<PlannedUpload>,
    /// Picks among the assignments and activities the service lists.
    pub choice: u32,
}

/// One upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedUpload {
    /// When it is sent.
    pub cue: Cue,
    /// Size of the audio file, bytes.
    pub file_bytes: u64,
    /// Number of the content's random stream, unique in the run.
    pub content: u64,
}

/// What makes a student upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// Think time after the answer before.
    After(Duration),
    /// This instant of the run, or at once when it has passed.
    At(Duration),
}

/// A student's way to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink {
    /// As fast as the connection takes it.
    Fast,
    /// Bodies are paced at this many kbit/s.
    Slow(u32),
}

/// The plan, ordered by start.
pub fn plan(config: &PlanConfig) -> Vec<PlannedStudent> {
    let bells = bells(config);
    let mut students: Vec<PlannedStudent> =
        (0..config.count).map(|number| student(config, &bells, number)).collect();
    students.sort_by_key(|student| student.start);
    students
}

fn arrival_window(config: &PlanConfig) -> Duration {
    config.duration.mul_f64(ARRIVAL_SHARE)
}

/// Bells ring every `burst_every` within the arrival window; at least once when asked for at all.
fn bells(config: &PlanConfig) -> Vec<Duration> {
    let Some(every) = config.burst_every.filter(|every| !every.is_zero()) else { return Vec::new() };
    let window = arrival_window(config);
    let regular: Vec<Duration> = (1..=BELLS_MAX)
        .map(|number| every.saturating_mul(number))
        .take_while(|bell| *bell <= window)
        .collect();
    if regular.is_empty() { vec![window] } else { regular }
}

fn student(config: &PlanConfig, bells: &[Duration], number: u64) -> PlannedStudent {
    let account = config.offset.saturating_add(number);
    let mut rng = stream(config.seed, Purpose::Plan, account);
    let bell = pick_bell(config, bells, &mut rng);
    let start = match bell {
        Some(bell) => bell.saturating_sub(Duration::from_secs_f64(rng.random_range(BELL_LEAD_S))),
        None => arrival_window(config).mul_f64(rng.random()),
    };
    let uplink = if rng.random_bool(config.slow_share) {
        Uplink::Slow(rng.random_range(config.slow_kbit_per_s.0..=config.slow_kbit_per_s.1))
    } else {
        Uplink::Fast
    };
    let pauses = std::array::from_fn(|_| think(config, &mut rng).mul_f64(PAGE_SHARE));
    let uploads = uploads(config, bell, account, &mut rng);
    PlannedStudent { account, start, uplink, pauses, uploads, choice: rng.random() }
}

fn pick_bell(config: &PlanConfig, bells: &[Duration], rng: &mut ChaCha8Rng) -> Option<Duration> {
    let in_class = !bells.is_empty() && rng.random_bool(config.burst_share);
    in_class.then(|| bells[rng.random_range(0..bells.len())])
}

fn think(config: &PlanConfig, rng: &mut ChaCha8Rng) -> Duration {
    let (least, most) = config.think;
    least + most.saturating_sub(least).mul_f64(rng.random())
}

fn uploads(
    config: &PlanConfig,
    bell: Option<Duration>,
    account: u64,
    rng: &mut ChaCha8Rng,
) -> Vec<PlannedUpload> {
    let count = rng.random_range(config.uploads.0..=config.uploads.1);
    (0..count)
        .map(|number| {
            let think = think(config, rng);
            let cue = match bell {
                Some(bell) if number == 0 => Cue::At(bell + BELL_SPREAD.mul_f64(rng.random())),
                _ => Cue::After(think),
            };
            let content = (account << 8) | u64::from(number & 0xff);
            PlannedUpload { cue, file_bytes: file_bytes(rng), content }
        })
        .collect()
}

fn file_bytes(rng: &mut ChaCha8Rng) -> u64 {
    let class = size_class(rng.random());
    let jitter = class / SIZE_JITTER_PART;
    let bytes = rng.random_range(class - jitter..=class + jitter);
    bytes.clamp(*FILE_BYTES.start(), *FILE_BYTES.end())
}

/// The class that a uniform draw between 0 and 1 falls into.
fn size_class(draw: f64) -> u64 {
    let mut share = 0.0;
    for (class_share, bytes) in SIZES {
        share += class_share;
        if draw < share {
            return bytes;
        }
    }
    SIZES[SIZES.len() - 1].1
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn config() -> PlanConfig {
        PlanConfig { count: 4_000, burst_every: Some(Duration::from_secs(10)), ..PlanConfig::default() }
    }

    fn share(count: usize, of: usize) -> f64 {
        count as f64 / of as f64
    }

    #[test]
    fn a_seed_fixes_the_plan() {
        let config = PlanConfig { count: 40, ..config() };
        assert_eq!(plan(&config), plan(&config));
        assert_ne!(plan(&config), plan(&PlanConfig { seed: 2, ..config }));
    }

    #[test]
    fn every_student_has_an_own_account_and_every_upload_own_content() {
        let students = plan(&PlanConfig { offset: 100, ..config() });
        let accounts: HashSet<u64> = students.iter().map(|student| student.account).collect();
        assert_eq!(accounts, (100..4_100).collect());
        let contents: Vec<u64> =
            students.iter().flat_map(|student| &student.uploads).map(|upload| upload.content).collect();
        assert_eq!(contents.iter().collect::<HashSet<_>>().len(), contents.len());
    }

    #[test]
    fn sizes_have_their_shares_and_bounds() {
        let sizes: Vec<u64> = plan(&config())
            .iter()
            .flat_map(|student| &student.uploads)
            .map(|upload| upload.file_bytes)
            .collect();
        for (expected, class) in SIZES {
            let near = |bytes: &&u64| bytes.abs_diff(class) <= class / 10;
            let found = share(sizes.iter().filter(near).count(), sizes.len());
            assert!((found - expected).abs() < 0.02, "{class} bytes: {found}");
        }
        assert!(sizes.iter().all(|bytes| FILE_BYTES.contains(bytes)));
    }

    #[test]
    fn uploads_and_think_times_keep_their_ranges() {
        for student in plan(&config()) {
            assert!((1..=4).contains(&student.uploads.len()));
            for upload in &student.uploads {
                if let Cue::After(think) = upload.cue {
                    assert!((1.0..=5.0).contains(&think.as_secs_f64()), "{think:?}");
                }
            }
        }
    }

    #[test]
    fn a_class_uploads_within_two_seconds_of_its_bell() {
        let students = plan(&config());
        let firsts: Vec<Duration> = students
            .iter()
            .filter_map(|student| match student.uploads[0].cue {
                Cue::At(instant) => Some(instant),
                Cue::After(_) => None,
            })
            .collect();
        let found = share(firsts.len(), students.len());
        assert!((found - 0.3).abs() < 0.03, "{found}");
        for instant in firsts {
            let after_bell = instant.as_secs_f64() % 10.0;
            assert!(instant >= Duration::from_secs(10) && after_bell <= 2.0, "{instant:?}");
        }
    }

    #[test]
    fn arrivals_are_uniform_over_their_window_without_bells() {
        let students = plan(&PlanConfig { burst_every: None, ..config() });
        let window = 60.0 * ARRIVAL_SHARE;
        let first_half = students.iter().filter(|student| student.start.as_secs_f64() < window / 2.0).count();
        assert!((share(first_half, students.len()) - 0.5).abs() < 0.03);
        assert!(students.is_sorted_by_key(|student| student.start));
        assert!(students.iter().all(|student| student.start.as_secs_f64() <= window));
    }

    #[test]
    fn a_share_of_uplinks_is_slow() {
        let students = plan(&config());
        let slow = students.iter().filter(|student| student.uplink != Uplink::Fast).count();
        assert!((share(slow, students.len()) - 0.15).abs() < 0.02);
    }

    #[test]
    fn a_run_shorter_than_the_bell_still_has_one() {
        let config = PlanConfig { duration: Duration::from_secs(5), ..config() };
        assert_eq!(bells(&config), [Duration::from_secs(3)]);
    }
}
