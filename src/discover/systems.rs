//! The systems that have a preset, recognised by what the preset itself maps: there is no second list to keep.

use super::{Finding, Lines, toml};
use crate::{
    config::KnownSystem,
    domain::Action,
    mapping::{Identifier, Mapping, TableName, TimeSource},
    store::inventory::{Holds, Inventory, Table},
};

/// The longest that a job of a system without heartbeats may run, until a person says better: it is only reported.
const MAX_RUNTIME: &str = "24h";

/// What a preset expects and a table lacks, each as a clause; how many things it expects.
struct Compared {
    lacks: Vec<String>,
    expects: usize,
    /// The table of the heartbeats, where it is in another database: the rest can be watched without it.
    heartbeats_away: Option<String>,
}

/// The tables of known systems; and sentences about those that have such a table's name and something else in it.
pub(super) fn found(inventory: &Inventory, systems: &[KnownSystem]) -> (Vec<Finding>, Vec<String>) {
    let (mut findings, mut notes) = (Vec::new(), Vec::new());
    for table in 0..inventory.tables.len() {
        let name = inventory.tables[table].name.as_str();
        let namesakes: Vec<_> = systems
            .iter()
            .filter(|system| system.mapping.table.name.as_str() == name)
            .map(|system| (system, compare(inventory, table, &system.mapping)))
            .collect();
        let (good, other): (Vec<_>, Vec<_>) = namesakes
            .into_iter()
            .partition(|(_, compared)| compared.lacks.is_empty());
        if good.is_empty() {
            notes.extend(
                other
                    .iter()
                    .filter_map(|(system, compared)| note(inventory, table, system, compared)),
            );
        }
        findings.extend(
            good.iter()
                .map(|(system, compared)| finding(inventory, table, (system, compared))),
        );
    }
    (findings, notes)
}

fn compare(inventory: &Inventory, place: usize, preset: &Mapping) -> Compared {
    let table = &inventory.tables[place];
    let mut compared = Compared {
        lacks: Vec::new(),
        expects: 0,
        heartbeats_away: None,
    };
    let mut away = None;
    let mut expect = |table: Option<&Table>, column: &Identifier| {
        compared.expects += 1;
        if table.is_none_or(|table| table.column(column.as_str()).is_none()) {
            compared.lacks.push(format!("`{}`", column.as_str()));
        }
    };
    expect(Some(table), &preset.id);
    expect(Some(table), &preset.state);
    for column in [&preset.job_name, &preset.ended_at].into_iter().flatten() {
        expect(Some(table), column);
    }
    for condition in &preset.only {
        expect(Some(table), &condition.column);
    }
    for (_, time) in preset.sources() {
        let Some(elsewhere) = &time.elsewhere else {
            expect(Some(table), &time.column);
            continue;
        };
        expect(Some(table), &elsewhere.matching);
        let other = sibling(inventory, place, &elsewhere.table).map(|other| &inventory.tables[other]);
        if other.is_none() && preset.last_heartbeat_at.as_ref() == Some(time) {
            away = Some(elsewhere.table.name.as_str().to_owned());
            continue;
        }
        expect(other, &elsewhere.key);
        expect(other, &time.column);
        for condition in &elsewhere.conditions {
            expect(other, &condition.column);
        }
    }
    compared.heartbeats_away = away;
    let labels = table
        .column(preset.state.as_str())
        .filter(|column| column.holds == Holds::Enum);
    let is_label = |state: &&String| labels.is_none_or(|column| column.labels.contains(state));
    let unknown = preset.states.running.iter().filter(|state| !is_label(state));
    compared
        .lacks
        .extend(unknown.map(|state| format!("the state `{state}`")));
    compared
}

/// The table of this name beside another: in the same schema.
fn sibling(inventory: &Inventory, beside: usize, named: &TableName) -> Option<usize> {
    let schema = &inventory.tables[beside].schema;
    let is_it = |table: &Table| table.schema == *schema && table.name == named.name.as_str();
    inventory.tables.iter().position(is_it)
}

/// That most of what a preset expects is there: another version of the system, most likely.
fn note(inventory: &Inventory, table: usize, system: &KnownSystem, compared: &Compared) -> Option<String> {
    let lacks = &compared.lacks;
    let is_like_it = lacks.len() * 3 <= compared.expects;
    is_like_it.then(|| {
        format!(
            "`{}` is like {}'s table, but {} is not there: a version that the preset `{}` doesn't cover.",
            inventory.named(table),
            system.writer,
            lacks.join(", "),
            system.preset
        )
    })
}

