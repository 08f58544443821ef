//! The file is the writer's, whichever user runs Beatwarden: after every command the writer opens and writes its file as if
//! nothing had been there, nothing foreign lies beside it, and the file alone is complete.

use super::sqlite_file::COLUMNS;
use crate::support::beatwarden::words;
use rusqlite::Connection;
use rustix::{
    process::{Gid, Uid, getuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Meltano's user in the shipped set-ups.
const WRITER: u32 = 1000;
/// The user of the shipped image.
const OTHER: u32 = 65532;

/// Who runs Beatwarden.
#[derive(Clone, Copy, Debug, PartialEq)]
enum User {
    Same,
    Other,
    /// Another user in the writer's group, where file and folder are the group's, too.
    Group,
    Root,
    /// As in a container without capabilities.
    RootWithoutCapabilities,
}

const USERS: [User; 5] = [
    User::Same,
    User::Other,
    User::Group,
    User::Root,
    User::RootWithoutCapabilities,
];

/// Runs `work` on a thread that is the given user's.
fn as_user<T: Send>(user: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(None, Gid::from_raw(user), None).unwrap();
            set_thread_res_uid(None, Uid::from_raw(user), None).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

struct Place {
    folder: TempDir,
}

impl Place {
    /// A file of the writer's with a job of each kind, in a folder that others may write, too: an `emptyDir`, or an `fsGroup`.
    fn new(journal: &str, user: User) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let place = Self { folder };
        let data = place.file().parent().unwrap().to_owned();
        fs::create_dir(&data).unwrap();
        chown(&data, Some(WRITER), Some(WRITER)).unwrap();
        let (folder_mode, file_mode) = if user == User::Group {
            (0o2775, 0o664)
        } else {
            (0o777, 0o644)
        };
        fs::set_permissions(&data, fs::Permissions::from_mode(folder_mode)).unwrap();
        let file = place.file();
        as_user(WRITER, || {
            let writer = Connection::open(&file).unwrap();
            let mode: String = writer
                .query_row(&format!("PRAGMA journal_mode = {journal}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(mode, journal);
            let jobs = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-600 seconds')";
            writer
                .execute_batch(&format!(
                    "CREATE TABLE runs (id INTEGER PRIMARY KEY, {COLUMNS});
                     INSERT INTO runs (job_name, state, started_at, last_heartbeat_at)
                     VALUES ('a', 'RUNNING', {jobs}, NULL), ('b', 'RUNNING', {jobs}, {jobs}), ('c', 'SUCCESS', {jobs}, {jobs})"
                ))
                .unwrap();
        });
        fs::set_permissions(&file, fs::Permissions::from_mode(file_mode)).unwrap();
        // By another process: a child that is forked meanwhile would keep this one's copy open, and so keep it from running.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_beatwarden"))
            .arg(place.binary())
            .status();
        assert!(copied.unwrap().success());
        fs::set_permissions(place.binary(), fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("data/meltano.db")
    }

    fn binary(&self) -> PathBuf {
        self.folder.path().join("beatwarden")
    }

    fn command(&self, user: User, arguments: &[&str]) -> Command {
        let mut command = match user {
            User::RootWithoutCapabilities => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--bounding-set", "-all", "--inh-caps", "-all", "--"])
                    .arg(self.binary());
                command
            }
            _ => Command::new(self.binary()),
        };
        match user {
            User::Same => command.uid(WRITER).gid(WRITER),
            User::Other => command.uid(OTHER).gid(OTHER),
            User::Group => command.uid(OTHER).gid(WRITER),
            User::Root | User::RootWithoutCapabilities => &mut command,
        };
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(arguments);
        command.arg("--database").arg(self.file()).args(["--preset", "meltano"]);
        command.args(["--listen", "127.0.0.1:0"]);
        command
    }

    fn run(&self, user: User, arguments: &[&str]) -> Output {
        let output = self.command(user, arguments).stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.code().is_some_and(|code| code < 2),
            "{arguments:?} as {user:?}: {output:?}"
        );
        output
    }

    fn beside(&self) -> Vec<(String, u32)> {
        let entries = fs::read_dir(self.file().parent().unwrap()).unwrap();
        entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path() != self.file())
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    entry.metadata().unwrap().uid(),
                )
            })
            .collect()
    }

    /// The writer writes, its last close leaves the file alone and complete, and nothing is another user's.
    fn assert_is_the_writers(&self, after: &str) {
        for (name, owner) in self.beside() {
            assert_eq!(owner, WRITER, "{name} after {after}");
        }
        let file = self.file();
        let rows = as_user(WRITER, || {
            write(&file).unwrap_or_else(|error| panic!("writing after {after}: {error}"))
        });
        assert_eq!(
            self.beside(),
            [],
            "beside the file after {after}, and after the writer's last close"
        );
        let copy = self.folder.path().join("copy.db");
        fs::copy(&file, &copy).unwrap();
        let copied: i64 = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(*) FROM runs", [], |row| row.get(0))
            .unwrap();
        assert_eq!(copied, rows, "a copy of the file alone after {after}");
    }
}

