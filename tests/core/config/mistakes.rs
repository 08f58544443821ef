//! Every mistake with its exact words. The snapshot is the list to read: what was given, and what the user reads.

use super::support::{Given, JOBS, MELTANO, by_flags};

fn watch(lines: &str) -> Given {
    Given::toml(&format!("{MELTANO}{lines}\n"))
}

fn jobs(lines: &str) -> Given {
    Given::toml(&format!("{JOBS}{lines}\n"))
}

/// A watch without a heartbeat: lines of the watch, and lines of its table.
fn by_age(of_watch: &str, of_table: &str) -> Given {
    let without = JOBS.replace("last_heartbeat_at = \"beat_at\"\n", "");
    Given::toml(&format!(
        "{}{of_table}\n",
        without.replace("[watch.table]", &format!("{of_watch}\n[watch.table]"))
    ))
}

fn top(lines: &str) -> Given {
    Given::toml(&format!("{lines}\n{MELTANO}"))
}

fn variable(name: &str, text: &str) -> Given {
    Given::toml(MELTANO).variable(name, text)
}

fn two_watches() -> String {
    format!("{MELTANO}{JOBS}")
}

/// What is wrong in one file.
fn files() -> Vec<(&'static str, Given)> {
    vec![
        ("misspelled key at the top", top("lisen = \"127.0.0.1:1\"")),
        ("misspelled key of a watch", watch("pol_interval = \"5s\"")),
        (
            "misspelled key of the table",
            watch("[watch.table]\nlast_heartbeat = \"beat\""),
        ),
        ("misspelled key of the repair", watch("[watch.repair]\nmax_per_run = 3")),
        (
            "misspelled key of the error",
            watch("[watch.table]\nerror = { colum = \"payload\" }"),
        ),
        (
            "mistake in a watch that is named like a URL",
            watch("name = \"postgres://u:hunter2@db/meltano\"\npoll_interval = \"soon\""),
        ),
        ("key of a watch at the top", top("poll_interval = \"5s\"")),
        ("key of the program in a watch", watch("log_level = \"debug\"")),
        ("key of the repair in a watch", watch("missed_first = \"fail\"")),
        ("key that resembles none", watch("colour = \"green\"")),
        ("key with control characters", watch("\"a\\u001b[31m\\nb\" = 1")),
        ("section that is a text", watch("table = \"runs\"")),
        ("watch that is one table", Given::toml("[watch]\npreset = \"meltano\"")),
        ("watch that is a text", Given::toml("watch = \"meltano\"")),
        ("watch that holds a number", Given::toml("watch = [1]")),
        (
            "key of several columns",
            watch("[watch.table]\nid = [\"dag_id\", \"run_id\"]"),
        ),
        (
            "three names that can't be names",
            watch(
                "[watch.table]\nname = \"jobs.\"\nstate = \"a\\u001bb\"\njob_name = \"жжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжж\"\n[watch.repair]\nledger = \".x\"",
            ),
        ),
        (
            "name longer than PostgreSQL keeps it",
            Given::toml(&format!(
                "{}[watch.table]\nid = \"{}\"\nended_at = \"\"\n",
                MELTANO.replace("meltano.db", "postgres://u@h/d"),
                "ж".repeat(32)
            )),
        ),
        (
            "start that is the heartbeat too",
            watch("[watch.table]\nlast_heartbeat_at = \"started_at\""),
        ),
        ("duration without a unit", watch("poll_interval = \"5\"")),
        ("duration that is a number", watch("poll_interval = 5")),
        ("duration below its range", watch("poll_interval = \"0s\"")),
        ("duration above its range", watch("poll_interval = \"2h\"")),
        ("M that is a month", watch("init_deadline = \"1M\"")),
        ("seed tolerance above a minute", watch("seed_tolerance = \"61s\"")),
        (
            "deadline below two intervals",
            watch("poll_interval = \"10s\"\ninit_deadline = \"15s\""),
        ),
        (
            "age below the deadline",
            watch("max_age = \"30s\"\nheartbeat_timeout = \"20s\""),
        ),
        (
            "seed tolerance above the deadline",
            watch("poll_interval = \"1s\"\ninit_deadline = \"5s\"\nseed_tolerance = \"6s\""),
        ),
        ("objective of one", watch("init_objective = 1.0")),
        ("share above one", watch("[watch.repair]\nfuse_share = 1.5")),
        ("no repair at all", watch("[watch.repair]\nmax_per_pass = 0")),
        ("fraction of a repair", watch("[watch.repair]\nmax_per_pass = 2.5")),
        ("number as a text", watch("[watch.repair]\nmax_per_pass = \"100\"")),
        ("unknown action", watch("[watch.repair]\nmissed_first = \"backfil\"")),
        ("unknown discovery", watch("discovery = \"index\"")),
        ("switch that is a text", watch("job_name_label = \"yes\"")),
        ("list that is a text", watch("[watch.table]\nrunning = \"RUNNING\"")),
        ("empty list of running states", watch("[watch.table]\nrunning = []")),
        ("list of numbers", watch("[watch.table]\nsuccess = [1, 2]")),
        ("noun that is no word", watch("noun = \"<b>\"")),
        ("noun that is a number", watch("noun = 5")),
        ("unknown meaning of NULL", watch("[watch.table]\nnull_state = \"wait\"")),
        ("address without a port", top("listen = \"127.0.0.1\"")),
        ("address by name", top("listen = \"localhost:12328\"")),
        ("unknown log format", top("log_format = \"jsn\"")),
        ("unknown log level", top("log_level = \"verbose\"")),
        (
            "unknown preset",
            Given::toml("[[watch]]\npreset = \"meltno\"\ndatabase = \"m.db\""),
        ),
        ("unknown zone", watch("[watch.table]\ntime_zone = \"Europe/Berln\"")),
        ("empty needed text", watch("[watch.table]\nid = \"\"")),
        ("no database", Given::toml("[[watch]]\npreset = \"meltano\"")),
        ("two databases", watch("database_file = \"url\"")),
        (
            "database that is a number",
            Given::toml("[[watch]]\npreset = \"meltano\"\ndatabase = 5"),
        ),
        (
            "other database",
            Given::toml("[[watch]]\npreset = \"meltano\"\ndatabase = \"mysql://u:hunter2@h/d\""),
        ),
        (
            "unknown sslmode",
            Given::toml("[[watch]]\npreset = \"meltano\"\ndatabase = \"postgres://u:hunter2@h/d?sslmode=full\""),
        ),
        (
            "file of the URL is missing",
            Given::toml("[[watch]]\npreset = \"meltano\"\ndatabase_file = \"/nowhere/url\""),
        ),
        (
            "URL where a file is expected",
            Given::toml("[[watch]]\npreset = \"meltano\"\ndatabase_file = \"postgres://u:hunter2@h/d\""),
        ),
        (
            "bad value beside a broken rule",
            watch("poll_interval = \"1\"\n[watch.table]\nsuccess = [\"RUNNING\"]"),
        ),
        (
            "nothing but a database",
            Given::toml("[[watch]]\ndatabase = \"jobs.db\""),
        ),
        (
            "state of fail in no list that it may be of",
            watch("[watch.repair.fail]\nstate = \"SUCCESS\""),
        ),
        (
            "further columns that are written anyway, or that something rests on",
            watch(
                "repair.fail.set = { id = 1, state = \"X\", ended_at = \"{now}\", payload = \"{error}\", started_at = \"{null}\", last_heartbeat_at = \"{now}\", error_text = 1, \"\" = 1, \"a\\u001b\" = 1 }",
            ),
        ),
        (
            "further columns set to what resembles a word, or to no value",
            watch("repair.fail.set = { a = \"{nwo}\", b = [1], c = \"{ Null }\", d = \"{+ 1}\" }"),
        ),
        (
            "further columns that are no table",
            watch("repair.fail.set = \"reason\""),
        ),
        (
            "function of a file, beside what is written without one",
            watch("repair.fail = { state = \"DEAD\", set = { a = 1 }, call = { function = \"finish\" } }"),
        ),
        (
            "function with a bad name, and arguments that are none",
            Given::toml(&format!(
                "{}repair.fail.call = {{ function = \"a.\", args = [\"{{ID}}\"] }}\n",
                MELTANO.replace("meltano.db", "postgres://u@h/d")
            )),
        ),
        (
            "arguments without a function",
            watch("repair.fail.call.args = [\"{id}\"]"),
        ),
        ("arguments that are no list", watch("repair.fail.call.args = \"{id}\"")),
        (
            "more in further columns than the ledger keeps",
            watch(&format!("repair.fail.set = {{ a = \"{}\" }}", "x".repeat(2_001))),
        ),
        (
            "fail without failure states",
            jobs("[watch.repair]\nmissed_first = \"fail\""),
        ),
        ("neither a heartbeat nor a longest time", by_age("", "")),
        (
            "a heartbeat and a longest time",
            Given::toml(&JOBS.replace("[watch.table]", "max_runtime = \"6h\"\n[watch.table]")),
        ),
        (
            "first heartbeats missed by jobs without any",
            by_age(
                "max_runtime = \"6h\"",
                "[watch.repair]\nmissed_first = \"observe\"\noverrun = \"backfill\"",
            ),
        ),
        (
            "fail of first heartbeats of jobs without any",
            by_age(
                "max_runtime = \"6h\"",
                "failure = [\"FAILED\"]\n[watch.repair]\nmissed_first = \"fail\"",
            ),
        ),
        (
            "fail for age without knowing good runs",
            by_age("max_runtime = \"6h\"", "[watch.repair]\noverrun = \"fail\""),
        ),
        (
            "fail for age of jobs with a heartbeat",
            watch("[watch.repair]\noverrun = \"fail\""),
        ),
        ("longest time beyond abandonment", by_age("max_runtime = \"7d\"", "")),
        (
            "preset's heartbeat beside a longest time",
            watch("max_runtime = \"6h\""),
        ),
        (
            "state in two lists",
            watch("[watch.table]\nfailure = [\"FAIL\", \"RUNNING\", \"IDLE\"]"),
        ),
        (
            "column used twice",
            watch("[watch.table]\nlast_heartbeat_at = \"started_at\""),
        ),
        (
            "key_tail without growing keys",
            Given::toml(&JOBS.replace("[watch.table]", "discovery = \"key_tail\"\n[watch.table]")),
        ),
        ("name that is a number", watch("name = 5")),
        (
            "name that is too long",
            watch(&format!("name = \"{}\"", "x".repeat(65))),
        ),
        ("same name twice", Given::toml(&format!("{MELTANO}{MELTANO}"))),
        (
            "broken TOML with a password",
            Given::toml("[[watch]]\ndatabase = \"postgres://u:hunter2@h/d\npreset = \"x\""),
        ),
        (
            "key twice with a password",
            Given::toml("[[watch]]\ndatabase = \"postgres://u:hunter2@h/d\"\ndatabase = \"x\""),
        ),
        (
            "broken YAML with a password",
            Given::file("beatwarden.yaml", "watch:\n  - database: \"postgres://u:hunter2@h/d\n"),
        ),
        (
            "alias in YAML",
            Given::file("beatwarden.yaml", "watch:\n  - &one {name: a}\n  - *one\n"),
        ),
        (
            "password under a wrong key",
            watch("table = { name = \"postgres://u:hunter2@h/d\", id = 1 }"),
        ),
        (
            "several at once",
            Given::toml(
                "lisen = \"x\"\nlog_level = \"loud\"\n[[watch]]\nname = \"a\"\npoll_interval = \"1\"\n[watch.table]\nrunning = []\nname = \"jobs\"\n[watch.repair]\nfuse_share = -1\nfoo = 2",
            ),
        ),
    ]
}

