//! Takes out of a bill of materials (CycloneDX, JSON) what is not compiled in: cargo's own metadata, of which it was made, has
//! crates in it that features of others could ask for. Used by `scripts/dist`:
//!
//! `cargo tree ... | bill BILL` reads lines of name and version, and prints the bill of these alone.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool of the build: it prints, and fails by panicking"
)]

use serde_json::Value;
use std::collections::BTreeSet;

fn main() {
    let path = std::env::args().nth(1).expect("usage: bill BILL <LIST");
    let mut bill: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let listed = std::io::read_to_string(std::io::stdin()).unwrap();
    let listed: BTreeSet<&str> = listed.lines().collect();

    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut absent = BTreeSet::new();
    bill["components"].as_array_mut().unwrap().retain(|part| {
        let is_listed = listed.contains(format!("{} {}", text(&part["name"]), text(&part["version"])).as_str());
        if !is_listed {
            absent.insert(text(&part["bom-ref"]));
        }
        is_listed
    });
    let needs = bill["dependencies"].as_array_mut().unwrap();
    needs.retain(|part| !absent.contains(&text(&part["ref"])));
    for part in needs {
        if let Some(on) = part["dependsOn"].as_array_mut() {
            on.retain(|part| !absent.contains(&text(part)));
        }
    }
    println!("{}", serde_json::to_string_pretty(&bill).unwrap());
}