/// One beat of the writer's: a connection, a commit, a close. Returns how many rows there are.
fn write(file: &Path) -> rusqlite::Result<i64> {
    let writer = Connection::open(file)?;
    writer.busy_timeout(Duration::from_secs(5))?;
    writer.execute("INSERT INTO runs (job_name, state) VALUES ('w', 'SUCCESS')", [])?;
    let rows = writer.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
    writer.close().map_err(|(_, error)| error)?;
    Ok(rows)
}

/// Every journal and every user at the same time: most of each is waiting.
fn in_every_case(case: impl Fn(&str, User) + Sync) {
    if !is_root() {
        return;
    }
    std::thread::scope(|scope| {
        for journal in ["wal", "delete"] {
            for user in USERS {
                let case = &case;
                scope.spawn(move || case(journal, user));
            }
        }
    });
}

fn is_root() -> bool {
    let is_root = getuid().is_root();
    if !is_root {
        eprintln!("only root can take on other users: these cases are not tried");
    }
    is_root
}

const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["check", "--missed-first", "fail"],
    &["explain", "1"],
    &["history"],
    &["repair", "--now", "--yes", "--action", "fail", "--job", "1"],
    &["undo", "00000000-0000-0000-0000-000000000001"],
    &["ack", "--fuse"],
    &["guard", "install"],
    &["guard", "remove"],
];

#[test]
fn every_command_of_every_user_leaves_the_file_to_its_writer() {
    in_every_case(|journal, user| {
        let place = Place::new(journal, user);
        for command in COMMANDS {
            place.run(user, command);
            place.assert_is_the_writers(&format!("{command:?} as {user:?}, journal {journal}"));
        }
    });
}

#[test]
fn a_file_that_the_writer_has_open_stays_the_writers() {
    in_every_case(|journal, user| {
        let place = Place::new(journal, user);
        let file = place.file();
        let mut open = as_user(WRITER, || {
            let writer = Connection::open(&file).unwrap();
            writer
                .execute("INSERT INTO runs (job_name, state) VALUES ('x', 'SUCCESS')", [])
                .unwrap();
            writer
        });
        for command in COMMANDS {
            place.run(user, command);
            open = as_user(WRITER, move || {
                let changed = open.execute("UPDATE runs SET payload = 'w' WHERE id = 3", []);
                assert_eq!(changed, Ok(1), "{command:?} as {user:?}, journal {journal}");
                open
            });
        }
        as_user(WRITER, move || open.close().unwrap());
        place.assert_is_the_writers(&format!("all commands as {user:?}, journal {journal}"));
    });
}