/// What is wrong in variables, in flags, or between them and a file.
fn variables_and_flags() -> Vec<(&'static str, Given)> {
    vec![
        ("nothing at all", Given::nothing()),
        ("no preset", Given::nothing().flag("database", "m.db")),
        ("no database but a preset", Given::nothing().flag("preset", "meltano")),
        ("file without a watch", Given::toml("listen = \"127.0.0.1:0\"")),
        (
            "file that is not there",
            Given::nothing().sources(|sources| sources.file = Some("/nowhere/beatwarden.toml".into())),
        ),
        (
            "URL where a configuration is expected",
            Given::nothing().sources(|sources| sources.file = Some("postgres://u:hunter2@h/d".into())),
        ),
        (
            "variable for a file that is not there",
            Given::nothing().variable("BEATWARDEN__CONFIG", "/nowhere/b.toml"),
        ),
        ("misspelled variable", variable("BEATWARDEN__LISEN", "x")),
        ("variable that resembles none", variable("BEATWARDEN__COLOUR", "green")),
        (
            "key of a watch without the watch",
            variable("BEATWARDEN__POLL_TIMEOUT", "5s"),
        ),
        (
            "misspelled key in an overlay",
            variable("BEATWARDEN__WATCH__MELTANO__POL_INTERVAL", "5s"),
        ),
        (
            "nested key without its section",
            variable("BEATWARDEN__WATCH__MELTANO__MISSED_FIRST", "fail"),
        ),
        (
            "overlay of a misspelled watch",
            variable("BEATWARDEN__WATCH__MELTNO__POLL_INTERVAL", "5s"),
        ),
        (
            "overlay of no such watch",
            variable("BEATWARDEN__WATCH__AIRFLOW__POLL_INTERVAL", "5s"),
        ),
        (
            "overlay that renames",
            variable("BEATWARDEN__WATCH__MELTANO__NAME", "x"),
        ),
        ("overlay without a key", variable("BEATWARDEN__WATCH__MELTANO", "x")),
        (
            "bad number in an overlay",
            variable("BEATWARDEN__WATCH__MELTANO__REPAIR__MAX_PER_PASS", "many"),
        ),
        (
            "bad switch in an overlay",
            variable("BEATWARDEN__WATCH__MELTANO__JOB_NAME_LABEL", "yes"),
        ),
        (
            "bad URL in an overlay",
            variable("BEATWARDEN__WATCH__MELTANO__DATABASE", "postgres://u:hunter2@h:port/d"),
        ),
        (
            "overlay that means two watches",
            Given::toml(&format!("{MELTANO}name = \"a-b\"\n{MELTANO}name = \"a.b\""))
                .variable("BEATWARDEN__WATCH__A_B__POLL_INTERVAL", "1s"),
        ),
        (
            "database beside a file with watches",
            variable("BEATWARDEN__DATABASE", "postgres://u:hunter2@h/d"),
        ),
        (
            "twin of a flag beside a file with watches",
            variable("BEATWARDEN__MISSED_FIRST", "fail"),
        ),
        (
            "flags beside several watches",
            Given::toml(&two_watches())
                .flag("database", "postgres://u:hunter2@h/d")
                .flag("missed_first", "fail"),
        ),
        ("no such watch", Given::toml(&two_watches()).flag("watch", "meltanp")),
        (
            "bad flags",
            by_flags()
                .flag("poll_interval", "1")
                .flag("init_deadline", "soon")
                .flag("missed_first", "kill")
                .flag("listen", "12328"),
        ),
        ("two databases by flags", by_flags().flag("database_file", "url")),
    ]
}

