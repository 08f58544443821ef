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

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn what_is_put_in_is_not_looked_into() {
        let names = [("a", "\"{{b}}\"".to_owned()), ("b", "never".to_owned())];
        assert_eq!(fill("SELECT {{a}} FROM x", &names), "SELECT \"{{b}}\" FROM x");
    }
}
