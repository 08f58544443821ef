//! The commands as a newcomer types them: output, exit codes, and the sentences of the README that can be run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod demo;
mod health;
mod instance;
mod streams;

use crate::support::{
    beatwarden::{Beatwarden, command, run, words},
    http,
};
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const TABLE: &str = include_str!("../../src/demo/schema.sql");

/// A job table like Meltano's in a file of its own.
fn job_table(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(TABLE).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_demo_shows_a_pipeline_blocked_seen_repaired_and_running_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .env("TMPDIR", folder.path())
        .args(["demo", "--once", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let mut rest = said.as_str();
    for step in ["marked RUNNING and dies", "BLOCKED", "SEEN", "REPAIRED", "RAN AGAIN"] {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("`{step}` is missing or out of order: {said}"));
        rest = &rest[at..];
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it leaves nothing behind"
    );
}

#[test]
fn the_demo_takes_a_free_port_and_ends_cleanly_with_ctrl_c() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut demo = command(folder.path())
        .env("TMPDIR", folder.path())
        .args(["demo", "--listen", &address])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let page = lines
        .find_map(|line| line.split("http://").nth(1).map(str::to_owned))
        .unwrap();
    let own: std::net::SocketAddr = page.trim_end_matches('/').parse().unwrap();
    assert_ne!(own, taken.local_addr().unwrap());
    assert_eq!(http::get(own, "/").status, 200);
    let interrupt = Command::new("kill")
        .args(["-s", "INT", &demo.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    assert!(demo.wait().unwrap().success());
    assert_eq!(lines.last().as_deref(), Some("Bye."));
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it leaves nothing behind"
    );
}

#[test]
fn bad_arguments_and_configuration_end_with_2() {
    let (status, _, said) = run(&["watch", "--no-such-flag"]);
    assert_eq!(status.code(), Some(2), "{said}");
    let (status, _, said) = run(&words("watch --database x.db --preset meltano --poll-interval 0"));
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("poll_interval"), "{said}");
    let (status, _, said) = run(&["watch"]);
    assert_eq!(status.code(), Some(2), "{said}");
    let url = "postgres://u:secret@h/d?sslmode=verify-most";
    let (status, _, said) = run(&["watch", "--database", url, "--preset", "meltano"]);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("sslmode") && !said.contains("secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_does_not_end_the_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let dog = Beatwarden::watch(&["--database", text(&table), "--preset", "meltano"]).await;
    dog.signal("HUP");
    dog.says("the configuration was reloaded", Duration::from_secs(10))
        .await;
    assert_eq!(http::get(dog.address, "/-/healthy").status, 200);
    assert!(dog.stop().success());
}

#[test]
fn a_taken_port_ends_with_1_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [
        "watch",
        "--database",
        text(&table),
        "--preset",
        "meltano",
        "--listen",
        &address,
    ];
    let (status, _, said) = run(&arguments);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn check_says_line_by_line_what_is_well_and_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let check = |more: &[&str]| run(&[&["check", "--database", text(&table), "--preset", "meltano"], more].concat());
    let (status, said, log) = check(&[]);
    assert_eq!(status.code(), Some(0), "{said}{log}");
    assert!(said.contains("ok   table `runs`"), "{said}");
    assert!(
        said.contains("action backfill sets a NULL heartbeat to the start"),
        "{said}"
    );
    let (_, said, _) = check(&["--missed-first", "fail"]);
    assert!(said.contains("a living job that is failed wrongly breaks"), "{said}");

    rusqlite::Connection::open(&table)
        .unwrap()
        .execute_batch("ALTER TABLE runs RENAME COLUMN last_heartbeat_at TO last_beat")
        .unwrap();
    let (status, said, _) = check(&[]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAIL schema: column `last_heartbeat_at` not found"),
        "{said}"
    );

    let (status, said, _) = run(&["check", "--database", "/nowhere/jobs.db", "--preset", "meltano"]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAIL connect: no connection to SQLite file /nowhere/jobs.db"),
        "{said}"
    );

    let other = folder.path().join("other.db");
    std::fs::write(
        &other,
        "this is no database, but it is long enough to look like one".repeat(20),
    )
    .unwrap();
    let (status, said, _) = run(&["check", "--database", text(&other), "--preset", "meltano"]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("is not a SQLite database"), "{said}");
}

/// A job table with one row for each of the given states and times, in seconds from now.
fn with_rows(folder: &TempDir, rows: &[(&str, i32, Option<i32>)]) -> PathBuf {
    let path = job_table(folder);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let time = |seconds: i32| format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds} seconds')");
    for (state, start, beat) in rows {
        let beat = beat.map_or_else(|| "NULL".to_owned(), time);
        let insert = format!(
            "INSERT INTO runs (job_name, state, started_at, last_heartbeat_at) VALUES ('<b>job\u{1b}[31m', '{state}', {}, {beat})",
            time(*start)
        );
        connection.execute_batch(&insert).unwrap();
    }
    path
}

