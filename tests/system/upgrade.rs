//! An earlier version and this one on the same table and ledger: each reads, takes back and acknowledges what the other did, repairs
//! nothing that the other had repaired, and reads its configuration. Replicas of both beside each other are in `stress`.
//!
//! `make upgrade` builds the earlier version from this repository's history and runs all of it: `BEATWARDEN_FORMER` is its
//! binary, `BEATWARDEN_FORMER_SOURCE` the folder of its sources.

use crate::support::{
    beatwarden::{command, command_of},
    table::{Table, on_both},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// A version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Former,
    This,
}
use Version::{Former, This};

fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `make upgrade`"));
    PathBuf::from(value)
}

/// The binary of a version, in a folder of its own.
fn binary(version: Version, folder: &Path) -> Command {
    match version {
        Former => command_of(&given("BEATWARDEN_FORMER"), folder),
        This => command(folder),
    }
}

/// A table and the configuration that both versions have of it.
struct Site {
    table: Table,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(table: Table) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // No instance listens on this port of ours.
        let configuration = format!(
            "listen = \"127.0.0.1:1\"\n[[watch]]\ndatabase = \"{}\"\npreset = \"meltano\"\npoll_interval = \"500ms\"\n\
             init_deadline = \"2s\"\nheartbeat_timeout = \"5s\"\nrepair.missed_first = \"fail\"\n",
            table.url()
        );
        std::fs::write(folder.path().join("beatwarden.toml"), configuration).unwrap();
        Self { table, folder }
    }

    /// Exit code, and what a command said.
    fn run(&self, version: Version, arguments: &[&str]) -> (i32, String) {
        let output = binary(version, self.folder.path()).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// What a command says that has to end with this code.
    fn says(&self, version: Version, arguments: &[&str], code: i32) -> String {
        let (found, said) = self.run(version, arguments);
        assert_eq!(found, code, "{version:?} {arguments:?}: {said}");
        said
    }

    async fn one(&self, query: &str) -> String {
        self.table.one(query).await.unwrap_or_default()
    }

    async fn repair_of(&self, job: u32) -> String {
        self.one(&format!(
            "SELECT repair_id FROM beatwarden_repairs WHERE action = 'fail' AND job_id = '{job}'"
        ))
        .await
    }
}

/// What `first` did with three dead jobs is what `second` reads, takes back and acknowledges, and the other way round.
async fn each_knows_what_the_other_did(table: Table, first: Version, second: Version) {
    let site = Site::new(table);
    site.table.jobs(1..=3, "job", 10, None).await;
    site.says(first, &["repair", "--now", "--yes"], 0);
    assert_eq!(site.one("SELECT count(*) FROM runs WHERE state = 'FAIL'").await, "3");
    // Not its exit code: on a busy machine the scan of this small table costs too much for a deadline of two seconds.
    let (_, checked) = site.run(second, &["check"]);
    assert!(
        checked.contains("ok   repairs: rights, unique key"),
        "{second:?}: {checked}"
    );
    let (one, two) = (site.repair_of(1).await, site.repair_of(2).await);
    // Undone by the other, known to be by both, and by neither repaired again.
    site.says(second, &["undo", &one], 0);
    assert!(site.says(first, &["undo", &one], 1).contains("it was undone before"));
    for version in [first, second] {
        let said = site.says(version, &["repair", "--now", "--yes"], 0);
        assert!(said.contains("withheld: undone"), "{version:?}: {said}");
    }
    assert_eq!(site.one("SELECT state FROM runs WHERE id = 1").await, "RUNNING");
    // What `first` found to be false holds the fuse of both open, until `second` acknowledges it.
    site.table
        .sql(&format!(
            "UPDATE beatwarden_repairs SET outcome = 'false_repair', outcome_at = repaired_at WHERE repair_id = '{two}'"
        ))
        .await;
    site.table.job(4, "job", 10, None).await;
    for version in [first, second] {
        let said = site.says(version, &["repair", "--now", "--yes"], 0);
        assert!(said.contains("withheld: fuse"), "{version:?}: {said}");
    }
    assert!(site.says(second, &["ack", &two], 0).contains("is acknowledged"));
    assert!(site.says(first, &["ack", &two], 0).contains("was acknowledged before"));
    for version in [first, second] {
        site.says(version, &["ack", "--fuse"], 0);
        site.says(version, &["explain", "1"], 0);
        site.says(version, &["status"], 0);
    }
    // The other repairs what came since; and both list the same entries.
    site.says(second, &["repair", "--now", "--yes"], 0);
    let histories = [first, second].map(|version| entries(&site.says(version, &["history", "--json"], 0)));
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[0].len(), 3 + 1 + 2 + 1, "{histories:?}");
    for id in 1..=4 {
        let fails = format!("SELECT count(*) FROM beatwarden_repairs WHERE action = 'fail' AND job_id = '{id}'");
        assert_eq!(site.one(&fails).await, "1", "job {id}");
    }
}

/// The entries of a history, by their identity: what was done, and what became of it.
fn entries(history: &str) -> BTreeMap<String, [serde_json::Value; 5]> {
    let read: serde_json::Value = serde_json::from_str(history).unwrap_or_else(|error| panic!("{error}: {history}"));
    let rows = read["repairs"].as_array().or(read.as_array()).unwrap();
    let parts = ["action", "job_id", "outcome", "undo_of", "after"];
    let entry = |row: &serde_json::Value| {
        (
            row["repair_id"].as_str().unwrap().to_owned(),
            parts.map(|part| row[part].clone()),
        )
    };
    rows.iter().map(entry).collect()
}

