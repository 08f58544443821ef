//! What a SQLite file holds, for `discover`. The file is opened for each question and closed again, as for a pass; the connection
//! takes no statement that writes.

use super::{
    access,
    columns::{self, all, indexes, is_the_key, is_unique_by},
    connection::Bare,
    failures::failed,
    thread::Thread,
};
use crate::store::{
    StoreError, fill,
    inventory::{
        Column, FOR_TABLES, Holds, Inventoried, Inventory, LONGEST_SAMPLED, MOST_COLUMNS, PassCost, Reference,
        SAMPLED_ROWS, Sample, TOO_LONG, Table, TableKind, Values, WITHIN, keep_different,
    },
    quoted,
};
use rusqlite::{Connection, config::DbConfig};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A file that is asked what it holds.
pub struct SqliteInventory {
    path: PathBuf,
    thread: Thread<()>,
    left: Duration,
}

impl SqliteInventory {
    /// Of the file at `path`, which is opened when it is first asked.
    pub fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            thread: Thread::start(),
            left: WITHIN,
        }
    }

    /// Opens the file, asks, and closes the file, within what is left of the time.
    async fn ask<T: Send + 'static>(
        &mut self,
        what: &'static str,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (path, asked) = (self.path.clone(), Instant::now());
        let piece = move |(): &mut (), interrupt: &super::thread::Interrupt| {
            access::act_as_ourselves();
            let was_left = has_a_log(&path);
            let bare = Bare::at(&path)?;
            if was_left {
                // The last to close a file moves its log into it. A log that a crashed writer left is the writer's.
                let leave = bare
                    .connection
                    .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                leave.map_err(|error| failed("opening", &path, error))?;
            }
            let read_only = bare.connection.pragma_update(None, "query_only", true);
            read_only.map_err(|error| failed("opening", &path, error))?;
            interrupt.arm(bare.connection.get_interrupt_handle());
            let answer = question(&bare.connection).map_err(|error| failed(what, &path, error));
            interrupt.disarm();
            let closed = bare.close(&path, what);
            let answer = answer?;
            closed.map(|()| answer)
        };
        let answer = self.thread.call(what, self.left, piece).await;
        self.left = self.left.saturating_sub(asked.elapsed());
        answer?
    }
}

/// Whether a write-ahead log and its index are beside the file, so that nothing new stays there if they are left.
fn has_a_log(path: &Path) -> bool {
    let Ok(file) = fs::canonicalize(path) else { return false };
    let beside = |suffix: &str| {
        let mut name = file.clone().into_os_string();
        name.push(suffix);
        fs::metadata(name).is_ok_and(|found| found.len() > 0)
    };
    beside("-wal") && beside("-shm")
}

impl Inventoried for SqliteInventory {
    async fn inventory(&mut self) -> Result<Inventory, StoreError> {
        let until = Instant::now() + self.left.saturating_sub(FOR_TABLES);
        self.ask("reading the schema", move |connection| read(connection, until))
            .await
    }

    async fn sample(&mut self, table: &Table, columns: &[&Column]) -> Result<Sample, StoreError> {
        let values = columns.iter().map(|column| {
            let name = format!("target.{}", quoted(&column.name));
            format!(
                "CASE WHEN octet_length({name}) <= {LONGEST_SAMPLED} THEN CAST({name} AS TEXT) \
                 WHEN {name} IS NOT NULL THEN '{TOO_LONG}' END"
            )
        });
        let names = |order: &str| {
            [
                ("values", values.clone().collect::<Vec<_>>().join(", ")),
                ("table", table.quoted()),
                ("order", order.to_owned()),
            ]
        };
        let by_number = fill(include_str!("sql/sample.sql"), &names("ORDER BY target.rowid DESC"));
        let any = fill(include_str!("sql/sample.sql"), &names(""));
        let (width, has_number) = (columns.len(), table.rows.is_some());
        let statement = if has_number { by_number } else { any };
        self.ask("reading a sample", move |connection| {
            let mut sample = vec![Values::default(); width];
            let mut statement = connection.prepare(&statement)?;
            let mut rows = statement.query([SAMPLED_ROWS])?;
            while let Some(row) = rows.next()? {
                // What is no UTF-8 is no state.
                let values = (0..width).map(|place| row.get::<_, Option<String>>(place).ok().flatten());
                keep_different(&mut sample, values);
            }
            Ok(sample)
        })
        .await
    }

    async fn cost_of_pass(&mut self, table: &Table, state: &str, running: &[String]) -> Result<PassCost, StoreError> {
        let names = [("table", table.quoted()), ("state", quoted(state))];
        let statement = fill(include_str!("sql/running_plan.sql"), &names);
        let states = serde_json::Value::from(running).to_string();
        self.ask("asking for a plan", move |connection| {
            let lines: Vec<String> = all(connection, &statement, [&states], |row| row.get("detail"))?;
            let index = lines.iter().find_map(|line| {
                let by = line.strip_prefix("SEARCH target USING ")?.split_once("INDEX ")?.1;
                Some(by.rsplit_once(" (").map_or(by, |(name, _)| name).to_owned())
            });
            Ok(PassCost { index })
        })
        .await
    }
}

