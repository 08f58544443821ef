//! `beatwarden demo`: the whole thing on an embedded job table, reported line by line.

use super::{
    block_on,
    flags::CommonFlags,
    local_http,
    logging::{self, Lines},
};
use crate::{
    app::{self, AppError},
    config::{Config, Loaded},
    demo::{self, JobTable, Ran},
};
use clap::Args;
use std::{io, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Arguments of the demo.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// End on its own after the pipeline ran again
    #[arg(long)]
    once: bool,
}

/// The pipeline that crashes.
const ORDERS: &str = "orders-to-warehouse";
/// The pipelines that don't.
const HEALTHY: [&str; 2] = ["customers-to-warehouse", "events-to-warehouse"];

/// The pipeline that stopped beating and blocks its next run, and the one that did so longer ago and blocks no one.
const LOST: [(&str, Duration); 2] = [
    ("stock-to-warehouse", Duration::from_secs(15)),
    ("invoices-to-lake", Duration::from_secs(400)),
];

/// When the incident begins.
enum Begin {
    /// After a second; once is enough.
    AtOnce,
    /// When someone looks at the page, or after a while without anyone.
    WhenViewed(Arc<Notify>),
}

impl Begin {
    async fn wait(&self) {
        /// How long the demo waits for someone to open the page.
        const PATIENCE: Duration = Duration::from_secs(8);
        /// The page refreshes itself after five seconds: the incident is under way by then.
        const AFTER_A_VIEW: Duration = Duration::from_secs(2);
        match self {
            Self::AtOnce => tokio::time::sleep(Duration::from_secs(1)).await,
            Self::WhenViewed(viewed) => {
                if tokio::time::timeout(PATIENCE, viewed.notified()).await.is_ok() {
                    tokio::time::sleep(AFTER_A_VIEW).await;
                }
            }
        }
    }
}

/// Shows a pipeline blocked, repaired and running again; then continues until Ctrl-C.
pub fn run(flags: CommonFlags, args: &DemoArgs) -> Result<ExitCode, AppError> {
    let folder = Folder::create().map_err(AppError::Runtime)?;
    let loaded = configuration(flags, &folder.0.join("jobs.db"))?;
    logging::start(&loaded.config, Lines::AtOnce);
    block_on(async {
        let stop = app::signals().map_err(AppError::Runtime)?.stop;
        let listener = listen(&loaded.config).await?;
        let address = listener.local_addr().map_err(AppError::Runtime)?;
        let table =
            JobTable::create(&folder.0.join("jobs.db")).map_err(|error| AppError::Runtime(io::Error::other(error)))?;
        outln!("Beatwarden demo: an embedded job table with five simulated pipelines, watched with action `fail`.");
        outln!("  status page  http://{address}/");
        outln!("  metrics      http://{address}/metrics");
        outln!("  Ctrl-C ends it and leaves nothing behind.");
        outln!("");
        let viewed = Arc::new(Notify::new());
        let begin = if args.once {
            Begin::AtOnce
        } else {
            Begin::WhenViewed(viewed.clone())
        };
        let story = tokio::spawn(story(table, address, stop.clone(), begin));
        app::run(&loaded.config, listener, stop.clone(), None, viewed).await?;
        story.abort();
        outln!("Bye.");
        Ok(ExitCode::SUCCESS)
    })
}

/// Deadlines of seconds, so that no one has to wait; everything else as in production.
fn configuration(flags: CommonFlags, database: &Path) -> Result<Loaded, AppError> {
    let mut flags = flags.without_config();
    flags.database = Some(database.display().to_string());
    flags.preset = Some("meltano".to_owned());
    flags.missed_first.get_or_insert_with(|| "fail".to_owned());
    flags.poll_interval.get_or_insert_with(|| "500ms".to_owned());
    flags.init_deadline.get_or_insert_with(|| "4s".to_owned());
    flags.heartbeat_timeout.get_or_insert_with(|| "10s".to_owned());
    flags.log_level.get_or_insert_with(|| "error".to_owned());
    let mut sources = flags.sources();
    // The demo watches its own table, whatever is configured around it.
    sources.environment.clear();
    sources.search = Vec::new();
    Ok(Config::load(&sources)?)
}