/// The guard of an earlier version works, is distinguished from an altered one, and is brought over and removed by this one.
async fn the_guard_is_brought_over(table: Table) {
    let site = Site::new(table);
    site.says(Former, &["guard", "install"], 0);
    site.says(Former, &["guard", "install", "--index"], 0);
    assert!(
        site.says(This, &["guard", "status"], 0)
            .contains("of an earlier version")
    );
    let (_, checked) = site.run(This, &["check"]);
    assert!(checked.contains("note guard: installed under an old name"), "{checked}");
    site.says(This, &["guard", "install"], 0);
    assert!(site.says(This, &["guard", "status"], 0).contains("installed and sound"));
    // A downgrade: the earlier version makes its own, beside this one's or in its place; both write the same.
    site.says(Former, &["guard", "install"], 0);
    assert!(
        site.says(Former, &["guard", "status"], 0)
            .contains("installed and sound")
    );
    assert!(
        site.says(This, &["guard", "status"], 0)
            .contains("of an earlier version")
    );
    site.table.job(1, "job", 0, None).await;
    assert_eq!(site.one("SELECT count(last_heartbeat_at) FROM runs").await, "1");
    site.says(This, &["guard", "remove"], 0);
    for version in [Former, This] {
        assert!(site.says(version, &["guard", "status"], 1).contains("is missing"));
    }
    site.table.job(2, "job", 0, None).await;
    assert_eq!(site.one("SELECT count(last_heartbeat_at) FROM runs").await, "1");
}

/// What `config` shows, without where each value comes from.
fn shown(version: Version, file: &Path) -> Result<BTreeMap<String, String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let output = binary(version, folder.path())
        .args(["config", "--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |line: &str| {
        let (key, rest) = line.split_once(" = ")?;
        let value = rest.rsplit_once("  # ").map_or(rest, |(value, _)| value);
        Some((key.to_owned(), value.to_owned()))
    };
    Ok(text.lines().filter_map(value).collect())
}

/// Each configuration in the sources of the earlier version, and each in its documentation, means today what it meant then.
#[test]
#[ignore = "needs an earlier version: make upgrade"]
fn a_configuration_of_then_means_what_it_meant() {
    let source = given("BEATWARDEN_FORMER_SOURCE");
    let folder = tempfile::tempdir().unwrap();
    let reference = std::fs::read_to_string(source.join("config/beatwarden.toml")).unwrap();
    // Every key, not only those that are set; one of the two ways to name the database.
    let is_left_out = |line: &&str| line.starts_with("#database_file") || line.starts_with("#web_config_file");
    let every_key: Vec<&str> = reference
        .lines()
        .filter(|line| !is_left_out(line))
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        })
        .collect();
    let mut texts = vec![reference.clone(), every_key.join("\n")];
    for page in ["README.md", "docs/operations.md", "docs/guard.md"] {
        let page = std::fs::read_to_string(source.join(page)).unwrap();
        let blocks = page.split("```toml\n").skip(1);
        texts.extend(blocks.map(|block| block.split("```").next().unwrap().to_owned()));
    }
    let mut compared = 0;
    for text in texts {
        let file = folder.path().join("beatwarden.toml");
        std::fs::write(&file, &text).unwrap();
        let Ok(then) = shown(Former, &file) else {
            continue;
        };
        let now = shown(This, &file).unwrap_or_else(|complaint| panic!("{complaint}\n{text}"));
        for (key, value) in then {
            assert_eq!(now.get(&key), Some(&value), "{key} of\n{text}");
        }
        compared += 1;
    }
    assert!(compared >= 4, "{compared} configurations were compared");
}

/// `check` prints what a ledger of an earlier version lacks, as statements to run.
async fn check_prints_the_indexes_that_a_ledger_lacks(table: Table) {
    let (layout, index) = match &table {
        Table::File(_) => (
            include_str!("../stores/contract/ledger_1.sqlite.sql"),
            "\n         CREATE INDEX IF NOT EXISTS \"beatwarden_repairs_table_job\" ON \"beatwarden_repairs\" (table_name COLLATE NOCASE, job_id);\n",
        ),
        Table::Server(..) => (
            include_str!("../stores/contract/ledger_1.postgres.sql"),
            "\n         CREATE INDEX IF NOT EXISTS \"beatwarden_repairs_table_job\" ON \"public\".\"beatwarden_repairs\" (table_name, job_id);\n",
        ),
    };
    table.sql(layout).await;
    let site = Site::new(table);
    let (_, said) = site.run(This, &["check"]);
    assert!(
        said.contains("note ledger: an earlier version made it") && said.contains(index),
        "{said}"
    );
}

on_both!(check_prints_the_indexes_that_a_ledger_lacks);

macro_rules! both_ways {
    ($database:ident, $table:expr) => {
        mod $database {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs an earlier version: make upgrade"]
            async fn after_an_upgrade_all_is_known() {
                each_knows_what_the_other_did($table, Former, This).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs an earlier version: make upgrade"]
            async fn after_a_downgrade_all_is_known() {
                each_knows_what_the_other_did($table, This, Former).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs an earlier version: make upgrade"]
            async fn the_guard_is_brought_over() {
                super::the_guard_is_brought_over($table).await;
            }
        }
    };
}

both_ways!(in_a_file, Table::file());
both_ways!(on_a_server, Table::server().await);
