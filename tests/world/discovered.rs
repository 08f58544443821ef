//! That `discover` names a system in its own real database.

use crate::support::beatwarden::run;
use crate::support::written;

/// Asserts that these presets are named, and that `check` accepts what is printed without an edit.
pub fn is_discovered(url: &str, presets: &[&str]) {
    let (status, said, complaint) = run(&["discover", url]);
    assert!(status.success(), "{said}{complaint}");
    let mut named: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("preset = ")).collect();
    named.sort_unstable();
    let wanted: Vec<String> = presets.iter().map(|preset| format!("\"{preset}\"")).collect();
    assert_eq!(named, wanted, "{said}");
    let (_folder, file) = written("beatwarden.toml", &said);
    let (status, report, complaint) = run(&["check", "--config", file.to_str().unwrap()]);
    assert!(status.success(), "{said}\n{report}{complaint}");
}