#[test]
fn every_mistake_says_what_was_given_what_is_expected_and_how_to_fix_it() {
    let cases: Vec<_> = files().into_iter().chain(variables_and_flags()).collect();
    assert!(cases.len() >= 30);
    let text: String = cases
        .iter()
        .map(|(what, given)| format!("# {what}\n{}\n\n", given.mistakes()))
        .collect();
    assert!(!text.contains("no mistake"), "{text}");
    assert!(!text.contains("hunter2"), "a password is shown:\n{text}");
    insta::with_settings!({ snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("mistakes", text);
    });
}

/// Under the wrong key it is a password all the same.
#[test]
fn a_url_under_the_wrong_key_is_not_repeated() {
    for line in [
        "database_file = \"u:hunter2@h\"",
        "database = \"x.db\"\ntable.time_zone = \"postgres://u:hunter2@h/d\"",
        "database = \"x.db\"\ntable.time_zone = \"u:hunter2@h\"",
        "database = \"x.db\"\npoll_interval = \"u:hunter2@h\"",
        "database = \"x.db\"\npoll_interval = \"u@office:hunter2@h\"",
    ] {
        let text = Given::toml(&format!("[[watch]]\npreset = \"meltano\"\n{line}\n")).mistakes();
        assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_url_in_the_name_of_a_variable_is_not_repeated() {
    let given = || Given::toml("[[watch]]\npreset = \"meltano\"\ndatabase = \"x.db\"\n");
    for name in [
        "BEATWARDEN__DATABASE__postgres://u:hunter2@h/d",
        "BEATWARDEN__WATCH__MELTANO__DATABASE__u:hunter2@h",
        "BEATWARDEN__WATCH__OTHER__u:hunter2@h",
    ] {
        let text = given().variable(name, "x").mistakes();
        assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
    }
    let unreadable = given().sources(|sources| sources.unreadable = vec!["BEATWARDEN__u:hunter2@h".to_owned()]);
    let text = unreadable.mistakes();
    assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
}
