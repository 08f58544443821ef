//! What a database on a PostgreSQL server holds, for `discover`. Each statement has a read-only transaction of its own, whose limit is
//! what is left of the time for all of them; no row of a table is read whose reading runs code of its owner.

use super::{
    Target, hosts,
    hosts::nowhere,
    link::Link,
    param::Param,
    sql::{literal, quoted},
    transaction::ask_in,
};
use crate::{
    domain::Action,
    store::{
        StoreError, fill,
        inventory::{
            Column, FOR_TABLES, Holds, Inventoried, Inventory, LONGEST_SAMPLED, MOST_COLUMNS, PassCost, Reference,
            SAMPLED_ROWS, Sample, TOO_LONG, Table, TableKind, Values, WITHIN, keep_different,
        },
    },
};
use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};
use tokio_postgres::Row;

/// How long connecting, and then everything that is asked, may take by our clock: the network's time comes on top of the
/// database's.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most that one look into a table may take: one that is locked or large must not use up the time of the others.
const FOR_ONE: Duration = Duration::from_millis(250);

/// A database that is asked what it holds.
#[derive(Debug)]
pub struct PostgresInventory {
    link: Link,
    left: Duration,
}

impl PostgresInventory {
    /// Connects.
    ///
    /// # Errors
    /// If no connection can be made.
    pub async fn connect(target: Target) -> Result<Self, StoreError> {
        let read = tokio::task::spawn_blocking(move || target.read_files());
        let read = tokio::time::timeout(DEADLINE, read).await;
        let target = match read {
            Ok(Ok(target)) => target?,
            Ok(Err(_)) => return Err(StoreError::Bug("reading the address of the database".to_owned())),
            Err(_) => {
                let late = format!("a file that its address names was not read within {DEADLINE:?}");
                return Err(nowhere(late.into()));
            }
        };
        Ok(Self {
            link: hosts::open(&target, Action::Observe, DEADLINE, None).await?,
            left: WITHIN,
        })
    }

    /// Asks one statement, which may take so long of what is left.
    async fn ask(
        &mut self,
        what: &'static str,
        within: Duration,
        statement: &str,
        params: Vec<Param<'_>>,
    ) -> Result<Vec<Row>, StoreError> {
        let within = within.min(self.left);
        if within.is_zero() {
            return Err(StoreError::Timeout { what, after: WITHIN });
        }
        // The search path stays the session's own: it says which tables are found by their names alone.
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = {0}; SET LOCAL lock_timeout = {0}; \
             SET LOCAL idle_in_transaction_session_timeout = {0}; SET LOCAL jit = off",
            within.as_millis().max(1),
        );
        self.link.start_deadline(DEADLINE);
        let asked = Instant::now();
        let answer = self
            .link
            .within(what, ask_in(&self.link, &begin, statement, params))
            .await;
        // The network's time is in it: less is read over a slow one.
        self.left = self.left.saturating_sub(asked.elapsed().min(within));
        answer
    }
}

impl Inventoried for PostgresInventory {
    async fn inventory(&mut self) -> Result<Inventory, StoreError> {
        const WHAT: &str = "reading the catalog";
        let statement = include_str!("sql/inventory.sql");
        let for_catalog = || WITHIN.saturating_sub(FOR_TABLES);
        let rows = self.ask(WHAT, for_catalog(), statement, vec![&MOST_COLUMNS]).await?;
        let (mut inventory, places) = tables(&rows);
        inventory.is_cut = i64::try_from(rows.len()).is_ok_and(|rows| rows >= MOST_COLUMNS);
        let left = self.left.saturating_sub(FOR_TABLES);
        let statement = include_str!("sql/inventory_references.sql");
        // Without them a heartbeat in another table isn't found, and all else is.
        let rows = self
            .ask(WHAT, left, statement, vec![&MOST_COLUMNS])
            .await
            .unwrap_or_default();
        for row in &rows {
            let place = |column| places.get(&row.get::<_, u32>(column)).copied();
            if let (Some(own), Some(table)) = (place("oid"), place("other")) {
                let (column, key) = (row.get("column"), row.get("key"));
                inventory.tables[own].references.push(Reference { column, table, key });
            }
        }
        Ok(inventory)
    }

    async fn sample(&mut self, table: &Table, columns: &[&Column]) -> Result<Sample, StoreError> {
        let values = columns.iter().map(|column| shown(column));
        let key = table
            .columns
            .iter()
            .find(|column| column.is_unique && column.is_readable);
        let order = key.map_or_else(String::new, |key| format!("ORDER BY target.{} DESC", quoted(&key.name)));
        let names = [
            ("values", values.collect::<Vec<_>>().join(", ")),
            ("table", table.quoted()),
            ("order", order),
        ];
        let statement = fill(include_str!("sql/sample.sql"), &names);
        let rows = self
            .ask("reading a sample", FOR_ONE, &statement, vec![&SAMPLED_ROWS])
            .await?;
        let mut sample = vec![Values::default(); columns.len()];
        for row in &rows {
            keep_different(&mut sample, row.get::<_, Vec<Option<String>>>("sampled").into_iter());
        }
        Ok(sample)
    }

