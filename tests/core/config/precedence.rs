//! Which source wins, what overlays reach, what a watch is called, and that no secret is shown.

use super::support::{Given, JOBS, MELTANO, by_flags};
use beatwarden::config::{DatabaseSource, DatabaseUrl, LogFormat, LogLevel, Secret};
use beatwarden::domain::{Action, Argument, Assigned, DiscoverySetting, Literal, TimeFormat};
use beatwarden::mapping::{ErrorText, Identifier};
use std::{fs, path::PathBuf, time::Duration};

const DEADLINE: &str = "watch.meltano.init_deadline";

fn shown(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

#[test]
fn flags_win_over_environment_over_file_over_preset_over_defaults() {
    let variable = "BEATWARDEN__WATCH__MELTANO__INIT_DEADLINE";
    let file = format!("{MELTANO}init_deadline = \"61s\"\n");

    assert_eq!(by_flags().shown(DEADLINE), shown("\"60s\"", "default"));
    assert_eq!(
        by_flags().shown("watch.meltano.repair.missed_first"),
        shown("\"backfill\"", "preset meltano")
    );
    assert_eq!(Given::toml(&file).shown(DEADLINE), shown("\"61s\"", "beatwarden.toml"));
    let overlaid = || Given::toml(&file).variable(variable, "62s");
    assert_eq!(
        overlaid().shown(DEADLINE),
        shown("\"62s\"", &format!("environment {variable}"))
    );
    let flagged = overlaid().flag("init_deadline", "63s");
    assert_eq!(flagged.shown(DEADLINE), shown("\"63s\"", "--init-deadline"));
    assert_eq!(flagged.good().config.watches[0].init_deadline, Duration::from_secs(63));
}

#[test]
fn a_file_wins_over_the_preset_key_by_key() {
    let file = format!("{MELTANO}[watch.table]\nsuccess = [\"OK\"]\nerror = {{ json_key = \"fault\" }}\n");
    let watch = &Given::toml(&file).good().config.watches[0];
    assert_eq!(watch.mapping.states.success, ["OK"]);
    assert_eq!(watch.mapping.states.running, ["RUNNING"]);
    let error = ErrorText {
        column: Identifier::new("payload").unwrap(),
        key: "fault".to_owned(),
    };
    assert_eq!(watch.mapping.error, Some(error));
}

#[test]
fn what_fail_writes_is_read_as_it_is_meant() {
    let set = r#"{ "stoppedAt" = "{now}", a = "{null}", b = "{error}", c = "{+1}", d = "{}", e = "{a,b}", f = 1.50, g = -3, h = true, i = "it's" }"#;
    let file = format!("{MELTANO}repair.fail = {{ state = \"IDLE\", set = {set} }}\n");
    let given = Given::toml(&file);
    let fail = given.good().config.watches.remove(0).mapping.ending;
    assert_eq!(fail.state.as_deref(), Some("IDLE"));
    let value = |column: &str| {
        let found = fail.set.iter().find(|(name, _)| name.as_str() == column);
        found
            .map(|(_, value)| value.clone())
            .expect("the column keeps its case")
    };
    let number = |digits: &str| Assigned::Literal(Literal::Number(digits.to_owned()));
    let text = |text: &str| Assigned::Literal(Literal::Text(text.to_owned()));
    for (column, wanted) in [
        ("stoppedAt", Assigned::Now),
        ("a", Assigned::Null),
        ("b", Assigned::Error),
        ("c", Assigned::OneMore),
        ("d", text("{}")),
        ("e", text("{a,b}")),
        ("f", number("1.5")),
        ("g", number("-3")),
        ("h", Assigned::Literal(Literal::Truth(true))),
        ("i", text("it's")),
    ] {
        assert_eq!(value(column), wanted, "{column}");
    }
    let (shown, _) = given.shown("watch.meltano.repair.fail.set");
    assert!(
        shown.starts_with("{ a = \"{null}\", b = ") && shown.contains("stoppedAt = \"{now}\""),
        "{shown}"
    );
}

#[test]
fn a_function_is_read_with_what_it_is_given() {
    let postgres = MELTANO.replace("meltano.db", "postgres://u@h/d");
    let call = r#"{ function = "a.finish", args = ["{id}", "{error}", "{now}", "{x}", 1, false] }"#;
    let given = Given::toml(&format!(
        "{postgres}repair.missed_first = \"fail\"\nrepair.fail.call = {call}\ntable.failure = []\n"
    ));
    let ending = given.good().config.watches.remove(0).mapping.ending;
    let call = ending.call.expect("a function");
    assert_eq!(call.function.plain(), "a.finish");
    let value = Argument::Literal;
    assert_eq!(
        call.args,
        [
            Argument::Id,
            Argument::Error,
            Argument::Now,
            value(Literal::Text("{x}".to_owned())),
            value(Literal::Number("1".to_owned())),
            value(Literal::Truth(false)),
        ]
    );
}

#[test]
fn a_requeue_may_set_what_an_end_writes_itself() {
    let set = r#"{ ended_at = "{null}", payload = "{null}", started_at = "{null}", last_heartbeat_at = "{null}" }"#;
    Given::toml(&format!("{MELTANO}repair.fail = {{ state = \"IDLE\", set = {set} }}\n")).good();
}

#[test]
fn fail_needs_no_failure_states_where_it_has_a_state_of_its_own() {
    let text =
        format!("{JOBS}waiting = [\"QUEUED\"]\n[watch.repair]\nmissed_first = \"fail\"\nfail.state = \"QUEUED\"\n");
    Given::toml(&text).good();
}

#[test]
fn an_empty_text_takes_out_what_the_preset_says() {
    let file = format!(
        "{MELTANO}writer_stale_after = \"\"\n[watch.table]\nended_at = \"\"\njob_name = \"\"\nerror = {{ column = \"\" }}\n"
    );
    let watch = &Given::toml(&file).good().config.watches[0];
    assert_eq!(
        (&watch.mapping.ended_at, &watch.mapping.job_name, &watch.mapping.error),
        (&None, &None, &None)
    );
    assert_eq!(watch.writer_stale_after, None);
    assert_eq!(
        watch.writer_stale_after_without_heartbeat,
        Some(Duration::from_secs(86_400))
    );
}

#[test]
fn the_preset_meltano_says_what_is_promised() {
    let loaded = by_flags().good();
    let watch = &loaded.config.watches[0];
    assert_eq!(watch.name, "meltano");
    assert!(watch.job_name_label && watch.mapping.born_running);
    assert_eq!(watch.repair.missed_first, Action::Backfill);
    assert_eq!(watch.writer_stale_after, Some(Duration::from_secs(300)));
    assert_eq!(watch.mapping.table.plain(), "runs");
    assert_eq!(watch.mapping.states.failure, ["FAIL", "DEAD"]);
    assert_eq!(
        (&*watch.mapping.states.waiting, &*watch.mapping.states.ignore),
        (&["IDLE".to_owned()][..], &["STATE_EDIT".to_owned()][..])
    );
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn a_table_without_a_preset_needs_six_keys_and_is_only_observed() {
    let loaded = Given::toml(JOBS).good();
    let watch = &loaded.config.watches[0];
    assert_eq!(watch.name, "jobs");
    assert_eq!(watch.preset, None);
    assert!(!watch.job_name_label && !watch.mapping.born_running);
    assert_eq!(watch.repair.missed_first, Action::Observe);
    assert_eq!(watch.discovery, DiscoverySetting::Auto);
    assert_eq!(watch.mapping.time_format, TimeFormat::Timestamp);
    assert!(watch.mapping.states.success.is_empty() && watch.mapping.states.failure.is_empty());
    assert_eq!(
        (&watch.mapping.ended_at, &watch.mapping.error, &watch.writer_stale_after),
        (&None, &None, &None)
    );
    assert_eq!(loaded.config.listen.to_string(), "127.0.0.1:12328");
    assert_eq!(
        (loaded.config.log_format, loaded.config.log_level),
        (LogFormat::Text, LogLevel::Info)
    );
}

#[test]
fn variables_alone_configure_one_watch() {
    let loaded = Given::nothing()
        .variable("BEATWARDEN__DATABASE", "/var/lib/meltano.db")
        .variable("BEATWARDEN__PRESET", "meltano")
        .variable("BEATWARDEN__MISSED_FIRST", "fail")
        .variable("BEATWARDEN__LISTEN", "0.0.0.0:9000")
        .variable("BEATWARDEN__LOG_FORMAT", "json")
        .variable("BEATWARDEN__WATCH__MELTANO__TABLE__RUNNING", "RUNNING, RESUMED")
        .variable("BEATWARDEN__WATCH__MELTANO__REPAIR__FUSE_SHARE", "0.25")
        .variable("BEATWARDEN__WATCH__MELTANO__JOB_NAME_LABEL", "false")
        .good();
    let watch = &loaded.config.watches[0];
    assert_eq!(watch.repair.missed_first, Action::Fail);
    assert_eq!(watch.mapping.states.running, ["RUNNING", "RESUMED"]);
    assert_eq!((watch.repair.fuse_share, watch.job_name_label), (0.25, false));
    assert_eq!(loaded.config.listen.port(), 9000);
    assert_eq!(loaded.config.log_format, LogFormat::Json);
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let watch = Given::toml(MELTANO)
        .variable("BEATWARDEN__WATCH__MELTANO__TABLE__SUCCESS", "1e5,007")
        .variable("BEATWARDEN__WATCH__MELTANO__TABLE__STATE", "007")
        .good();
    assert_eq!(watch.config.watches[0].mapping.states.success, ["1e5", "007"]);
    assert_eq!(watch.config.watches[0].mapping.state.as_str(), "007");
}

#[test]
fn an_overlay_reaches_the_watch_of_its_name_and_no_other() {
    let file = format!("{MELTANO}name = \"a\"\n{MELTANO}name = \"a__b.c\"\n");
    let loaded = Given::toml(&file)
        .variable("BEATWARDEN__WATCH__A__B_C__POLL_INTERVAL", "1s")
        .variable("BEATWARDEN__WATCH__A__POLL_INTERVAL", "2s")
        .good();
    let intervals: Vec<_> = loaded
        .config
        .watches
        .iter()
        .map(|watch| watch.poll_interval.as_secs())
        .collect();
    assert_eq!(intervals, [2, 1]);
}

#[test]
fn variables_of_an_orchestrator_are_none_of_our_business() {
    let given = by_flags()
        .variable("BEATWARDEN_PORT", "tcp://10.0.0.1:1")
        .variable("BEATWARDEN_SERVICE_HOST", "x");
    assert_eq!(given.good().config, by_flags().good().config);
}

#[test]
fn a_stronger_database_file_takes_the_place_of_a_weaker_url() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    fs::write(&url, "other.db\n").unwrap();
    let given = Given::toml(MELTANO).variable("BEATWARDEN__WATCH__MELTANO__DATABASE_FILE", url.to_str().unwrap());
    assert_eq!(
        given.good().config.watches[0].database,
        DatabaseSource::File(url.clone())
    );
    let given = given.flag("database", "third.db");
    assert_eq!(
        given.good().config.watches[0].database,
        DatabaseSource::Url(Secret::new("third.db"))
    );
}

#[test]
fn a_database_file_is_read_again_at_every_connect() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    let source = DatabaseSource::File(url.clone());
    for path in ["one.db", "two.db"] {
        fs::write(&url, format!("{path}\n")).unwrap();
        assert_eq!(source.resolve().unwrap(), DatabaseUrl::Sqlite(PathBuf::from(path)));
    }
    fs::write(&url, "").unwrap();
    let message = source.resolve().unwrap_err().to_string();
    assert!(message.contains("the database URL is empty"), "{message}");
}

