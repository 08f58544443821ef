//! A Meltano project in whose folder nothing else says what to watch: `meltano.yml`, behind a NUL its `.env`, and behind another
//! the variables of the process.
#![no_main]

mod judge;

use beatwarden::config::Sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let content = judge::with_password(content);
    let mut parts = content.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let project = judge::file("meltano.yml", part());
    judge::file(".env", part());
    let variables = String::from_utf8_lossy(part()).into_owned();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    // Another folder would be another file's project.
    let is_free = |name: &str| name != "MELTANO_PROJECT_ROOT" && name != "PATH" && name != "BEATWARDEN__CONFIG";
    let environment = variables
        .filter(|(name, _)| is_free(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    judge::load(&Sources {
        folder: project.parent().map(Into::into),
        environment,
        ..Sources::default()
    });
});
