//! The `kingtide` binary as scripts use it.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene does not hold")]

mod capture_files;
mod reading;
