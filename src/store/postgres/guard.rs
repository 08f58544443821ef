//! The guard on PostgreSQL: a function that fails open and a trigger, installed without making writers wait.

use super::{PostgresStore, failures::WHERE_RIGHTS_ARE, held, link::Link};
use crate::{
    domain::Guard,
    store::{
        Identifier, StoreError, TableName,
        guard::{GuardSql, GuardState, Guarded, Progress, Waiting},
        template::without_comments,
    },
};
use std::time::{Duration, Instant};

/// A session that waits behind us for the table waits so long at most.
const LOCK_WITHIN: &str = "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '10s'; \
                           SET LOCAL client_min_messages = 'warning'; SET LOCAL search_path = pg_catalog, pg_temp";
/// How long the lock is tried for.
const GIVE_UP: Duration = Duration::from_secs(120);
/// One try, the answers included.
const ONE_TRY: Duration = Duration::from_secs(15);
/// Between two tries, plus as much again by chance.
const BETWEEN: Duration = Duration::from_millis(200);
/// A transaction this old keeps an index from being built.
const LONG_SECONDS: f64 = 5.0;
/// An index that takes longer than this is built by an administrator.
const INDEX_WITHIN: Duration = Duration::from_secs(3600);

impl PostgresStore {
    /// Runs a script in a transaction of its own that waits for locks only briefly, again and again.
    async fn patiently(&mut self, what: &'static str, script: &str, progress: Progress<'_>) -> Result<(), StoreError> {
        let began = Instant::now();
        let script = format!("BEGIN; {LOCK_WITHIN}; {script} COMMIT");
        let mut tries = 0;
        loop {
            tries += 1;
            let tried = {
                let (mut slot, link) = self.repairs().await?;
                let tried = link.within_for(ONE_TRY, what, link.client().batch_execute(&script));
                let tried = tried.await;
                *slot = tried.is_ok().then_some(link);
                tried
            };
            match tried {
                Err(StoreError::Locked { .. }) if began.elapsed() < GIVE_UP => {
                    let again_in = BETWEEN.mul_f64(1.0 + fastrand::f64());
                    progress(Waiting::Lock { tries, again_in });
                    tokio::time::sleep(again_in).await;
                }
                // `grants` has only what watching and repairing need.
                Err(StoreError::Rights(why)) => {
                    let why = why.trim_end_matches(WHERE_RIGHTS_ARE);
                    return Err(StoreError::Rights(format!(
                        "{why}; that takes the table's owner: add --print, and let the owner run what it prints"
                    )));
                }
                result => return result,
            }
        }
    }

    /// Whether a pooler that hands server connections from one session to another stands in between: then two sessions
    /// that are open at the same time can have the same server process, or one session two of them.
    async fn is_pooled(&mut self) -> Result<bool, StoreError> {
        const WHAT: &str = "asking for the server process";
        let read = async |link: &Link| -> Result<i32, StoreError> {
            let pid = link.ask("SELECT pg_catalog.pg_backend_pid()", vec![]);
            Ok(link.within(WHAT, pid).await?[0].get(0))
        };
        let (one, other) = (self.addresses.connect(None).await?, self.addresses.connect(None).await?);
        let first = read(&one).await?;
        other.within(WHAT, other.client().batch_execute("BEGIN")).await?;
        let (second, again) = (read(&other).await?, read(&one).await?);
        other.within(WHAT, other.client().batch_execute("ROLLBACK")).await?;
        Ok(first == second || first != again)
    }
}

impl Guarded for PostgresStore {
    async fn guard(&mut self) -> Result<GuardState, StoreError> {
        let lent = self.for_operator().await?;
        let session = self.ledger_session(&lent);
        super::facts::guard(session.link, session.ready, session.settings).await
    }

