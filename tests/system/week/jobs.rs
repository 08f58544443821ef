//! What the writers of a simulated week do, minute by minute, on a file and on a server; and when each of the two is away.

use crate::support::{Session, postgres::connect};
use std::{ops::Range, path::PathBuf};
use tokio_postgres::Client;

/// How long before an outage no job starts: each has ended until then.
const CALM: u32 = 25;
/// So many names come and go.
const NAMES: u32 = 300;
/// Beside the job that goes some way so many short ones start in each minute, and all live. What is remembered of the newest 10,000
/// jobs is full within a day then.
const SHORT: u32 = 10;
/// So many minutes jobs stay in the table.
const KEPT: u32 = 2 * 1440;
/// The hour in which no job dies, from half an hour before it.
pub const QUIET: u32 = 12;

/// How a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It beats five times and succeeds.
    Healthy,
    /// It never beats.
    Dies,
    /// The same, and a person takes its repair back.
    GivenBack,
    /// It beats for the first time when it was failed already.
    Late,
    /// It falls silent after two heartbeats; the writer gives it up in the end.
    Lost,
}

impl Fate {
    /// Of the job that starts in this minute of the week.
    pub fn of(minute: u32) -> Self {
        if (QUIET * 60 - 30..(QUIET + 1) * 60).contains(&(minute % 1440)) {
            return Self::Healthy;
        }
        match (minute % 60, minute % 360, minute % 720) {
            (_, _, 75) => Self::Late,
            (_, 67, _) => Self::GivenBack,
            (7 | 27 | 47, ..) => Self::Dies,
            (33, ..) => Self::Lost,
            _ => Self::Healthy,
        }
    }

    /// Whether the watch fails it.
    pub fn is_failed(self) -> bool {
        matches!(self, Self::Dies | Self::GivenBack | Self::Late)
    }
}

/// The key of the job that goes some way and starts in this minute; those of the short ones follow.
pub fn key(minute: u32) -> u32 {
    minute * 16
}

pub enum Table {
    File(PathBuf, Option<rusqlite::Connection>),
    Server(String, Option<Client>),
}

/// A job table, its writers, and when it is away each day, in minutes.
pub struct Place {
    pub watch: &'static str,
    pub table: Table,
    pub away: Range<u32>,
}

impl Place {
    /// Whether it is away in this minute.
    pub fn is_away(&self, minute: u32) -> bool {
        self.away.contains(&(minute % 1440))
    }

    /// Whether a job starts in this minute.
    pub fn starts(&self, minute: u32) -> bool {
        let closed = self.away.start - CALM..self.away.end;
        !closed.contains(&(minute % 1440))
    }

    /// The minutes before this one in which jobs started that go like this.
    pub fn started(&self, before: u32, is_one: impl Fn(Fate) -> bool) -> impl Iterator<Item = u32> {
        (0..before).filter(move |minute| self.starts(*minute) && is_one(Fate::of(*minute)))
    }

    /// Closes the writers' connection.
    pub fn leave(&mut self) {
        match &mut self.table {
            Table::File(_, connection) => *connection = None,
            Table::Server(_, client) => *client = None,
        }
    }

    pub async fn run(&mut self, statements: &str) {
        match &mut self.table {
            Table::File(path, connection) => {
                let open = || rusqlite::Connection::open(path).unwrap();
                connection.get_or_insert_with(open).run(statements).await;
            }
            Table::Server(url, client) => {
                if client.is_none() {
                    *client = Some(connect(url).await);
                }
                client.as_ref().unwrap().run(statements).await;
            }
        }
    }

    /// The only value of a query, as text.
    pub async fn one(&mut self, query: &str) -> String {
        self.run("").await;
        match &self.table {
            Table::File(_, connection) => connection
                .as_ref()
                .unwrap()
                .query_row(&format!("SELECT CAST(({query}) AS TEXT)"), [], |row| row.get(0))
                .unwrap(),
            Table::Server(_, client) => {
                let query = format!("SELECT ({query})::text");
                client.as_ref().unwrap().query_one(&query, &[]).await.unwrap().get(0)
            }
        }
    }

    /// A time as the writers write it.
    fn time(&self, seconds: f64) -> String {
        match self.table {
            Table::File(..) => format!("strftime('%Y-%m-%d %H:%M:%f000', {seconds:.6}, 'unixepoch')"),
            Table::Server(..) => format!("(to_timestamp({seconds:.6}) AT TIME ZONE 'UTC')"),
        }
    }

    /// What happens in this minute, which begins now.
    pub async fn minute(&mut self, minute: u32, now: f64) {
        let now = self.time(now);
        let mut done = Vec::new();
        if self.starts(minute) {
            let row = |id: u32| format!("({id}, 'load {}', 'RUNNING', {now})", minute / 7 % NAMES);
            let rows: Vec<String> = (0..=SHORT).map(|number| row(key(minute) + number)).collect();
            done.push(format!(
                "INSERT INTO runs (id, job_name, state, started_at) VALUES {}",
                rows.join(", ")
            ));
            done.push(format!(
                "DELETE FROM runs WHERE id < {}",
                key(minute.saturating_sub(KEPT))
            ));
        }
        for age in 1..=minute.min(20) {
            let start = minute - age;
            if !self.starts(start) {
                continue;
            }
            let first = key(start);
            let short = format!("WHERE id > {first} AND id <= {}", first + SHORT);
            match age {
                1 => done.push(format!("UPDATE runs SET last_heartbeat_at = {now} {short}")),
                2 => done.push(format!("UPDATE runs SET state = 'SUCCESS', ended_at = {now} {short}")),
                _ => {}
            }
            let set = match (Fate::of(start), age) {
                (Fate::Healthy, 1..=5) | (Fate::Lost, 1..=2) | (Fate::Late, 12) => format!("last_heartbeat_at = {now}"),
                (Fate::Healthy, 6) => format!("state = 'SUCCESS', ended_at = {now}"),
                (Fate::Lost, 17) | (Fate::GivenBack, 16) => format!("state = 'FAIL', ended_at = {now}"),
                _ => continue,
            };
            done.push(format!("UPDATE runs SET {set} WHERE id = {first}"));
        }
        if !done.is_empty() {
            self.run(&done.join(";\n")).await;
        }
    }
}
