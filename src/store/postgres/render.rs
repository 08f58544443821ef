//! The statements for one table: the `.sql` files with names and types filled in, once per connection.
//!
//! What is filled in are quoted names, types of the catalog, and expressions made of them. Values are always bound.

use super::{
    catalog::{Catalog, Column, TimeKind},
    error_column::{error_kind, error_value},
    guard_sql::GuardStatements,
    server::Server,
    sql::{NO_ENTRY, Names, literal, part, quoted},
    undo,
};
use crate::{
    domain::LEDGER_LAYOUT,
    store::{
        Identifier, Mapping, TimeFormat, derived,
        reading::{LONGEST_IMAGE, LONGEST_KEY, LONGEST_TEXT},
    },
};

/// The window of the success ratio ends now, and is $4 seconds long.
const WINDOW_BEGINS: &str =
    "(pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $4::double precision))";
/// The rendered statements.
#[derive(Debug)]
pub(super) struct Statements {
    pub moment: String,
    pub scan_mark: String,
    pub holders: String,
    pub facts: String,
    pub running: String,
    pub unknown: String,
    pub keyless: String,
    pub job_times: String,
    pub known: String,
    pub newcomers: String,
    pub page: String,
    pub below: String,
    pub tail: String,
    pub keys: String,
    pub top: String,
    pub history: String,
    pub ledger_create: String,
    pub ledger_of_jobs: String,
    pub ledger_newest: String,
    pub ledger_probe: String,
    pub ledger_exists: String,
    pub ledger_made: String,
    pub ledger_find: String,
    pub ledger_gate: String,
    pub ledger_history: String,
    pub ledger_of_job: String,
    pub ledger_entry: String,
    pub ledger_note: String,
    pub ledger_acknowledge: String,
    pub ledger_ack_fuse: String,
    pub job_of_name: String,
    pub ledger_between: String,
    /// The name of the index that is made last: where it is, all are.
    pub last_index: String,
    pub undo_look: String,
    pub undo_backfill: String,
    pub undo_fail: String,
    pub guard: GuardStatements,
    pub repair_backfill: String,
    pub repair_fail: String,
}

