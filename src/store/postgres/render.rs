//! The statements for one table: the `.sql` files with names and types filled in, once per connection.
//!
//! What is filled in are quoted names, types of the catalog, and expressions made of them. Values are always bound.

use super::{
    catalog::{Catalog, Column, TimeKind},
    guard::GuardStatements,
    undo,
};
use crate::{
    domain::LEDGER_LAYOUT,
    store::{
        Identifier, Mapping, TimeFormat, derived, fill,
        reading::{LONGEST_IMAGE, LONGEST_KEY, LONGEST_TEXT},
    },
};

/// The window of the success ratio ends now, and is $4 seconds long.
const WINDOW_BEGINS: &str = "now() - make_interval(secs => $4::double precision)";

/// The rendered statements.
#[derive(Debug)]
pub(super) struct Statements {
    pub moment: String,
    pub scan_mark: String,
    pub facts: String,
    pub running: String,
    pub unknown: String,
    pub keyless: String,
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
    pub ledger_find: String,
    pub ledger_history: String,
    pub ledger_of_job: String,
    pub ledger_entry: String,
    pub ledger_note: String,
    pub ledger_acknowledge: String,
    pub ledger_ack_fuse: String,
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
    pub(super) fn render(mapping: &Mapping, catalog: &Catalog) -> Self {
        let index = |suffix: &str| derived("", catalog.ledger.name.as_str(), suffix);
        let last_index = index("_table_unacknowledged");
        let mut names = names(mapping, catalog);
        names.push(("ledger_by_time", index("_table_time").quoted()));
        names.push(("ledger_by_job", index("_table_job").quoted()));
        names.push(("ledger_unacknowledged", last_index.quoted()));
        names.extend(undo::names(mapping, catalog));
        names.push(("entry", fill(include_str!("sql/entry.sql"), &names)));
        let guard = GuardStatements::render(
            &names,
            &catalog.table,
            &guard_value(mapping, catalog),
            &mapping.states.running,
        );
        names.push(("guard_state", include_str!("sql/guard_state.sql").to_owned()));
        // The canonical relation is filled by itself, so that no statement is filled twice.
        names.push(("job", fill(include_str!("sql/job.sql"), &names)));
        let newest = fill(include_str!("sql/newest.sql"), &names);
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
        names.push(("newest_job", fill(include_str!("sql/job.sql"), &of_newest)));
        let fill = |template: &str| fill(template, &names);
        Self {
            moment: fill(include_str!("sql/moment.sql")),
            scan_mark: fill(include_str!("sql/scan_mark.sql")),
            facts: fill(include_str!("sql/facts.sql")),
            running: fill(include_str!("sql/observe_running.sql")),
            unknown: fill(include_str!("sql/observe_unknown.sql")),
            keyless: fill(include_str!("sql/observe_keyless.sql")),
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
            ledger_find: fill(include_str!("sql/ledger_find.sql")),
            ledger_history: fill(include_str!("sql/ledger_history.sql")),
            ledger_of_job: fill(include_str!("sql/ledger_of_job.sql")),
            ledger_entry: fill(include_str!("sql/ledger_entry.sql")),
            ledger_note: fill(include_str!("sql/ledger_note.sql")),
            ledger_acknowledge: fill(include_str!("sql/ledger_acknowledge.sql")),
            ledger_ack_fuse: fill(include_str!("sql/ledger_ack_fuse.sql")),
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

pub(super) type Names = Vec<(&'static str, String)>;

fn names(mapping: &Mapping, catalog: &Catalog) -> Names {
    let time = |column: &(Column, TimeKind)| read(&target(&column.0), column.1, mapping.time_format);
    // Its values are the times that they would be made into.
    let needs_no_zone = |column: &(Column, TimeKind)| column.1 == TimeKind::Naive && mapping.keeps_utc();
    let sent_time = |column: &(Column, TimeKind)| {
        if needs_no_zone(column) {
            target(&column.0)
        } else {
            time(column)
        }
    };
    let or_null = |value: Option<String>, sql_type| value.unwrap_or_else(|| format!("NULL::{sql_type}"));
    let job_name = mapping.job_name.as_ref().map_or_else(
        || "NULL::text".to_owned(),
        // In the guards as well: what is compared is what was read.
        |name| format!("left(target.{}::text, {LONGEST_TEXT})", name.quoted()),
    );
    let state_array = if catalog.state.is_text() {
        String::new()
    } else {
        format!("::{}[]", catalog.state.sql_type)
    };
    let same_type = catalog.started_at.0.sql_type == catalog.heartbeat_at.0.sql_type;
    let backfill_value = if same_type {
        target(&catalog.started_at.0)
    } else {
        write(&time(&catalog.started_at), &catalog.heartbeat_at, mapping.time_format)
    };
    vec![
        ("identity", include_str!("sql/identity.sql").to_owned()),
        ("table", catalog.table.quoted()),
        ("columns", columns(mapping, catalog)),
        ("ledger", catalog.ledger.quoted()),
        ("layout", LEDGER_LAYOUT.to_string()),
        ("id", mapping.id.quoted()),
        ("id_type", catalog.id.cast().to_owned()),
        ("job_name", job_name),
        ("state", mapping.state.quoted()),
        ("state_array", state_array),
        ("longest_text", LONGEST_TEXT.to_string()),
        ("longest_image", LONGEST_IMAGE.to_string()),
        ("started_at_read", time(&catalog.started_at)),
        ("heartbeat_at_read", time(&catalog.heartbeat_at)),
        (
            "ended_at_read",
            or_null(catalog.ended_at.as_ref().map(time), "timestamptz"),
        ),
        ("id_sent", sent_key(&catalog.id)),
        (
            "job_name_sent",
            or_null(catalog.job_name.as_ref().map(sent_text), "text"),
        ),
        ("state_sent", sent_text(&catalog.state)),
        ("started_at_sent", sent_time(&catalog.started_at)),
        (
            "window_begins",
            // In the type of the start as it is sent.
            if needs_no_zone(&catalog.started_at) {
                format!("({WINDOW_BEGINS}) AT TIME ZONE 'UTC'")
            } else {
                WINDOW_BEGINS.to_owned()
            },
        ),
        ("heartbeat_at_sent", sent_time(&catalog.heartbeat_at)),
        (
            "ended_at_sent",
            or_null(catalog.ended_at.as_ref().map(sent_time), "timestamptz"),
        ),
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
    write(&instant, &catalog.heartbeat_at, mapping.time_format).replace("$1::text", &literal(&mapping.time_zone))
}

/// A key as it is sent: a number as it is, anything else as text; NULL where that is too long to be one.
fn sent_key(column: &Column) -> String {
    let key = target(column);
    if column.is_integer() {
        key
    } else {
        format!("CASE WHEN octet_length({key}::text) <= {LONGEST_KEY} THEN {key}::text END")
    }
}

/// The beginning of a text as it is sent. Cutting counts the characters of each value, and so costs more than all else; a
/// value that has no more bytes than characters are wanted is left as it is.
fn sent_text(column: &Column) -> String {
    let text = format!("{}::text", target(column));
    let cut = format!("left({text}, {LONGEST_TEXT})");
    if column.is_text() {
        format!("CASE WHEN octet_length({text}) > {LONGEST_TEXT} THEN {cut} ELSE {text} END")
    } else {
        cut
    }
}

/// A column of the target row.
pub(super) fn target(column: &Column) -> String {
    format!("target.{}", quoted(&column.name))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A time column as `timestamptz`. What lies outside 1970..9999 becomes infinity, because converting it could fail and
/// take the whole pass with it.
fn read(column: &str, kind: TimeKind, format: TimeFormat) -> String {
    match kind {
        TimeKind::Zoned => column.to_owned(),
        TimeKind::Naive => format!(
            "CASE WHEN {column} BETWEEN timestamp '1970-01-01' AND timestamp '9999-12-31 23:59:59.999999' \
             THEN {column} AT TIME ZONE $1::text WHEN {column} IS NOT NULL THEN timestamptz 'infinity' END"
        ),
        TimeKind::WholeEpoch | TimeKind::Epoch => {
            let (last, divisor) = match format {
                TimeFormat::EpochMillis => ("253402300799999", " / 1000.0"),
                TimeFormat::EpochSeconds | TimeFormat::Timestamp => ("253402300799", ""),
            };
            format!(
                "CASE WHEN {column} BETWEEN 0 AND {last} THEN to_timestamp({column}::double precision{divisor}) \
                 WHEN {column} IS NOT NULL THEN timestamptz 'infinity' END"
            )
        }
    }
}

/// A `timestamptz` as the column holds its values.
fn write(instant: &str, column: &(Column, TimeKind), format: TimeFormat) -> String {
    let scale = if format == TimeFormat::EpochMillis {
        " * 1000"
    } else {
        ""
    };
    let epoch = format!("extract(epoch FROM {instant}){scale}");
    match column.1 {
        TimeKind::Zoned => instant.to_owned(),
        TimeKind::Naive => format!("({instant} AT TIME ZONE $1::text)"),
        TimeKind::WholeEpoch => format!("floor({epoch})::{}", column.0.sql_type),
        TimeKind::Epoch => format!("({epoch})::{}", column.0.sql_type),
    }
}

fn fail_set(mapping: &Mapping, catalog: &Catalog) -> String {
    let mut set = vec![format!(
        "{} = $16::text::{}",
        mapping.state.quoted(),
        catalog.state.cast()
    )];
    if let Some(ended_at) = &catalog.ended_at {
        set.push(format!(
            "{} = {}",
            quoted(&ended_at.0.name),
            write("now()", ended_at, mapping.time_format)
        ));
    }
    if let Some(error) = &catalog.error {
        set.push(format!("{} = {}", quoted(&error.name), error_value(error)));
    }
    set.join(", ")
}

/// White space as JSON has it.
const BLANK: &str = r"E' \t\n\r'";

/// Characters of both ends of a long text, and bytes from which it is one, so that the ends are apart: to trim ten megabytes
/// takes half a second, with the row locked.
const WINDOW: u32 = 1_000;
const LONG: u32 = 16_000;

/// The error column with the error text in it; every byte that was there stays.
fn error_value(error: &Column) -> String {
    let column = target(error);
    if error.is_jsonb() {
        return format!(
            "CASE WHEN {column} IS NULL OR jsonb_typeof({column}) = 'object' \
             THEN coalesce({column}, '{{}}'::jsonb) || jsonb_build_object($19::text, $18::text) ELSE {column} END"
        );
    }
    let end = format!("right({column}, {WINDOW})");
    // Counted from the end: the last brace, which is the last of what is no white space.
    let brace =
        format!("strpos(reverse(CASE WHEN rtrim({end}, {BLANK}) = '' THEN {column}::text ELSE {end} END), '}}')");
    let merged = format!(
        "CASE {} WHEN 'object' THEN left({column}, -{brace}) || ', ' || $17::text || right({column}, {brace}) \
         WHEN 'other' THEN {column} ELSE '{{' || $17::text || '}}' END",
        error_kind(error)
    );
    match error.longest {
        // A text that doesn't fit must not keep the job from being ended.
        Some(longest) => format!("CASE WHEN length({merged}) <= {longest} THEN {merged} ELSE {column} END"),
        None => merged,
    }
}

/// Which kind of value the error column had: `before` keeps it, so that undo knows what to put back.
fn error_kind(error: &Column) -> String {
    let column = target(error);
    if error.is_jsonb() {
        return format!("coalesce(jsonb_typeof({column}), 'null')");
    }
    let trimmed = format!("btrim({column}, {BLANK})");
    let (start, end) = (
        format!("left({column}, {WINDOW})"),
        format!("right({column}, {WINDOW})"),
    );
    // Of a long text both ends tell, unless they are nothing but braces and white space.
    let ends_tell = format!(
        "octet_length({column}) > {LONG} AND btrim({start}, E'{{ \\t\\n\\r') <> '' AND rtrim({end}, {BLANK}) <> ''"
    );
    let by_ends = format!(
        "CASE WHEN ltrim({start}, {BLANK}) LIKE '{{%' AND rtrim({end}, {BLANK}) LIKE '%}}' THEN 'object' ELSE 'other' END"
    );
    format!(
        "(CASE WHEN {column} IS NULL THEN 'null' WHEN {ends_tell} THEN {by_ends} WHEN {trimmed} = '' THEN 'blank' \
         WHEN {trimmed} LIKE '{{%}}' THEN CASE WHEN btrim({trimmed}, E'{{}} \\t\\n\\r') = '' AND length({trimmed}) - length(replace(replace({trimmed}, '{{', ''), '}}', '')) = 2 \
         THEN 'braces' ELSE 'object' END ELSE 'other' END)"
    )
}

/// Which image of the row a JSON object shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

fn fail_values(mapping: &Mapping, catalog: &Catalog, side: Side) -> String {
    let mut parts = vec![format!(
        "{}, target.{}::text",
        literal(mapping.state.as_str()),
        mapping.state.quoted()
    )];
    if let Some((ended_at, _)) = &catalog.ended_at {
        parts.push(format!("{}, {}", literal(&ended_at.name), target(ended_at)));
    }
    match (side, &catalog.error) {
        (Side::Before, Some(error)) => parts.push(format!("'error_was', {}", error_kind(error))),
        (Side::Before, None) => {}
        // What false repairs are recognised by, and what undo takes out again.
        (Side::After, error) => {
            let heartbeat = read(
                &target(&catalog.heartbeat_at.0),
                catalog.heartbeat_at.1,
                mapping.time_format,
            );
            parts.push(format!("{}, {heartbeat}", literal(mapping.last_heartbeat_at.as_str())));
            if error.is_some() {
                parts.push("'error_text', $18::text".to_owned());
            }
        }
    }
    format!("jsonb_build_object({})", parts.join(", "))
}