/// The names were read by the rules of the one kind: in a file a schema means nothing, and on a server another table.
#[test]
fn a_database_file_that_names_another_kind_by_now_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    fs::write(&url, "jobs.db").unwrap();
    let given = Given::toml(MELTANO)
        .variable("BEATWARDEN__WATCH__MELTANO__DATABASE_FILE", url.to_str().unwrap())
        .variable("BEATWARDEN__WATCH__MELTANO__TABLE__NAME", "app.runs");
    let watch = given.good().config.watches.remove(0);
    assert!(beatwarden::app::store_of(&watch).is_ok());
    fs::write(&url, "postgres://u@h/d").unwrap();
    let Err(error) = beatwarden::app::store_of(&watch) else {
        panic!("a server is watched by the names of a file");
    };
    assert!(format!("{error:?}").contains("another kind of database"), "{error:?}");
}

#[test]
fn yaml_says_the_same_as_toml() {
    let yaml = "listen: 127.0.0.1:1\nwatch:\n  - preset: meltano\n    database: m.db\n    poll_interval: 2s\n    table:\n      ended_at: ~\n      success: [OK]\n    repair: { max_per_pass: 7 }\n";
    let toml = "listen = \"127.0.0.1:1\"\n[[watch]]\npreset = \"meltano\"\ndatabase = \"m.db\"\npoll_interval = \"2s\"\ntable = { ended_at = \"\", success = [\"OK\"] }\nrepair = { max_per_pass = 7 }\n";
    let from_yaml = Given::file("beatwarden.yml", yaml).good().config;
    assert_eq!(from_yaml, Given::toml(toml).good().config);
    assert_eq!(from_yaml.watches[0].repair.max_per_pass, 7);
}

