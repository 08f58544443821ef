//! A week in minutes: the real binary beside a SQLite file and a PostgreSQL server, all three with a clock that the test sets. What a
//! week brings is there: jobs that live, die, fall silent and beat late, repairs that people take back, databases that are away for
//! hours, a wrong password, reloads, watches and names that come and go. Nothing may grow with time.
//!
//! Six hours of it are a test among the others; `make week` for all of it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints its figures"
)]

mod account;
mod clock;
mod jobs;

use crate::support::{
    Session,
    beatwarden::{Beatwarden, command},
    http,
    postgres::Cluster,
    runs,
};
use account::Hour;
use clock::Clock;
use jobs::{Fate, Place, Table, key};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How much of the week passes with the other tests: until after the file's outage.
const HOURS: u32 = 6;
/// When in each day, in minutes, the file is away, the server is, and its password is wrong.
const FILE_AWAY: Range<u32> = 3 * 60..5 * 60;
const SERVER_AWAY: Range<u32> = 6 * 60..9 * 60;
const WRONG_PASSWORD: Range<u32> = 10 * 60..11 * 60;
/// The minute of each day from which the configuration is a bad one, for an hour.
const BAD_FILE: u32 = 11 * 60 + 5;
/// Until so many minutes after an outage a pass may wait for the longest backoff.
const BACKOFF: u32 = 2;
/// How long a pass that may fail is waited for.
const TRY: Duration = Duration::from_millis(20);
/// What a machine may take for a pass, or a reload, before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

struct Site {
    folder: TempDir,
    temporary: TempDir,
    cluster: Cluster,
    clock: Clock,
    dog: Beatwarden,
    places: [Place; 2],
    interval: Duration,
    /// How many polls of each watch were seen.
    polls: BTreeMap<String, u64>,
}

impl Site {
    async fn start(interval: Duration) -> Self {
        let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut cluster = Cluster::start_own();
        let (database, owner) = cluster.database_with(runs::TABLE).await;
        owner
            .run(
                "CREATE ROLE dog LOGIN PASSWORD 'sesame'; GRANT SELECT, UPDATE ON runs TO dog;
                 GRANT USAGE, CREATE ON SCHEMA public TO dog",
            )
            .await;
        cluster.require_password("dog").await;
        drop(owner);
        let clock = Clock::new(cluster.folder());
        cluster.restart_in(clock.environment());
        let file = folder.path().join("table/jobs.db");
        fs::create_dir(file.parent().unwrap()).unwrap();
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.run(include_str!("../../src/demo/schema.sql")).await;
        let settings = folder.path().join("beatwarden.toml");
        let url = database.url.replacen("postgres@", "dog:sesame@", 1);
        fs::write(&settings, configuration(&file, &url, interval, 0)).unwrap();
        let environment = clock.environment_of_the_watched();
        let temporary_files = temporary.path().to_str().unwrap();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain([("TMPDIR", temporary_files)])
            .collect();
        let arguments = ["--config", settings.to_str().unwrap(), "--log-level", "info"];
        let dog = Beatwarden::watch_in(&environment, &arguments).await;
        let places = [
            Place {
                watch: "file",
                table: Table::File(file, Some(connection)),
                away: FILE_AWAY,
            },
            Place {
                watch: "server",
                table: Table::Server(database.url, None),
                away: SERVER_AWAY,
            },
        ];
        let mut site = Self {
            folder,
            temporary,
            cluster,
            clock,
            dog,
            places,
            interval,
            polls: BTreeMap::new(),
        };
        site.settle(0).await;
        site
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("beatwarden.toml")
    }

    fn table_folder(&self) -> PathBuf {
        self.folder.path().join("table")
    }

    /// Whether passes of this watch may fail in this minute, or wait.
    fn may_fail(&self, watch: &str, minute: u32) -> bool {
        let within = |away: &Range<u32>| (away.start..away.end + BACKOFF).contains(&(minute % 1440));
        match watch {
            "file" => within(&FILE_AWAY),
            _ => within(&SERVER_AWAY) || within(&WRONG_PASSWORD),
        }
    }