/// What `check` says of such a table.
fn checked(rows: &[(&str, i32, Option<i32>)], more: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let table = with_rows(&folder, rows);
    let (status, said, log) = run(&[&["check", "--database", text(&table), "--preset", "meltano"], more].concat());
    (status.success(), said + &log)
}

#[test]
fn check_finds_states_that_no_list_names() {
    let (good, said) = checked(&[("RUNNING", -5, Some(-1)), ("CANCELLED", -50, None)], &[]);
    assert!(
        !good && said.contains("FAIL states: rows are in states that no list of watch.table names: `CANCELLED`"),
        "{said}"
    );
    let (good, said) = checked(&[("RUNNING", -5, Some(-1)), ("FAIL", -50, None)], &[]);
    assert!(
        good && said.contains("ok   states: 1 job is in a running state (RUNNING)"),
        "{said}"
    );
}

/// Rows that can't be judged are no quiet table: `check` fails where it is all of them, and shows one as it stands.
#[test]
fn check_and_status_say_how_many_rows_cant_be_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = job_table(&folder);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let row = "INSERT INTO runs (job_name, state, started_at) VALUES ('a', 'RUNNING', 'on the 26th of November')";
    connection.execute_batch(row).unwrap();
    let beatwarden = |command: &str| {
        let (status, said, log) = run(&[command, "--database", text(&path), "--preset", "meltano"]);
        (status.success(), said + &log)
    };
    let (good, said) = beatwarden("check");
    assert!(
        !good && said.contains("FAIL times: 1 of 1 running row can't be judged, for times that can't be read"),
        "{said}"
    );
    assert!(
        said.contains("started_at = `on the 26th of November`") && said.contains("2026-11-26 22:54:36.237"),
        "{said}"
    );
    let (_, said) = beatwarden("status");
    assert!(
        !said.contains("No job is running") && said.contains("1 job can't be judged: one running row"),
        "{said}"
    );
    // What SQLite itself reads is read: a blank before the offset.
    let readable = "INSERT INTO runs (job_name, state, started_at) \
                    VALUES ('b', 'RUNNING', strftime('%Y-%m-%d %H:%M:%S', 'now', '-20 minutes') || '.123 +00:00')";
    connection.execute_batch(readable).unwrap();
    let (good, said) = beatwarden("check");
    assert!(good && said.contains("note times: 1 of 2 running rows"), "{said}");
    let (_, said) = beatwarden("status");
    assert!(
        said.contains("1 with no first heartbeat") && said.contains("1 job can't be judged"),
        "{said}"
    );
}

#[test]
fn check_finds_a_wrong_time_zone() {
    let (good, said) = checked(&[("RUNNING", 7200, Some(7201))], &[]);
    assert!(!good && said.contains("FAIL clock: times of the table lie"), "{said}");
    let (good, said) = checked(&[("RUNNING", -7201, Some(-7200))], &[]);
    assert!(
        good && said.contains("note clock: the newest heartbeat of a running job is 2h"),
        "{said}"
    );
    let (good, said) = checked(&[("RUNNING", -10, Some(-1))], &[]);
    assert!(good && said.contains("ok   clock"), "{said}");
}

/// The cures that `check` names for states and zones, in the configuration, cure.
#[test]
fn the_cures_of_check_cure() {
    let folder = tempfile::tempdir().unwrap();
    let table = with_rows(&folder, &[("RUNNING", 7200, Some(7201)), ("CANCELLED", 7000, None)]);
    let file = folder.path().join("beatwarden.toml");
    let check = |table_keys: &str| {
        let configuration = format!(
            "[[watch]]\ndatabase = \"{}\"\npreset = \"meltano\"\n[watch.table]\n{table_keys}",
            text(&table)
        );
        std::fs::write(&file, configuration).unwrap();
        let (status, said, log) = run(&["check", "--config", text(&file)]);
        (status.success(), said + &log)
    };
    let (good, said) = check("");
    assert!(
        !good && said.contains("FAIL states") && said.contains("FAIL clock"),
        "{said}"
    );
    let (good, said) = check("ignore = [\"STATE_EDIT\", \"CANCELLED\"]\ntime_zone = \"Africa/Cairo\"\n");
    // Cairo is two or three hours ahead, as the season wants it.
    assert!(said.contains("ok   states") && !said.contains("FAIL clock"), "{said}");
    assert!(good, "{said}");
}

