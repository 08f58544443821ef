//! The job systems that Beatwarden knows, compiled in from `config/presets`.
//!
//! Owns the list of presets, and which systems only end their jobs themselves; what a preset's keys mean is in `keys`.

/// One job system.
struct Preset {
    name: &'static str,
    /// What people call it.
    writer: &'static str,
    /// Written like a `[[watch]]` without name and database.
    text: &'static str,
    own_way: Option<OwnWay>,
}

/// How a system ends a dead job where an UPDATE of its row doesn't do it: `fail` is refused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnWay {
    /// Why a plain UPDATE is wrong.
    pub why: &'static str,
    /// What the system's own command does, as a sentence that the command ends.
    pub does: &'static str,
    /// The command; `{id}` stands for the job's key.
    pub command: &'static str,
}

/// A preset: its name, which is that of its file, what people call the system, and its own way, where it has one.
macro_rules! preset {
    ($name:literal, $writer:literal) => { preset!(@ $name, $writer, None) };
    ($name:literal, $writer:literal, $($own_way:tt)+) => { preset!(@ $name, $writer, Some(OwnWay { $($own_way)+ })) };
    (@ $name:literal, $writer:literal, $own_way:expr) => {
        Preset {
            name: $name,
            writer: $writer,
            text: include_str!(concat!("../../config/presets/", $name, ".toml")),
            own_way: $own_way,
        }
    };
}

const PRESETS: &[Preset] = &[
    preset!("meltano", "Meltano"),
    preset!("optuna", "Optuna"),
    preset!("mlflow", "MLflow"),
    preset!("dbos", "DBOS"),
    preset!("django-tasks", "django-tasks"),
    preset!("n8n", "n8n"),
    preset!("procrastinate", "Procrastinate"),
    preset!("airflow", "Airflow",
        why: "a task that is ended by an UPDATE gets neither its retries nor its callbacks",
        does: "Airflow ends or repeats a task whose heartbeat is too old (task_instance_heartbeat_timeout), or whose scheduler is gone, as \
               soon as a scheduler runs; start one by",
        command: "airflow scheduler",
    ),
    preset!("airflow-job", "Airflow",
        why: "a scheduler judges the rows of the others, and takes their tasks over",
        does: "Airflow fails the row of a dead scheduler as soon as another one runs, and leaves those of other processes; start one by",
        command: "airflow scheduler",
    ),
    preset!("prefect", "Prefect",
        why: "the state of a flow run has a row of its own, and an UPDATE splits the two",
        does: "Prefect ends it by",
        command: r#"curl -X POST "$PREFECT_API_URL/flow_runs/{id}/set_state" -H "Content-Type: application/json" -d '{"state": {"type": "CRASHED"}, "force": true}'"#,
    ),
    preset!("dagster", "Dagster",
        why: "the log of events is the truth, and an UPDATE of the row leaves no event",
        does: "Dagster ends it by",
        command: r#"python -c 'from dagster import DagsterInstance; it = DagsterInstance.get(); it.report_run_failed(it.get_run_by_id("{id}"))'"#,
    ),
    preset!("pgqueuer", "PgQueuer",
        why: "a worker takes a job over whose heartbeat is old, and one that is ended from outside leaves no entry in \
              pgqueuer_log",
        does: "PgQueuer takes the job over, and tries it again, as soon as a worker serves its entrypoint",
        command: "pgq run MODULE:FACTORY",
    ),
];

fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The names of all presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name)
}

/// How the system of a preset ends a dead job, where Beatwarden must not.
pub fn own_way(name: &str) -> Option<&'static OwnWay> {
    find(name)?.own_way.as_ref()
}

/// What people call the application that writes a table, by the preset in force.
pub fn writer_of(preset: Option<&str>) -> &'static str {
    preset.and_then(find).map_or("the application", |preset| preset.writer)
}

/// The text of a preset.
pub(super) fn text_of(name: &str) -> Option<&'static str> {
    find(name).map(|preset| preset.text)
}
