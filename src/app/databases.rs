//! Which watches share their connections: those of the same database that want the same kind of server.

use crate::{
    config::{DatabaseSource, WatchConfig},
    domain::Action,
    store::postgres::Links,
};

/// The databases of the watches that run, each with its connections.
#[derive(Debug, Default)]
pub(super) struct Databases(Vec<(DatabaseSource, Server, Links)>);

/// Which server of several the URL's hosts are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// Any that answers.
    Any,
    /// One that takes writes.
    Writable,
}

impl Databases {
    /// The connections to the database of a watch. Those that are no longer used are forgotten.
    pub(super) fn links(&mut self, watch: &WatchConfig) -> Links {
        let server = match watch.action() {
            Action::Observe => Server::Any,
            Action::Backfill | Action::Fail => Server::Writable,
        };
        self.0.retain(|(.., links)| !links.is_last());
        let found = self
            .0
            .iter()
            .find(|(database, kind, _)| *database == watch.database && *kind == server);
        if let Some((.., links)) = found {
            return links.clone();
        }
        let links = Links::default();
        self.0.push((watch.database.clone(), server, links.clone()));
        links
    }
}
