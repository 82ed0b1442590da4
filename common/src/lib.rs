//! Skeleton.

pub mod audio;
