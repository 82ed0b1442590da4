//! The sample upload service and its students.
//!
//! `classroom serve` stands in for the application behind the proxy, with a service law whose capacity is known by
//! calculation and with faults on request; `classroom students` are its users. Other crates' tests start the service
//! in their own process with [`serve::start`].

pub mod accounts;
pub mod cli;
pub mod faults;
pub mod law;
pub mod serve;
pub mod students;
