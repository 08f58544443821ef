//! How names come into a statement: `{{name}}` in a `.sql` file is a place for a quoted identifier, or for an expression
//! made of such; never for a value.

/// Puts the names into a statement, in one go: a column may be called `{{id}}`, and is not looked into again.
pub(crate) fn fill(template: &str, names: &[(&str, String)]) -> String {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("a placeholder is closed");
        let (_, value) = names
            .iter()
            .find(|(known, _)| *known == name)
            .expect("a placeholder has a name");
        text.push_str(value);
        text.push_str(rest);
    }
    text
}

/// A statement, or a part of one, with its names filled in, and without its comments but for the one that names it: they would
/// be sent and parsed each time.
pub(crate) fn part(template: &str, names: &[(&str, String)]) -> String {
    fill(&without_comments(template), names)
}

/// A text as it stands in SQL, where no backslash means more than itself.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A statement without its lines of comment.
pub(crate) fn without_comments(sql: &str) -> String {
    let is_sent = |line: &&str| !line.trim_start().starts_with("--");
    sql.lines().filter(is_sent).collect::<Vec<_>>().join("\n")
}

/// A struct of statements, each field from the `.sql` file of its name, or of the one that is given; `with` fields are made
/// otherwise.
macro_rules! statements {
    (@file $field:ident) => { concat!("sql/", stringify!($field), ".sql") };
    (@file $field:ident $file:literal) => { concat!("sql/", $file, ".sql") };
    (
        $(#[$about:meta])* $vis:vis struct $name:ident { $($field:ident $(= $file:literal)?),* $(,)? }
        with { $($(#[$of_other:meta])* $other:ident: $type:ty),* $(,)? }
    ) => {
        $(#[$about])*
        $vis struct $name {
            $(pub $field: String,)*
            $($(#[$of_other])* pub $other: $type,)*
        }

        impl $name {
            fn filled(fill: impl Fn(&str) -> String, $($other: $type),*) -> Self {
                Self {
                    $($field: fill(include_str!(crate::store::template::statements!(@file $field $($file)?))),)*
                    $($other,)*
                }
            }
        }
    };
}
pub(crate) use statements;

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn what_is_put_in_is_not_looked_into() {
        let names = [("a", "\"{{b}}\"".to_owned()), ("b", "never".to_owned())];
        assert_eq!(fill("SELECT {{a}} FROM x", &names), "SELECT \"{{b}}\" FROM x");
    }
}
