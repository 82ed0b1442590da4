//! Foreign bytes as a har file: an error or findings, never a panic.

#![no_main]

use kingtide::import::{Source, har};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What it cannot make out is an error or a finding; either is fine.
    let _ = har::read(Source { name: "fuzz", number: 0 }, bytes, &mut |_| Ok(()));
});
