//! Never silently blind: the database falls silent at every step of what a watch says to it, one step after the other, and
//! each time the pass fails in time, the metrics say so, HTTP answers, and the watch finds back on its own.
//!
//! The steps are not named here but found: a rehearsal without any fault shows them, and a test below demands that every
//! statement of the store was among them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints its figures"
)]

mod conversation;
mod scene;

use conversation::{Lost, Reach, Silence, Step};
use scene::{Measured, Plot, Scene, Stage};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Runtime;

/// How many silences are waited for side by side.
const SIDE_BY_SIDE: usize = 6;

/// What a watch never says in these plots: what commands of an operator ask, what is asked of a holder of the gate or of a
/// row, and the mark before a scan of a table without an index.
const NOT_OF_A_WATCH: [&str; 24] = [
    "gate probe",
    "good runs",
    "grants path",
    "grants table",
    "guard holder",
    "holders",
    "index state",
    "inventory",
    "inventory references",
    "job of name",
    "job times",
    "ledger acknowledge",
    "ledger acknowledge fuse",
    "ledger between",
    "ledger entry",
    "ledger of one job",
    "long transactions",
    "observe keyless",
    "running plan",
    "sample",
    "scan mark",
    "undo backfill",
    "undo fail",
    "undo look",
];

/// One silence: where, and in which plot.
#[derive(Clone)]
struct Act {
    plot: Plot,
    silences: Vec<Silence>,
}

impl Act {
    fn named(&self) -> String {
        let last = self.silences.last().unwrap();
        let Step { connection, says, time } = &last.at;
        format!(
            "{:?}: {:?} of `{says}` (time {time} of connection {connection}) lost",
            self.plot, last.lost
        )
    }
}

/// Plays a plot without a fault, and returns what was said up to its end.
async fn rehearse(stage: &Stage, plot: Plot) -> Vec<Step> {
    let scene = Scene::set(stage, plot, Vec::new()).await;
    scene.ends_well().await;
    scene.steps()
}

/// Every step of a rehearsal once; where the words name no statement, its second time as well.
fn silences_at(steps: &[Step], lost: Lost) -> Vec<Silence> {
    let is_plain = |says: &str| says.starts_with("BEGIN") || says == "COMMIT";
    let chosen: BTreeSet<&Step> = steps
        .iter()
        .filter(|step| step.connection > 0 && (step.time == 1 || is_plain(&step.says) && step.time == 2))
        .collect();
    let silence = |at: &Step| Silence {
        at: at.clone(),
        lost,
        reach: Reach::Network,
    };
    chosen.into_iter().map(silence).collect()
}

/// All acts of the sweep.
async fn acts(stage: &Stage) -> Vec<Act> {
    let mut acts: Vec<Act> = Vec::new();
    let mut covered = BTreeSet::new();
    for plot in Plot::ALL {
        let steps = rehearse(stage, plot).await;
        for silence in silences_at(&steps, Lost::Question) {
            // The first plot in full; of the others what none had before.
            if covered.insert(silence.at.says.clone()) || plot == Plot::ALL[0] {
                acts.push(Act {
                    plot,
                    silences: vec![silence],
                });
            }
        }
        // What is written may have been heard all the same.
        let writes = silences_at(&steps, Lost::Answer).into_iter().filter(|silence| {
            let is_write = |says: &str| says.starts_with("repair") || says == "ledger create" || says == "ledger note";
            is_write(&silence.at.says)
                && !acts
                    .iter()
                    .any(|act| act.silences[0].lost == Lost::Answer && act.silences[0].at.says == silence.at.says)
        });
        let writes: Vec<Act> = writes
            .map(|silence| Act {
                plot,
                silences: vec![silence],
            })
            .collect();
        acts.extend(writes);
    }
    acts.extend(lost_twice());
    acts
}

/// The question what became of a repair is asked only where its answer was lost: first that one is lost, then the question.
fn lost_twice() -> Vec<Act> {
    let at = |connection, says: &str, time| Step {
        connection,
        says: says.to_owned(),
        time,
    };
    let first = Silence {
        at: at(2, "COMMIT", 1),
        lost: Lost::Question,
        reach: Reach::Connection,
    };
    ["BEGIN", "ledger gate", "ledger find", "COMMIT"]
        .into_iter()
        .map(|says| Act {
            plot: Plot::State,
            silences: vec![
                first.clone(),
                Silence {
                    at: at(3, says, 1),
                    lost: Lost::Question,
                    reach: Reach::Network,
                },
            ],
        })
        .collect()
}

