//! One pass over the table: [`Look`] decides what is asked, a [`Driver`] asks it.

use super::{
    SqliteSettings,
    ask::Driver,
    connection::{Open, READ_BUSY},
};
use crate::{
    domain::Snapshot,
    store::{
        ObserveRequest, StoreError, TimeBudget,
        look::{Database, FactsFor, Keyless, Look, Step, Table, newcomers_for},
    },
};
use std::time::{Duration, Instant};

/// How long a page may take: each is a read transaction, and none lasts longer than 50 ms.
const PAGE: Duration = Duration::from_millis(30);
/// How long one may take, and all of a pass together, where reading keeps the writer from committing.
const BLOCKING_PAGE: Duration = Duration::from_millis(10);
const BLOCKING_PAGES: Duration = Duration::from_millis(30);

/// Reads what a pass needs. What is carried is lost with a pass that fails: the next one begins with the newest rows.
pub(super) fn observe(
    open: &mut Open,
    settings: &SqliteSettings,
    request: &ObserveRequest,
) -> Result<Snapshot, StoreError> {
    let asked = Instant::now();
    // A repair on this connection has set the shorter patience of a write.
    let patience = open.connection.busy_timeout(READ_BUSY);
    patience.map_err(open.failed("reading the table"))?;
    let carried = std::mem::take(&mut open.carried);
    let table = table(open, settings);
    let (mut look, mut round) = Look::begin(request, table, &carried, asked, asked);
    let (snapshot, after) = loop {
        let mut driver = Driver { open, settings };
        let answers = driver.ask(&round.questions)?;
        match look.take(answers, Instant::now())? {
            Step::Ask(next) => round = next,
            Step::Done(snapshot, after) => break (snapshot, after),
        }
    };
    open.carried = after;
    Ok(snapshot)
}

fn table<'a>(open: &Open, settings: &'a SqliteSettings) -> Table<'a> {
    Table {
        mapping: &settings.mapping,
        action: settings.action,
        seed_tolerance: settings.seed_tolerance,
        wanted: settings.discovery,
        grows: open.catalog.grows,
        lowest: i64::MIN,
        // Keys that SQLite distinguishes can have one text: a number and that number's text, or what is too long to be read.
        is_unique: false,
        keyless: if open.catalog.nullable_key {
            Keyless::Asked
        } else {
            Keyless::None
        },
        facts: None,
        newcomers_for: newcomers_for(settings.poll_timeout),
        database: Database {
            one_snapshot: false,
            // There is one writer at a time.
            commits_late: false,
            facts_for: FactsFor {
                plain: Duration::ZERO,
                short: Duration::ZERO,
            },
            pages: if open.reading_blocks {
                (TimeBudget::About(BLOCKING_PAGES), BLOCKING_PAGE)
            } else {
                (TimeBudget::Unlimited, PAGE)
            },
        },
    }
}
