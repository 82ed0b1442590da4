//! The capture as its users meet it: written, killed, cut, flipped, and read back.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene does not hold")]

mod capture;
mod golden;
mod packing;
mod scene;
mod upkeep;
