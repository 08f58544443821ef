//! What a judge found: the same for a server and for a file.

/// What a judge found.
pub struct Verdict {
    pub repairs: i64,
    pub false_repairs: i64,
    /// What each is, and the audited change.
    pub violations: Vec<(&'static str, String)>,
}