    async fn cost_of_pass(&mut self, table: &Table, state: &str, running: &[String]) -> Result<PassCost, StoreError> {
        let is = |value: &String| format!("target.{} OPERATOR(pg_catalog.=) {}", quoted(state), literal(value));
        let states: Vec<String> = running.iter().map(is).collect();
        let names = [("table", table.quoted()), ("states", states.join(" OR "))];
        let statement = fill(include_str!("sql/running_plan.sql"), &names);
        let rows = self.ask("asking for a plan", FOR_ONE, &statement, vec![]).await?;
        let plan: serde_json::Value = rows.first().map(|row| row.get(0)).unwrap_or_default();
        Ok(PassCost {
            index: index_of(&plan[0]["Plan"]),
        })
    }
}

/// A value of a column as a short text; a time without a zone as in a file, whatever the session's style of dates is.
fn shown(column: &Column) -> String {
    let name = format!("target.{}", quoted(&column.name));
    let time = |value: &str, zone: &str| {
        format!(
            "CASE WHEN pg_catalog.isfinite({name}) THEN pg_catalog.to_char({value}, 'YYYY-MM-DD HH24:MI:SS.US{zone}') \
             ELSE {name}::pg_catalog.text END"
        )
    };
    match column.holds {
        Holds::Time => time(&name, ""),
        Holds::ZonedTime => time(&format!("pg_catalog.timezone('UTC', {name})"), "\"Z\""),
        _ => format!(
            "CASE WHEN pg_catalog.octet_length({name}::pg_catalog.text) OPERATOR(pg_catalog.<=) {LONGEST_SAMPLED} \
             THEN {name}::pg_catalog.text WHEN {name} IS NOT NULL THEN '{TOO_LONG}' END"
        ),
    }
}

/// The index that a plan reads by.
fn index_of(node: &serde_json::Value) -> Option<String> {
    let below = node["Plans"].as_array().map_or(&[][..], Vec::as_slice);
    let own = node["Index Name"].as_str().map(str::to_owned);
    own.or_else(|| below.iter().find_map(index_of))
}

/// The tables, and the place of each by its oid.
fn tables(rows: &[Row]) -> (Inventory, BTreeMap<u32, usize>) {
    let (mut inventory, mut places) = (Inventory::default(), BTreeMap::new());
    for row in rows {
        let place = *places.entry(row.get::<_, u32>("oid")).or_insert_with(|| {
            inventory.tables.push(table(row));
            inventory.tables.len() - 1
        });
        inventory.tables[place].columns.push(column(row));
    }
    if let Some(row) = rows.first() {
        inventory.now = jiff::Timestamp::from_microsecond(row.get("now")).ok();
        inventory.zone = Some(row.get("zone"));
    }
    let path: Vec<String> = rows.first().map(|row| row.get("path")).unwrap_or_default();
    let mut taken = HashSet::new();
    for schema in &path {
        let here = inventory
            .tables
            .iter_mut()
            .filter(|table| table.schema.as_ref() == Some(schema));
        for table in here {
            table.is_visible = taken.insert(table.name.clone());
        }
    }
    (inventory, places)
}

fn table(row: &Row) -> Table {
    let kind = match row.get("kind") {
        "v" => TableKind::View,
        "m" => TableKind::Materialized,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    };
    let rows: f64 = row.get("rows");
    Table {
        schema: Some(row.get("schema")),
        is_visible: false,
        name: row.get("name"),
        kind,
        runs_code: row.get("runs_code") || matches!(kind, TableKind::View | TableKind::Foreign),
        rows: (rows >= 0.0).then_some(rows as u64),
        columns: Vec::new(),
        references: Vec::new(),
    }
}

fn column(row: &Row) -> Column {
    let holds = match row.get::<_, &str>("base") {
        _ if row.get("is_enum") => Holds::Enum,
        "text" | "varchar" | "bpchar" | "name" => Holds::Text,
        "int2" => Holds::Small,
        "int4" | "int8" => Holds::Whole,
        "float8" | "numeric" => Holds::Number,
        "timestamp" => Holds::Time,
        "timestamptz" => Holds::ZonedTime,
        "uuid" => Holds::Uuid,
        _ => Holds::Other,
    };
    Column {
        name: row.get("column"),
        sql_type: row.get("type"),
        holds,
        is_unique: row.get("is_unique"),
        leads_index: row.get("leads_index"),
        is_readable: row.get("readable"),
        labels: row.get("labels"),
    }
}
