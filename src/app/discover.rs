//! What the databases hold: the catalog is read, a few tables are looked into, and the findings are written as a configuration.

use super::{build::target_of, error::AppError};
use crate::{
    config::{DatabaseSource, DatabaseUrl, KnownSystem, known_systems},
    discover::{Findings, Page, Seen, Sights, closer, findings, page},
    store::{
        Kind,
        inventory::{Column, Inventoried, Inventory},
        postgres::PostgresInventory,
        sqlite::SqliteInventory,
    },
};
use std::collections::BTreeSet;

/// What was found in several databases.
#[derive(Debug)]
pub struct Discovered {
    /// A configuration file for what those hold that could be read.
    pub file: String,
    /// Why the others could not.
    pub failures: Vec<AppError>,
}

/// What these databases hold. One that can't be read hides none of the others.
pub async fn discover(databases: &[DatabaseSource]) -> Discovered {
    let (systems, mut taken) = (known_systems(), BTreeSet::new());
    let (mut pages, mut failures) = (Vec::new(), Vec::new());
    for database in databases {
        match page_of(database, &systems, &mut taken).await {
            Ok(page) => pages.push(page),
            Err(error) => failures.push(error),
        }
    }
    Discovered {
        file: pages.join("\n"),
        failures,
    }
}

/// What one database holds. `taken` are the names of the watches so far.
async fn page_of(
    database: &DatabaseSource,
    systems: &[KnownSystem],
    taken: &mut BTreeSet<String>,
) -> Result<String, AppError> {
    let url = database.resolve().map_err(unusable)?;
    let written = database.written().map_err(unusable)?;
    let (inventory, findings) = match &url {
        DatabaseUrl::Postgres(postgres) => {
            let target = target_of(postgres).map_err(|source| AppError::Undiscovered { source })?;
            let inventory = PostgresInventory::connect(target).await;
            let inventory = inventory.map_err(|error| AppError::Inventory(error, Kind::Server))?;
            ask((inventory, Kind::Server), systems).await?
        }
        DatabaseUrl::Sqlite(path) => ask((SqliteInventory::of(path), Kind::File), systems).await?,
    };
    let shown = url.redacted();
    let of_database = Page {
        shown: &shown,
        written: &written,
        inventory: &inventory,
        findings: &findings,
    };
    Ok(page(&of_database, taken))
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> AppError {
    AppError::Undiscovered {
        source: Box::new(error),
    }
}

/// Reads the catalog, looks into the likeliest tables, and asks what a pass over each finding would cost.
async fn ask(
    (mut database, kind): (impl Inventoried, Kind),
    systems: &[KnownSystem],
) -> Result<(Inventory, Findings), AppError> {
    let inventory = database.inventory().await;
    let inventory = inventory.map_err(|error| AppError::Inventory(error, kind))?;
    let mut sights = Sights::new();
    for wanted in closer(&inventory, systems) {
        let table = &inventory.tables[wanted.table];
        let columns: Vec<&Column> = wanted.columns.iter().map(|column| &table.columns[*column]).collect();
        let seen = match database.sample(table, &columns).await {
            Ok(sample) => Seen::of(&columns, sample),
            Err(error) => Seen::nothing(error.chain()),
        };
        sights.insert(wanted.table, seen);
    }
    let mut found = findings(&inventory, systems, &sights);
    for finding in &mut found.found {
        let table = &inventory.tables[finding.table];
        finding.cost = match &finding.running {
            None => None,
            Some(_) if table.runs_code => Some(Err("that runs code of its owner".to_owned())),
            Some((state, running)) => {
                let cost = database.cost_of_pass(table, state, running).await;
                Some(cost.map_err(|error| error.chain()))
            }
        };
    }
    Ok((inventory, found))
}
