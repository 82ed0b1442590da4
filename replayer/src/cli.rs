//! The commands of `kingtide`: arguments in, exit code out.

pub mod plan;
