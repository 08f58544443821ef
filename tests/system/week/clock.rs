//! The clock of a simulated week: see `clock.c`, which is compiled here and loaded into every process that shares it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The source of what is loaded.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/week/clock.c");

pub struct Clock {
    folder: PathBuf,
    ahead: File,
    heap: File,
    passed: Duration,
    asked: i64,
}

impl Clock {
    /// A clock that is right so far. What it needs lies in this folder, which the server's user can read.
    pub fn new(folder: &Path) -> Self {
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.join("clock.so"))
            .arg(SOURCE)
            .status();
        assert!(compiled.expect("a C compiler").success());
        let of_numbers = |name: &str, numbers: usize| {
            fs::write(folder.join(name), vec![0; numbers * 8]).unwrap();
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(folder.join(name))
                .unwrap()
        };
        Self {
            ahead: of_numbers("ahead", 1),
            heap: of_numbers("heap", 3),
            folder: folder.to_owned(),
            passed: Duration::ZERO,
            asked: 0,
        }
    }

    /// What makes a process see this clock.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |name: &str| self.folder.join(name).to_str().unwrap().to_owned();
        [("LD_PRELOAD", path("clock.so")), ("CLOCK_AHEAD", path("ahead"))]
    }

    /// What also lets the test ask for the memory of a process: of one only.
    pub fn environment_of_the_watched(&self) -> [(&'static str, String); 3] {
        let [library, ahead] = self.environment();
        [
            library,
            ahead,
            ("CLOCK_HEAP", self.folder.join("heap").to_str().unwrap().to_owned()),
        ]
    }

    /// Lets time pass at once.
    pub fn advance(&mut self, by: Duration) {
        self.passed += by;
        let nanoseconds = i64::try_from(self.passed.as_nanos()).unwrap();
        self.ahead.write_all_at(&nanoseconds.to_ne_bytes(), 0).unwrap();
    }

    /// The time that all see, in Unix seconds.
    pub fn now(&self) -> f64 {
        (SystemTime::now() + self.passed)
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
    }

    /// How many bytes the watched process has allocated and not freed.
    pub async fn allocated(&mut self) -> i64 {
        self.asked += 1;
        self.heap.write_all_at(&self.asked.to_ne_bytes(), 0).unwrap();
        let number = |place: u64| {
            let mut bytes = [0; 8];
            self.heap.read_exact_at(&mut bytes, place * 8).unwrap();
            i64::from_ne_bytes(bytes)
        };
        let until = Instant::now() + Duration::from_secs(60);
        while number(1) != self.asked {
            assert!(Instant::now() < until, "the process does not read its clock");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        number(2)
    }
}
