//! The configuration: precedence, overlays, secrets, database URLs, every mistake with its words, and the file that
//! shows every key. No test reads the environment of this process.

#[path = "config/generated.rs"]
mod generated;
#[path = "config/mistakes.rs"]
mod mistakes;
#[path = "config/precedence.rs"]
mod precedence;
#[path = "config/reference.rs"]
mod reference;
#[path = "config/support.rs"]
mod support;
#[path = "config/urls.rs"]
mod urls;
#[path = "config/urls_table.rs"]
mod urls_table;
