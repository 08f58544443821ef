//! TOML and YAML as the `config` crate reads them. What is wrong with a document is described without the piece of it that the
//! crate quotes: it may be a password, or the hash of one.

use config::{Config, ConfigError, File, FileFormat};
use yaml_rust2::{Event, ScanError, parser::Parser};

/// The most values, keys, lists and tables of a YAML file.
const MOST_EVENTS: usize = 1_000_000;

/// What a text says.
///
/// # Errors
/// Where it can't be read and why, without a piece of it.
pub fn parse(text: &str, format: FileFormat) -> Result<Config, String> {
    if format == FileFormat::Yaml {
        refuse_bombs(text)?;
    }
    let read = Config::builder().add_source(File::from_str(text, format)).build();
    read.map_err(|error| {
        let place = match error {
            ConfigError::FileParse { cause, .. } => place_in(text, cause.as_ref()),
            _ => None,
        };
        place.unwrap_or_else(|| "expected one document of keys and values".to_owned())
    })
}

/// Line, column and reason, where the parser has found one.
fn place_in(text: &str, cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<ScanError>() {
        let at = error.marker();
        return Some(format!("line {}, column {}: {}", at.line(), at.col() + 1, error.info()));
    }
    let error = cause.downcast_ref::<toml::de::Error>()?;
    let before = &text[..error.span()?.start];
    let (lines, last) = before
        .rsplit_once('\n')
        .map_or((0, before), |(lines, last)| (lines.matches('\n').count() + 1, last));
    let column = last.chars().count() + 1;
    Some(format!(
        "line {}, column {column}: {}",
        lines + 1,
        error.message().trim()
    ))
}

/// What is wrong with a value, without it. The crate gives serde's own mistakes as text only, and quotes the value in it between
/// `string "` and `", expected`.
pub fn problem_of(error: &ConfigError) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    match line.split_once("string \"").zip(line.rsplit_once("\", expected")) {
        Some(((before, _), (_, after))) => format!("{before}a text, expected{after}"),
        None => line.to_owned(),
    }
}

/// Refuses YAML whose values are more than what is written: an alias stands for a copy, and copies of copies grow without
/// limit. What is no YAML at all is left to the parser that reads it.
///
/// # Errors
/// The reason, for people.
pub fn refuse_bombs(yaml: &str) -> Result<(), String> {
    let mut parser = Parser::new_from_str(yaml);
    for _ in 0..MOST_EVENTS {
        match parser.next_token() {
            Ok((Event::Alias(_), place)) => {
                let line = place.line();
                return Err(format!(
                    "line {line}: an alias (`*name`) stands for a copy of something else, and is not read here; write it out"
                ));
            }
            Ok((Event::StreamEnd, _)) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
    Err(format!("it has more than {MOST_EVENTS} values"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn aliases_are_refused_and_what_only_contains_their_signs_is_not() {
        for bomb in [
            "a: &x [1]\nb: *x\n",
            "a: &x {b: 1}\nc:\n  - *x\n",
            "{a: &x 1, b: *x}",
            "- &a b\n- *a\n",
        ] {
            let problem = refuse_bombs(bomb).expect_err(bomb);
            assert!(problem.contains("alias"), "{bomb}: {problem}");
        }
        for harmless in [
            "",
            "a: 1",
            "a: 'x & *y'\n",
            "# *a\na: b*c&d\n",
            "a: |\n  *x\n",
            "a: &x 1\n",
            "a: [\n",
            "\u{feff}a: 1",
            "a: \"*b\"",
        ] {
            assert_eq!(refuse_bombs(harmless), Ok(()), "{harmless}");
        }
    }

    #[test]
    fn a_problem_has_its_place_and_no_piece_of_the_text() {
        use FileFormat::{Toml, Yaml};
        let quoted = "line 2, column 4: while scanning a quoted scalar, found unexpected end of stream";
        for (text, format, expected) in [
            (
                "a = 1\npass = \"secret",
                Toml,
                "line 2, column 15: invalid basic string, expected `\"`",
            ),
            ("a = 1\né = 2\na = 3", Toml, "line 2, column 1: invalid unquoted key"),
            ("a = 1\na = 'secret'", Toml, "line 2, column 1: duplicate key"),
            ("a: 1\nb: 'secret", Yaml, quoted),
            ("a: 1\n---\nb: secret", Yaml, "expected one document of keys and values"),
            ("- secret", Yaml, "expected one document of keys and values"),
        ] {
            let problem = parse(text, format).expect_err(text);
            assert!(problem.starts_with(expected), "{text:?}: {problem}");
            assert!(!problem.contains("secret"), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_value_of_another_kind_is_not_shown() {
        #[derive(Debug, Deserialize)]
        struct Written {
            #[serde(rename = "switch")]
            _switch: bool,
        }
        let read = parse("switch: secret", FileFormat::Yaml).expect("YAML");
        let problem = problem_of(&read.try_deserialize::<Written>().expect_err("no switch"));
        assert_eq!(problem, "invalid type: a text, expected a boolean for key `switch`");
    }
}