    /// A minute begins: what people, writers and databases do in it.
    async fn minute(&mut self, minute: u32) {
        self.faults(minute % 1440).await;
        if minute % 60 == 30 || minute % 1440 == BAD_FILE {
            self.reload(minute).await;
        }
        let now = self.clock.now();
        for place in 0..self.places.len() {
            if self.places[place].is_away(minute) {
                continue;
            }
            self.places[place].minute(minute, now).await;
            self.operator(place, minute).await;
        }
    }

    /// Databases go away and come back.
    async fn faults(&mut self, of_day: u32) {
        let away = self.folder.path().join("away");
        if of_day == FILE_AWAY.start {
            self.places[0].leave();
            fs::rename(self.table_folder(), away).unwrap();
        } else if of_day == FILE_AWAY.end {
            fs::rename(away, self.table_folder()).unwrap();
        } else if of_day == SERVER_AWAY.start {
            self.places[1].leave();
            self.cluster.stop();
        } else if of_day == SERVER_AWAY.end {
            self.cluster.start();
        } else if of_day == WRONG_PASSWORD.start {
            let all_of_it = "ALTER ROLE dog PASSWORD 'other';
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dog'";
            self.places[1].run(all_of_it).await;
        } else if of_day == WRONG_PASSWORD.end {
            self.places[1].run("ALTER ROLE dog PASSWORD 'sesame'").await;
        }
    }

