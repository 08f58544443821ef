//! The statements for one table: the `.sql` files with names and types filled in, once per connection.
//!
//! What is filled in are quoted names, types of the catalog, and expressions made of them. Values are always bound.

use super::{
    catalog::Catalog,
    column::Column,
    fail,
    guard_sql::GuardStatements,
    ranged::Ranged,
    server::Server,
    sql::{NO_ENTRY, Names, literal, object, quoted},
    times::{TimeColumn, ZONE},
    undo,
};
use crate::{
    domain::{LEDGER_LAYOUT, LedgerAction},
    store::{
        Identifier, Mapping,
        layout::index_names,
        part,
        reading::{LONGEST_IMAGE, LONGEST_KEY, LONGEST_TEXT},
        template::statements,
    },
};

/// Whether the first step of a repair of two steps has locked the row.
const HELD: &str =
    "coalesce(pg_catalog.current_setting('beatwarden.held', true), '') OPERATOR(pg_catalog.=) $12::pg_catalog.text";

/// The window of the success ratio ends now, and is $4 seconds long.
const WINDOW_BEGINS: &str =
    "(pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $4::double precision))";
statements! {
    /// The statements, with the names of this table filled in.
    #[derive(Debug)]
    pub(super) struct Statements {
        moment, scan_mark, holders, facts, job_times, job_of_name,
        running = "observe_running", unknown = "observe_unknown", keyless = "observe_keyless", known = "observe_known",
        newcomers = "observe_newcomers", page = "observe_page", below = "observe_below", tail = "observe_tail",
        keys = "observe_keys", top = "observe_top", history = "observe_history", longest_run, good_runs,
        ledger_create, ledger_of_jobs, ledger_newest, ledger_probe, ledger_exists, ledger_made, ledger_gate,
        ledger_find, ledger_of_job, ledger_entry, ledger_note, ledger_acknowledge, ledger_ack_fuse, ledger_between,
        undo_look, undo_backfill, undo_fail,
        repair_backfill, repair_fail, repair_lock, repair_call, repair_called,
    } with {
        /// The name of the index that is made last: where it is, all are.
        last_index: String,
        guard: GuardStatements,
        /// The tail, where heartbeats of another table are read beside it.
        ranged: Option<Ranged>,
    }
}

impl Statements {
    pub(super) fn render(mapping: &Mapping, catalog: &Catalog, server: &Server) -> Self {
        let indexes = index_names(&catalog.ledger.name);
        let last_index = indexes[3].1.as_str().to_owned();
        let mut names = names(mapping, catalog);
        names.extend(server.names());
        names.extend(indexes.map(|(place, name)| (place, name.quoted())));
        names.extend(undo::names(mapping, catalog));
        names.push(("entry", part(include_str!("sql/entry.sql"), &names)));
        let guard = GuardStatements::render(
            &names,
            &catalog.table,
            &guard_value(mapping, catalog),
            &mapping.states.running,
        );
        names.push(("ledger_flaw", part(include_str!("sql/ledger_flaw.sql"), &[])));
        names.push(("bottom_type", part(include_str!("sql/bottom_type.sql"), &[])));
        names.push(("guard_state", part(include_str!("sql/guard_state.sql"), &[])));
        // Parts are filled by themselves, so that no statement is filled twice.
        names.push(("job", part(include_str!("sql/job.sql"), &names)));
        names.push(("entry_made", part(include_str!("sql/entry_made.sql"), &names)));
        names.push(("as_observed", part(include_str!("sql/as_observed.sql"), &names)));
        let with = |template: &str, others: Names| part(template, &[others, names.clone()].concat());
        let ranged = Ranged::render(catalog, with);
        let newest = part(include_str!("sql/newest.sql"), &names);
        let newest_job = with(include_str!("sql/job.sql"), vec![("table", newest)]);
        let newest_good = part(include_str!("sql/newest_good.sql"), &names);
        let newest_good_job = with(include_str!("sql/job.sql"), vec![("table", newest_good)]);
        // A key that is a number is counted up, whatever the rows are born as: the newest of them cost nothing to find.
        let newest_by = mapping.newest_by(catalog.id.is_integer()).quoted();
        let good_by_key = with(include_str!("sql/newest_good.sql"), vec![("newest_by", newest_by)]);
        let good_by_key_job = with(include_str!("sql/job.sql"), vec![("table", good_by_key)]);
        // The first step of two has to have locked the row.
        let held = if catalog.others.is_empty() { "true" } else { HELD };
        let repair = |action: LedgerAction, [set, before, after]: [String; 3], unchanged: String| {
            let action = ("action", literal(action.as_str()));
            let images = [("before", before), ("after", after), ("set_unchanged", unchanged)];
            let change = vec![action, ("set", set), ("held_before", held.to_owned())];
            let change = [change, images.to_vec()].concat();
            with(include_str!("sql/repair.sql"), change)
        };
        let fail = repair(
            LedgerAction::Fail,
            fail::by_update(mapping, catalog),
            fail::unchanged(catalog),
        );
        let backfill = repair(LedgerAction::Backfill, backfill(catalog), "true".to_owned());
        names.extend(fail::by_call(mapping, catalog));
        names.extend([
            ("newest_good_job", newest_good_job),
            ("good_by_key_job", good_by_key_job),
        ]);
        names.extend([("newest_job", newest_job), ("fail", fail), ("backfill", backfill)]);
        Self::filled(|template| part(template, &names), last_index, guard, ranged)
    }
}