impl Statements {
    pub(super) fn render(mapping: &Mapping, catalog: &Catalog, server: &Server) -> Self {
        let index = |suffix: &str| derived("", catalog.ledger.name.as_str(), suffix);
        let last_index = index("_table_unacknowledged");
        let mut names = names(mapping, catalog);
        names.extend(server.names());
        names.push(("ledger_by_time", index("_table_time").quoted()));
        names.push(("ledger_by_job", index("_table_job").quoted()));
        names.push(("ledger_unacknowledged", last_index.quoted()));
        names.extend(undo::names(mapping, catalog));
        names.push(("entry", part(include_str!("sql/entry.sql"), &names)));
        let guard = GuardStatements::render(
            &names,
            &catalog.table,
            &guard_value(mapping, catalog),
            &mapping.states.running,
        );
        names.push(("ledger_flaw", part(include_str!("sql/ledger_flaw.sql"), &[])));
        names.push(("guard_state", part(include_str!("sql/guard_state.sql"), &[])));
        // Parts are filled by themselves, so that no statement is filled twice.
        names.push(("job", part(include_str!("sql/job.sql"), &names)));
        names.push(("entry_made", part(include_str!("sql/entry_made.sql"), &names)));
        for (name, waived) in [("as_observed_backfill", "$16"), ("as_observed_fail", "$20")] {
            let mut names_of_part = names.clone();
            names_of_part.push(("waived", waived.to_owned()));
            names.push((name, part(include_str!("sql/as_observed.sql"), &names_of_part)));
        }
        let newest = part(include_str!("sql/newest.sql"), &names);
        let of_newest: Names = names
            .iter()
            .map(|(name, value)| {
                (
                    *name,
                    if *name == "table" {
                        newest.clone()
                    } else {
                        value.clone()
                    },
                )
            })
            .collect();
        names.push(("newest_job", part(include_str!("sql/job.sql"), &of_newest)));
        let fill = |template: &str| part(template, &names);
        Self {
            moment: fill(include_str!("sql/moment.sql")),
            scan_mark: fill(include_str!("sql/scan_mark.sql")),
            holders: fill(include_str!("sql/holders.sql")),
            facts: fill(include_str!("sql/facts.sql")),
            running: fill(include_str!("sql/observe_running.sql")),
            unknown: fill(include_str!("sql/observe_unknown.sql")),
            keyless: fill(include_str!("sql/observe_keyless.sql")),
            job_times: fill(include_str!("sql/job_times.sql")),
            known: fill(include_str!("sql/observe_known.sql")),
            newcomers: fill(include_str!("sql/observe_newcomers.sql")),
            page: fill(include_str!("sql/observe_page.sql")),
            below: fill(include_str!("sql/observe_below.sql")),
            tail: fill(include_str!("sql/observe_tail.sql")),
            keys: fill(include_str!("sql/observe_keys.sql")),
            top: fill(include_str!("sql/observe_top.sql")),
            history: fill(include_str!("sql/observe_history.sql")),
            ledger_create: fill(include_str!("sql/ledger_create.sql")),
            ledger_of_jobs: fill(include_str!("sql/ledger_of_jobs.sql")),
            ledger_newest: fill(include_str!("sql/ledger_newest.sql")),
            ledger_probe: fill(include_str!("sql/ledger_probe.sql")),
            ledger_exists: fill(include_str!("sql/ledger_exists.sql")),
            ledger_made: fill(include_str!("sql/ledger_made.sql")),
            ledger_gate: fill(include_str!("sql/ledger_gate.sql")),
            ledger_find: fill(include_str!("sql/ledger_find.sql")),
            ledger_history: fill(include_str!("sql/ledger_history.sql")),
            ledger_of_job: fill(include_str!("sql/ledger_of_job.sql")),
            ledger_entry: fill(include_str!("sql/ledger_entry.sql")),
            ledger_note: fill(include_str!("sql/ledger_note.sql")),
            ledger_acknowledge: fill(include_str!("sql/ledger_acknowledge.sql")),
            ledger_ack_fuse: fill(include_str!("sql/ledger_ack_fuse.sql")),
            job_of_name: fill(include_str!("sql/job_of_name.sql")),
            ledger_between: fill(include_str!("sql/ledger_between.sql")),
            last_index: last_index.as_str().to_owned(),
            undo_look: fill(include_str!("sql/undo_look.sql")),
            undo_backfill: fill(include_str!("sql/undo_backfill.sql")),
            undo_fail: fill(include_str!("sql/undo_fail.sql")),
            guard,
            repair_backfill: fill(include_str!("sql/repair_backfill.sql")),
            repair_fail: fill(include_str!("sql/repair_fail.sql")),
        }
    }
}

