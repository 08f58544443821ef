//! What is made of a catalog: known systems, candidates, decisions. Tables are made by hand; real ones are in `system::discover`.

use beatwarden::{
    config::{Written, known_systems},
    discover::{Findings, Page, Seen, Sights, closer, findings, page},
    mapping::{Identifier, TableName},
    store::inventory::{Column, Holds, Inventory, PassCost, Reference, Table, TableKind, Values},
};
use std::collections::BTreeSet;

fn column(name: &str, holds: Holds) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: "a type".to_owned(),
        holds,
        is_unique: name == "id",
        leads_index: name == "id",
        is_readable: true,
        labels: Vec::new(),
    }
}

fn table(schema: &str, name: &str, columns: Vec<Column>) -> Table {
    Table {
        schema: Some(schema.to_owned()),
        is_visible: schema == "public",
        name: name.to_owned(),
        kind: TableKind::Table,
        runs_code: false,
        rows: Some(1_200_000),
        columns,
        references: Vec::new(),
    }
}

/// A table of jobs with everything that one has, and the values of its state.
fn jobs(schema: &str, name: &str) -> Table {
    let columns = [
        ("id", Holds::Whole),
        ("state", Holds::Text),
        ("started_at", Holds::ZonedTime),
        ("heartbeat_at", Holds::ZonedTime),
        ("finished_at", Holds::ZonedTime),
    ];
    table(
        schema,
        name,
        columns.into_iter().map(|(name, holds)| column(name, holds)).collect(),
    )
}

fn of(tables: Vec<Table>) -> Inventory {
    Inventory {
        tables,
        ..Inventory::default()
    }
}

fn held(values: &[&str]) -> Values {
    Values {
        different: values.iter().map(|value| (*value).to_owned()).collect(),
        ..Values::default()
    }
}

/// What is found where the state columns hold these values.
fn found(inventory: &Inventory, states: &[&str]) -> Findings {
    let systems = known_systems();
    let mut sights = Sights::new();
    for wanted in closer(inventory, &systems) {
        let columns: Vec<&Column> = wanted
            .columns
            .iter()
            .map(|place| &inventory.tables[wanted.table].columns[*place])
            .collect();
        let values = |column: &&Column| match column.holds {
            Holds::Text => held(states),
            _ => Values::default(),
        };
        let sample = columns.iter().map(values).collect();
        sights.insert(wanted.table, Seen::of(&columns, sample));
    }
    findings(inventory, &systems, &sights)
}

fn printed(inventory: &Inventory, findings: &Findings) -> String {
    let written = Written {
        key: "database",
        value: "postgres://db/shop".to_owned(),
        lacks_secrets: false,
    };
    let of_database = Page {
        shown: "postgres://db/shop",
        written: &written,
        inventory,
        findings,
    };
    page(&of_database, &mut BTreeSet::new())
}

/// The tables of a known system, by what its preset maps.
fn tables_of(preset: &str, schema: &str) -> Vec<Table> {
    let system = known_systems()
        .into_iter()
        .find(|system| system.preset == preset)
        .unwrap();
    let mapped = system.mapping;
    let plain = |table: &TableName| table.name.as_str().to_owned();
    let text_columns = |names: &[Identifier]| {
        let names = names.iter().map(Identifier::as_str);
        names.map(|name| column(name, Holds::Text)).collect()
    };
    let mut names = vec![mapped.id.clone(), mapped.state.clone()];
    names.extend(mapped.job_name.iter().chain(&mapped.ended_at).cloned());
    names.extend(mapped.only.iter().map(|condition| condition.column.clone()));
    let mut tables = Vec::new();
    for (_, time) in mapped.sources() {
        match &time.elsewhere {
            None => names.push(time.column.clone()),
            Some(other) => {
                names.push(other.matching.clone());
                let mut columns = vec![other.key.clone(), time.column.clone()];
                columns.extend(other.conditions.iter().map(|condition| condition.column.clone()));
                tables.push(table(schema, &plain(&other.table), text_columns(&columns)));
            }
        }
    }
    names.sort();
    names.dedup();
    tables.push(table(schema, &plain(&mapped.table), text_columns(&names)));
    tables
}