fn names(mapping: &Mapping, catalog: &Catalog) -> Names {
    let all_keep_utc = catalog.all_keep_utc();
    let instant = |time: Option<&TimeColumn>| or_null(time.map(TimeColumn::instant), "pg_catalog.timestamptz");
    let sent_time =
        |time: Option<&TimeColumn>| or_null(time.map(|time| time.sent(all_keep_utc)), "pg_catalog.timestamptz");
    let value = |time: Option<&TimeColumn>| or_null(time.map(TimeColumn::value), "pg_catalog.text");
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
    // A text becomes a value of another type only when the statement runs, and the planner takes no partial index for what it
    // doesn't know yet; so these are constants.
    let running_states = if catalog.state.is_text() {
        "$2::pg_catalog.text[]".to_owned()
    } else {
        let states: Vec<_> = mapping.states.running.iter().map(|state| literal(state)).collect();
        format!("ARRAY[{}]{state_array}", states.join(", "))
    };
    vec![
        ("no_entry", literal(NO_ENTRY)),
        ("held", HELD.to_owned()),
        ("table", catalog.table.quoted()),
        ("columns", mapping.columns_quoted()),
        ("newest_by", mapping.newest_by(catalog.grows).quoted()),
        ("ledger", catalog.ledger.quoted()),
        ("layout", LEDGER_LAYOUT.to_string()),
        ("id", mapping.id.quoted()),
        ("id_type", catalog.id.cast().to_owned()),
        ("id_equals", catalog.id.equality.clone()),
        ("job_name", job_name),
        ("state", mapping.state.quoted()),
        ("null_unknown", mapping.null_is_unknown().to_owned()),
        ("state_array", state_array),
        ("running_states", running_states),
        ("longest_text", LONGEST_TEXT.to_string()),
        ("longest_image", LONGEST_IMAGE.to_string()),
        ("only", catalog.only.clone()),
        ("started_at_read", catalog.started_at.instant()),
        ("heartbeat_at_read", instant(catalog.heartbeat_at.as_ref())),
        ("ended_at_read", instant(catalog.ended_at.as_ref())),
        ("id_sent", sent_key(&catalog.id)),
        (
            "job_name_sent",
            or_null(catalog.job_name.as_ref().map(sent_text), "pg_catalog.text"),
        ),
        ("state_sent", sent_text(&catalog.state)),
        ("started_at_sent", catalog.started_at.sent(all_keep_utc)),
        ("in_window", in_window(catalog)),
        ("heartbeat_at_sent", sent_time(catalog.heartbeat_at.as_ref())),
        ("ended_at_sent", sent_time(catalog.ended_at.as_ref())),
        ("started_at_value", catalog.started_at.value()),
        ("heartbeat_at_value", value(catalog.heartbeat_at.as_ref())),
        (
            "heartbeat_at",
            mapping
                .own_heartbeat()
                .map_or_else(|| NO_COLUMN.to_owned(), Identifier::quoted),
        ),
        ("reason", literal(mapping.overdue().as_str())),
        ("heartbeat_at_literal", literal(&mapping.heartbeat_name())),
    ]
}

/// In place of a column that the job table doesn't have: no statement with it can run.
const NO_COLUMN: &str = "\"\"";

fn or_null(value: Option<String>, sql_type: &str) -> String {
    value.unwrap_or_else(|| format!("NULL::{sql_type}"))
}

/// Whether a row of the history started within the window. A start in another table would be looked up for each of
/// thousands of rows that ended long ago, so nothing is counted there.
fn in_window(catalog: &Catalog) -> String {
    let start = &catalog.started_at;
    if start.own().is_none() {
        return "false".to_owned();
    }
    // In the type of the start as it is sent.
    let begins = if start.needs_no_zone(catalog.all_keep_utc()) {
        format!("{WINDOW_BEGINS} AT TIME ZONE 'UTC'")
    } else {
        WINDOW_BEGINS.to_owned()
    };
    format!("sent_started_at OPERATOR(pg_catalog.>=) (SELECT {begins})")
}

/// The start of a new row as its heartbeat column holds values, for the guard: no parameters there. Without that column
/// there is no guard.
fn guard_value(mapping: &Mapping, catalog: &Catalog) -> String {
    let start = format!("NEW.{}", quoted(&catalog.started_at.column.name));
    match (&catalog.started_at, &catalog.heartbeat_at) {
        (from, Some(into)) if !from.holds_the_same_as(into) => into
            .write(&from.read(&start))
            .replace(ZONE, &literal(&mapping.time_zone)),
        _ => start,
    }
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

/// What a backfill changes, and the images before and after.
fn backfill(catalog: &Catalog) -> [String; 3] {
    let start = &catalog.started_at;
    let Some(heartbeat) = catalog.heartbeat_at.as_ref().filter(|time| time.own().is_some()) else {
        return [format!("{NO_COLUMN} = NULL"), object(&[]), object(&[])];
    };
    let value = if start.holds_the_same_as(heartbeat) {
        start.value()
    } else {
        heartbeat.write(&start.instant())
    };
    let name = &heartbeat.column.name;
    let image = object(&[(name.as_str(), heartbeat.value())]);
    [format!("{} = {value}", quoted(name)), image.clone(), image]
}