fn names(mapping: &Mapping, catalog: &Catalog) -> Names {
    let time = |column: &(Column, TimeKind)| read(&column.0.target(), column.1, mapping.time_format);
    // Its values are the times that they would be made into.
    let needs_no_zone = |column: &(Column, TimeKind)| column.1 == TimeKind::Naive && mapping.keeps_utc();
    let sent_time = |column: &(Column, TimeKind)| {
        if needs_no_zone(column) {
            column.0.target()
        } else {
            time(column)
        }
    };
    let or_null = |value: Option<String>, sql_type| value.unwrap_or_else(|| format!("NULL::{sql_type}"));
    let job_name = mapping.job_name.as_ref().map_or_else(
        || "NULL::pg_catalog.text".to_owned(),
        // In the guards as well: what is compared is what was read.
        |name| {
            format!(
                "pg_catalog.left(target.{}::pg_catalog.text, {LONGEST_TEXT})",
                name.quoted()
            )
        },
    );
    let state_array = if catalog.state.is_text() {
        String::new()
    } else {
        format!("::{}[]", catalog.state.named_type)
    };
    let same_type = catalog.started_at.0.sql_type == catalog.heartbeat_at.0.sql_type;
    let backfill_value = if same_type {
        catalog.started_at.0.target()
    } else {
        write(&time(&catalog.started_at), &catalog.heartbeat_at, mapping.time_format)
    };
    vec![
        ("no_entry", literal(NO_ENTRY)),
        ("table", catalog.table.quoted()),
        ("columns", columns(mapping, catalog)),
        ("ledger", catalog.ledger.quoted()),
        ("layout", LEDGER_LAYOUT.to_string()),
        ("id", mapping.id.quoted()),
        ("id_type", catalog.id.cast().to_owned()),
        ("id_equals", catalog.id.equality.clone()),
        ("job_name", job_name),
        ("state", mapping.state.quoted()),
        ("state_array", state_array),
        ("longest_text", LONGEST_TEXT.to_string()),
        ("longest_image", LONGEST_IMAGE.to_string()),
        ("started_at_read", time(&catalog.started_at)),
        ("heartbeat_at_read", time(&catalog.heartbeat_at)),
        (
            "ended_at_read",
            or_null(catalog.ended_at.as_ref().map(time), "pg_catalog.timestamptz"),
        ),
        ("id_sent", sent_key(&catalog.id)),
        (
            "job_name_sent",
            or_null(catalog.job_name.as_ref().map(sent_text), "pg_catalog.text"),
        ),
        ("state_sent", sent_text(&catalog.state)),
        ("started_at_sent", sent_time(&catalog.started_at)),
        (
            "window_begins",
            // In the type of the start as it is sent.
            if needs_no_zone(&catalog.started_at) {
                format!("{WINDOW_BEGINS} AT TIME ZONE 'UTC'")
            } else {
                WINDOW_BEGINS.to_owned()
            },
        ),
        ("heartbeat_at_sent", sent_time(&catalog.heartbeat_at)),
        (
            "ended_at_sent",
            or_null(catalog.ended_at.as_ref().map(sent_time), "pg_catalog.timestamptz"),
        ),
        ("started_at", mapping.started_at.quoted()),
        ("heartbeat_at", mapping.last_heartbeat_at.quoted()),
        ("heartbeat_at_literal", literal(mapping.last_heartbeat_at.as_str())),
        ("backfill_value", backfill_value),
        ("fail_set", fail_set(mapping, catalog)),
        ("fail_before", fail_values(mapping, catalog, Side::Before)),
        ("fail_after", fail_values(mapping, catalog, Side::After)),
    ]
}

/// The columns of the canonical relation as the table has them, each once.
fn columns(mapping: &Mapping, catalog: &Catalog) -> String {
    let mut columns = vec![mapping.id.quoted(), mapping.state.quoted()];
    columns.extend(mapping.job_name.as_ref().map(Identifier::quoted));
    let times = [
        Some(&catalog.started_at),
        Some(&catalog.heartbeat_at),
        catalog.ended_at.as_ref(),
    ];
    columns.extend(times.into_iter().flatten().map(|(column, _)| quoted(&column.name)));
    columns.sort();
    columns.dedup();
    columns.join(", ")
}

/// The start of a new row as its heartbeat column holds values, for the guard: no parameters there.
fn guard_value(mapping: &Mapping, catalog: &Catalog) -> String {
    let start = format!("NEW.{}", quoted(&catalog.started_at.0.name));
    if catalog.started_at.0.sql_type == catalog.heartbeat_at.0.sql_type {
        return start;
    }
    let instant = read(&start, catalog.started_at.1, mapping.time_format);
    write(&instant, &catalog.heartbeat_at, mapping.time_format).replace(ZONE, &literal(&mapping.time_zone))
}

/// A key as it is sent: a number as it is, anything else as text; NULL where that is too long to be one.
fn sent_key(column: &Column) -> String {
    let key = column.target();
    if column.is_integer() {
        key
    } else {
        format!(
            "CASE WHEN pg_catalog.octet_length({key}::pg_catalog.text) OPERATOR(pg_catalog.<=) {LONGEST_KEY} \
             THEN {key}::pg_catalog.text END"
        )
    }
}

/// The beginning of a text as it is sent. Cutting counts the characters of each value, and so costs more than all else; a
/// value that has no more bytes than characters are wanted is left as it is.
fn sent_text(column: &Column) -> String {
    let text = format!("{}::pg_catalog.text", column.target());
    let cut = format!("pg_catalog.left({text}, {LONGEST_TEXT})");
    if column.is_text() {
        format!(
            "CASE WHEN pg_catalog.octet_length({text}) OPERATOR(pg_catalog.>) {LONGEST_TEXT} THEN {cut} ELSE {text} END"
        )
    } else {
        cut
    }
}

