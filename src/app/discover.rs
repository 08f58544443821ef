//! What the databases hold: the catalog is read, a few tables are looked into, and the findings are written as a configuration.

use super::{build::target_of, error::AppError};
use crate::{
    config::{DatabaseSource, DatabaseUrl, KnownSystem, known_systems},
    discover::{Findings, Page, Seen, Sights, closer, findings, page},
    store::{
        StoreError,
        inventory::{Column, Inventoried, Inventory},
        postgres::PostgresInventory,
        sqlite::SqliteInventory,
    },
};
use std::collections::BTreeSet;

/// A configuration file for what these databases hold.
///
/// # Errors
/// If a database can't be asked.
pub async fn discover(databases: &[DatabaseSource]) -> Result<String, AppError> {
    let (systems, mut taken, mut pages) = (known_systems(), BTreeSet::new(), Vec::new());
    for database in databases {
        let url = database.resolve().map_err(unusable)?;
        let written = database.written().map_err(unusable)?;
        let (inventory, findings) = match &url {
            DatabaseUrl::Postgres(postgres) => {
                let target = target_of(postgres).map_err(|source| AppError::Undiscovered { source })?;
                let inventory = PostgresInventory::connect(target).await.map_err(AppError::Inventory)?;
                ask(inventory, &systems).await?
            }
            DatabaseUrl::Sqlite(path) => ask(SqliteInventory::of(path), &systems).await?,
        };
        let shown = url.redacted();
        let of_database = Page {
            shown: &shown,
            written: &written,
            inventory: &inventory,
            findings: &findings,
        };
        pages.push(page(&of_database, &mut taken));
    }
    Ok(pages.join("\n"))
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> AppError {
    AppError::Undiscovered {
        source: Box::new(error),
    }
}

/// Reads the catalog, looks into the likeliest tables, and asks what a pass over each finding would cost.
async fn ask(mut database: impl Inventoried, systems: &[KnownSystem]) -> Result<(Inventory, Findings), AppError> {
    let inventory = database.inventory().await.map_err(AppError::Inventory)?;
    let mut sights = Sights::new();
    for wanted in closer(&inventory, systems) {
        let table = &inventory.tables[wanted.table];
        let columns: Vec<&Column> = wanted.columns.iter().map(|column| &table.columns[*column]).collect();
        let seen = match database.sample(table, &columns).await {
            Ok(sample) => Seen::of(&columns, sample),
            Err(error) => Seen::nothing(why(&error)),
        };
        sights.insert(wanted.table, seen);
    }
    let mut found = findings(&inventory, systems, &sights);
    for finding in &mut found.found {
        if let Some((state, running)) = &finding.running {
            let cost = database
                .cost_of_pass(&inventory.tables[finding.table], state, running)
                .await;
            finding.cost = Some(cost.map_err(|error| why(&error)));
        }
    }
    Ok((inventory, found))
}

fn why(error: &StoreError) -> String {
    error.chain()
}
