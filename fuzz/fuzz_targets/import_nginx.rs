//! Foreign bytes as an access log: an error or findings, never a panic.

#![no_main]

use kingtide::import::Source;
use kingtide::import::nginx::{self, LineFormat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What it cannot make out is an error or a finding; either is fine.
    let _ = nginx::read(Source { name: "fuzz", number: 0 }, bytes, &LineFormat::default(), &mut |_| Ok(()));
});
