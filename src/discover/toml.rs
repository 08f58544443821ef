//! Pieces of a TOML file, made of names and values that anyone may have chosen: whatever they hold, the file reads back the same.

use crate::{
    config::{Condition, TimeConfig},
    domain::ValueTest,
    present::safe::is_unsafe,
};

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
pub(super) fn time(time: &TimeConfig) -> String {
    let mut pairs: Vec<String> = Vec::new();
    let mut add = |name: &str, value: &str| pairs.push(format!("{name} = {}", text(value)));
    if let Some(other) = &time.elsewhere {
        add("table", &other.table);
        add("key", &other.key);
        if let Some(matching) = &other.matching {
            add("match", matching);
        }
        if let Some(prefix) = &other.match_prefix {
            add("match_prefix", prefix);
        }
    }
    add("column", &time.column);
    if let Some(format) = time.time_format {
        add("time_format", format.as_str());
    }
    if let Some(zone) = &time.time_zone {
        add("time_zone", zone);
    }
    let conditions = time
        .elsewhere
        .as_ref()
        .map_or(&[][..], |other| other.conditions.as_slice());
    if !conditions.is_empty() {
        let conditions: Vec<String> = conditions.iter().map(condition).collect();
        pairs.push(format!("where = {{ {} }}", conditions.join(", ")));
    }
    match pairs.len() {
        1 => text(&time.column),
        _ => format!("{{ {} }}", pairs.join(", ")),
    }
}

fn condition(condition: &Condition) -> String {
    let value = match &condition.test {
        ValueTest::Null => text("null"),
        ValueTest::Set => text("set"),
        ValueTest::OneOf(values) => texts(values.iter().map(String::as_str)),
    };
    format!("{} = {value}", key(&condition.column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ElsewhereConfig;
    use std::collections::BTreeMap;

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
            let read: BTreeMap<String, String> = toml::from_str(&format!("x = {written}")).unwrap();
            assert_eq!(read["x"], name);
        }
    }

    #[test]
    fn a_time_elsewhere_is_written_whole() {
        let mut time_of = TimeConfig {
            column: "at".to_owned(),
            elsewhere: None,
            time_format: None,
            time_zone: None,
        };
        assert_eq!(time(&time_of), "\"at\"");
        time_of.time_zone = Some("server".to_owned());
        time_of.elsewhere = Some(ElsewhereConfig {
            table: "s.beats".to_owned(),
            key: "job".to_owned(),
            matching: None,
            match_prefix: Some("p.".to_owned()),
            conditions: vec![Condition {
                column: "kind of".to_owned(),
                test: ValueTest::OneOf(vec!["a".to_owned()]),
            }],
        });
        assert_eq!(
            time(&time_of),
            "{ table = \"s.beats\", key = \"job\", match_prefix = \"p.\", column = \"at\", time_zone = \"server\", \
             where = { \"kind of\" = [\"a\"] } }"
        );
    }
}
