//! An error text that is put into a column and taken out again: every byte comes back, and what was JSON stays JSON.
#![no_main]

#[path = "../../../src/store/error_text_merge.rs"]
mod error_text_merge;

use error_text_merge::{merge, unmerge};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const PAIR: &str = "\"error\": \"it never beat\"";

fuzz_target!(|old: &[u8]| {
    let merged = merge(Some(old), PAIR);
    let before = serde_json::from_slice::<Value>(old).ok();
    let is_object = before.as_ref().is_some_and(Value::is_object);
    let Some(new) = merged.value else {
        assert!(!is_object && merged.was == "other");
        return;
    };
    if is_object {
        let after: Value = serde_json::from_slice(&new).expect("JSON stays JSON");
        let (Some(Value::Object(mut before)), Value::Object(mut after)) = (before, after) else {
            panic!("an object stays one");
        };
        assert_eq!(after.remove("error"), Some(Value::from("it never beat")));
        before.remove("error");
        assert_eq!(before, after);
    }
    let back = match merged.was {
        "blank" => Vec::new(),
        "braces" => b"{}".to_vec(),
        _ => old.to_vec(),
    };
    assert_eq!(unmerge(&new, merged.was, PAIR), Some(Some(back)));
    // Whatever a writer made of it: no more comes back than was there.
    if let Some(Some(back)) = unmerge(old, merged.was, PAIR) {
        assert!(back.len() < old.len());
    }
});
