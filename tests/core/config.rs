//! The configuration: precedence, overlays, secrets, database URLs, every mistake with its words, and the file that
//! shows every key. No test reads the environment of this process.

mod generated;
mod mistakes;
mod precedence;
mod reference;
mod support;
mod urls;
mod urls_table;
