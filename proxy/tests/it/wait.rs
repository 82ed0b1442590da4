//! Waiting for events of other processes: looked for again and again until a deadline, which only a failure
//! reaches.

use std::time::{Duration, Instant};

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks: long enough to leave the cores to those who are waited for.
const PAUSE: Duration = Duration::from_millis(2);

/// What `look` finds, once it does.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}