    async fn install_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        self.settings.mapping.no_guard()?;
        {
            let (slot, ready) = self.for_operator().await?;
            is_plain(&ready)?;
            is_free(held(&slot), &ready).await?;
        }
        let ready = self.ready()?;
        // Function and triggers in one transaction: there is never a trigger whose function is another's.
        self.patiently("installing the guard", &ready.statements.guard.install, progress)
            .await
    }

    async fn remove_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        let found = self.guard().await?;
        if found.guard == Guard::Absent {
            return Ok(());
        }
        let ready = self.ready()?;
        let guard = &ready.statements.guard;
        self.patiently("disarming the guard", &guard.disarm, progress).await?;
        self.patiently("removing the guard", &guard.remove, progress).await
    }

    async fn build_index(&mut self, progress: Progress<'_>) -> Result<String, StoreError> {
        is_plain(&self.passes().await?.1)?;
        if self.is_pooled().await? {
            return Err(StoreError::Schema(
                "a pooler in transaction mode stands in between, and an index can't be built concurrently through it: name \
                 the server itself in the database URL"
                    .to_owned(),
            ));
        }
        let ready = self.ready()?;
        let guard = &ready.statements.guard;
        let name = &guard.index_name;
        {
            let (slot, _) = self.for_operator().await?;
            if index_is_valid(held(&slot), &ready, name).await? == Some(true) {
                return Ok(name.as_str().to_owned());
            }
            if let Some((former, renaming)) = &guard.former_index
                && index_is_valid(held(&slot), &ready, former).await? == Some(true)
            {
                drop(slot);
                self.patiently("renaming the index", renaming, progress).await?;
                return Ok(name.as_str().to_owned());
            }
            no_long_transactions(held(&slot)).await?;
        }
        let builder = self.addresses.connect(None).await?;
        drop_invalid(&builder, &ready, name).await?;
        let limits = "SET lock_timeout = '5s'; SET statement_timeout = '1h'; SET search_path = pg_catalog, pg_temp";
        builder
            .within("building the index", builder.client().batch_execute(limits))
            .await?;
        let began = Instant::now();
        // Outside any transaction, as it has to be; alone in its message, without the comment above it.
        let statement = without_comments(&guard.index);
        let built = {
            let building = builder.within_for(
                INDEX_WITHIN,
                "building the index",
                builder.client().batch_execute(&statement),
            );
            tokio::pin!(building);
            loop {
                tokio::select! {
                    built = &mut building => break built,
                    () = tokio::time::sleep(Duration::from_secs(2)) => progress(Waiting::Index(began.elapsed())),
                }
            }
        };
        if built.is_err() {
            // A half-built index is kept up by every write and serves no query.
            drop_invalid(&builder, &ready, name).await?;
        }
        built.map(|()| name.as_str().to_owned())
    }

    async fn guard_sql(&mut self) -> Result<GuardSql, StoreError> {
        self.settings.mapping.no_guard()?;
        drop(self.passes().await?);
        let ready = self.ready()?;
        let guard = &ready.statements.guard;
        Ok(GuardSql {
            install: format!(
                "BEGIN;\nSET LOCAL lock_timeout = '100ms';\nSET LOCAL search_path = pg_catalog, pg_temp;\n{}COMMIT;",
                guard.install
            ),
            remove: format!("{}{}", guard.disarm, guard.remove),
            index: guard.index.clone(),
        })
    }
}

/// Whether the table is one that can have a trigger and an index.
fn is_plain(ready: &super::Ready) -> Result<(), StoreError> {
    let catalog = &ready.catalog;
    match &catalog.obstacle {
        Some(obstacle) if catalog.kind != "r" && catalog.kind != "p" => Err(StoreError::Schema(format!(
            "no guard for this one: {}",
            obstacle.reason
        ))),
        _ => Ok(()),
    }
}

/// Whether no one else holds a function of the guard's name: its owner could change it under the writer.
async fn is_free(link: &Link, ready: &super::Ready) -> Result<(), StoreError> {
    let signature = &ready.statements.guard.signature;
    let answer = link.ask(
        include_str!("sql/guard_holder.sql"),
        vec![signature, &ready.catalog.oid],
    );
    let rows = link.within("looking for the guard's function", answer).await?;
    match rows.first().map(|row| row.get::<_, String>("holder")) {
        None => Ok(()),
        Some(holder) => Err(StoreError::Rights(format!(
            "the function {signature} belongs to the role `{}`, which is neither this role nor the owner of {}: it could \
             change what the writer runs; drop it (`beatwarden guard remove` does, with the right to) and install again",
            holder.escape_debug(),
            ready.catalog.table.quoted()
        ))),
    }
}

async fn index_is_valid(link: &Link, ready: &super::Ready, name: &Identifier) -> Result<Option<bool>, StoreError> {
    let (oid, name) = (&ready.catalog.oid, name.as_str());
    let answer = link.ask(include_str!("sql/index_state.sql"), vec![oid, &name]);
    let rows = link.within("looking for the index", answer).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

async fn no_long_transactions(link: &Link) -> Result<(), StoreError> {
    let answer = link.ask(include_str!("sql/long_transactions.sql"), vec![&LONG_SECONDS]);
    let rows = link.within("looking for long transactions", answer).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let transactions: Vec<String> = rows
        .iter()
        .map(|row| {
            let (pid, age) = (row.get::<_, i32>("pid"), row.get::<_, f64>("age"));
            let (role, application) = (row.get::<_, &str>("role"), row.get::<_, &str>("application"));
            format!(
                "pid {pid} of {} ({}) since {age:.0} s",
                role.escape_debug(),
                application.escape_debug()
            )
        })
        .collect();
    Err(StoreError::Schema(format!(
        "an index that is built concurrently waits for every older transaction, and these are open: {}; wait for them, or end \
         them, and try again",
        transactions.join(", ")
    )))
}

/// Drops the index if it is there and invalid: a leftover of a build that did not end.
async fn drop_invalid(link: &Link, ready: &super::Ready, name: &Identifier) -> Result<(), StoreError> {
    link.start_deadline(ONE_TRY);
    if index_is_valid(link, ready, name).await? != Some(false) {
        return Ok(());
    }
    let index = TableName {
        schema: ready.catalog.table.schema.clone(),
        name: name.clone(),
    };
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.quoted());
    link.within_for(
        INDEX_WITHIN,
        "dropping an invalid index",
        link.client().batch_execute(&drop),
    )
    .await
}
