//! The service and its students over real sockets, in one binary.

mod answers;
mod browser;
mod command;
mod databases;
mod faults;
mod school;
mod visits;