#[test]
fn the_first_usual_place_with_a_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, first, second) = (
        folder.path().join("0"),
        folder.path().join("1"),
        folder.path().join("2"),
    );
    fs::write(&first, MELTANO).unwrap();
    fs::write(&second, "broken").unwrap();
    let given = Given::nothing().sources(|sources| sources.search = vec![absent, first.clone(), second]);
    assert_eq!(given.good().file, Some(first));
}

#[test]
fn a_file_without_watches_leaves_the_watch_to_flags_and_variables() {
    let given = Given::toml("log_level = \"debug\"")
        .variable("BEATWARDEN__DATABASE", "m.db")
        .flag("preset", "meltano");
    let config = given.good().config;
    assert_eq!((config.log_level, config.watches.len()), (LogLevel::Debug, 1));
}

#[test]
fn one_watch_of_several_can_be_asked_for() {
    let given = Given::toml(&format!("{MELTANO}{JOBS}"));
    assert_eq!(given.good().config.watches.len(), 2);
    let given = given.flag("watch", "jobs");
    let names: Vec<_> = given
        .good()
        .config
        .watches
        .into_iter()
        .map(|watch| watch.name)
        .collect();
    assert_eq!(names, ["jobs"]);
}

#[test]
fn a_hostile_name_is_escaped_and_bounded() {
    let name = |text: &str| {
        Given::toml(&format!("{MELTANO}name = \"{text}\""))
            .load()
            .map(|loaded| loaded.config.watches[0].name.clone())
    };
    assert_eq!(name("a\\u001b[31m\\n\\u202eb").unwrap(), "a\\u{1b}[31m\\u{a}\\u{202e}b");
    assert_eq!(name("Ünïcode <b>").unwrap(), "Ünïcode <b>");
    assert!(name(&"ü".repeat(64)).is_ok());
    assert!(name(&"ü".repeat(65)).is_err());
    assert!(name(&"\\u001b".repeat(20)).is_err(), "the escaped form is what counts");
}