/// The configured address, or a free port where that one is taken.
async fn listen(config: &Config) -> Result<TcpListener, AppError> {
    let taken = match TcpListener::bind(config.listen).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let mut any = config.listen;
    any.set_port(0);
    TcpListener::bind(any).await.map_err(|_| AppError::Listen {
        addr: config.listen,
        source: taken,
    })
}

/// Reports what happens to the pipelines, with the seconds since the start.
async fn story(table: JobTable, address: SocketAddr, stop: CancellationToken, begin: Begin) {
    let reporter = Reporter {
        began: Instant::now(),
        address,
    };
    for pipeline in HEALTHY {
        tokio::spawn(demo::keep_running(table.clone(), pipeline.to_owned(), stop.clone()));
    }
    for (pipeline, silence) in LOST {
        tokio::spawn(demo::keep_lost(
            table.clone(),
            pipeline.to_owned(),
            silence,
            stop.clone(),
        ));
    }
    reporter.report(&format!("{} and {} run and beat.", HEALTHY[0], HEALTHY[1]));
    begin.wait().await;
    loop {
        if let Err(error) = reporter.crash_and_recover(&table).await {
            reporter.report(&format!("the job table can't be written: {error}"));
            stop.cancel();
            return;
        }
        if matches!(begin, Begin::AtOnce) {
            stop.cancel();
            return;
        }
        reporter.report("(the same again in 20 s; look at the status page meanwhile)");
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
}

/// Reports what happens, and reads it from where a user would.
struct Reporter {
    began: Instant,
    address: SocketAddr,
}

impl Reporter {
    fn report(&self, text: &str) {
        outln!("[{:>5.1}s] {text}", self.began.elapsed().as_secs_f64());
    }

    async fn crash_and_recover(&self, table: &JobTable) -> Result<(), demo::Error> {
        let dead = table.start(ORDERS).await?;
        self.report(&format!(
            "{ORDERS} (job {dead}) is marked RUNNING and dies before its first heartbeat."
        ));
        let (mut seen, mut repaired) = (false, false);
        loop {
            let ran = demo::run_once(table, ORDERS, Duration::from_secs(2)).await?;
            if ran == Ran::Blocked {
                self.report(&format!("{ORDERS} is BLOCKED: a run of it is already RUNNING."));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if !seen && let Some(line) = self.seen(dead).await {
                self.report(&format!("SEEN by Beatwarden: job {dead}, {line}."));
                seen = true;
            }
            if !repaired && let Some((action, id)) = table.repair_of(dead).await? {
                self.report(&format!(
                    "REPAIRED by Beatwarden: job {dead}, action {action}, ledger entry {id}."
                ));
                repaired = true;
            }
            if ran == Ran::Succeeded {
                self.report(&format!("{ORDERS} RAN AGAIN and ended in SUCCESS."));
                return Ok(());
            }
        }
    }

    /// What the status API says of a job, once it knows it.
    async fn seen(&self, job: i64) -> Option<String> {
        let address = self.address;
        let answer =
            tokio::task::spawn_blocking(move || local_http::get(address, "/api/v1/status", local_http::STATUS));
        let status: serde_json::Value = serde_json::from_str(&answer.await.ok()?.ok()?.body).ok()?;
        let jobs = status["watches"][0]["jobs"].as_array()?;
        let id = job.to_string();
        let line = jobs.iter().find(|line| line["id"].as_str() == Some(&id))?;
        Some(format!(
            "phase {}, no heartbeat for {:.1} s, next action {} at {}",
            line["phase"].as_str()?,
            line["age_seconds"].as_f64()?,
            line["next_action"].as_str()?,
            line["due_at"].as_str()?.get(11..19)?,
        ))
    }
}

/// A folder of our own that goes with us.
struct Folder(std::path::PathBuf);

impl Folder {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("beatwarden-demo-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: what remains is a few kilobytes in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
