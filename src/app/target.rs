//! Which table a watch watches, as a short text that two processes can compare and that gives nothing away.

use crate::{
    config::{DatabaseUrl, WatchConfig},
    store::postgres::database_named_by,
};
use std::path::Path;

/// The first 16 hex digits of a hash over the database, without user and password, and the table's name. `None` if the
/// database can't be found out.
///
/// The same target is the same table. The same table may have several targets, as a host has several names.
pub fn target_of(watch: &WatchConfig) -> Option<String> {
    let database = match watch.database.resolve().ok()? {
        DatabaseUrl::Sqlite(path) => of_file(&path)?,
        DatabaseUrl::Postgres(url) => database_named_by(url.text.expose())?,
    };
    let whole = format!("{:?}", (database, watch.mapping.table.plain()));
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, whole.as_bytes());
    let mut digits = hash.simple().to_string();
    digits.truncate(16);
    Some(digits)
}

/// The file itself: a link, a folder with two names and a relative path lead to the same one.
fn of_file(path: &Path) -> Option<Vec<String>> {
    let whole = std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .ok()?;
    Some(vec!["sqlite".to_owned(), format!("{whole:?}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Vec<String> {
        match DatabaseUrl::parse(url).expect("a URL") {
            DatabaseUrl::Postgres(url) => database_named_by(url.text.expose()).expect("a target"),
            DatabaseUrl::Sqlite(path) => of_file(&path).expect("a target"),
        }
    }

    #[test]
    fn who_asks_and_how_does_not_matter_and_which_database_does() {
        let one = of("postgresql://ann:secret@db:5432/shop");
        assert!(!format!("{one:?}").contains("secret") && !format!("{one:?}").contains("ann"));
        for same in [
            "postgres://zoe@DB:5432/shop?sslmode=disable",
            "host=db port=5432 user=bob password=x dbname=shop connect_timeout=3",
        ] {
            assert_eq!(of(same), one, "{same}");
        }
        for other in [
            "postgresql://ann:secret@db:5432/shop2",
            "postgresql://ann:secret@db:5433/shop",
            "postgresql://ann:secret@db2:5432/shop",
            "postgresql://ann:secret@db:5432/shop?options=-csearch_path%3Dother",
            "/srv/shop.db",
        ] {
            assert_ne!(of(other), one, "{other}");
        }
        assert_eq!(of("sqlite:////nowhere/shop.db"), of("/nowhere/shop.db"));
        assert_ne!(of("/nowhere/shop.db"), of("/nowhere/shop2.db"));
    }
}