#[test]
fn no_secret_is_shown_anywhere() {
    let url = "postgresql://beatwarden:hunter2@db/meltano?sslmode=require&options=-chunter2";
    let file = format!("[[watch]]\npreset = \"meltano\"\ndatabase = \"{url}\"\n");
    for given in [
        Given::toml(&file),
        Given::nothing()
            .variable("BEATWARDEN__DATABASE", url)
            .variable("BEATWARDEN__PRESET", "meltano"),
        by_flags().flag("database", url),
        by_flags().flag("database", "host=db user=u password='hunter2' dbname=m"),
    ] {
        let loaded = given.good();
        let resolved = loaded.config.watches[0].database.resolve().unwrap();
        let all = format!("{loaded:?} {loaded:#?} {resolved:?} {}", resolved.redacted());
        assert!(!all.contains("hunter2"), "{all}");
    }
    let (value, _) = Given::toml(&file).shown("watch.meltano.database");
    assert_eq!(
        value,
        "\"postgresql://beatwarden:***@db/meltano?sslmode=require&options=***\""
    );
}

#[test]
fn a_database_is_shown_as_a_file_would_have_it() {
    let file = |database: &str| format!("[[watch]]\npreset = \"meltano\"\ndatabase = {database}\n");
    let (shown, _) = Given::toml(&file("\"jobs\u{feff}.db\"")).shown("watch.meltano.database");
    assert_eq!(shown, "\"sqlite:///jobs\\U0000FEFF.db\"");
    assert_eq!(Given::toml(&file(&shown)).shown("watch.meltano.database").0, shown);
}

