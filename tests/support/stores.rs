//! How tests open the store of a watch.

use beatwarden::{
    connection::SslMode,
    domain::Action,
    mapping::Mapping,
    store::{
        DiscoverySetting, Settings,
        postgres::{PostgresSettings, Target},
        sqlite::SqliteSettings,
    },
};
use std::{path::Path, time::Duration};

pub fn on_server(url: &str, mapping: Mapping, action: Action) -> PostgresSettings {
    let url = url.to_owned();
    let address = move || Ok(Target::new(&url, SslMode::Prefer, None)?);
    settings(Box::new(address), mapping, action)
}

pub fn on_file(path: &Path, mapping: Mapping, action: Action) -> SqliteSettings {
    let path = path.to_owned();
    settings(Box::new(move || Ok(path.clone())), mapping, action)
}

fn settings<A>(address: A, mapping: Mapping, action: Action) -> Settings<A> {
    Settings {
        address,
        mapping,
        action,
        poll_timeout: Duration::from_secs(10),
        seed_tolerance: Duration::from_millis(5),
        instance: "test/1".into(),
        discovery: DiscoverySetting::Auto,
    }
}