/// Table after table, one at least, until the time is over.
fn read(connection: &Connection, until: Instant) -> rusqlite::Result<Inventory> {
    let sql = include_str!("sql/inventory.sql");
    let names: Vec<(String, String)> = all(connection, sql, [MOST_COLUMNS], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut inventory = Inventory {
        has_times_as_texts: true,
        // The writer of a file is a process of this machine.
        now: Some(jiff::Timestamp::now()),
        zone: jiff::tz::TimeZone::system().iana_name().map(str::to_owned),
        ..Inventory::default()
    };
    let mut left = usize::try_from(MOST_COLUMNS).unwrap_or_default();
    for (name, kind) in names {
        if Instant::now() >= until && !inventory.tables.is_empty() {
            inventory.is_cut = true;
            break;
        }
        // A view of a table that is gone has no columns.
        let Ok(columns) = columns(connection, &name) else {
            continue;
        };
        let Some(rest) = left.checked_sub(columns.len()) else {
            inventory.is_cut = true;
            break;
        };
        left = rest;
        let is_view = kind == "view";
        inventory.tables.push(Table {
            schema: None,
            is_visible: true,
            rows: if is_view { None } else { rows(connection, &name) },
            name,
            kind: if is_view { TableKind::View } else { TableKind::Table },
            runs_code: is_view,
            columns,
            references: Vec::new(),
        });
    }
    for place in 0..inventory.tables.len() {
        // Without them a heartbeat in another table isn't found, and all else is.
        if Instant::now() >= until {
            break;
        }
        inventory.tables[place].references = references(connection, &inventory.tables, place)?;
    }
    Ok(inventory)
}

/// The greatest number of a row: no fewer rows than there are, unless some were numbered by hand. None without such numbers.
fn rows(connection: &Connection, table: &str) -> Option<u64> {
    let sql = format!("SELECT coalesce(max(rowid), 0) FROM {}", quoted(table));
    let greatest: i64 = connection.query_row(&sql, [], |row| row.get(0)).ok()?;
    Some(u64::try_from(greatest).unwrap_or_default())
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let found = columns::columns(connection, table)?;
    let indexes = indexes(connection, table)?;
    let columns = found.iter().map(|column| Column {
        is_unique: is_the_key(&found, column) || is_unique_by(&indexes, column),
        leads_index: indexes.iter().any(|index| index.columns.first() == Some(&column.name)),
        holds: holds(&column.declared),
        sql_type: column.declared.clone(),
        name: column.name.clone(),
        is_readable: true,
        labels: Vec::new(),
    });
    Ok(columns.collect())
}

/// What a column of a declared type holds: by SQLite's own rules, with what other programs make of the names of times.
fn holds(declared: &str) -> Holds {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if declared.is_empty() => Holds::Anything,
        () if has(&["BOOL", "BLOB", "JSON"]) => Holds::Other,
        () if has(&["DATETIME", "TIMESTAMP"]) => Holds::Time,
        () if has(&["INT"]) => Holds::Whole,
        () if has(&["UUID"]) => Holds::Uuid,
        () if has(&["CHAR", "TEXT", "CLOB", "ENUM"]) => Holds::Text,
        () if has(&["REAL", "FLOA", "DOUB", "NUM", "DEC"]) => Holds::Number,
        () => Holds::Other,
    }
}

fn references(connection: &Connection, tables: &[Table], place: usize) -> rusqlite::Result<Vec<Reference>> {
    let (sql, table) = (include_str!("sql/inventory_references.sql"), &tables[place].name);
    let found: Vec<(String, String, Option<String>)> = all(connection, sql, [table], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let resolved = found.into_iter().filter_map(|(column, other, key)| {
        let table = tables
            .iter()
            .position(|table| table.name.eq_ignore_ascii_case(&other))?;
        let key_of = || tables[table].columns.iter().find(|column| column.is_unique);
        let key = key.or_else(|| Some(key_of()?.name.clone()))?;
        Some(Reference { column, table, key })
    });
    Ok(resolved.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_in_time_is_left_out_and_said() {
        let file = Connection::open_in_memory().unwrap();
        file.execute_batch("CREATE TABLE a (id); CREATE TABLE b (id); CREATE TABLE c (id REFERENCES a (id));")
            .unwrap();
        let now = Instant::now();
        for (until, tables, references) in [(now, 1, 0), (now + WITHIN * 60, 3, 1)] {
            let found = read(&file, until).unwrap();
            assert_eq!((found.tables.len(), found.is_cut), (tables, tables < 3));
            let found = found.tables.iter().map(|table| table.references.len());
            assert_eq!(found.sum::<usize>(), references);
        }
    }

    #[test]
    fn a_column_is_unique_by_a_key_or_an_index_of_it_alone_that_holds_all_rows() {
        let file = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE a (key INTEGER PRIMARY KEY, one UNIQUE, partial, of_two, text, plain);
            CREATE UNIQUE INDEX of_some ON a (partial) WHERE partial > 0;
            CREATE UNIQUE INDEX of_both ON a (of_two, text);
            CREATE UNIQUE INDEX of_an_expression ON a (lower(text));
            CREATE INDEX of_all ON a (plain);
            CREATE TABLE b (word TEXT PRIMARY KEY, rest) WITHOUT ROWID;
            CREATE TABLE c (first, second, PRIMARY KEY (first, second));
            CREATE VIEW d AS SELECT key FROM a;";
        file.execute_batch(tables).unwrap();
        let found = read(&file, Instant::now() + WITHIN * 60).unwrap();
        let columns = found.tables.iter().flat_map(|table| &table.columns);
        let unique: Vec<&str> = columns
            .filter(|column| column.is_unique)
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(unique, ["key", "one", "word"]);
    }

    #[test]
    fn a_declared_type_says_what_a_column_is_for() {
        for (declared, expected) in [
            ("", Holds::Anything),
            ("INTEGER", Holds::Whole),
            ("bigint", Holds::Whole),
            ("VARCHAR(26)", Holds::Text),
            ("DATETIME", Holds::Time),
            ("timestamp", Holds::Time),
            ("REAL", Holds::Number),
            ("BOOLEAN", Holds::Other),
            ("JSON", Holds::Other),
            ("BLOB", Holds::Other),
        ] {
            assert_eq!(holds(declared), expected, "{declared}");
        }
    }
}