#[test]
fn check_says_which_kind_of_writer_it_sees() {
    let (_, said) = checked(&[("RUNNING", -10, None), ("SUCCESS", -100, Some(-50))], &[]);
    assert!(said.contains("it starts jobs without a heartbeat"), "{said}");
    let (_, said) = checked(&[("RUNNING", -10, Some(-10)), ("SUCCESS", -100, Some(-50))], &[]);
    assert!(said.contains("it writes the first heartbeat with the start"), "{said}");
    let silent = ("SUCCESS", -100, None);
    let running = ("RUNNING", -10, None);
    let (_, said) = checked(&[running, silent, silent, silent, silent], &[]);
    assert!(said.contains("it starts jobs without a heartbeat"), "{said}");
    let (_, said) = checked(&[running, silent, silent, silent, silent, silent], &[]);
    assert!(said.contains("no good run has one"), "{said}");
}

#[test]
fn check_claims_an_index_only_where_it_finds_the_running_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let table = rusqlite::Connection::open(&path).unwrap();
    table
        .execute_batch(
            "CREATE TABLE jobs (id integer PRIMARY KEY, state text, started_at text, beat_at text, deleted_at text);
             CREATE INDEX by_deletion ON jobs (deleted_at);",
        )
        .unwrap();
    let file = folder.path().join("beatwarden.toml");
    let watch = "[[watch]]\nname = \"jobs\"\ndatabase = \"jobs.db\"\n[watch.table]\nname = \"jobs\"\nid = \"id\"\nstate = \"state\"
running = [\"running\"]\nstarted_at = \"started_at\"\nlast_heartbeat_at = \"beat_at\"\nonly = { deleted_at = \"null\" }\n";
    std::fs::write(&file, watch.replace("jobs.db", text(&path))).unwrap();
    let check = || run(&["check", "--config", text(&file)]).1;
    assert!(check().contains("poll: scans the table"), "{}", check());
    table
        .execute_batch("CREATE INDEX by_both ON jobs (deleted_at, state)")
        .unwrap();
    assert!(check().contains("poll: finds running jobs by an index"), "{}", check());
}