/// A writer that was killed leaves its log, or a hot journal, beside the file.
#[test]
fn what_a_killed_writer_left_is_not_lost_and_not_passed_over() {
    if !is_root() {
        return;
    }
    for (journal, sides) in [("wal", &["-wal", "-shm"][..]), ("delete", &["-journal"][..])] {
        for user in USERS {
            let place = Place::new(journal, user);
            let file = place.file();
            let kept = place.folder.path().join("kept");
            fs::create_dir(&kept).unwrap();
            let suffixed = |folder: &Path, side: &str| folder.join(format!("meltano.db{side}"));
            let data = file.parent().unwrap();
            as_user(WRITER, || {
                let mut writer = Connection::open(&file).unwrap();
                // Enough to be written before the commit.
                writer.pragma_update(None, "cache_size", 1).unwrap();
                let transaction = writer.transaction().unwrap();
                for _ in 0..200 {
                    let job =
                        "INSERT INTO runs (job_name, state, payload) VALUES ('k', 'RUNNING', hex(zeroblob(2000)))";
                    transaction.execute(job, []).unwrap();
                }
                if journal == "wal" {
                    transaction.commit().unwrap();
                    keep(data, &kept, sides);
                } else {
                    keep(data, &kept, sides);
                    transaction.rollback().unwrap();
                }
            });
            for side in [""].iter().chain(sides) {
                fs::copy(suffixed(&kept, side), suffixed(data, side)).unwrap();
                chown(suffixed(data, side), Some(WRITER), Some(WRITER)).unwrap();
            }
            let output = place.run(user, &["status"]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            if matches!(user, User::Same | User::Root) {
                assert!(output.status.success(), "{said}");
            } else {
                assert!(said.contains("run Beatwarden as user 1000"), "{user:?}: {said}");
            }
            place.assert_is_the_writers(&format!("status beside a killed writer as {user:?}, journal {journal}"));
            let left: i64 = Connection::open(&file)
                .unwrap()
                .query_row("SELECT count(*) FROM runs WHERE job_name = 'k'", [], |row| row.get(0))
                .unwrap();
            assert_eq!(left, if journal == "wal" { 200 } else { 0 });
        }
    }
}

fn keep(data: &Path, kept: &Path, sides: &[&str]) {
    for side in [""].iter().chain(sides) {
        let name = format!("meltano.db{side}");
        let content = fs::read(data.join(&name)).unwrap();
        assert!(!content.is_empty(), "{name}");
        // Root's folder: the kept copy is made by the thread of the test that is still root's in its real user.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                set_thread_res_uid(None, Uid::ROOT, None).unwrap();
                fs::write(kept.join(&name), &content).unwrap();
            });
        });
    }
}

/// The beats of a writer beside a watch that polls as often as it may, until the watch is killed.
#[test]
fn a_writer_beats_beside_a_watch_of_any_user_as_if_it_were_alone() {
    if !is_root() {
        return;
    }
    for journal in ["wal", "delete"] {
        for user in USERS {
            for signal in ["TERM", "KILL"] {
                let place = Place::new(journal, user);
                let mut watch = Killed(
                    place
                        .command(
                            user,
                            &words("watch --poll-interval 100ms --init-deadline 300ms --missed-first fail"),
                        )
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap(),
                );
                let file = place.file();
                let what = format!("beside a watch as {user:?}, journal {journal}, {signal}");
                as_user(WRITER, || {
                    // Beats around the passes, for more than a deadline.
                    let until = std::time::Instant::now() + Duration::from_millis(900);
                    while std::time::Instant::now() < until {
                        write(&file).unwrap_or_else(|error| panic!("a beat {what}: {error}"));
                    }
                });
                assert!(watch.0.try_wait().unwrap().is_none(), "{what}: the watch ended");
                Command::new("kill")
                    .args(["-s", signal, &watch.0.id().to_string()])
                    .status()
                    .unwrap();
                watch.0.wait().unwrap();
                place.assert_is_the_writers(&what);
                let state: String = Connection::open(&file)
                    .unwrap()
                    .query_row("SELECT state FROM runs WHERE id = 1", [], |row| row.get(0))
                    .unwrap();
                let repairs = matches!(user, User::Same | User::Root);
                assert!(repairs || state == "RUNNING", "{what}: {state}");
            }
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A backup that is copied over the file while no one writes is the file from then on.
#[test]
fn a_backup_copied_over_the_file_stays_what_it_is() {
    if !is_root() {
        return;
    }
    for user in USERS {
        let place = Place::new("wal", user);
        let (file, backup) = (place.file(), place.folder.path().join("backup.db"));
        fs::copy(&file, &backup).unwrap();
        as_user(WRITER, || write(&file).unwrap());
        place.run(user, &["status"]);
        place.run(user, &["repair", "--now", "--yes", "--action", "fail", "--job", "1"]);
        fs::copy(&backup, &file).unwrap();
        place.run(user, &["status"]);
        let (rows, state): (i64, String) = Connection::open(&file)
            .unwrap()
            .query_row(
                "SELECT count(*), max(state) FILTER (WHERE id = 1) FROM runs",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((rows, state.as_str()), (3, "RUNNING"), "{user:?}");
    }
}
