//! A configuration in YAML, all of it.
#![no_main]

mod judge;

use beatwarden::config::Sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let file = judge::file("beatwarden.yaml", &judge::with_password(content));
    judge::load(&Sources {
        file: Some(file),
        ..Sources::default()
    });
});
