//! What may stand in the place of a file: a folder, a pipe, a socket, a link into nowhere, a file without an end. At the start the
//! file is named, with what is wrong; under a running watch the pass or the reload fails with that, everything else continues, and
//! the good file is found again. For each file that is read: configuration, database URL, web configuration and its certificate,
//! password file, authorities, Meltano project, SQLite database.

mod mounts;

use crate::support::{
    beatwarden::{Beatwarden, command},
    eventually, http,
};
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
/// Time for the longest wait between two attempts.
const BACK: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Missing,
    Folder,
    Pipe,
    Socket,
    LinkToNowhere,
    LinkToItself,
    Endless,
    Huge,
    Empty,
    Binary,
}

const KINDS: [Kind; 10] = [
    Kind::Missing,
    Kind::Folder,
    Kind::Pipe,
    Kind::Socket,
    Kind::LinkToNowhere,
    Kind::LinkToItself,
    Kind::Endless,
    Kind::Huge,
    Kind::Empty,
    Kind::Binary,
];

impl Kind {
    /// Puts it where a file is, or is expected.
    fn put(self, path: &Path) {
        clear(path);
        match self {
            Self::Missing => {}
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            // The socket stays when the listener is gone.
            Self::Socket => drop(UnixListener::bind(path).unwrap()),
            Self::LinkToNowhere => symlink("nowhere", path).unwrap(),
            Self::LinkToItself => symlink(path.file_name().unwrap(), path).unwrap(),
            Self::Endless => symlink("/dev/zero", path).unwrap(),
            // Four gigabytes of nothing, which take no place.
            Self::Huge => fs::File::create(path).unwrap().set_len(4 << 30).unwrap(),
            Self::Empty => fs::write(path, "").unwrap(),
            Self::Binary => fs::write(path, b"\xff\xfe\0\x01\x80").unwrap(),
        }
        if !matches!(
            self,
            Self::LinkToNowhere | Self::LinkToItself | Self::Endless | Self::Missing
        ) {
            fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        }
    }

    /// A word of what is said about it.
    fn word(self) -> &'static str {
        match self {
            Self::Missing => "No such file",
            Self::Folder => "folder",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::LinkToNowhere => "link to nowhere",
            Self::LinkToItself => "symbolic link",
            Self::Endless | Self::Huge => "more than",
            Self::Empty => "",
            Self::Binary => "UTF-8",
        }
    }
}

fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// A file in the place of another, at once.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    }
    fs::rename(new, path).unwrap();
}

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for table in ["jobs.db", "other.db"] {
            rusqlite::Connection::open(this.path(table))
                .unwrap()
                .execute_batch(include_str!("../../src/demo/schema.sql"))
                .unwrap();
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Two watches: one whose database is named by a file, and one beside it.
    fn configuration(&self) -> String {
        let (url, other) = (self.path("url"), self.path("other.db"));
        format!(
            "[[watch]]\nname = \"meltano\"\ndatabase_file = {url:?}\npreset = \"meltano\"\npoll_interval = \"200ms\"\n\
             [[watch]]\nname = \"other\"\ndatabase = {other:?}\npreset = \"meltano\"\npoll_interval = \"200ms\"\n"
        )
    }

    async fn watch(&self) -> Beatwarden {
        replace(&self.path("url"), &self.text("jobs.db"));
        replace(&self.path("beatwarden.toml"), &self.configuration());
        let dog = Beatwarden::watch(&["--config", &self.text("beatwarden.toml")]).await;
        for name in ["meltano", "other"] {
            dog.metric_becomes(&format!("up{{watch=\"{name}\"}}"), 1.0, SOON).await;
        }
        dog
    }
}

/// Waits until a line of the log behind its first `before` bytes has these words.
async fn is_logged(dog: &Beatwarden, before: usize, words: &[&str]) {
    eventually(format_args!("{words:?}: {}", dog.whole_log()), BACK, async || {
        let log = dog.log();
        let found = log[before..]
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)));
        found.then_some(())
    })
    .await;
}

/// HTTP answers, and the other watch has passes.
async fn others_continue(dog: &Beatwarden) {
    let polls = || dog.metric("polls_total{watch=\"other\"}").unwrap();
    let before = polls();
    assert_eq!(http::get(dog.address, "/-/healthy").status, 200);
    eventually("passes of the other watch", SOON, async || {
        (polls() > before + 2.0).then_some(())
    })
    .await;
    assert_eq!(dog.metric("up{watch=\"other\"}"), Some(1.0));
}

/// It ends in order, and nothing that it read has filled the memory.
fn ends_small(dog: Beatwarden) {
    assert!(dog.most_memory() < 128, "{} MiB", dog.most_memory());
    assert!(dog.stop().success());
}

/// Runs a command to its end, which must come soon: whether it succeeded, and what it said.
fn says(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let began = Instant::now();
    let output = command(folder)
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(began.elapsed() < SOON, "{arguments:?} took {:?}", began.elapsed());
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.success(), said)
}