/// The time zone of times that have none.
const ZONE: &str = "$1::pg_catalog.text";

/// A time column as `timestamptz`. What lies outside 1970..9999 becomes infinity, because converting it could fail and
/// take the whole pass with it.
fn read(column: &str, kind: TimeKind, format: TimeFormat) -> String {
    let between = |first: &str, last: &str| {
        format!("{column} OPERATOR(pg_catalog.>=) {first} AND {column} OPERATOR(pg_catalog.<=) {last}")
    };
    let (is_readable, instant) = match kind {
        TimeKind::Zoned => return column.to_owned(),
        TimeKind::Naive => (
            between("timestamp '1970-01-01'", "timestamp '9999-12-31 23:59:59.999999'"),
            format!("{column} AT TIME ZONE {ZONE}"),
        ),
        TimeKind::WholeEpoch | TimeKind::Epoch => {
            let (last, divisor) = match format {
                TimeFormat::EpochMillis => ("253402300799999", " OPERATOR(pg_catalog./) 1000.0"),
                TimeFormat::EpochSeconds | TimeFormat::Timestamp => ("253402300799", ""),
            };
            (
                between("0", last),
                format!("pg_catalog.to_timestamp({column}::double precision{divisor})"),
            )
        }
    };
    format!(
        "CASE WHEN {is_readable} THEN {instant} WHEN {column} IS NOT NULL THEN 'infinity'::pg_catalog.timestamptz END"
    )
}

/// A `timestamptz` as the column holds its values.
fn write(instant: &str, column: &(Column, TimeKind), format: TimeFormat) -> String {
    let scale = if format == TimeFormat::EpochMillis {
        " OPERATOR(pg_catalog.*) 1000"
    } else {
        ""
    };
    let epoch = format!("extract(epoch FROM {instant}){scale}");
    match column.1 {
        TimeKind::Zoned => instant.to_owned(),
        TimeKind::Naive => format!("({instant} AT TIME ZONE {ZONE})"),
        TimeKind::WholeEpoch => format!("pg_catalog.floor({epoch})::{}", column.0.named_type),
        TimeKind::Epoch => format!("({epoch})::{}", column.0.named_type),
    }
}

fn fail_set(mapping: &Mapping, catalog: &Catalog) -> String {
    let mut set = vec![format!(
        "{} = $16::pg_catalog.text::{}",
        mapping.state.quoted(),
        catalog.state.cast()
    )];
    if let Some(ended_at) = &catalog.ended_at {
        set.push(format!(
            "{} = {}",
            quoted(&ended_at.0.name),
            write("pg_catalog.now()", ended_at, mapping.time_format)
        ));
    }
    if let Some(error) = &catalog.error {
        set.push(format!("{} = {}", quoted(&error.name), error_value(error)));
    }
    set.join(", ")
}

/// Which image of the row a JSON object shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

fn fail_values(mapping: &Mapping, catalog: &Catalog, side: Side) -> String {
    let mut parts = vec![format!(
        "{}, target.{}::pg_catalog.text",
        literal(mapping.state.as_str()),
        mapping.state.quoted()
    )];
    if let Some((ended_at, _)) = &catalog.ended_at {
        parts.push(format!("{}, {}", literal(&ended_at.name), ended_at.target()));
    }
    match (side, &catalog.error) {
        (Side::Before, Some(error)) => parts.push(format!("'error_was', {}", error_kind(error))),
        (Side::Before, None) => {}
        // What false repairs are recognised by, and what undo takes out again.
        (Side::After, error) => {
            let heartbeat = read(
                &catalog.heartbeat_at.0.target(),
                catalog.heartbeat_at.1,
                mapping.time_format,
            );
            parts.push(format!("{}, {heartbeat}", literal(mapping.last_heartbeat_at.as_str())));
            if error.is_some() {
                parts.push("'error_text', $18::pg_catalog.text".to_owned());
            }
        }
    }
    format!("pg_catalog.jsonb_build_object({})", parts.join(", "))
}
