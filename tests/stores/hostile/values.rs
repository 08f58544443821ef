//! Every kind of value for every column, as expressions in SQL, and what a person would say of each: whether it is a time.

use proptest::{collection::vec, prelude::*, sample::select};

/// How a table holds its times, and on which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Timestamps,
    Zoned,
    Doubles,
    Numerics,
    Integers,
    SqliteTexts,
    SqliteNumbers,
}

impl Shape {
    pub const fn is_sqlite(self) -> bool {
        matches!(self, Self::SqliteTexts | Self::SqliteNumbers)
    }

    /// A time so many seconds ago.
    pub fn ago(self, seconds: u32) -> String {
        match self {
            Self::Timestamps => format!("(now() AT TIME ZONE 'UTC' - interval '{seconds} s')"),
            Self::Zoned => format!("(now() - interval '{seconds} s')"),
            Self::Doubles | Self::Numerics => format!("(extract(epoch FROM now()) - {seconds})"),
            Self::Integers => format!("(extract(epoch FROM now())::bigint - {seconds})"),
            Self::SqliteTexts => format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{seconds} seconds')"),
            Self::SqliteNumbers => format!("(unixepoch('now') - {seconds})"),
        }
    }

    /// What is no time, as this shape can hold it.
    fn unreadable(self) -> &'static [&'static str] {
        match self {
            Self::Timestamps => &[
                "'infinity'",
                "'-infinity'",
                "'294276-12-31 23:59:59.999999'",
                "'4713-01-01 00:00:00 BC'",
                "'1969-12-31 23:59:59.999999'",
                "'10000-01-01 00:00:00'",
            ],
            Self::Zoned => &[
                "'infinity'",
                "'-infinity'",
                "'294276-12-31 23:59:59.999999+00'",
                "'4713-01-02 00:00:00+00 BC'",
                "'1969-12-31 23:59:59.999999+00'",
                "'10000-01-01 00:00:00+00'",
            ],
            Self::Doubles => &[
                "'NaN'",
                "'Infinity'",
                "'-Infinity'",
                "1e308",
                "-1e308",
                "-1",
                "253402300800",
                "5e-324 - 1",
            ],
            Self::Numerics => &[
                "'NaN'",
                "'Infinity'",
                "'-Infinity'",
                "1e1000",
                "-1e1000",
                "-0.000001",
                "253402300800",
            ],
            Self::Integers => &["9223372036854775807", "-9223372036854775808", "-1", "253402300800"],
            Self::SqliteTexts => &[
                "'infinity'",
                "''",
                "' '",
                "'soon'",
                "12345",
                "-1",
                "9223372036854775807",
                "1.5",
                "9e999",
                "-9e999",
                "x'00ff'",
                "zeroblob(1000)",
                "CAST(x'c328' AS TEXT)",
                "'2026-01-01 12:00:00' || char(0)",
                "'2026-01-01 12:00:00' || char(8238)",
                "'2026-01-01T12:00:00[America/New_York]'",
                "'2026-02-30 00:00:00'",
                "'2026-01-01 25:00:00'",
                "'-2026-01-01 12:00:00'",
                "'10000-01-01 00:00:00'",
                "'1969-12-31 23:59:59.999999'",
                "'NaN'",
            ],
            Self::SqliteNumbers => &[
                "9223372036854775807",
                "-9223372036854775808",
                "-1",
                "253402300800",
                "9e999",
                "-9e999",
                "1e300",
                "-0.5",
                "'soon'",
                "''",
                "x'00ff'",
                "CAST(x'c328' AS TEXT)",
                "'1' || char(0)",
            ],
        }
    }

    /// What is a time, if an odd one.
    fn readable(self) -> Vec<String> {
        let mut times: Vec<String> = [600, 7_200, 864_000].map(|seconds| self.ago(seconds)).into();
        let odd: &[&str] = match self {
            Self::Timestamps => &["'1970-01-01'", "'9999-12-31 23:59:59.999999'"],
            Self::Zoned => &["'1970-01-01 00:00:00+00'", "'9999-12-31 23:59:59.999999+00'"],
            Self::Doubles | Self::Numerics => &["0", "253402300799", "5e-324"],
            Self::Integers => &["0", "253402300799"],
            Self::SqliteTexts => &[
                "'1970-01-01'",
                "'9999-12-31 23:59:59.999999'",
                "'2026-01-01T12:00:00Z'",
                "'2026-01-01 12:00:00+14:00'",
                "' 2026-01-01 12:00:00 '",
            ],
            Self::SqliteNumbers => &["0", "253402300799", "1e9", "0.000001"],
        };
        times.extend(odd.iter().map(|time| (*time).to_owned()));
        times
    }
}