#[test]
fn at_the_start_the_file_is_named_and_what_is_wrong_with_it() {
    let site = Site::new();
    let (database, file) = (site.text("jobs.db"), site.text("file"));
    let server = "postgres://u@127.0.0.1:1/d";
    let of_server = |setting: &str| format!("{server}?{setting}={file}");
    let (passwords, authorities) = (of_server("passfile"), of_server("sslmode=verify-full&sslrootcert"));
    let certificate = of_server("sslmode=require&sslkey=/dev/null&sslcert");
    let web = [
        "--database",
        &database,
        "--preset",
        "meltano",
        "--web-config-file",
        &file,
    ];
    let with = |database| ["--database", database, "--preset", "meltano"];
    let roles: [(&str, Vec<&str>); 7] = [
        ("the configuration", vec!["--config", &file]),
        (
            "the file with the URL",
            vec!["--database-file", &file, "--preset", "meltano"],
        ),
        ("the web configuration", web.to_vec()),
        ("the password file", with(&passwords).to_vec()),
        ("the authorities", with(&authorities).to_vec()),
        ("our certificate", with(&certificate).to_vec()),
        ("the database", with(&file).to_vec()),
    ];
    let mut wrong = Vec::new();
    for (role, arguments) in &roles {
        for kind in KINDS {
            kind.put(&site.path("file"));
            let (good, said) = says(site.0.path(), &[&["check"][..], arguments].concat(), &[]);
            // Nothing is asked of clients by an empty file, and an empty password file has no password.
            let may_be_empty = kind == Kind::Empty && matches!(*role, "the web configuration" | "the password file");
            let of_database =
                *role == "the database" && matches!(kind, Kind::Huge | Kind::Empty | Kind::Binary | Kind::Endless);
            let is_named = said.contains(&file) || may_be_empty;
            let has_reason = said.contains(kind.word())
                || of_database
                || said.contains("regular file")
                || said.contains("plain file");
            let is_right = is_named && (has_reason || said.contains("missing") || said.contains("certificate"));
            if !(is_right && (!good || may_be_empty)) {
                wrong.push(format!("{kind:?} in the place of {role}: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_files_of_a_meltano_project_are_named_too() {
    let site = Site::new();
    for file in ["meltano.yml", ".env"] {
        for kind in KINDS {
            replace(
                &site.path("meltano.yml"),
                "version: 1\ndatabase_uri: sqlite:///jobs.db\n",
            );
            kind.put(&site.path(file));
            let root = site.text("");
            let (good, said) = says(site.0.path(), &["check"], &[("MELTANO_PROJECT_ROOT", &root)]);
            // Meltano reads no `.env` that is a folder or isn't there; an empty `meltano.yml` names no database.
            let is_passed_over = file == ".env"
                && matches!(kind, Kind::Missing | Kind::Folder | Kind::Empty | Kind::LinkToNowhere)
                || kind == Kind::Empty;
            assert!(
                is_passed_over || !good && said.contains(file),
                "{kind:?} as {file}: {said}"
            );
            clear(&site.path(file));
        }
    }
}

/// Root reads everything, so another user is asked.
#[test]
fn a_file_that_may_not_be_read_is_named_with_the_reason() {
    let site = Site::new();
    fs::set_permissions(site.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(site.path("file"), site.text("jobs.db")).unwrap();
    fs::set_permissions(site.path("file"), PermissionsExt::from_mode(0o000)).unwrap();
    let (database, file) = (site.text("jobs.db"), site.text("file"));
    for arguments in [
        vec!["--config", &file],
        vec!["--database-file", &file, "--preset", "meltano"],
        vec![
            "--database",
            &database,
            "--preset",
            "meltano",
            "--web-config-file",
            &file,
        ],
    ] {
        let mut check = command(site.0.path());
        check.arg("check").args(arguments).uid(65_534).gid(65_534);
        let output = check.output().unwrap();
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert!(
            !output.status.success() && said.contains(&file) && said.contains("Permission denied"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_watch_the_pass_fails_with_it_and_the_good_file_is_found_again() {
    let site = Site::new();
    let dog = site.watch().await;
    let url = site.path("url");
    for kind in KINDS {
        kind.put(&url);
        let word = if kind == Kind::Empty { "empty" } else { kind.word() };
        // Two kinds are one to the log, which has each once in five minutes.
        is_logged(&dog, 0, &["could not be read", "database_file", word]).await;
        dog.metric_becomes("up{watch=\"meltano\"}", 0.0, SOON).await;
        others_continue(&dog).await;
        // A reload in the middle of it is refused, and takes nothing away.
        let before = dog.log().len();
        dog.signal("HUP");
        is_logged(
            &dog,
            before,
            &["a mistake in the new configuration", "database_file", word],
        )
        .await;
        others_continue(&dog).await;
        replace(&url, &site.text("jobs.db"));
        dog.metric_becomes("up{watch=\"meltano\"}", 1.0, BACK).await;
    }
    ends_small(dog);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_place_of_the_database_it_is_named_and_the_good_file_is_found_again() {
    let site = Site::new();
    let dog = site.watch().await;
    let (table, kept) = (site.path("jobs.db"), site.path("kept"));
    for kind in KINDS {
        fs::rename(&table, &kept).unwrap();
        kind.put(&table);
        is_logged(&dog, 0, &["could not be read", "jobs.db"]).await;
        dog.metric_becomes("up{watch=\"meltano\"}", 0.0, SOON).await;
        others_continue(&dog).await;
        clear(&table);
        fs::rename(&kept, &table).unwrap();
        dog.metric_becomes("up{watch=\"meltano\"}", 1.0, BACK).await;
    }
    ends_small(dog);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_place_of_the_configuration_it_refuses_the_reload() {
    let site = Site::new();
    let dog = site.watch().await;
    for kind in KINDS {
        kind.put(&site.path("beatwarden.toml"));
        let before = dog.log().len();
        dog.signal("HUP");
        is_logged(&dog, before, &["the new configuration is refused"]).await;
        assert_eq!(dog.metric("config_last_reload_success"), Some(0.0), "{kind:?}");
        others_continue(&dog).await;
        replace(&site.path("beatwarden.toml"), &site.configuration());
    }
    dog.signal("HUP");
    dog.metric_becomes("config_last_reload_success", 1.0, SOON).await;
    assert_eq!(dog.metric("up{watch=\"meltano\"}"), Some(1.0));
    assert!(dog.stop().success());
}
