#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../check/mod.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::peers(input));
