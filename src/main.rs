//! Entry point: parse, run, print the error chain, set the exit code.

fn main() {}
