//! A time as SQLite's tables hold it: read as SQLite itself reads it, and written so that it is read back.
#![no_main]
#![allow(dead_code, reason = "of the module only the times of a column are asked")]

#[path = "../../../src/store/sqlite/times.rs"]
mod times;

use beatwarden::domain;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use std::cell::LazyCell;
use store::TimeFormat;
use times::Times;

/// What the module asks of its parent.
mod store {
    pub(super) use beatwarden::{
        mapping::{Mapping, TimeSource},
        store::{StoreError, TimeFormat},
    };
}

thread_local! {
    static SQLITE: LazyCell<Connection> = LazyCell::new(|| Connection::open_in_memory().expect("a database"));
}

fuzz_target!(|bytes: &[u8]| {
    for format in [TimeFormat::Timestamp, TimeFormat::EpochSeconds, TimeFormat::EpochMillis] {
        let times = Times {
            format,
            zone: TimeZone::UTC,
        };
        let _ = times.read(ValueRef::Blob(bytes));
        if let Ok(bytes) = bytes.try_into() {
            let _ = times.read(ValueRef::Integer(i64::from_le_bytes(bytes)));
            let _ = times.read(ValueRef::Real(f64::from_le_bytes(bytes)));
        }
    }
    let times = Times {
        format: TimeFormat::Timestamp,
        zone: TimeZone::UTC,
    };
    let Some(ours) = times.read(ValueRef::Text(bytes)).at() else {
        return;
    };
    let text = std::str::from_utf8(bytes).expect("what is a time is a text");
    // SQLite counts milliseconds, from the year 0 to 9999.
    let theirs = SQLITE.with(|sqlite| {
        let question = "SELECT unixepoch(?1, 'subsec')";
        let mut statement = sqlite.prepare_cached(question).expect("a question");
        statement
            .query_row([text], |row| row.get::<_, Option<f64>>(0))
            .expect("an answer")
    });
    if let Some(theirs) = theirs {
        let apart = (ours.as_micros() as f64 / 1e6 - theirs).abs();
        assert!(apart < 0.002, "{text:?}: {ours:?} by us, {theirs} by SQLite");
    }
    let Value::Text(written) = times.write(ours, &Value::Text(text.to_owned())) else {
        panic!("text is written as text");
    };
    let again = times.read(ValueRef::Text(written.as_bytes())).at();
    assert_eq!(again, Some(ours), "{text:?} is written as {written:?}");
});
