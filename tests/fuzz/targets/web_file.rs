//! A web configuration file: TLS, passwords, headers.
#![no_main]

#[allow(dead_code, reason = "it needs the file alone")]
mod judge;

use beatwarden::http::access::AccessControl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    match AccessControl::new(Some(&judge::file("web.yml", content))) {
        Ok(access) => assert!(!access.rules().sentence().is_empty()),
        Err(problem) => {
            let problem = problem.to_string();
            assert!(
                !problem.is_empty() && !problem.contains(char::is_control),
                "{problem:?}"
            );
            let text = String::from_utf8_lossy(content);
            // What stands elsewhere without the beginning of a hash can't be known for one.
            let alone = |hash: &&str| text.matches(hash).count() == text.matches(&format!("$2b$05${hash}")).count();
            for hash in hashes(&text).filter(alone) {
                assert!(!problem.contains(hash), "it shows {hash}: {problem}");
            }
        }
    }
});

/// What reads like a bcrypt hash behind its cost.
fn hashes(text: &str) -> impl Iterator<Item = &str> {
    let is_of_hash = |letter: char| letter.is_ascii_alphanumeric() || "./".contains(letter);
    text.split("$2b$05$").skip(1).filter_map(move |rest| {
        let end = rest.find(|letter| !is_of_hash(letter)).unwrap_or(rest.len());
        (end >= 12).then(|| &rest[..end])
    })
}
