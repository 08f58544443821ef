//! Whose word `status` and `explain` take: that of the running instance, if it watches the same table.

use super::{text, with_rows};
use crate::support::beatwarden::{Beatwarden, command, run, words};
use serde_json::Value;
use std::{net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// An instance on this table that has read it. Its first heartbeat is due earlier than by the commands of these tests.
async fn instance(table: &Path, more: &[&str]) -> Beatwarden {
    let flags = format!("--database {} --preset meltano --poll-interval 100ms", text(table));
    let flags = words(&flags);
    Beatwarden::watch(
        &[
            &flags[..],
            &["--missed-first", "observe", "--init-deadline", "7s"],
            more,
        ]
        .concat(),
    )
    .await
}

async fn is_up(dog: &Beatwarden, up: f64) {
    dog.metric_becomes("up{watch=\"meltano\"}", up, SOON).await;
}

fn ask(words: &[&str], database: &str, listen: SocketAddr) -> (Option<i32>, String) {
    let listen = listen.to_string();
    let flags = ["--database", database, "--preset", "meltano", "--listen", &listen];
    let (code, said, _) = run(&[words, &flags].concat());
    (code.code(), said)
}

fn ask_json(database: &str, listen: SocketAddr) -> (Option<i32>, Value) {
    let (code, said) = ask(&["status", "--json"], database, listen);
    (code, serde_json::from_str(&said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_what_the_running_instance_says() {
    let folder = TempDir::new().unwrap();
    let table = with_rows(&folder, &[("RUNNING", -100, None), ("RUNNING", -100, Some(-1))]);
    let dog = instance(&table, &[]).await;
    is_up(&dog, 1.0).await;
    // By another name of the same file.
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&table, &link).unwrap();
    let (code, said) = ask(&["status"], text(&link), dog.address);
    assert_eq!(code, Some(0), "stuck jobs are no failure: {said}");
    let source = format!("  as the instance on {} sees it (pass 0s ago)\n", dog.address);
    assert!(said.contains(&source), "{said}");
    assert!(
        said.starts_with("watch meltano: 1 stuck and blocking new runs: 1 with no first heartbeat.\n"),
        "{said}"
    );
    assert!(
        said.contains("mode observe, first heartbeat due after 7s") && said.contains("a pass every 100ms"),
        "the instance's terms: {said}"
    );
    assert!(said.contains("0 starting, 1 beating, 1 missed_first"), "{said}");
    assert!(said.contains("nothing: the mode is observe"), "{said}");

    let (code, status) = ask_json(text(&table), dog.address);
    let watch = &status["watches"][0];
    assert_eq!((code, &watch["source"]["kind"]), (Some(0), &"instance".into()));
    let theirs = &dog.json("/api/v1/status")["watches"][0];
    for key in ["target", "thresholds", "stuck", "phases", "verdict", "up"] {
        assert_eq!(watch[key], theirs[key], "{key}");
    }
    assert_eq!(theirs["target"].as_str().unwrap().len(), 16, "{theirs}");

    // What it can't read, it says.
    rusqlite::Connection::open(&table)
        .unwrap()
        .execute_batch("ALTER TABLE runs RENAME TO old_runs")
        .unwrap();
    is_up(&dog, 0.0).await;
    let (code, said) = ask(&["status"], text(&table), dog.address);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("as the instance on") && said.contains("can't be read (schema)"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_on_another_database_is_not_believed() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let ours = with_rows(&folder, &[("RUNNING", -5, None)]);
    let theirs = with_rows(&other, &[("RUNNING", -5, Some(-1)); 3]);
    let dog = instance(&theirs, &[]).await;
    is_up(&dog, 1.0).await;
    let why = format!("The instance on {} watches another database", dog.address);
    let (code, said) = ask(&["status"], text(&ours), dog.address);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&why) && said.contains(": read by this command itself"),
        "{said}"
    );
    assert!(said.contains("1 starting, 0 beating"), "{said}");
    let (_, status) = ask_json(text(&ours), dog.address);
    let source = &status["watches"][0]["source"];
    assert_eq!(source["kind"], "own_pass");
    assert!(source["words"].as_str().unwrap().contains(&why), "{source}");
    let (code, said) = ask(&["explain", "1"], text(&ours), dog.address);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&why) && !said.contains("sees it"), "{said}");
    // Another table of the same file is another table as well.
    let output = command(folder.path())
        .env("BEATWARDEN__WATCH__MELTANO__TABLE__NAME", "other_runs")
        .args(["status", "--database", text(&theirs), "--preset", "meltano", "--listen"])
        .arg(dog.address.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&why), "{said}");
    assert_eq!(output.status.code(), Some(1), "there is no such table: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_from_an_instance_status_reads_the_table_and_says_why() {
    let folder = TempDir::new().unwrap();
    let table = with_rows(&folder, &[("RUNNING", -5, None)]);
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, said) = ask(&["status"], text(&table), free);
    assert_eq!(code, Some(0), "{said}");
    let line = format!("  No instance answers on {free}: read by this command itself\n");
    assert!(said.contains(&line) && said.contains("1 starting"), "{said}");
    assert_eq!(
        ask_json(text(&table), free).1["watches"][0]["source"]["kind"],
        "own_pass"
    );

    let web = folder.path().join("web.yml");
    let hash = bcrypt::hash("secret", 5).unwrap();
    std::fs::write(&web, format!("basic_auth_users: {{ann: {hash}}}\n")).unwrap();
    let dog = instance(&table, &["--web-config-file", text(&web)]).await;
    let (code, said) = ask(&["status"], text(&table), dog.address);
    assert_eq!(code, Some(0), "{said}");
    let asks = format!(
        "The instance on {} asks for a password, which this command",
        dog.address
    );
    assert!(
        said.contains(&asks) && said.contains("read by this command itself"),
        "{said}"
    );
    assert!(said.contains("1 starting"), "{said}");
}