/// A value, and whether it is NULL, a time, or neither.
#[derive(Clone, Debug)]
pub struct HostileTime {
    pub sql: String,
    pub is_unreadable: bool,
}

/// A row as a user might write it.
#[derive(Clone, Debug)]
pub struct HostileRow {
    pub name: String,
    pub state: (String, bool),
    pub times: [HostileTime; 3],
    pub payload: String,
}

impl HostileRow {
    /// Whether anything may be changed in it at all.
    pub fn may_be_repaired(&self) -> bool {
        self.state.1 && !self.times.iter().any(|time| time.is_unreadable)
    }
}

fn time(shape: Shape) -> impl Strategy<Value = HostileTime> {
    let good = select(shape.readable()).prop_map(|sql| HostileTime {
        sql,
        is_unreadable: false,
    });
    let bad = select(shape.unreadable()).prop_map(|sql| HostileTime {
        sql: sql.to_owned(),
        is_unreadable: true,
    });
    let null = Just(HostileTime {
        sql: "NULL".to_owned(),
        is_unreadable: false,
    });
    prop_oneof![4 => good, 3 => bad, 3 => null]
}

/// A text of any characters; those that a database can't hold are left out.
fn text(shape: Shape) -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        any::<char>(),
        select(vec![
            '\'', '"', '\\', '{', '}', '\n', '\u{1}', '\u{7f}', '\u{202e}', '\u{200b}', '\u{feff}', '<', '%', '\0'
        ]),
    ];
    vec(characters, 0..30).prop_map(move |characters| {
        let pieces = characters
            .into_iter()
            .filter(|character| shape.is_sqlite() || *character != '\0');
        if shape.is_sqlite() {
            // Character by character, since a NUL ends a statement's text.
            let pieces: Vec<String> = pieces.map(|piece| format!("char({})", u32::from(piece))).collect();
            return if pieces.is_empty() {
                "''".to_owned()
            } else {
                pieces.join(" || ")
            };
        }
        let text: String = pieces.collect();
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
    })
}

fn any_value(shape: Shape) -> BoxedStrategy<String> {
    let odd: &[&str] = if shape.is_sqlite() {
        &[
            "NULL",
            "0",
            "9223372036854775807",
            "1.5",
            "9e999",
            "x'00ff'",
            "zeroblob(100000)",
            "CAST(x'fffe' AS TEXT)",
        ]
    } else {
        &["NULL", "repeat('x', 100000)", "E'\\x01'"]
    };
    prop_oneof![text(shape), select(odd).prop_map(str::to_owned)].boxed()
}

/// A state, and whether it is the running one.
fn state(shape: Shape) -> impl Strategy<Value = (String, bool)> {
    let mut others = vec![
        "NULL",
        "''",
        "'SUCCESS'",
        "'FAIL'",
        "'IDLE'",
        "'STATE_EDIT'",
        "'running'",
        "'RUNNING '",
        "' RUNNING'",
        "'RUNNİNG'",
    ];
    if shape.is_sqlite() {
        others.extend([
            "'RUNNING' || char(0)",
            "'RUNNING' || char(0) || 'x'",
            "x'52554e4e494e47'",
            "7",
        ]);
    } else {
        others.extend(["E'RUNNING\\n'", "E'RUNNING\\u200b'", "repeat('RUNNING', 10000)"]);
    }
    prop_oneof![
        6 => Just(("'RUNNING'".to_owned(), true)),
        3 => select(others).prop_map(|sql| (sql.to_owned(), false)),
        1 => text(shape).prop_map(|sql| (sql, false)),
    ]
}

fn row(shape: Shape) -> impl Strategy<Value = HostileRow> {
    let times = [time(shape), time(shape), time(shape)];
    (any_value(shape), state(shape), times, any_value(shape)).prop_map(|(name, state, times, payload)| HostileRow {
        name,
        state,
        times,
        payload,
    })
}

/// The rows of one table.
pub fn rows(shape: Shape) -> impl Strategy<Value = Vec<HostileRow>> {
    vec(row(shape), 40..80)
}