fn finding(inventory: &Inventory, place: usize, (system, compared): (&KnownSystem, &Compared)) -> Finding {
    let (table, preset) = (&inventory.tables[place], &system.mapping);
    let mut reasons = vec!["all columns that the preset maps are there".to_owned()];
    let unreadable: Vec<String> = mapped(preset)
        .filter(|name| table.column(name).is_some_and(|column| !column.is_readable))
        .map(|name| format!("`{name}`"))
        .collect();
    if !unreadable.is_empty() {
        reasons.push(format!(
            "this role may not read {}: `beatwarden grants` with this configuration prints the statement for it",
            unreadable.join(", ")
        ));
    }
    Finding {
        table: place,
        running: Some((preset.state.as_str().to_owned(), preset.states.running.clone())),
        cost: None,
        title: format!("{}: its table `{}`", system.writer, inventory.named(place)),
        is_known: true,
        name: system.preset.to_owned(),
        reasons,
        lines: Lines {
            watch: of_watch(system, compared),
            table: of_table(inventory, place, (system, compared)),
            repair: of_repair(system),
        },
        is_open: false,
        score: u32::MAX,
    }
}

/// The preset; and a limit where no heartbeat can be read.
fn of_watch(system: &KnownSystem, compared: &Compared) -> Vec<String> {
    let mut lines = vec![format!("preset = {}", toml::text(system.preset))];
    let why = match &compared.heartbeats_away {
        Some(other) => format!("the table `{other}`, in which its signs of life stand, is not in this database."),
        None if system.mapping.last_heartbeat_at.is_none() => {
            "a job gives no sign of life between its start and its end.".to_owned()
        }
        None => return lines,
    };
    lines.extend([
        format!("# decide: {why}"),
        "# Set this to the longest that a job may run; what runs for longer is reported.".to_owned(),
        format!("max_runtime = \"{MAX_RUNTIME}\""),
    ]);
    lines
}

/// What the preset says otherwise than it is here.
fn of_table(inventory: &Inventory, place: usize, (system, compared): (&KnownSystem, &Compared)) -> Vec<String> {
    let (named, preset) = (inventory.named(place), &system.mapping);
    let mut lines = Vec::new();
    // In a file, which has no schemas, that of a preset is left out anyway.
    if named != preset.table.plain() && inventory.tables[place].schema.is_some() {
        lines.push(format!("name = {}", toml::text(&named)));
        let written = |(key, time)| Some(format!("{key} = {}", elsewhere(inventory, place, preset, time)?));
        lines.extend(preset.sources().filter_map(written));
    }
    if compared.heartbeats_away.is_some() {
        lines.push("last_heartbeat_at = \"\"".to_owned());
    }
    lines
}

/// That nothing is repaired, where the preset does.
fn of_repair(system: &KnownSystem) -> Vec<String> {
    if system.action == Action::Observe {
        return Vec::new();
    }
    vec![
        format!(
            "# Nothing is repaired until you say so: without this line the preset says \"{}\", and \"fail\" ends a dead job.",
            system.action.as_str()
        ),
        "missed_first = \"observe\"".to_owned(),
    ]
}

/// The columns of the job table that a preset maps.
fn mapped(preset: &Mapping) -> impl Iterator<Item = &str> {
    let columns = [Some(&preset.id), Some(&preset.state)].into_iter();
    let columns = columns.chain([preset.job_name.as_ref(), preset.ended_at.as_ref()]);
    let times = preset.sources().map(|(_, time)| time.own());
    columns.chain(times).flatten().map(Identifier::as_str)
}

/// A time that stands in another table, where that is not found by the name that the preset has.
fn elsewhere(inventory: &Inventory, place: usize, preset: &Mapping, time: &TimeSource) -> Option<String> {
    let other = time.elsewhere.as_ref()?;
    let table = inventory.named(sibling(inventory, place, &other.table)?);
    Some(toml::time(&toml::Time {
        column: time.column.as_str(),
        other: Some((table, other.key.as_str())),
        matching: Some(&other.matching)
            .filter(|column| **column != preset.id)
            .map(Identifier::as_str),
        prefix: other.prefix.as_deref(),
        format: time.format,
        zone: time.zone.as_deref(),
        conditions: &other.conditions,
    }))
}
