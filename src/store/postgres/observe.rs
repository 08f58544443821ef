//! One pass over the table: [`Look`] decides what is asked, a [`Driver`] asks it.

use super::{PostgresSettings, Ready, driver::Driver, link::Link};
use crate::{
    domain::Snapshot,
    store::{
        ObserveRequest, StoreError, TimeBudget,
        guard::GuardState,
        look::{Carried, Database, FactsFor, Keyless, Look, Step, Table, newcomers_for},
        question::Facts,
    },
};
use std::time::{Duration, Instant};

/// What a pass can rest on. Facts are old after half a minute: what the catalog's entry of the table doesn't show (a right on
/// one column or on the schema, a trigger made again) is noticed then, or by a repair that fails. Nothing wrong can come of it
/// meanwhile: a repair repeats what was observed, and the server checks its rights.
const DATABASE: Database = Database {
    one_snapshot: true,
    commits_late: true,
    facts_for: FactsFor {
        plain: Duration::from_secs(30),
        short: Duration::from_secs(5),
    },
    pages: (TimeBudget::Unlimited, Duration::MAX),
};

/// What is asked of a pass.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub request: &'a ObserveRequest,
    /// When it was asked for, before there was a connection for it.
    pub asked: Instant,
    /// How many full looks share what one may cost the database.
    pub looks: usize,
}

/// Reads what a pass needs. A pass that fails leaves what is carried as it was: it must neither have advanced the tail, nor
/// lost it.
///
/// A statement that the server kept may be gone, or not fit the table any more: then the pass is made once more without, within
/// the same deadline.
pub(super) async fn observe(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    call: Call<'_>,
    carried: &mut Carried,
) -> Result<Snapshot, StoreError> {
    let observed = once(link, ready, settings, call, carried).await;
    if observed.is_err() && link.kept().gives_up() {
        link.within("ending the look", link.client().batch_execute("ROLLBACK"))
            .await?;
        return once(link, ready, settings, call, carried).await;
    }
    observed
}

async fn once(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    Call { request, asked, looks }: Call<'_>,
    carried: &mut Carried,
) -> Result<Snapshot, StoreError> {
    let driver = Driver::new(link, ready, settings, request.known.len());
    let table = table(ready, settings, request.budget.shared_by(looks));
    let (mut look, mut round) = Look::begin(request, table, carried, asked, Instant::now());
    let (snapshot, after) = loop {
        let answers = Box::pin(driver.ask(&round)).await?;
        match look.take(answers, Instant::now())? {
            Step::Ask(next) => round = next,
            Step::Done(snapshot, after) => break (snapshot, after),
        }
    };
    *carried = after;
    Ok(Snapshot {
        unknowns: ready.server.unknowns(link.id().number(), link.kept().said()),
        ..snapshot
    })
}

fn table<'a>(ready: &Ready, settings: &'a PostgresSettings, pages: TimeBudget) -> Table<'a> {
    let catalog = &ready.catalog;
    Table {
        mapping: &settings.mapping,
        action: settings.action,
        seed_tolerance: settings.seed_tolerance,
        wanted: settings.discovery,
        grows: catalog.grows,
        lowest: catalog.id.lowest(),
        is_unique: catalog.is_unique,
        keyless: if catalog.id.nullable {
            Keyless::InAnswers
        } else {
            Keyless::None
        },
        facts: ready.server.no_facts.is_some().then(|| Facts {
            obstacles: ready.server.obstacles(settings.action),
            guard: GuardState::default(),
            ledger_readable: false,
            ledger_exists: false,
        }),
        newcomers_for: newcomers_for(settings.poll_timeout),
        database: Database {
            pages: (pages, Duration::MAX),
            ..DATABASE
        },
    }
}