#[test]
fn every_preset_is_recognised_by_what_it_maps_and_by_nothing_less() {
    let names: Vec<&str> = known_systems().iter().map(|system| system.preset).collect();
    assert_eq!(names, beatwarden::config::preset_names().collect::<Vec<_>>());
    for preset in names {
        let line = format!("\npreset = \"{preset}\"\n");
        let inventory = of(tables_of(preset, "public"));
        let said = printed(&inventory, &found(&inventory, &[]));
        assert_eq!(said.matches("\npreset = ").count(), 1, "{said}");
        assert!(said.contains(&line), "{said}");

        // In a schema that the name alone doesn't lead to, every table is named with it.
        let inventory = of(tables_of(preset, "far away"));
        let said = printed(&inventory, &found(&inventory, &[]));
        assert!(said.contains(&line) && said.contains("\nname = \"far away."), "{said}");
        assert_eq!(
            said.matches("table = \"").count(),
            said.matches("table = \"far away.").count(),
            "{said}"
        );

        for missing in 0..inventory.tables.len() {
            for place in 0..inventory.tables[missing].columns.len() {
                let mut inventory = of(tables_of(preset, "public"));
                inventory.tables[missing].columns.remove(place);
                let said = printed(&inventory, &found(&inventory, &[]));
                assert!(!said.contains(&line), "{said}");
            }
        }
    }
}