#[test]
fn a_password_on_the_command_line_works_with_a_warning() {
    let with = |url: &str| by_flags().flag("database", url).good().warnings;
    assert_eq!(
        with("postgres://u:hunter2@db/m"),
        [
            "the password in --database can be read by every user of this host; use --database-file, or BEATWARDEN__DATABASE"
        ]
    );
    assert_eq!(with("host=db password=hunter2").len(), 1);
    assert_eq!(with("postgres://u@db/m"), Vec::<String>::new());
}

#[test]
fn authorities_that_nothing_is_verified_by_are_warned_about() {
    let warnings = |settings: &str| {
        let url = format!("postgres://db/m?{settings}");
        by_flags().flag("database", url).good().warnings
    };
    for settings in ["sslrootcert=ca.pem", "sslrootcert=ca.pem&sslmode=disable"] {
        let warnings = warnings(settings);
        assert!(
            warnings.len() == 1 && warnings[0].contains("say sslmode=verify-full"),
            "{warnings:?}"
        );
    }
    for settings in [
        "",
        "sslmode=prefer",
        "sslrootcert=ca.pem&sslmode=require",
        "sslrootcert=system",
    ] {
        assert_eq!(warnings(settings), Vec::<String>::new(), "{settings}");
    }
}

#[test]
fn what_is_allowed_but_unlikely_to_be_meant_is_warned_about() {
    let file =
        format!("{MELTANO}heartbeat_timeout = \"6s\"\n[watch.repair]\nmissed_first = \"fail\"\nfuse_share = 1\n");
    assert_eq!(
        Given::toml(&file).good().warnings,
        [
            "watch.meltano.heartbeat_timeout (6s) is less than two poll intervals of 5s: living jobs may look lost between two passes",
            "watch.meltano.repair.fuse_share is 1: however many jobs fail at once, the fuse stays closed",
        ]
    );
}

#[test]
fn both_ends_of_a_range_are_allowed() {
    for line in [
        "poll_interval = \"100ms\"",
        "poll_interval = \"1h\"\ninit_deadline = \"2h\"",
        "poll_interval = \"100ms\"\ninit_deadline = \"200ms\"",
        "seed_tolerance = \"0s\"",
        "poll_interval = \"5s\"\ninit_deadline = \"10s\"",
        "seed_tolerance = \"60s\"\ninit_deadline = \"61s\"",
    ] {
        Given::toml(&format!("{MELTANO}{line}\n")).good();
    }
    for line in [
        "poll_interval = \"99ms\"",
        "poll_interval = \"3601s\"\ninit_deadline = \"3h\"",
        "init_deadline = \"9999ms\"",
    ] {
        Given::toml(&format!("{MELTANO}{line}\n")).load().unwrap_err();
    }
}

