//! What the target's own parts say while a run lasts, on the run's clock.

pub mod timeline;