#[test]
fn several_systems_in_one_database_are_all_named() {
    let mut tables = tables_of("airflow", "public");
    tables.extend(tables_of("airflow-job", "public"));
    tables.extend(tables_of("mlflow", "one"));
    tables.extend(tables_of("mlflow", "two"));
    let inventory = of(tables);
    let said = printed(&inventory, &found(&inventory, &[]));
    for line in [
        "name = \"airflow\"",
        "name = \"airflow-job\"",
        "name = \"mlflow\"",
        "name = \"mlflow-2\"",
        "name = \"two.runs\"",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
}

#[test]
fn a_system_without_heartbeats_gets_a_limit_that_a_person_reviews() {
    let inventory = of(tables_of("django-tasks", "public"));
    let said = printed(&inventory, &found(&inventory, &[]));
    assert!(
        said.contains("# decide: ") && said.contains("\nmax_runtime = \"24h\"\n"),
        "{said}"
    );
}

#[test]
fn a_system_whose_heartbeats_are_in_another_database_is_watched_by_age() {
    let mut tables = tables_of("dagster", "public");
    tables.retain(|table| table.name == "runs");
    let inventory = of(tables);
    let said = printed(&inventory, &found(&inventory, &[]));
    assert!(said.contains("# decide: the table `event_logs`"), "{said}");
    for line in [
        "preset = \"dagster\"",
        "max_runtime = \"24h\"",
        "last_heartbeat_at = \"\"",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
}

#[test]
fn beside_a_known_system_other_tables_are_comments() {
    let mut tables = tables_of("meltano", "public");
    tables.push(jobs("public", "jobs"));
    let inventory = of(tables);
    let said = printed(&inventory, &found(&inventory, &["running"]));
    assert!(
        said.contains("2 tables: 1 of a system that has a preset, 1 that looks like a table of jobs."),
        "{said}"
    );
    assert!(
        said.contains("\n# name = \"jobs\"\n") && !said.contains("\nname = \"jobs\"\n"),
        "{said}"
    );
}

#[test]
fn states_are_sorted_into_lists_and_the_unknown_ones_are_left_to_a_person() {
    let inventory = of(vec![jobs("public", "jobs")]);
    let states = [
        "cancelled",
        "RUNNING",
        "failed",
        "Done",
        "queued",
        "in-progress",
        "zapped",
        "\"\n[x]",
    ];
    let said = printed(&inventory, &found(&inventory, &states));
    for line in [
        "running = [\"RUNNING\", \"in-progress\"]",
        "success = [\"Done\"]",
        "failure = [\"failed\", \"cancelled\"]",
        "waiting = [\"queued\"]",
        "# [\"zapped\", \"\\\"\\U0000000A[x]\"]",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    let unsure = printed(&inventory, &found(&inventory, &["active", "expired"]));
    assert!(unsure.contains("\nrunning = [\"active\"]\n"), "{unsure}");
    let none = printed(&inventory, &found(&inventory, &[]));
    assert!(
        none.contains("no row shows which states there are") && none.contains("\n# running = "),
        "{none}"
    );
}

#[test]
fn what_only_resembles_a_job_table_is_none() {
    let with = |name: &str, columns: &[(&str, Holds)]| {
        table(
            "public",
            name,
            columns.iter().map(|(name, holds)| column(name, *holds)).collect(),
        )
    };
    let (text, time) = (Holds::Text, Holds::ZonedTime);
    let inventory = of(vec![
        with(
            "orders",
            &[
                ("id", Holds::Whole),
                ("status", text),
                ("created_at", time),
                ("updated_at", time),
            ],
        ),
        with(
            "subscriptions",
            &[
                ("id", Holds::Whole),
                ("status", text),
                ("started_at", time),
                ("ended_at", time),
            ],
        ),
        with(
            "users",
            &[
                ("id", Holds::Whole),
                ("status", text),
                ("created_at", time),
                ("last_seen_at", time),
            ],
        ),
        with(
            "sessions",
            &[("id", Holds::Uuid), ("started_at", time), ("last_seen_at", time)],
        ),
        with(
            "events",
            &[
                ("id", Holds::Whole),
                ("started_at", time),
                ("ended_at", time),
                ("kind", text),
            ],
        ),
        jobs("public", "beatwarden_repairs"),
    ]);
    let findings = found(&inventory, &["active", "pending"]);
    assert!(findings.found.is_empty(), "{}", printed(&inventory, &findings));
    assert!(printed(&inventory, &findings).contains("6 tables, none of which looks like a table of jobs."));
    // And texts of many kinds are no states.
    let many: Vec<String> = (0..30).map(|n| format!("text {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut plain = jobs("public", "things");
    plain.columns.retain(|column| column.name != "heartbeat_at");
    assert!(found(&of(vec![plain]), &many).found.is_empty());
}

#[test]
fn so_many_tables_are_looked_into_and_shown_and_no_more() {
    let tables = (0..100).map(|n| jobs("public", &format!("jobs_{n}"))).collect();
    let inventory = of(tables);
    assert!(closer(&inventory, &known_systems()).len() <= 12);
    let findings = found(&inventory, &["running"]);
    let said = printed(&inventory, &findings);
    assert!(said.matches("[[watch]]").count() <= 8, "{said}");
    assert!(
        said.contains("100 tables: 100 that look like a table of jobs."),
        "{said}"
    );
    assert!(said.contains("92 more of them"), "{said}");
}

#[test]
fn what_a_pass_costs_is_said_with_the_index() {
    let mut inventory = of(vec![jobs("public", "jobs")]);
    let mut findings = found(&inventory, &["running"]);
    let mut said = |cost: Result<PassCost, String>, inventory: &Inventory| {
        findings.found[0].cost = Some(cost);
        printed(inventory, &findings).replace("\n#  ", "")
    };
    let index = PassCost {
        index: Some("jobs_by_state".to_owned()),
    };
    let text = said(Ok(index), &inventory);
    assert!(
        text.contains("about 1,200,000 rows; a pass finds the running ones by the index `jobs_by_state`"),
        "{text}"
    );
    let text = said(Ok(PassCost { index: None }), &inventory);
    assert!(
        text.contains("a pass reads all of them, because no index begins with `state`"),
        "{text}"
    );
    let text = said(Err("it took too long".to_owned()), &inventory);
    assert!(text.contains("was not asked: it took too long"), "{text}");
    inventory.tables[0].columns[1].leads_index = true;
    let text = said(Ok(PassCost { index: None }), &inventory);
    assert!(text.contains("although an index begins with `state`"), "{text}");
}

#[test]
fn a_table_that_refers_to_itself_or_in_a_circle_is_read_all_the_same() {
    let mut one = jobs("public", "jobs");
    one.columns.retain(|column| column.name != "heartbeat_at");
    let refer = |table| Reference {
        column: "id".to_owned(),
        table,
        key: "id".to_owned(),
    };
    one.references = vec![refer(0), refer(1)];
    let mut other = jobs("public", "job_heartbeats");
    other.references = vec![refer(0), refer(1)];
    let inventory = of(vec![one, other]);
    let said = printed(&inventory, &found(&inventory, &["running"]));
    assert!(said.contains("table = \"job_heartbeats\""), "{said}");
}

/// What is printed of one table whose rows hold these values, by column.
fn of_rows(table: Table, values: Vec<(&str, Values)>) -> String {
    let columns: Vec<&Column> = values.iter().map(|(name, _)| table.column(name).unwrap()).collect();
    let seen = Seen::of(&columns, values.iter().map(|(_, values)| values.clone()).collect());
    let inventory = of(vec![table.clone()]);
    let sights = Sights::from([(0, seen)]);
    printed(&inventory, &findings(&inventory, &known_systems(), &sights))
}

#[test]
fn what_no_row_can_be_judged_by_is_asked_about() {
    let running = || ("state", held(&["running"]));
    let asks = |said: &str, of: &str| {
        let asked = said
            .lines()
            .find(|line| line.starts_with("# decide: "))
            .unwrap_or_default();
        assert!(asked.contains(of) && said.matches("decide:").count() == 1, "{said}");
    };
    let plain = of_rows(jobs("public", "jobs"), vec![running()]);
    assert!(!plain.contains("decide"), "{plain}");

    let mut keyless = held(&["a"]);
    keyless.has_null = true;
    let said = of_rows(jobs("public", "jobs"), vec![running(), ("id", keyless.clone())]);
    asks(&said, "rows have no value in this column");
    // Another that no row lacks is taken instead.
    let mut with_other = jobs("public", "jobs");
    with_other.columns.push(Column {
        is_unique: true,
        ..column("number", Holds::Whole)
    });
    let said = of_rows(with_other, vec![running(), ("id", keyless)]);
    assert!(
        said.contains("\nid = \"number\"\n") && !said.contains("decide"),
        "{said}"
    );

    let mut of_money = jobs("public", "jobs");
    of_money.columns[0].holds = Holds::Number;
    of_money.columns[0].sql_type = "numeric".to_owned();
    asks(
        &of_rows(of_money, vec![running()]),
        "`id` is unique, and of the type numeric",
    );

    let infinite = || held(&["2026-01-01 10:00:00Z", "-infinity"]);
    for name in ["started_at", "heartbeat_at"] {
        asks(
            &of_rows(jobs("public", "jobs"), vec![running(), (name, infinite())]),
            "rows hold infinity here",
        );
    }
    let said = of_rows(jobs("public", "jobs"), vec![running(), ("finished_at", infinite())]);
    assert!(
        !said.contains("\nended_at") && said.contains("# `finished_at` is left out"),
        "{said}"
    );

    asks(
        &of_rows(jobs("public", "jobs"), vec![("state", held(&["running", ""]))]),
        "an empty text for a state",
    );
    let mut long = held(&["running"]);
    (long.has_long, long.has_null) = (true, true);
    let said = of_rows(jobs("public", "jobs"), vec![("state", long)]);
    asks(&said, "more than 64 bytes");
    assert!(said.contains("rows have NULL for a state"), "{said}");
}

#[test]
fn a_column_that_no_configuration_can_name_plays_no_part() {
    for name in ["", " ", "two\nlines"] {
        let mut table = jobs("public", "jobs");
        table.columns[4].name = format!("ended{name}");
        table.columns.push(Column {
            is_unique: true,
            ..column(name, Holds::Whole)
        });
        table.columns.push(column(name, Holds::Text));
        let said = of_rows(table, vec![("state", held(&["running"]))]);
        assert!(
            said.contains("\nid = \"id\"\n") && said.contains("can't be named in a configuration"),
            "{said}"
        );
        assert!(!said.contains("decide") && !said.contains("\\U"), "{said}");
    }
    for name in ["", " ", "two\nlines", "dot.ted"] {
        let said = of_rows(jobs("public", name), vec![("state", held(&["running"]))]);
        assert!(
            said.contains("which a configuration can't name") && !said.contains("[[watch]]"),
            "{said}"
        );
    }
}

#[test]
fn heartbeats_that_no_index_finds_are_asked_about_where_they_are_many() {
    let with = |rows, leads_index| {
        let mut one = jobs("public", "jobs");
        one.columns.retain(|column| column.name != "heartbeat_at");
        let mut other = table(
            "public",
            "job_heartbeats",
            vec![column("job_id", Holds::Whole), column("heartbeat_at", Holds::ZonedTime)],
        );
        other.rows = rows;
        other.columns[0].leads_index = leads_index;
        other.references = vec![Reference {
            column: "job_id".to_owned(),
            table: 0,
            key: "id".to_owned(),
        }];
        let inventory = of(vec![one, other]);
        printed(&inventory, &found(&inventory, &["running"]))
    };
    for (rows, leads_index, asks) in [
        (Some(1_000_000), true, false),
        (Some(1_000_000), false, true),
        (None, false, true),
        (Some(10), false, false),
    ] {
        let said = with(rows, leads_index);
        assert_eq!(
            said.contains("# decide: no index of `job_heartbeats` begins with `job_id`"),
            asks,
            "{said}"
        );
    }
}

#[test]
fn tables_that_only_resemble_one_of_jobs_are_named_with_what_stands_in_the_way() {
    let of_kind = |name: &str, column_name: &str, kind: &str| {
        let mut table = jobs("public", name);
        let column = table
            .columns
            .iter_mut()
            .find(|column| column.name == column_name)
            .unwrap();
        (column.holds, column.sql_type) = (Holds::Other, kind.to_owned());
        table
    };
    let without = |name: &str, gone: &str| {
        let mut table = jobs("public", name);
        table.columns.retain(|column| column.name != gone);
        table
    };
    let mut switched = of_kind("switches", "state", "boolean");
    switched.columns[1].name = "is_running".to_owned();
    let tables = vec![
        of_kind("documents", "state", "jsonb"),
        of_kind("lists", "state", "text[]"),
        switched,
        of_kind("days", "started_at", "date"),
        without("stateless_jobs", "state"),
        jobs("public", "silent_things"),
        table(
            "public",
            "customers",
            vec![column("id", Holds::Whole), column("created_at", Holds::ZonedTime)],
        ),
    ];
    let inventory = of(tables);
    let said = printed(&inventory, &findings(&inventory, &known_systems(), &Sights::new()));
    for line in [
        "- `documents`: `state` is of the type jsonb, and a state is a text or an enum: watch a view",
        "- `lists`: `state` is of the type text[], and",
        "- `switches`: `is_running` is of the type boolean, and",
        "- `days`: `started_at` is of the type date, and a time is a timestamp or a number since 1970",
        "- `stateless_jobs`: no column is named like a state",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    assert!(
        !said.contains("customers") && !said.contains("- `silent_things`"),
        "{said}"
    );

    // Tables of a known system are not named as if they were someone else's.
    let mut tables = tables_of("optuna", "public");
    tables.push(without("worker_runs", "state"));
    let inventory = of(tables);
    let said = printed(&inventory, &findings(&inventory, &known_systems(), &Sights::new()));
    assert!(
        said.contains("preset = \"optuna\"") && !said.contains("Not proposed"),
        "{said}"
    );

    let tables = (0..20)
        .map(|n| of_kind(&format!("jobs_{n}"), "state", "jsonb"))
        .collect();
    let inventory = of(tables);
    let said = printed(&inventory, &findings(&inventory, &known_systems(), &Sights::new()));
    assert_eq!(said.matches("# - `jobs_").count(), 8, "{said}");
    assert!(said.ends_with("# - and 12 more\n"), "{said}");
}

#[test]
fn of_two_columns_like_a_state_the_one_that_is_called_just_so_is_taken() {
    let mut table = jobs("public", "jobs");
    table.columns.push(column("span_status", Holds::Text));
    let said = of_rows(table.clone(), Vec::new());
    assert!(said.contains("\nstate = \"state\"\n"), "{said}");
    // Unless the values say otherwise.
    let said = of_rows(
        table,
        vec![("state", held(&["Bavaria"])), ("span_status", held(&["running"]))],
    );
    assert!(said.contains("\nstate = \"span_status\"\n"), "{said}");
}