/// The names of the statements that a watch may say, as their files have them; fragments have none.
fn statements() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/postgres/sql");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let name = text
            .strip_prefix("/* beatwarden: ")
            .and_then(|rest| rest.split_once(" */"));
        names.extend(name.map(|(name, _)| name.to_owned()));
    }
    names.retain(|name| !NOT_OF_A_WATCH.contains(&name.as_str()));
    // Its steps have names, but not the file.
    names.insert("ledger create".to_owned());
    names
}

/// Plays every act, several side by side: each mostly waits.
fn play(acts: &[Act], stage: &Stage) -> Vec<Measured> {
    let next = AtomicUsize::new(0);
    let measured = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let runtime = runtime();
                while let Some(act) = acts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = runtime.block_on(tried(stage, act));
                    measured.lock().unwrap().push(seen);
                }
            });
        }
    });
    measured.into_inner().unwrap()
}

/// Plays an act. On a busy machine something else may have failed before, and the step is said at another place: again, then.
async fn tried(stage: &Stage, act: &Act) -> Measured {
    let named = act.named();
    for _ in 0..3 {
        let scene = Scene::set(stage, act.plot, act.silences.clone()).await;
        if let Some(seen) = scene.falls_silent_and_finds_back(&named, act.silences.len()).await {
            return seen;
        }
    }
    panic!("{named}: never said");
}

/// A worker beside the thread that waits: the proxy continues while the test asks over HTTP.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn whichever_step_is_met_with_silence_the_watch_says_so_and_finds_back() {
    let runtime = runtime();
    let stage = runtime.block_on(Stage::build());
    let acts = runtime.block_on(acts(&stage));
    let measured = play(&acts, &stage);
    print(&acts, &measured);
    let silenced: BTreeSet<&str> = acts
        .iter()
        .flat_map(|act| &act.silences)
        .map(|silence| silence.at.says.as_str())
        .collect();
    let said: BTreeSet<&str> = measured
        .iter()
        .flat_map(|seen| &seen.said)
        .map(String::as_str)
        .collect();
    let never: Vec<&&str> = said.iter().filter(|says| !silenced.contains(**says)).collect();
    // Only what is said when something else was met with silence.
    assert_eq!(never, [&"cancel"], "said, and never met with silence");
    let in_vain: BTreeSet<&String> = measured.iter().flat_map(|seen| &seen.in_vain).collect();
    assert!(
        in_vain.contains(&"cancel".to_owned()),
        "cancel requests, too: {in_vain:?}"
    );
    let missing: Vec<String> = statements()
        .into_iter()
        .filter(|name| !silenced.contains(name.as_str()))
        .collect();
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "statements that were never met with silence"
    );
}

/// The figures of the sweep.
fn print(acts: &[Act], measured: &[Measured]) {
    let percent = |mut times: Vec<Duration>, share: f64| {
        times.sort_unstable();
        times[((times.len() - 1) as f64 * share).round() as usize]
    };
    let http: Vec<Duration> = measured.iter().flat_map(|seen| seen.http.clone()).collect();
    let of = |what: fn(&Measured) -> Duration| measured.iter().map(what).collect::<Vec<_>>();
    let most = measured.iter().map(|seen| seen.most_connections).max();
    println!(
        "{} silences; until the failure was counted: median {:?}, at most {:?}; until `up` was 0: median {:?}, at most {:?}; \
         after the silence until `up` was 1: median {:?}, at most {:?}; HTTP meanwhile, {} requests: median {:?}, 99 % within \
         {:?}; connections at once: at most {}",
        acts.len(),
        percent(of(|seen| seen.until_failed), 0.5),
        percent(of(|seen| seen.until_failed), 1.0),
        percent(of(|seen| seen.until_down), 0.5),
        percent(of(|seen| seen.until_down), 1.0),
        percent(of(|seen| seen.until_up), 0.5),
        percent(of(|seen| seen.until_up), 1.0),
        http.len(),
        percent(http.clone(), 0.5),
        percent(http.clone(), 0.99),
        most.unwrap(),
    );
}
