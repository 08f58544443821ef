//! Which watches share their connections: those of the same database that want the same kind of server.

use crate::{
    config::{DatabaseSource, WatchConfig},
    domain::Action,
    store::postgres::Links,
};

/// The databases of the watches that run, each with its connections, and whether its hosts are searched for one that takes writes.
#[derive(Debug, Default)]
pub(super) struct Databases(Vec<(DatabaseSource, bool, Links)>);

impl Databases {
    /// The connections to the database of a watch. Those that are no longer used are forgotten.
    pub(super) fn links(&mut self, watch: &WatchConfig) -> Links {
        let writes = watch.action() != Action::Observe;
        self.0.retain(|(.., links)| !links.is_last());
        let mut known = self.0.iter();
        let found = known.find(|(database, is_writable, _)| *database == watch.database && *is_writable == writes);
        if let Some((.., links)) = found {
            return links.clone();
        }
        let links = Links::default();
        self.0.push((watch.database.clone(), writes, links.clone()));
        links
    }
}
