//! Integration tests of the replayer, one binary.

mod drive;