#[test]
fn check_advises_an_index_on_the_key_and_never_on_the_heartbeat() {
    let folder = tempfile::tempdir().unwrap();
    let table = with_rows(&folder, &[("RUNNING", -10, Some(-1))]);
    let check = || run(&["check", "--database", text(&table), "--preset", "meltano"]).1;
    let said = check();
    assert!(
        said.contains("note poll: scans the table")
            && said.contains(r#"CREATE INDEX "beatwarden_by_state_runs" ON "runs" ("state")"#),
        "{said}"
    );
    rusqlite::Connection::open(&table)
        .unwrap()
        .execute_batch(r#"CREATE INDEX "beatwarden_by_state_runs" ON "runs" ("state")"#)
        .unwrap();
    assert!(
        check().contains("ok   poll: finds running jobs by an index"),
        "{}",
        check()
    );
}

/// Of the two that have a name here, it is the role that is refused, and no key of the configuration.
#[test]
fn a_role_that_no_server_can_have_is_refused() {
    let database = "postgresql://u@127.0.0.1:1/d";
    let role = "r".repeat(64);
    let (code, _, complaint) = run(&["grants", "--role", &role, "--database", database, "--preset", "meltano"]);
    assert_eq!(code.code(), Some(2), "{complaint}");
    assert!(
        complaint.contains("the role has a name that can't be used") && complaint.contains("longer than 63 bytes"),
        "{complaint}"
    );
}

#[test]
fn status_is_one_look_as_a_table_or_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let table = with_rows(&folder, &[("RUNNING", -100, None), ("RUNNING", -100, Some(-1))]);
    let status = |more: &[&str]| run(&[&["status", "--database", text(&table), "--preset", "meltano"], more].concat());
    let (code, said, _) = status(&[]);
    assert!(code.success(), "stuck jobs are no failure: {said}");
    assert!(
        said.contains("0 starting, 1 beating, 1 missed_first, 0 lost, 0 abandoned; 1 blocking new runs"),
        "{said}"
    );
    assert!(
        said.starts_with("watch meltano: 1 stuck and blocking new runs: 1 with no first heartbeat.\n"),
        "{said}"
    );
    assert!(said.contains("mode backfill, first heartbeat due after 1m"), "{said}");
    let next = "its heartbeat is set to its start in 1m, at ";
    assert!(
        said.contains(next) && said.contains(" UTC, if it stays silent; blocks new runs until "),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let (code, said, _) = status(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(code.success());
    assert_eq!(
        json["watches"][0]["stuck"],
        serde_json::json!({"missed_first": 1, "lost": 0})
    );
    assert_eq!(json["watches"][0]["jobs"][0]["name"], "<b>job\u{1b}[31m");
    let before = std::fs::read(&table).unwrap();
    let (code, said, _) = run(&["status", "--database", "/nowhere.db", "--preset", "meltano", "--json"]);
    assert_eq!(code.code(), Some(1));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["watches"][0]["up"],
        false
    );
    assert_eq!(std::fs::read(&table).unwrap(), before, "status changes nothing");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    for arguments in [&["config"][..], &["check"], &["status"], &["completions", "bash"]] {
        let mut child = command(folder.path())
            .args(arguments)
            .env("BEATWARDEN__DATABASE", &table)
            .env("BEATWARDEN__PRESET", "meltano")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && !said.contains("panicked"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, said, _) = run(&["completions", shell]);
        assert!(
            status.success() && said.contains("beatwarden") && said.contains("healthcheck"),
            "{shell}"
        );
    }
}

#[test]
fn config_shows_each_value_with_its_origin_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path())
        .env("BEATWARDEN__DATABASE", "postgres://watchdog:sesame@db/meltano")
        .env("BEATWARDEN__PRESET", "meltano")
        .args(["config", "--init-deadline", "90s"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("--init-deadline") && said.contains("BEATWARDEN__DATABASE"),
        "{said}"
    );
    assert!(said.contains("preset meltano"), "{said}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("sesame") && !log.contains("sesame"), "{said}{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_asks_the_local_instance() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let database = ["--database", text(&table), "--preset", "meltano"];
    let dog = Beatwarden::watch(&database).await;
    let listen = dog.address.to_string();
    let ask = || run(&[&["healthcheck", "--listen", &listen], &database[..]].concat());
    assert_eq!(ask().0.code(), Some(0));
    assert!(dog.stop().success(), "SIGTERM is a clean end");
    let (status, _, said) = ask();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&listen), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_watches_several_tables() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let file = folder.path().join("two.toml");
    let watch = |name: &str| {
        format!(
            "[[watch]]\nname = \"{name}\"\ndatabase = \"{}\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\n",
            text(&table)
        )
    };
    std::fs::write(&file, watch("one") + &watch("two")).unwrap();
    let dog = Beatwarden::watch(&["--config", text(&file)]).await;
    for name in ["one", "two"] {
        dog.metric_becomes(&format!("up{{watch=\"{name}\"}}"), 1.0, Duration::from_secs(10))
            .await;
    }
}

#[test]
fn help_lists_every_command_and_flag() {
    let program = beatwarden::cli::command();
    let mut names = Vec::new();
    let (status, said, _) = run(&["--help"]);
    assert!(status.success() && said.contains("Examples:"), "{said}");
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        assert!(
            said.lines().any(|line| line.split_whitespace().next() == Some(name)),
            "{name}: {said}"
        );
        let (status, own, _) = run(&[name, "--help"]);
        assert!(status.success(), "{name}: {own}");
        let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
        for flag in flags.filter_map(|flag| flag.get_long()) {
            assert!(own.contains(&format!("--{flag}")), "{name} --{flag}: {own}");
        }
        names.push(name);
    }
    assert!(names.len() > 10, "{names:?}");
    let (status, said, _) = run(&["--version"]);
    assert_eq!(
        (status.success(), said.trim()),
        (true, concat!("beatwarden ", env!("CARGO_PKG_VERSION")))
    );
}

/// The command lines in a text: the words after `beatwarden` up to a comment, a pipe or the end of the code.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let starts = text
        .match_indices("beatwarden ")
        .map(|(at, found)| &text[at + found.len()..]);
    let lines = starts.map(|rest| rest.split(['\n', '`', '#', '|', ';', '"', ')']).next().unwrap());
    let names: Vec<String> = beatwarden::cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    lines
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>())
        .filter(|words| words.first().is_some_and(|first| names.contains(first)))
        .collect()
}

#[test]
fn the_docs_name_only_what_the_binary_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    files.extend(
        std::fs::read_dir(root.join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    let mut checked = 0;
    for file in files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        for words in command_lines(&text) {
            let command = beatwarden::cli::command();
            let sub = command.find_subcommand(&words[0]).unwrap();
            let flags: Vec<String> = sub
                .get_arguments()
                .chain(sub.get_subcommands().flat_map(clap::Command::get_arguments))
                .chain(command.get_arguments())
                .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
                .collect();
            for word in words.iter().filter(|word| word.starts_with("--")) {
                let word = word.trim_end_matches([',', '.', ':']);
                assert!(
                    flags.iter().any(|flag| flag == word),
                    "{word} of {words:?} in {}",
                    file.display()
                );
                checked += 1;
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            let is_there = path.is_empty() || path.contains("://") || file.parent().unwrap().join(path).exists();
            assert!(is_there, "{link} in {}", file.display());
        }
    }
    assert!(checked >= 10, "{checked} flags in the docs");
}
