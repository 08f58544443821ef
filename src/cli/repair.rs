//! `beatwarden repair`: watches for one deadline, shows what is due, and repairs it after a yes. One shot, by hand.

use super::{
    ledger::{confirmed, one_watch},
    one_job, output,
    progress::Progress,
};
use crate::{
    app::{self, AppError},
    config::{self, Loaded},
    domain::{
        Action, Attempted, ByHand, Cause, Incident, Job, JobId, JobView, Outcome, Phase, Plan, Policy, Repairing,
    },
    present::{json as shapes, safe, time::span_short as span},
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Arguments of `repair`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct RepairArgs {
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Show what is due, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Repair this job only, although a restart of the database, its start, an undo, the fuse or its age speak against it
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Look twice, 5 s apart, instead of watching for a whole deadline
    #[arg(long)]
    now: bool,
    /// What to do [default: as configured; needed where that is observe]
    #[arg(long, value_name = "ACTION")]
    action: Option<ByAction>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What can be done to a job.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ByAction {
    /// Set a missing heartbeat to the start
    Backfill,
    /// End the job with a failure
    Fail,
}

/// Between the two passes of `--now`.
const TWO_LOOKS: Duration = Duration::from_secs(5);
/// A job that could not be repaired because another session held it is tried so often.
const TRIES: u32 = 3;

/// Exit code 0 if nothing failed.
pub async fn run(loaded: &Loaded, args: &RepairArgs) -> Result<ExitCode, AppError> {
    let mut watch = one_watch(loaded)?.clone();
    match args.action {
        Some(ByAction::Backfill) if watch.mapping.max_runtime.is_some() => {
            return Err(AppError::Usage(format!(
                "watch `{}` maps no heartbeat that a backfill could set: take --action fail",
                watch.name
            )));
        }
        Some(ByAction::Backfill) => watch.set_action(Action::Backfill),
        Some(ByAction::Fail) => watch.set_action(Action::Fail),
        None => {}
    }
    if watch.action() == Action::Observe {
        let actions = match watch.mapping.max_runtime {
            None => "--action backfill or --action fail",
            Some(_) => "--action fail",
        };
        return Err(AppError::Usage(format!(
            "watch `{}` only observes (watch.repair.{}): say what to do with {actions}",
            watch.name,
            watch.action_key()
        )));
    }
    if let Some(own) = watch.preset.as_deref().and_then(config::own_way)
        && watch.action() == Action::Fail
    {
        return Err(AppError::Usage(format!(
            "action fail is refused for watch `{}`: {}; `beatwarden explain JOB` prints the system's own command",
            watch.name, own.why
        )));
    }
    let has_end_state = watch.mapping.ending.call.is_some() || watch.mapping.end_state().is_some();
    if watch.action() == Action::Fail && !has_end_state {
        return Err(AppError::Usage(format!(
            "action fail needs the state to write: name one in watch.table.failure of watch `{}`",
            watch.name
        )));
    }
    let watch_for = if args.now { TWO_LOOKS } else { watch.init_deadline };
    let by_hand = ByHand {
        job: args.job.as_deref().map(JobId::new),
        watch_for,
    };
    let interval = if args.now { TWO_LOOKS } else { watch.poll_interval };
    let (watching, policy) = app::manual_watch(&watch, by_hand, interval)?;
    let mut session = Session {
        watch: &watch,
        examined: None,
        watching,
        policy,
        interval,
        watch_for,
        args,
    };
    session.run().await
}

struct Session<'a> {
    watch: &'a config::WatchConfig,
    /// The one job that is asked for: its row, and what the ledger has of it.
    examined: Option<app::Examination>,
    watching: app::ManualWatch,
    policy: Policy,
    interval: Duration,
    watch_for: Duration,
    args: &'a RepairArgs,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<ExitCode, AppError> {
        let Some(plan) = self.watch().await else {
            return Ok(ExitCode::FAILURE);
        };
        if let Some(key) = &self.args.job {
            self.examined = Some(app::examine(self.watch, &JobId::new(key.as_str())).await?);
        }
        let why_not = self.why_not(&plan);
        let shown: BTreeSet<Incident> = plan.repairs.iter().map(crate::domain::Repair::incident).collect();
        let withheld: Vec<&JobView> = plan.jobs.iter().filter(|view| self.is_withheld(view)).collect();
        if !self.args.json && why_not.is_none() {
            self.show(&plan, &withheld);
        }
        let mut outcomes = BTreeMap::new();
        let mut unanswered = false;
        if !shown.is_empty() && !self.args.dry_run {
            let answer = if self.args.yes {
                Some(true)
            } else {
                self.ask(shown.len()).await
            };
            match answer {
                Some(true) => outcomes = self.repair(&shown).await?,
                Some(false) => output::complain("nothing was changed"),
                None => {
                    unanswered = true;
                    output::complain("nothing was changed: no one answered; --yes repairs without asking");
                }
            }
        }
        if self.args.json {
            let mut answer = self.json(&plan, &withheld, &outcomes);
            answer["message"] = json!(why_not);
            output::json(&answer);
        } else {
            outcomes.values().for_each(report);
        }
        if let Some(why) = &why_not {
            output::complain(why);
        }
        let failed = outcomes
            .values()
            .any(|attempted| matches!(attempted.outcome, Outcome::Failed(_) | Outcome::Unknown(_)));
        // Who asks for one job wants that one repaired.
        let undone = self.args.job.is_some() && outcomes.values().any(|attempted| !is_done(&attempted.outcome));
        Ok(if failed || unanswered || undone || why_not.is_some() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    /// Why the one job that is asked for is not due.
    fn why_not(&self, plan: &Plan) -> Option<String> {
        let examined = self.examined.as_ref().filter(|_| plan.repairs.is_empty())?;
        let id = JobId::new(self.args.job.as_deref()?);
        let view = plan.jobs.iter().find(|view| view.id == id);
        Some(one_job::why_not(&id, examined, view))
    }

    /// An overdue job that this command could have repaired, and doesn't.
    fn is_withheld(&self, view: &JobView) -> bool {
        view.phase.is_overdue() && view.cause.is_some() && !self.policy.excludes(&view.id)
    }

    /// Whether watching on can make a job due.
    fn may_become_due(&self, plan: &Plan) -> bool {
        plan.jobs.iter().any(|view| {
            let is_watched = view.phase.is_overdue() && matches!(view.cause, None | Some(Cause::Watching));
            // A job that may run for hours is not waited for.
            let waits = is_watched || view.phase == Phase::Starting;
            waits && !self.policy.excludes(&view.id)
        })
    }

    /// Looks until a whole deadline was watched; the last plan, or nothing if the table can't be read.
    async fn watch(&mut self) -> Option<Plan> {
        // Counted from the end of the first pass, as watching itself is.
        let mut began = None;
        let mut bar = Progress::new(self.watch_for);
        let mut failures = 0;
        loop {
            match self.watching.look().await {
                Ok((observation, plan)) => {
                    failures = 0;
                    let watched = began.get_or_insert_with(Instant::now).elapsed();
                    let overdue = plan.jobs.iter().filter(|view| view.phase.is_overdue()).count();
                    bar.show(watched, overdue);
                    if watched >= self.watch_for || !self.may_become_due(&plan) {
                        bar.end();
                        return Some(plan);
                    }
                    // Nothing is done yet; the watch has to know all the same that this pass is over.
                    self.watching.carry_out(observation, without_work(plan)).await;
                }
                Err((_, error)) => {
                    failures += 1;
                    bar.end();
                    output::complain(&format!("the table could not be read: {error}"));
                    if failures == TRIES {
                        return None;
                    }
                }
            }
            let watched = began.map_or(Duration::ZERO, |began: Instant| began.elapsed());
            // The last pass comes when the deadline is over, and not an interval later.
            let left = self.watch_for.saturating_sub(watched).max(Duration::from_millis(50));
            tokio::time::sleep(self.interval.min(left)).await;
        }
    }

    /// Asks, and keeps looking meanwhile: what is repaired was watched without a gap.
    async fn ask(&mut self, due: usize) -> Option<bool> {
        let jobs = format!("{due} {}", self.policy.noun.of(due as u64));
        let undone = self
            .undone_before()
            .map(|undone| format!(", although {undone}"))
            .unwrap_or_default();
        let question = format!("{} {jobs}{undone}? [y/N] ", capitalised(self.policy.action.as_str()));
        let mut answer = tokio::task::spawn_blocking(move || confirmed(&question));
        loop {
            tokio::select! {
                answer = &mut answer => return answer.unwrap_or(None),
                () = tokio::time::sleep(self.interval) => {
                    if let Ok((observation, plan)) = self.watching.look().await {
                        self.watching.carry_out(observation, without_work(plan)).await;
                    }
                }
            }
        }
    }

    /// Repairs what was shown and is still due, pass by pass.
    async fn repair(&mut self, shown: &BTreeSet<Incident>) -> Result<BTreeMap<Incident, Attempted>, AppError> {
        let mut outcomes: BTreeMap<Incident, Attempted> = BTreeMap::new();
        for tries in 0..TRIES {
            if tries > 0 {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            let (observation, mut plan) = self
                .watching
                .look()
                .await
                .map_err(|(_, error)| AppError::Failed(format!("the table could not be read: {error}")))?;
            let is_open = |incident: &Incident| {
                outcomes.get(incident).is_none_or(|attempted| {
                    matches!(
                        attempted.outcome,
                        Outcome::Locked | Outcome::NotLeader | Outcome::Unknown(_) | Outcome::Postponed
                    )
                })
            };
            plan.repairs
                .retain(|repair| shown.contains(&repair.incident()) && is_open(&repair.incident()));
            if plan.repairs.is_empty() && plan.unresolved.is_none() {
                break;
            }
            let pass = self.watching.carry_out(observation, plan).await;
            for attempted in &pass.report.attempts {
                outcomes.insert(attempted.repair.incident(), attempted.clone());
            }
        }
        Ok(outcomes)
    }

    /// Who took a repair of the one job back that is asked for, and when.
    fn undone_before(&self) -> Option<String> {
        let examined = self.examined.as_ref()?;
        one_job::undone(examined, examined.row.as_ref()?.started_at.at())
    }

    fn show(&self, plan: &Plan, withheld: &[&JobView]) {
        if plan.repairs.is_empty() {
            outln!("nothing is due");
        } else {
            outln!("due, action {}:", self.policy.action.as_str());
            let is_fail = self.policy.action == Action::Fail;
            if let Some(words) = app::fail_in_words(self.watch).filter(|_| is_fail) {
                outln!("  ({})", safe::cut(&words, 1_000));
            }
        }
        for repair in &plan.repairs {
            let start = repair
                .job
                .started_at
                .at()
                .map(|at| format!("started {} ago", span(at.age_at(plan.at))));
            outln!(
                "  {}  {}  {}, {}{}",
                safe::cut(&repair.job.id.text(), 36),
                safe::cut(repair.job.name.as_deref().unwrap_or("-"), 40),
                start.as_deref().unwrap_or("without a start"),
                one_job::heartbeat(&repair.job, &self.policy),
                self.undone_before()
                    .map(|undone| format!("; {undone}"))
                    .unwrap_or_default()
            );
        }
        for view in withheld {
            outln!(
                "  {}  {}  withheld: {} (`beatwarden explain {}` says why)",
                safe::cut(&view.id.text(), 36),
                safe::cut(view.name.as_deref().unwrap_or("-"), 40),
                view.cause.map_or("", Cause::as_str),
                safe::cut(&view.id.text(), 36)
            );
        }
    }

    fn json(&self, plan: &Plan, withheld: &[&JobView], outcomes: &BTreeMap<Incident, Attempted>) -> Value {
        let job = |job: &Job| shapes::named_job(&job.id, job.name.as_deref(), job.started_at.at());
        let due: Vec<Value> = plan.repairs.iter().map(|repair| job(&repair.job)).collect();
        let withheld: Vec<Value> = withheld
            .iter()
            .map(|view| {
                let job = shapes::named_job(&view.id, view.name.as_deref(), view.started_at);
                json!({ "job": job, "cause": view.cause.map(Cause::as_str) })
            })
            .collect();
        let repairs: Vec<Value> = outcomes
            .values()
            .map(|attempted| {
                let (outcome, detail) = words(&attempted.outcome);
                let id = match attempted.outcome {
                    Outcome::Repaired(id) => Some(id.to_string()),
                    _ => None,
                };
                json!({ "job": job(&attempted.repair.job), "outcome": outcome, "repair_id": id, "message": detail })
            })
            .collect();
        json!({
            "watch": self.policy.watch,
            "action": self.policy.action.as_str(),
            "dry_run": self.args.dry_run,
            "due": due,
            "withheld": withheld,
            "repairs": repairs,
        })
    }
}

/// A plan that is only shown.
fn without_work(mut plan: Plan) -> Plan {
    plan.repairs.clear();
    plan.findings.clear();
    plan
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Repaired(_) | Outcome::Already)
}

/// Reports what became of one repair.
fn report(attempted: &Attempted) {
    let (outcome, detail) = words(&attempted.outcome);
    let action = match attempted.repair.action {
        Repairing::Fail => "failed",
        Repairing::Backfill => "backfilled",
    };
    let job = safe::cut(&attempted.repair.job.id.text(), 36);
    match attempted.outcome {
        Outcome::Repaired(id) => outln!("job {job}: {action}, ledger entry {}", id),
        _ => outln!("job {job}: {outcome}: {detail}"),
    }
}

fn words(outcome: &Outcome) -> (&'static str, String) {
    let detail = |text: &str| text.to_owned();
    match outcome {
        Outcome::Repaired(_) => ("repaired", String::new()),
        Outcome::Already => ("repaired", detail("the ledger knows this repair already")),
        Outcome::NotLeader => (
            "not_leader",
            detail("another process is repairing this table; try again"),
        ),
        Outcome::Locked => ("locked", detail("another session holds the row; nothing was changed")),
        Outcome::LostRace => ("lost_race", detail("the row changed meanwhile; nothing was changed")),
        Outcome::Shutdown => ("shutdown", String::new()),
        Outcome::Postponed => ("limit", detail("there was no time left; try again")),
        Outcome::NoLedger(error) => ("no_ledger", error.clone()),
        Outcome::Failed(error) => ("failed", error.clone()),
        Outcome::Unknown(error) => (
            "unknown",
            format!("{error}; `beatwarden history` shows whether it was done"),
        ),
    }
}
