//! Any text as a page: forms are found or not, in time that grows with the text, never a panic.

#![no_main]

use kingtide_common::html::Page;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let page = Page::of(text);
    assert_eq!(Page::of(text), page);
});