#[test]
fn what_is_shown_can_be_pasted_into_a_file() {
    let odd = r#"[[watch]]
name = "odd"
database = "sqlite:///jobs.db"
[watch.table]
name = "jobs"
id = "id"
state = "state"
running = ["a \"quoted\" one", "back\\slash", "\u202Eturned\n", "a", "b", "c", "d", "e", "f", "g"]
failure = ["FAILED"]
only = { "a column" = "null", kind = ["import", 7, true] }
started_at = "started_at"
last_heartbeat_at = { table = "beats", key = "job", column = "at", match_prefix = "job:", where = { "Kind of" = ["x"] } }
[watch.repair.fail]
set = { reason = "{error}", attempts = "{+1}", "Why so" = "none" }
"#;
    let preset = |name| {
        Given::nothing()
            .flag("database", "sqlite:///jobs.db")
            .flag("preset", name)
    };
    let mut given: Vec<Given> = ["meltano", "optuna", "prefect", "dbos", "airflow-job"]
        .map(preset)
        .into();
    given.push(Given::toml(odd));
    for given in given {
        let loaded = given.good();
        let watch = &loaded.config.watches[0];
        let prefix = format!("watch.{}.", watch.name);
        let lines = loaded.provenance.iter().filter_map(|line| {
            let key = line.key.strip_prefix(&prefix)?;
            Some(format!("{key} = {}\n", line.value))
        });
        let pasted = Given::toml(&format!("[[watch]]\n{}", lines.collect::<String>())).good();
        assert_eq!(&pasted.config.watches[0], watch, "{}", watch.name);
    }
}

#[test]
fn a_variable_holds_a_table_as_toml_writes_it() {
    let variable = "BEATWARDEN__WATCH__JOBS__TABLE__LAST_HEARTBEAT_AT";
    let said = |text: &str| Given::toml(JOBS).variable(variable, text);
    let loaded = said(r#"{ table = "beats", key = "job_id", column = "at", where = { kind = ["beat"] } }"#).good();
    let time = loaded.config.watches[0].mapping.last_heartbeat_at.clone().unwrap();
    let elsewhere = time.elsewhere.unwrap();
    assert_eq!(
        (
            time.column.as_str(),
            elsewhere.table.name.as_str(),
            elsewhere.key.as_str()
        ),
        ("at", "beats", "job_id")
    );
    assert_eq!(
        said("at").good().config.watches[0]
            .mapping
            .last_heartbeat_at
            .as_ref()
            .unwrap()
            .column
            .as_str(),
        "at"
    );
    let only = "BEATWARDEN__WATCH__JOBS__TABLE__ONLY";
    let loaded = Given::toml(JOBS).variable(only, r#"{ deleted_at = "null" }"#).good();
    assert_eq!(loaded.config.watches[0].mapping.only[0].column.as_str(), "deleted_at");

    let mistakes = said(r#"{ table = "beats", key = }"#).mistakes();
    assert!(
        mistakes.contains(variable)
            && mistakes.contains(r#"one value as TOML writes it, such as { table = "heartbeats""#),
        "{mistakes}"
    );
    let mistakes = said("{ table = \"beats\", key = \"job_id\" }\nmore = 1").mistakes();
    assert!(mistakes.contains("one value as TOML writes it"), "{mistakes}");
    let mistakes = said(r#"{ table = "beats", colum = "at", key = "job_id" }"#).mistakes();
    assert!(mistakes.contains("did you mean column?"), "{mistakes}");
}
