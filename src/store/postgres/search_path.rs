//! The search path of our transactions. Every statement of ours names the schemas of what it uses; the path is what the rest
//! is found by: functions that triggers, views and policies of the owner call without a schema.

use super::sql::quoted;

/// What comes first and last. Without `pg_temp` in the list, temporary tables would come before all else.
const FIRST: &str = "pg_catalog";
const LAST: &str = "pg_temp";

/// The statement that sets the path of a transaction that only reads.
pub(super) const OF_READS: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// The statement that sets the path of a transaction that writes, from the path that the role has: the owner's triggers find
/// their things by it, behind everything that is built in.
pub(super) fn of_writes(own: &str) -> String {
    let mut schemas = vec![FIRST.to_owned()];
    let others = parse(own).unwrap_or_default();
    let others = others.into_iter().filter(|name| name != FIRST && name != LAST);
    schemas.extend(others.map(|name| quoted(&name)));
    schemas.push(LAST.to_owned());
    format!("SET LOCAL search_path = {}", schemas.join(", "))
}

/// The names in a path, as the server keeps it: quoted where they have to be. `None` if it can't be read.
pub(super) fn parse(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path.trim_start();
    while !rest.is_empty() {
        let name = if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            loop {
                let end = quoted.find('"')?;
                name.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                let Some(after) = quoted.strip_prefix('"') else { break };
                name.push('"');
                quoted = after;
            }
            rest = quoted;
            name
        } else {
            let end = rest.find([',', '"']).unwrap_or(rest.len());
            let name = rest[..end].trim_end().to_lowercase();
            rest = &rest[end..];
            name
        };
        // An empty name stands for nothing, and can't be quoted.
        if !name.is_empty() {
            names.push(name);
        }
        rest = rest.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::{of_writes, parse};

    #[test]
    fn the_built_in_things_come_first_and_temporary_ones_last_whatever_the_role_has() {
        let set = |own| of_writes(own).replacen("SET LOCAL search_path = ", "", 1);
        assert_eq!(set("\"$user\", public"), "pg_catalog, \"$user\", \"public\", pg_temp");
        assert_eq!(set("pg_temp, evil, pg_catalog"), "pg_catalog, \"evil\", pg_temp");
        assert_eq!(
            set("\"PG_CATALOG\", \"pg_catalog\""),
            "pg_catalog, \"PG_CATALOG\", pg_temp"
        );
        assert_eq!(set(""), "pg_catalog, pg_temp");
        assert_eq!(set("\"\""), "pg_catalog, pg_temp");
    }

    #[test]
    fn names_are_read_as_the_server_writes_them() {
        let read = |path| parse(path).map(|names| names.join("|"));
        assert_eq!(
            read("\"a,b\" , C,\"d\"\"e\", \"x; DROP\"").as_deref(),
            Some("a,b|c|d\"e|x; DROP")
        );
        assert_eq!(read("\"open").as_deref(), None);
        assert_eq!(read("a b").as_deref(), Some("a b"));
        assert_eq!(read("\"a\"b").as_deref(), None);
    }
}
