//! The guard on SQLite: two triggers, and an index on the state, each in one short write transaction.

use super::{
    SqliteSettings, SqliteStore,
    connection::Open,
    ledger::has_index,
    render::{FORMER_INDEX, FORMER_INSERT, FORMER_UPDATE, GuardNames, index_name},
};
use crate::{
    domain::Guard,
    store::{
        Identifier, StoreError,
        guard::{GuardSql, GuardState, Guarded, Progress, Waiting},
        template::without_comments,
    },
};
use rusqlite::{Connection, OptionalExtension};
use std::time::{Duration, Instant};

/// The longest that reading the schema may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long the write lock is tried for, and the wait between two tries.
const GIVE_UP: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_millis(200);
/// An index that takes longer would keep writers from writing for longer than many of them wait.
const INDEX_WITHIN: Duration = Duration::from_secs(2);

/// Whether the guard is there, and sound.
pub(super) fn guard(open: &Open, settings: &SqliteSettings) -> Result<GuardState, StoreError> {
    let (statements, table) = (&open.catalog.statements, &settings.mapping.table.name);
    let names = GuardNames::of(table);
    // Of one trigger, by its name and by its former one, and the clause if it is another than it is made.
    let judge = |name: &Identifier, former: &str, sql: &str| -> rusqlite::Result<(Guard, Option<String>)> {
        // As SQLite keeps it: without what stands before and after it.
        let made = without_comments(sql).trim().trim_end_matches(';').to_owned();
        let made_formerly = made.replacen(&name.quoted(), former, 1);
        let text = |name: &str| text_of(&open.connection, name, table);
        let (now, before) = (text(name.as_str())?, text(former)?);
        let guard = match (&now, &before) {
            (None, None) => Guard::Absent,
            (Some(now), None) if *now == made => Guard::Sound,
            (None, Some(before)) if *before == made_formerly => Guard::Outdated,
            // An earlier version has made its own beside this one's: both write the same.
            (Some(now), Some(before)) if *now == made && *before == made_formerly => Guard::Outdated,
            _ => Guard::Altered,
        };
        let differs = match now.or(before) {
            None => Some("is missing"),
            Some(found) if found == made || found == made_formerly => None,
            Some(_) => Some("does something else"),
        };
        let clause = |what| format!("the trigger {} {what}", name.quoted().escape_debug());
        Ok((guard, differs.map(clause)))
    };
    let read = || -> rusqlite::Result<[(Guard, Option<String>); 2]> {
        Ok([
            judge(&names.insert, FORMER_INSERT, &statements.guard_on_insert)?,
            judge(&names.update, FORMER_UPDATE, &statements.guard_on_update)?,
        ])
    };
    let [(insert, one), (update, other)] = read().map_err(open.failed("looking for the guard"))?;
    let guard = if insert == update { insert } else { Guard::Altered };
    let differs = one.into_iter().chain(other).filter(|_| guard == Guard::Altered);
    Ok(GuardState {
        guard,
        differs: differs.collect(),
    })
}

/// The text of a trigger of a table.
fn text_of(connection: &Connection, name: &str, table: &Identifier) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached(include_str!("sql/guard_state.sql"))?;
    statement.query_row((name, table.as_str()), |row| row.get(0)).optional()
}

/// What takes an earlier version's triggers off this table: their names may be those of another table's by now.
fn retiring(connection: &Connection, table: &Identifier) -> rusqlite::Result<String> {
    let mut sql = String::new();
    for name in [FORMER_INSERT, FORMER_UPDATE] {
        if text_of(connection, name, table)?.is_some() {
            sql.push_str(&format!("DROP TRIGGER {name};\n"));
        }
    }
    Ok(sql)
}

impl SqliteStore {
    /// Runs a script in one write transaction, again and again while another connection writes.
    async fn patiently(
        &mut self,
        what: &'static str,
        script: impl Fn(&super::render::Statements) -> String + Copy + Send + 'static,
        progress: Progress<'_>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let tried = self
                .write(what, move |open, settings| {
                    open.under_write_lock(what, |transaction| {
                        let retiring = retiring(transaction, &settings.mapping.table.name)?;
                        transaction.execute_batch(&format!("{retiring}{}", script(&open.catalog.statements)))
                    })
                })
                .await;
            match tried {
                Err(StoreError::Locked { .. }) if began.elapsed() < GIVE_UP => {
                    let again_in = BETWEEN.mul_f64(1.0 + fastrand::f64());
                    progress(Waiting::Lock { tries, again_in });
                    tokio::time::sleep(again_in).await;
                }
                result => return result,
            }
        }
    }
}

impl Guarded for SqliteStore {
    async fn guard(&mut self) -> Result<GuardState, StoreError> {
        self.call("looking for the guard", WITHIN, |open, settings| guard(open, settings))
            .await
    }

    async fn install_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        self.write("looking for the guard", |open, settings| {
            settings.mapping.no_guard()?;
            match &open.catalog.obstacle {
                Some(obstacle) => Err(StoreError::Schema(format!(
                    "no guard for this one: {}",
                    obstacle.reason
                ))),
                None => Ok(()),
            }
        })
        .await?;
        self.patiently(
            "installing the guard",
            |statements| {
                format!(
                    "{}\n{}\n{}",
                    statements.guard_remove, statements.guard_on_insert, statements.guard_on_update
                )
            },
            progress,
        )
        .await
    }

    async fn remove_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        self.patiently(
            "removing the guard",
            |statements| statements.guard_remove.clone(),
            progress,
        )
        .await
    }

    async fn build_index(&mut self, _: Progress<'_>) -> Result<String, StoreError> {
        const WHAT: &str = "building the index";
        self.write(WHAT, |open, settings| {
            let table = &settings.mapping.table.name;
            let name = index_name(table);
            for name in [name.as_str(), FORMER_INDEX] {
                if has_index(&open.connection, name, table).map_err(open.failed(WHAT))? {
                    return Ok(name.to_owned());
                }
            }
            let built = open.give_up_after(WHAT, INDEX_WITHIN, |open| {
                let sql = &open.catalog.statements.guard_index;
                open.under_write_lock(WHAT, |transaction| transaction.execute_batch(sql))
            })?;
            match built {
                Err(StoreError::Timeout { .. }) => Err(StoreError::Schema(format!(
                    "building the index took longer than {INDEX_WITHIN:?}, and no one can write meanwhile: it was given up, \
                     nothing was changed; stop the writer, and run what --print shows"
                ))),
                result => result.map(|()| name.as_str().to_owned()),
            }
        })
        .await
    }

    async fn guard_sql(&mut self) -> Result<GuardSql, StoreError> {
        self.call("reading the schema", WITHIN, |open, settings| {
            settings.mapping.no_guard()?;
            let statements = &open.catalog.statements;
            let retiring = retiring(&open.connection, &settings.mapping.table.name);
            let retiring = retiring.map_err(open.failed("looking for the guard"))?;
            Ok(GuardSql {
                install: format!(
                    "BEGIN IMMEDIATE;\n{retiring}{}\n{}{}COMMIT;",
                    statements.guard_remove, statements.guard_on_insert, statements.guard_on_update
                ),
                remove: format!("{retiring}{}\n", statements.guard_remove),
                index: statements.guard_index.clone(),
            })
        })
        .await
    }
}
