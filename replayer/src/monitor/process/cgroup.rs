//! The limits of a cgroup (version 2) and of those that it is in: the tightest counts.

use std::path::Path;

use super::read;
use crate::monitor::look::Look;

/// Levels above a cgroup that are looked at.
const LEVELS_MAX: usize = 16;

/// What a cgroup has used.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cgroup {
    memory_bytes: Option<f64>,
    /// Of the memory that it may have, at the level that is nearest to its limit.
    memory_share: Option<f64>,
    /// Periods in which it wanted processors, over all levels with a limit, and those in which it was stopped.
    periods: Option<(f64, f64)>,
}

impl Cgroup {
    /// Of a path below the hierarchy's root; in a container the root is its own.
    pub(super) fn read(root: &Path, path: &str) -> Self {
        let own = root.join(path.trim_start_matches('/'));
        let levels: Vec<&Path> =
            own.ancestors().take_while(|level| level.starts_with(root)).take(LEVELS_MAX).collect();
        let number = |level: &Path, file: &str| read(&level.join(file))?.trim().parse::<f64>().ok();
        let share = |level: &&Path| {
            // `max` is no number and no limit.
            Some(number(level, "memory.current")? / number(level, "memory.max")?.max(1.0))
        };
        let stats = levels.iter().filter_map(|level| periods(&read(&level.join("cpu.stat"))?));
        Self {
            memory_bytes: number(&own, "memory.current"),
            memory_share: levels.iter().filter_map(share).max_by(f64::total_cmp),
            periods: stats.max_by(|one, other| one.1.total_cmp(&other.1)),
        }
    }

    /// Without a limit there is nothing to tell.
    pub(super) fn tell(&self, before: Option<&Self>, look: &mut Look) {
        if let Some(share) = self.memory_share {
            look.value("cgroup_memory_share", share);
            look.value("cgroup_memory_bytes", self.memory_bytes);
        }
        if let (Some((periods, throttled)), Some((periods_before, throttled_before))) =
            (self.periods, before.and_then(|before| before.periods))
        {
            let passed = periods - periods_before;
            let share = if passed > 0.0 { (throttled - throttled_before) / passed } else { 0.0 };
            look.value("cgroup_throttled_share", share.clamp(0.0, 1.0));
        }
    }
}

/// `nr_periods` and `nr_throttled`; without periods there is no limit.
fn periods(cpu_stat: &str) -> Option<(f64, f64)> {
    let of = |key: &str| cpu_stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok());
    let periods = of("nr_periods ")?;
    (periods > 0.0).then_some((periods, of("nr_throttled ")?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_tightest_limit_of_all_levels_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let write = |directory: &Path, file: &str, text: &str| fs::write(directory.join(file), text).unwrap();
        write(&inner, "memory.current", "100\n");
        write(&inner, "memory.max", "1000\n");
        write(root.path(), "memory.current", "500\n");
        write(root.path(), "memory.max", "max\n");
        write(inner.parent().unwrap(), "memory.current", "150\n");
        write(inner.parent().unwrap(), "memory.max", "200\n");
        write(&inner, "cpu.stat", "usage_usec 5\nnr_periods 0\nnr_throttled 0\n");
        write(inner.parent().unwrap(), "cpu.stat", "usage_usec 5\nnr_periods 10\nnr_throttled 4\n");
        let before = Cgroup::read(root.path(), "/outer/inner");
        assert_eq!(
            before,
            Cgroup { memory_bytes: Some(100.0), memory_share: Some(0.75), periods: Some((10.0, 4.0)) }
        );
        write(inner.parent().unwrap(), "cpu.stat", "nr_periods 30\nnr_throttled 9\n");
        let mut look = Look::default();
        Cgroup::read(root.path(), "/outer/inner").tell(Some(&before), &mut look);
        let told: Vec<(&str, Option<f64>)> =
            look.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            told,
            [
                ("cgroup_memory_share", Some(0.75)),
                ("cgroup_memory_bytes", Some(100.0)),
                ("cgroup_throttled_share", Some(0.25))
            ]
        );
    }

    #[test]
    fn without_limits_nothing_is_told() {
        let root = tempfile::tempdir().unwrap();
        let mut look = Look::default();
        Cgroup::read(root.path(), "/gone").tell(None, &mut look);
        assert_eq!(look, Look::default());
    }
}
