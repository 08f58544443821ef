//! A configuration in TOML, all of it: presets, watches, spans, conditions.
#![no_main]

mod judge;

use beatwarden::config::Sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let file = judge::file("beatwarden.toml", &judge::with_password(content));
    judge::load(&Sources {
        file: Some(file),
        ..Sources::default()
    });
});
