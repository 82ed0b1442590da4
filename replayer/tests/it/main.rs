//! Integration tests of the replayer, one binary.

mod captured;
mod drive;
mod replay;
mod server;
