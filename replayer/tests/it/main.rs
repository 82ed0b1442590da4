//! The `kingtide` binary as scripts use it.

mod capture_files;
mod reading;
