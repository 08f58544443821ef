//! A SQLite file is the same file in every form of its address, for every command; and who forgets a slash is shown it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    beatwarden::{Beatwarden, command},
    table::Table,
};
use std::{path::Path, time::Duration};

const SOON: Duration = Duration::from_secs(20);

/// Runs a command in a folder: its exit code, and what it said.
fn run_in(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(folder).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_the_same_file_for_every_command() {
    let table = Table::file();
    table.job(1, "orders", 400, None).await;
    let path = table.url();
    let file = Path::new(&path);
    let folder = file.parent().unwrap();
    let own = folder.file_name().unwrap().to_str().unwrap();
    // Each process of the test has a folder of its own beside that of the file.
    let beside = format!("../{own}/jobs.db");
    let forms = [
        path.clone(),
        format!("sqlite:///{path}"),
        format!("sqlite:{path}"),
        format!("sqlite+pysqlite:///{path}"),
        beside.clone(),
        format!("sqlite:///{beside}"),
        format!("sqlite:{beside}"),
    ];
    for form in &forms {
        let of_it = ["--preset", "meltano", "--database", form];
        for (name, expected) in [("check", "its columns have types"), ("status", "1 stuck")] {
            let (code, said) = run_in(folder, &[&[name], &of_it[..]].concat());
            assert_eq!(code, Some(0), "{name} {form}: {said}");
            assert!(said.contains(expected), "{name} {form}: {said}");
        }
        let dog = Beatwarden::watch(&of_it).await;
        dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
        assert_eq!(
            dog.metric("poll_failures_total{cause=\"connect\",watch=\"meltano\"}"),
            Some(0.0),
            "{form}"
        );
        assert!(dog.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_slashes_before_an_absolute_path_are_told() {
    let table = Table::file();
    let path = table.url();
    let folder = tempfile::tempdir().unwrap();
    let of_it = ["--preset", "meltano", "--database", &format!("sqlite://{path}")];
    let advice = format!("the path is relative, and {path} is there: write sqlite:///{path}");
    let (code, said) = run_in(folder.path(), &[&["check"], &of_it[..]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&advice), "{said}");
    let dog = Beatwarden::watch(&of_it).await;
    dog.says(&advice, SOON).await;
    // A file that its writer has yet to make.
    let later = format!("sqlite://{}", folder.path().join("later.db").display());
    let (_, said) = run_in(folder.path(), &["check", "--preset", "meltano", "--database", &later]);
    assert!(said.contains("the path is relative, and the folder"), "{said}");
    let (_, said) = run_in(
        folder.path(),
        &["check", "--preset", "meltano", "--database", "nothing.db"],
    );
    assert!(
        said.contains("check the path, or wait") && !said.contains("relative"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_to_nothing_is_asked_about_in_words_for_files_and_a_socket_in_those_for_sockets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    rusqlite::Connection::open(folder.path().join("jobs.db"))
        .unwrap()
        .execute_batch("CREATE TABLE runs (id INTEGER)")
        .unwrap();
    let here = folder.path().display().to_string();
    let check = |database: &str| {
        let (code, said) = run_in(folder.path(), &["check", "--preset", "meltano", "--database", database]);
        assert_eq!(code, Some(1), "{said}");
        said
    };
    for (database, words) in [
        (
            "jbos.db",
            format!("the folder {here} has no such file, but `jobs.db`: check the path"),
        ),
        (
            "a/jobs.db",
            format!("there is no folder {here}/a; the path gets as far as {here}: check the path"),
        ),
        (
            "empty.db",
            "the file is empty: wait until the writer has made its tables".to_owned(),
        ),
    ] {
        let said = check(database);
        assert!(said.contains(&words) && !said.contains("server"), "{said}");
    }
    let (code, said) = run_in(folder.path(), &["discover", "jbos.db"]);
    assert!(
        code == Some(1) && said.contains("but `jobs.db`") && !said.contains("server"),
        "{said}"
    );
    let writer = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let said = check("jobs.db");
    assert!(
        said.contains("FAIL locked") && said.contains("which program holds the file?") && !said.contains("pg_"),
        "{said}"
    );
    let said = check(&format!("postgresql:///jobs?host={here}"));
    assert!(
        said.contains("is the server up, and its socket in this folder?"),
        "{said}"
    );
}
