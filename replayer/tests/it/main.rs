//! Integration tests of the replayer, one binary: the library's drive, and `kingtide` as scripts use it.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene does not hold")]

mod again;
mod capacity;
mod capture_files;
mod captured;
mod compare;
mod drive;
mod edit;
mod export;
mod golden;
mod guard;
mod hostile;
mod http2;
mod import;
mod interrupted;
mod measures;
mod monitor;
mod nginx;
mod postgres;
mod python;
mod reading;
mod replay;
mod ruled;
mod scenario;
mod seeds;
mod server;
mod tls;
mod users;
