//! What the process of a simulated week has at the end of each hour, and what of it may not grow.

use super::jobs::QUIET;
use std::{ffi::OsString, fmt, fs, path::Path};

/// What a process has.
#[derive(Clone, Debug, Default)]
pub struct Hour {
    /// Since the beginning, the first is 0.
    pub number: u32,
    /// Bytes that it has allocated and not freed.
    pub allocated: i64,
    /// Kilobytes that it has in memory.
    pub resident: i64,
    pub descriptors: usize,
    pub threads: usize,
    /// Series that a scrape shows.
    pub series: usize,
    /// Lines that it logged in this hour.
    pub lines: usize,
    /// Bytes of the SQLite file's log.
    pub file_log: u64,
    /// Connections to the server.
    pub connections: usize,
}

/// Kilobytes in memory and threads of a process, from the system.
pub fn resident_and_threads(process: u32) -> (i64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':')
            .split_whitespace()
            .next()
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    (number("VmRSS"), usize::try_from(number("Threads")).unwrap())
}

/// How many descriptors a process has open.
pub fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// The names of what lies in a folder.
pub fn names(folder: &Path) -> Vec<OsString> {
    let all = fs::read_dir(folder).unwrap().flatten();
    all.map(|entry| entry.file_name()).collect()
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kibibytes = self.allocated as f64 / 1024.0;
        write!(
            f,
            "day {} hour {:2}: {kibibytes:.0} KiB allocated, {} KiB resident, {} descriptors, {} threads, {} series, \
             {} lines, {} KiB of the file's log, {} connections",
            self.number / 24,
            self.number % 24,
            self.resident,
            self.descriptors,
            self.threads,
            self.series,
            self.lines,
            self.file_log / 1024,
            self.connections,
        )
    }
}

/// What an hour may have at most, whatever its kind: a name, the value, the bound.
fn limits(hour: &Hour) -> [(&'static str, i64, i64); 8] {
    let count = |number: usize| i64::try_from(number).unwrap();
    let lines = if hour.number % 24 == QUIET { 4 } else { 70 };
    [
        ("KiB allocated", hour.allocated / 1024, 8 << 10),
        ("KiB resident", hour.resident, 64 << 10),
        ("descriptors", count(hour.descriptors), 24),
        ("threads", count(hour.threads), 8),
        ("series", count(hour.series), 500),
        ("lines in the log", count(hour.lines), lines),
        (
            "KiB of the file's log",
            i64::try_from(hour.file_log / 1024).unwrap(),
            16 << 10,
        ),
        ("connections", count(hour.connections), 4),
    ]
}

/// How much more an hour of the second half may have at most than one of the first, in the order of the limits. What is remembered of
/// the newest 10,000 jobs, and of the repairs of a day, is full before that. The allocator takes memory from the system in steps of
/// some megabytes and keeps it, so a leak shows in what is allocated.
const GROWTH: [i64; 8] = [256, 6 << 10, 0, 0, 0, 10, 512, 0];
/// Halves of less say nothing about growth.
const HALF: usize = 3 * 24;

/// What is more than it may be, or grew.
pub fn judge(all: &[Hour]) -> Vec<String> {
    let mut found: Vec<String> = all
        .iter()
        .flat_map(|hour| {
            let too_many = limits(hour).into_iter().filter(|(_, value, bound)| value > bound);
            too_many.map(move |(name, value, bound)| format!("{name}: {value}, at most {bound}, in {hour}"))
        })
        .collect();
    let (first, second) = all.split_at(all.len() / 2);
    if first.len() >= HALF {
        let most = |half: &[Hour], what: usize| half.iter().map(|hour| limits(hour)[what].1).max().unwrap();
        for (what, growth) in GROWTH.into_iter().enumerate() {
            let (before, after) = (most(first, what), most(second, what));
            if after > before + growth {
                let name = limits(&all[0])[what].0;
                found.push(format!(
                    "{name}: at most {before} in the first half, {after} in the second"
                ));
            }
        }
    }
    found
}

/// The judge is shown a week of which nothing grows, and then one for each thing that may not.
pub fn reports_what_grows() {
    let week = |grow: fn(&mut Hour, usize)| -> Vec<Hour> {
        let hour = |number: u32| {
            let mut hour = Hour {
                number,
                ..Hour::default()
            };
            grow(&mut hour, number as usize);
            hour
        };
        (0..168).map(hour).collect()
    };
    assert_eq!(judge(&week(|_, _| ())), Vec::<String>::new());
    let slow: [fn(&mut Hour, usize); 8] = [
        |hour, number| hour.allocated = number as i64 * 4 * 1024,
        |hour, number| hour.resident = number as i64 * 100,
        |hour, number| hour.descriptors = number / 24,
        |hour, number| hour.threads = number / 24,
        |hour, number| hour.series = number,
        |hour, number| hour.lines = if number % 24 == QUIET as usize { 0 } else { number / 6 },
        |hour, number| hour.file_log = number as u64 * 8 * 1024,
        |hour, number| hour.connections = number / 48,
    ];
    for (what, grow) in slow.into_iter().enumerate() {
        let found = judge(&week(grow));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(limits(&Hour::default())[what].0), "{found:?}");
    }
    let loud = judge(&week(|hour, number| {
        hour.lines = if number == QUIET as usize { 5 } else { 0 }
    }));
    assert!(loud.len() == 1 && loud[0].starts_with("lines"), "{loud:?}");
}
