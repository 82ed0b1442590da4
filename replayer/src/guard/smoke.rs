//! The stamps of passing runs of one user: without a fresh one, more users are not let near a guarded target.
//!
//! One small file for each target, in `$XDG_STATE_HOME/kingtide/smoke` (`~/.local/state/kingtide/smoke`), written at the end
//! of such a run.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::drive::Target;

/// Where stamps are.
#[derive(Debug, Clone)]
pub struct Stamps(PathBuf);

/// Keeps that a run of one user passed just now.
pub fn passed(target: &Target) -> io::Result<()> {
    Stamps::of_user()?.write(&target.origin(), OffsetDateTime::now_utc())
}

/// How long ago one did; `None` when none is known of.
pub fn age(target: &Target) -> Option<Duration> {
    Stamps::of_user().ok()?.age(&target.origin(), OffsetDateTime::now_utc())
}

impl Stamps {
    pub fn of_user() -> io::Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let state = state.ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME is set"))?;
        Ok(Self(state.join("kingtide/smoke")))
    }

    pub fn in_directory(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    pub fn write(&self, origin: &str, now: OffsetDateTime) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let now = now.format(&Rfc3339).map_err(io::Error::other)?;
        std::fs::write(self.path(origin), format!("{now} {origin}\n"))
    }

    /// A stamp of the future tells nothing: somebody changed the clock.
    pub fn age(&self, origin: &str, now: OffsetDateTime) -> Option<Duration> {
        let text = std::fs::read_to_string(self.path(origin)).ok()?;
        let (at, of) = text.trim_end().split_once(' ')?;
        let at = OffsetDateTime::parse(at, &Rfc3339).ok().filter(|_| of == origin)?;
        (now - at).try_into().ok()
    }

    fn path(&self, origin: &str) -> PathBuf {
        let kept = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        self.0.join(origin.chars().map(kept).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_stamp_is_of_one_target_and_has_an_age() {
        let directory = tempfile::tempdir().unwrap();
        let stamps = Stamps::in_directory(&directory.path().join("new"));
        let then = datetime!(2026-11-30 12:00 UTC);
        assert_eq!(stamps.age("https://a.example", then), None);
        stamps.write("https://a.example", then).unwrap();
        assert_eq!(
            stamps.age("https://a.example", then + Duration::from_secs(90)),
            Some(Duration::from_secs(90))
        );
        assert_eq!(stamps.age("https://a.example", then - Duration::from_secs(1)), None);
        assert_eq!(stamps.age("https://a.example:8443", then), None);
        // Its file would have the same name.
        assert_eq!(stamps.age("https:/_a.example", then), None);
    }
}
