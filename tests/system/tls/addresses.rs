//! Which server an address leads to, asked of two real servers, and of psql with the same address; where the password comes
//! from, and what is said where there is none.

use super::{Site, TABLE};
use crate::support::{
    Session,
    beatwarden::command,
    postgres::{self, Cluster},
};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

/// `check` in an environment: its exit code, and all that it said.
fn check(url: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .args([
            "check",
            "--preset",
            "meltano",
            "--missed-first",
            "observe",
            "--database",
            url,
        ])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The port of the server that psql reaches.
fn psql(url: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(postgres::bin().join("psql"))
        .args(["-XAtc", "SHOW port", url])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Two servers with a database of the same name, of which one alone has the table.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_is_watched_is_the_one_that_psql_reaches() {
    let (other, ours) = (Cluster::start_own(), Cluster::start_own());
    let (database, ours_database) = (other.database().await, ours.database().await);
    ours_database.client().await.run(TABLE).await;
    let name = database.url.rsplit('/').next().unwrap();
    assert_eq!(Some(name), ours_database.url.rsplit('/').next());
    let (elsewhere, port) = (other.port(), ours.port().to_string());
    let folder = ours.folder().to_str().unwrap();
    let encoded = folder.replace('/', "%2F");
    let user = ("PGUSER", "postgres");
    let (host, at_port) = (("PGHOST", folder), ("PGPORT", port.as_str()));
    let cases: Vec<(String, Vec<(&str, &str)>)> = vec![
        (
            format!("postgresql://postgres@127.0.0.1:{elsewhere}/{name}?host={folder}&port={port}"),
            vec![],
        ),
        (
            format!("postgresql://postgres@localhost:{port}/{name}?host={folder}"),
            vec![],
        ),
        (format!("postgresql://postgres@{encoded}:{port}/{name}"), vec![]),
        (
            format!("postgresql://postgres@127.0.0.1:{elsewhere}/{name}?port={port}"),
            vec![],
        ),
        (
            format!("postgresql://nobody@127.0.0.1:{port}/nothing?user=postgres&dbname={name}"),
            vec![],
        ),
        (
            format!("postgresql://postgres@192.0.2.1:{port}/{name}?hostaddr=127.0.0.1"),
            vec![],
        ),
        (
            format!("postgresql://postgres@/{name}?hostaddr=127.0.0.1&port={port}"),
            vec![],
        ),
        (format!("postgresql:///{name}"), vec![host, at_port, user]),
        (
            format!("postgresql://127.0.0.1:{port}/{name}"),
            vec![("PGHOST", "192.0.2.1"), ("PGPORT", "1"), user],
        ),
        (
            "postgresql://".to_owned(),
            vec![host, at_port, user, ("PGDATABASE", name)],
        ),
        (format!("host={folder} dbname={name}"), vec![at_port, user]),
        // A socket is never encrypted, whatever is asked.
        (
            format!("postgresql://postgres@/{name}?host={folder}&port={port}&sslmode=require"),
            vec![],
        ),
        (
            format!("postgresql:///{name}"),
            vec![host, at_port, user, ("PGSSLMODE", "require")],
        ),
    ];
    for (url, environment) in cases {
        assert_eq!(psql(&url, &environment), port, "psql {url} {environment:?}");
        let (code, said) = check(&url, &environment);
        assert!(
            code == Some(0) && said.contains("it is there"),
            "{url} {environment:?}: {said}"
        );
    }
    let (code, said) = check(&format!("postgresql://postgres@127.0.0.1:{elsewhere}/{name}"), &[]);
    assert!(code == Some(1) && said.contains("runs"), "{said}");

    // The next host is for a server that can't be reached, not for one that refuses us.
    let several = |user: &str, database: &str, first: u16| {
        format!("postgresql://{user}@127.0.0.1:{first},127.0.0.1:{port}/{database}")
    };
    ours_database.client().await.run("CREATE DATABASE only_here").await;
    for (user, database, cause) in [
        ("postgres", "only_here", "FAIL connect"),
        ("stranger", name, "FAIL auth"),
    ] {
        let url = several(user, database, elsewhere);
        assert_eq!(psql(&url, &[]), "", "psql {url}");
        let (code, said) = check(&url, &[]);
        assert!(code == Some(1) && said.contains(cause), "{url}: {said}");
    }
    let url = several("postgres", name, postgres::free_port());
    assert_eq!(psql(&url, &[]), port);
    let (code, said) = check(&url, &[]);
    assert!(code == Some(0), "{url}: {said}");
}

#[test]
fn an_address_that_can_t_be_meant_ends_before_the_first_connection() {
    for (url, variable, words) in [
        (
            "postgresql://u@one,two:5433/db",
            None,
            "libpq and SQLAlchemy read a different port",
        ),
        ("mssql+pyodbc://u@h/d", None, "Microsoft SQL Server is not supported"),
        (
            "postgresql://u@h/d?service=x",
            None,
            "the keyword service is not supported",
        ),
        (
            "postgresql://u@h/d",
            Some(("PGSERVICE", "x")),
            "the variable PGSERVICE is set",
        ),
        ("postgresql://u@h/d", Some(("PGPORT", "five")), "the value of port"),
    ] {
        let environment: Vec<(&str, &str)> = variable.into_iter().collect();
        let (code, said) = check(url, &environment);
        assert!(code == Some(2) && said.contains(words), "{url}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_found_where_libpq_finds_it_and_is_asked_for_by_name_elsewhere() {
    let site = Site::new().await;
    let admin = postgres::connect(&site.cluster.url("postgres", &site.database)).await;
    let role = "CREATE ROLE dog LOGIN PASSWORD 'kennel'; GRANT SELECT ON runs TO dog";
    admin.run(role).await;
    let hba = site.cluster.folder().join("data").join("pg_hba.conf");
    fs::write(
        &hba,
        "local all postgres trust\nlocal all dog scram-sha-256\nhost all dog 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    site.shows(None, "");
    let (port, database) = (site.cluster.port(), &site.database);
    let folder = site.cluster.folder().to_str().unwrap();
    let by_name = format!("postgresql://dog@localhost:{port}/{database}");
    let by_address = format!("postgresql://dog@/{database}?hostaddr=127.0.0.1&port={port}");
    let by_socket = format!("postgresql://dog@/{database}?host={folder}&port={port}");
    let home = site.folder.path().to_str().unwrap();
    let good = |url: &str, environment: &[(&str, &str)]| {
        let (code, said) = check(url, environment);
        assert!(code == Some(0), "{url} {environment:?}: {said}");
    };
    let bad = |url: &str, environment: &[(&str, &str)], words: &str| {
        let (code, said) = check(url, environment);
        assert!(
            code == Some(1) && said.contains("FAIL auth") && said.contains(words),
            "{url} {environment:?}: {said}"
        );
        assert!(!said.contains("is the server up"), "{said}");
    };

    for url in [&by_name, &by_address, &by_socket] {
        good(url, &[("PGPASSWORD", "kennel")]);
        bad(
            url,
            &[],
            "there is none in the URL, in PGPASSWORD, in passfile or in ~/.pgpass",
        );
        bad(url, &[("PGPASSWORD", "wrong")], "refused the credentials");
    }
    let lines = |host: &str| {
        site.file(
            "lines",
            &format!("*:1:*:*:wrong\n{host}:{port}:{database}:dog:kennel\n"),
        )
    };
    for (url, host) in [
        (&by_name, "localhost"),
        (&by_address, "127.0.0.1"),
        (&by_socket, folder),
    ] {
        let file = lines(host);
        good(url, &[("PGPASSFILE", &file)]);
        assert_eq!(psql(url, &[("PGPASSFILE", &file)]), port.to_string(), "psql {url}");
    }
    // As in libpq, a socket elsewhere than in the usual folder is not localhost, and an address is no name.
    let file = lines("localhost");
    bad(&by_socket, &[("PGPASSFILE", &file)], "there is none");
    bad(&by_address, &[("PGPASSFILE", &file)], "there is none");
    bad(&by_name, &[("PGPASSFILE", "/nowhere/pgpass")], "there is none");

    let usual = site.file(".pgpass", "*:*:*:dog:kennel\n");
    good(&by_name, &[("HOME", home)]);
    fs::set_permissions(&usual, fs::Permissions::from_mode(0o644)).unwrap();
    bad(
        &by_name,
        &[("HOME", home)],
        "is not used, since others may read it (mode 644): chmod 600 it",
    );
    bad(&by_name, &[("PGPASSFILE", &usual)], "chmod 600");
    bad(&format!("{by_name}?passfile={usual}"), &[], "chmod 600");
}
