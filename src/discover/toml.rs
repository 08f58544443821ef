//! Pieces of a TOML file, made of names and values that anyone may have chosen: whatever they hold, the file reads back the same.

use crate::{
    domain::{TimeFormat, ValueTest},
    mapping::Condition,
    present::safe::is_unsafe,
};

/// A time as a file says it: names as a catalog or a preset has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Time<'a> {
    pub column: &'a str,
    /// The other table, where it stands in one, and its column that names the job.
    pub other: Option<(String, &'a str)>,
    /// The column of the job table that this one equals, where it is not the job's key.
    pub matching: Option<&'a str>,
    pub prefix: Option<&'a str>,
    pub format: Option<TimeFormat>,
    pub zone: Option<&'a str>,
    pub conditions: &'a [Condition],
}

/// A text as TOML's basic string. What moves a terminal's cursor is escaped as well.
pub(super) fn text(text: &str) -> String {
    let mut written = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            _ if is_unsafe(letter) => written.push_str(&format!("\\U{:08X}", u32::from(letter))),
            _ => written.push(letter),
        }
    }
    written.push('"');
    written
}

/// A list of texts.
pub(super) fn texts<'a>(list: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = list.into_iter().map(text).collect();
    format!("[{}]", list.join(", "))
}

/// A key, quoted where it has to be.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { name.to_owned() } else { text(name) }
}

/// A time: the name of a column, or a table that says where it stands.
pub(super) fn time(time: &Time<'_>) -> String {
    let (table, key) = time.other.as_ref().map(|(table, key)| (table.as_str(), *key)).unzip();
    let said = [
        ("table", table),
        ("key", key),
        ("match", time.matching),
        ("match_prefix", time.prefix),
        ("column", Some(time.column)),
        ("time_format", time.format.map(TimeFormat::as_str)),
        ("time_zone", time.zone),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut pairs: Vec<String> = said.map(|(name, value)| format!("{name} = {}", text(value))).collect();
    if !time.conditions.is_empty() {
        let conditions: Vec<String> = time.conditions.iter().map(condition).collect();
        pairs.push(format!("where = {{ {} }}", conditions.join(", ")));
    }
    match pairs.len() {
        1 => text(time.column),
        _ => format!("{{ {} }}", pairs.join(", ")),
    }
}

fn condition(condition: &Condition) -> String {
    let value = match &condition.test {
        ValueTest::Null => text("null"),
        ValueTest::Set => text("set"),
        ValueTest::OneOf(values) => texts(values.iter().map(String::as_str)),
    };
    format!("{} = {value}", key(condition.column.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Identifier;
    use ::config::{File, FileFormat, Source, ValueKind};

    #[test]
    fn whatever_a_name_holds_is_read_back() {
        for name in [
            "plain",
            "a \"b\" \\ 'c'",
            "new\nline",
            "tab\t",
            "\u{1f525}",
            "\u{202e}abc",
            "\u{7f}",
            "",
            "# no comment",
            "\"\"\"",
        ] {
            let written = text(name);
            assert!(!written.contains('\n') && !written.contains('\u{202e}'), "{written}");
            let read = File::from_str(&format!("x = {written}"), FileFormat::Toml)
                .collect()
                .unwrap();
            assert_eq!(read["x"].kind, ValueKind::String(name.to_owned()));
        }
    }

    #[test]
    fn a_time_elsewhere_is_written_whole() {
        let own = Time {
            column: "at",
            ..Time::default()
        };
        assert_eq!(time(&own), "\"at\"");
        let conditions = [Condition {
            column: Identifier::new("kind of").unwrap(),
            test: ValueTest::OneOf(vec!["a".to_owned()]),
        }];
        let elsewhere = Time {
            other: Some(("s.beats".to_owned(), "job")),
            prefix: Some("p."),
            zone: Some("server"),
            conditions: &conditions,
            ..own
        };
        assert_eq!(
            time(&elsewhere),
            "{ table = \"s.beats\", key = \"job\", match_prefix = \"p.\", column = \"at\", time_zone = \"server\", \
             where = { \"kind of\" = [\"a\"] } }"
        );
    }
}