    /// Reads another configuration, or once a day a bad one.
    async fn reload(&mut self, minute: u32) {
        let Table::File(file, _) = &self.places[0].table else {
            unreachable!()
        };
        let Table::Server(url, _) = &self.places[1].table else {
            unreachable!()
        };
        let url = url.replacen("postgres@", "dog:sesame@", 1);
        let is_bad = minute % 1440 == BAD_FILE;
        let text = match is_bad {
            true => "listen = 7".to_owned(),
            false => configuration(file, &url, self.interval, 1 + minute / 60),
        };
        fs::write(self.settings(), text).unwrap();
        let read_at = "config_last_reload_timestamp_seconds";
        let before = self.dog.metric(read_at);
        self.dog.signal("HUP");
        let until = Instant::now() + PATIENCE;
        while match is_bad {
            true => self.dog.metric("config_last_reload_success") != Some(0.0),
            false => self.dog.metric(read_at) == before,
        } {
            assert!(Instant::now() < until, "no reload: {}", self.dog.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if !is_bad {
            // Each watch begins with a pass.
            self.settle(minute).await;
        }
    }

    /// A repair is taken back, a false one is acknowledged.
    async fn operator(&mut self, place: usize, minute: u32) {
        for (age, fate, word) in [(14, Fate::GivenBack, "undo"), (17, Fate::Late, "ack")] {
            let place = &mut self.places[place];
            let Some(start) = minute.checked_sub(age) else { continue };
            if Fate::of(start) != fate || !place.starts(start) {
                continue;
            }
            let entry = format!(
                "SELECT min(repair_id::text) FROM beatwarden_repairs WHERE job_id = '{}'",
                key(start)
            );
            let entry = match place.table {
                Table::File(..) => entry.replace("::text", ""),
                Table::Server(..) => entry,
            };
            let repair = place.one(&entry).await;
            let watch = place.watch;
            let settings = self.settings();
            let folder = tempfile::tempdir().unwrap();
            let output = command(folder.path())
                .args([word, &repair, "--watch", watch, "--config", settings.to_str().unwrap()])
                .envs(self.clock.environment())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{word} {start} of {watch}: {output:?}\n{}",
                self.dog.log()
            );
        }
    }

    /// Waits until each watch has made a pass more than before, or may be unable to.
    async fn settle(&mut self, minute: u32) {
        let began = Instant::now();
        loop {
            let polls = self.polls();
            let waits = |(watch, polls): (&String, &u64)| {
                let has_passed = *polls > self.polls.get(watch).copied().unwrap_or_default();
                !(has_passed || self.may_fail(watch, minute) && began.elapsed() > TRY)
            };
            if !polls.iter().any(waits) {
                self.polls = polls;
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "no pass in minute {minute}: {}",
                self.dog.log()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The polls of each watch that there is.
    fn polls(&self) -> BTreeMap<String, u64> {
        let of_watch = |line: &str| {
            let (watch, polls) = line
                .strip_prefix("beatwarden_polls_total{watch=\"")?
                .split_once("\"} ")?;
            Some((watch.to_owned(), polls.parse().unwrap()))
        };
        http::get(self.dog.address, "/metrics")
            .text()
            .lines()
            .filter_map(of_watch)
            .collect()
    }

    /// What there is at the end of an hour.
    async fn account(&mut self, number: u32, lines_before: usize) -> Hour {
        assert_eq!(
            account::names(self.temporary.path()),
            Vec::<OsString>::new(),
            "temporary files are left"
        );
        for path in ["/", "/api/v1/status", "/-/ready"] {
            http::get(self.dog.address, path);
        }
        let series = http::get(self.dog.address, "/metrics").text();
        let (resident, threads) = account::resident_and_threads(self.dog.id());
        let connections = match self.places[1].is_away(number * 60 + 59) {
            true => 0,
            false => {
                let all = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dog'";
                self.places[1].one(all).await.parse().unwrap()
            }
        };
        Hour {
            number,
            allocated: self.clock.allocated().await,
            resident,
            descriptors: account::descriptors(self.dog.id()),
            threads,
            series: series.lines().filter(|line| !line.starts_with('#')).count(),
            lines: self.dog.log().lines().count() - lines_before,
            file_log: fs::metadata(self.table_folder().join("jobs.db-wal")).map_or(0, |file| file.len()),
            connections,
        }
    }

    /// The ledgers have an entry of each job that died, one of each repair that was taken back, and no other.
    async fn compare_ledgers(&mut self, minutes: u32) {
        for place in &mut self.places {
            let failed = place.started(minutes - 10, Fate::is_failed).count();
            let given_back = place.started(minutes - 14, |fate| fate == Fate::GivenBack).count();
            let expected = format!("{failed} {failed} {}", failed + given_back);
            let count =
                "SELECT count(*) || ' ' || count(DISTINCT job_id) || ' ' || (SELECT count(*) FROM beatwarden_repairs)
                FROM beatwarden_repairs WHERE action = 'fail'";
            assert_eq!(place.one(count).await, expected, "{}", place.watch);
            println!("{}: {failed} repairs, {given_back} of them taken back", place.watch);
        }
    }
}

/// The configuration of an hour: a rule that changes, and in each other hour a third watch.
fn configuration(file: &Path, url: &str, interval: Duration, hour: u32) -> String {
    let rules = format!(
        "preset = \"meltano\"\npoll_interval = \"{}s\"\ninit_deadline = \"3m\"\nheartbeat_timeout = \"10m\"\njob_name_label = true\n\
         [watch.repair]\nmissed_first = \"fail\"\nmax_per_pass = {}\n",
        interval.as_secs(),
        100 + hour % 2
    );
    let watch =
        |name: &str, database: &str| format!("[[watch]]\nname = \"{name}\"\ndatabase = \"{database}\"\n{rules}");
    let mut text = watch("file", file.to_str().unwrap()) + &watch("server", url);
    if hour % 2 == 1 {
        text += &watch("passing", url).replace("\"fail\"", "\"observe\"");
    }
    text
}

/// Lets so many hours pass by, and returns what there was at the end of each.
async fn pass_by(hours: u32, interval: Duration) -> Vec<Hour> {
    let mut site = Site::start(interval).await;
    let (mut all, mut lines, mut polls) = (Vec::new(), 0, 0);
    for hour in 0..hours {
        for minute in hour * 60..(hour + 1) * 60 {
            site.minute(minute).await;
            for _ in 0..60 / interval.as_secs() {
                site.clock.advance(interval);
                site.settle(minute).await;
                polls += 1;
            }
        }
        let account = site.account(hour, lines).await;
        lines += account.lines;
        println!("{account}");
        all.push(account);
    }
    site.compare_ledgers(hours * 60).await;
    println!("{polls} intervals; polls: {:?}; lines in the log: {lines}", site.polls);
    if std::env::var_os("WEEK_LOG").is_some() {
        println!("{}", site.dog.log());
    }
    assert!(site.dog.stop().success());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_with_time() {
    let number = |name: &str, usual: u32| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let hours = number("WEEK_HOURS", HOURS);
    let interval = Duration::from_secs(number("WEEK_INTERVAL", 60).into());
    let all = pass_by(hours, interval).await;
    assert_eq!(account::judge(&all), Vec::<String>::new());
}

#[test]
fn the_judge_reports_what_grows() {
    account::reports_what_grows();
}
