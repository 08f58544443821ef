//! What the statements and messages need of a mapping.

use super::{Call, Elsewhere, Ending, ErrorText, Identifier, Mapping, SERVER_ZONE, StoreError, TableName, TimeSource};
use crate::domain::{Argument, Assigned, NullState, Phase, ValueTest};
use crate::nearest::listed;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

impl ErrorText {
    /// The key and a text that is escaped already, as they stand in the column.
    pub(super) fn pair(&self, text: &str) -> String {
        format!("{}: \"{text}\"", serde_json::Value::from(self.key.as_str()))
    }
}

impl Elsewhere {
    /// The columns of it that are read, the `time` among them, each with its key below `key`.
    pub(super) fn columns<'a>(&'a self, time: &'a Identifier, key: &str) -> Vec<(&'a Identifier, String)> {
        let conditions = self.conditions.iter().map(|condition| (&condition.column, "where"));
        let columns = [(time, "column"), (&self.key, "key")].into_iter().chain(conditions);
        columns
            .map(|(column, inner)| (column, format!("{key}.{inner}")))
            .collect()
    }

    /// Whether an index of these columns, whose names are compared by `is`, finds the rows of one job: before the key stands
    /// nothing but what a condition fixes.
    pub(super) fn is_found_by(&self, index: &[String], is: fn(&str, &str) -> bool) -> bool {
        let fixed = self
            .conditions
            .iter()
            .filter(|condition| condition.test != ValueTest::Set);
        let fixed: Vec<&str> = fixed.map(|condition| condition.column.as_str()).collect();
        let mut rest = index
            .iter()
            .skip_while(|column| fixed.iter().any(|fixed| is(column, fixed)));
        rest.next().is_some_and(|column| is(column, self.key.as_str()))
    }

    /// The columns of an index that finds the newest `time` of one job, as they stand in SQL.
    pub(super) fn index_columns(&self, time: &Identifier) -> String {
        let conditions = self.conditions.iter().map(|condition| &condition.column);
        let columns = [&self.key].into_iter().chain(conditions).chain([time]);
        columns.map(Identifier::quoted).collect::<Vec<_>>().join(", ")
    }

    /// The error of a table without such an index that is so large that passes would hurt everyone; `advice` makes one.
    pub(super) fn too_large(&self, advice: &str) -> StoreError {
        StoreError::Schema(format!(
            "no index of `{}` begins with `{}`, so each pass would read all of it for each running job: {advice}",
            self.table.plain(),
            self.key.as_str()
        ))
    }
}

impl Ending {
    /// The key of the further columns.
    pub(crate) const SET: &str = "watch.repair.fail.set";
    /// The key of the function.
    pub(crate) const CALL: &str = "watch.repair.fail.call";

    /// A key of a column as the user knows it: all but the further ones stand in `[watch.table]`.
    pub(crate) fn full_key(key: &str) -> String {
        let prefix = if key == Self::SET { "" } else { "watch.table." };
        format!("{prefix}{key}")
    }
}

/// The error of a column that `key` of the configuration names, and that the table doesn't have among `names`.
pub(super) fn no_column<'a>(
    wanted: &Identifier,
    key: &str,
    table: &TableName,
    names: impl Iterator<Item = &'a str>,
) -> StoreError {
    StoreError::Schema(format!(
        "column `{}` not found in `{}` ({}); {}",
        wanted.as_str(),
        table.plain(),
        Ending::full_key(key),
        listed(wanted.as_str(), names, "the table has")
    ))
}

/// Errors about columns as one.
pub(super) fn in_one(errors: impl Iterator<Item = StoreError>) -> Result<(), StoreError> {
    let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Schema(errors.join("; ")))
    }
}

impl Mapping {
    /// The columns of the job table that are read, whatever the action, each with its key in `watch.table`.
    pub(super) fn columns(&self) -> Vec<(&Identifier, String)> {
        let mut columns = vec![(&self.id, "id".to_owned()), (&self.state, "state".to_owned())];
        columns.extend(self.sources().map(|(key, source)| match &source.elsewhere {
            None => (&source.column, key.to_owned()),
            Some(elsewhere) => (&elsewhere.matching, format!("{key}.match")),
        }));
        columns.extend(self.job_name.iter().map(|name| (name, "job_name".to_owned())));
        columns.extend(self.ended_at.iter().map(|name| (name, "ended_at".to_owned())));
        columns.extend(self.only.iter().map(|condition| (&condition.column, "only".to_owned())));
        columns
    }

    /// The columns that only `fail` needs, each with its key: one for the `error` text where it writes that, and the further ones.
    pub(super) fn columns_of_fail<'a>(
        &'a self,
        error: impl Iterator<Item = &'a Identifier>,
    ) -> impl Iterator<Item = (&'a Identifier, String)> {
        let set = self
            .ending
            .set
            .iter()
            .map(|(column, _)| (column, Ending::SET.to_owned()));
        error.map(|column| (column, "error.column".to_owned())).chain(set)
    }

    /// The same columns as they stand in SQL, each once.
    pub(super) fn columns_quoted(&self) -> String {
        let columns = self.columns().into_iter().map(|(column, _)| column.quoted());
        columns
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The column of the start, where it is one of the job table.
    pub fn own_start(&self) -> Option<&Identifier> {
        self.started_at.own()
    }

    /// The column of the heartbeat, where it is one of the job table.
    pub fn own_heartbeat(&self) -> Option<&Identifier> {
        self.last_heartbeat_at.as_ref().and_then(TimeSource::own)
    }

    /// The phase of an overdue job of this table: the reason of its repairs.
    pub(super) fn overdue(&self) -> Phase {
        match self.max_runtime {
            None => Phase::MissedFirst,
            Some(_) => Phase::Overrun,
        }
    }

    /// The column that shows which rows are the newest: the key where it grows, else the start.
    pub(super) fn newest_by(&self, grows: bool) -> &Identifier {
        self.own_start().filter(|_| !grows).unwrap_or(&self.id)
    }

    /// What keeps the guard from being made, if something does: it writes a first heartbeat.
    pub(super) fn no_guard(&self) -> Result<(), StoreError> {
        match &self.last_heartbeat_at {
            Some(_) if self.own_start().is_some() && self.own_heartbeat().is_some() => Ok(()),
            Some(_) => Err(StoreError::Schema(
                "the guard writes the start of a job into its heartbeat, and here the two are not both in the job table"
                    .to_owned(),
            )),
            None => Err(StoreError::Schema(
                "the guard writes a job's first heartbeat, and this watch maps none (watch.table.last_heartbeat_at)"
                    .to_owned(),
            )),
        }
    }

    /// The columns of the job table that conditions and keys of other tables are compared with.
    pub fn also_read(&self) -> impl Iterator<Item = &Identifier> {
        let matching = self.others().map(|elsewhere| &elsewhere.matching);
        self.only.iter().map(|condition| &condition.column).chain(matching)
    }

    /// Where times stand that are not in the job table.
    pub fn others(&self) -> impl Iterator<Item = &Elsewhere> {
        self.sources().filter_map(|(_, source)| source.elsewhere.as_ref())
    }

    /// The times that may stand in another table, with their keys.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &TimeSource)> {
        let heartbeat = self.last_heartbeat_at.as_ref();
        let heartbeat = heartbeat.map(|source| ("last_heartbeat_at", source));
        [("started_at", &self.started_at)].into_iter().chain(heartbeat)
    }

    /// What the heartbeat is called in messages and in the images of the ledger.
    pub fn heartbeat_name(&self) -> String {
        let source = self.last_heartbeat_at.as_ref();
        source.map_or_else(|| "last_heartbeat_at".to_owned(), TimeSource::plain)
    }

    /// As a condition of the canonical relation, whether NULL makes the state of a row unknown.
    pub(super) fn null_is_unknown(&self) -> &'static str {
        match self.states.null {
            NullState::Unknown => "raw_state IS NULL",
            NullState::Waiting | NullState::Ignore => "false",
        }
    }

    /// The state that `fail` writes; none where none is known, or a function decides it.
    pub fn end_state(&self) -> Option<&str> {
        let first = self.states.failure.first().map(String::as_str);
        let state = self.ending.state.as_deref().or(first);
        state.filter(|_| self.ending.call.is_none())
    }

    /// Whether `fail` writes end and error text: not where the job is put back, nor where a function writes what it writes.
    fn writes_an_end(&self) -> bool {
        self.ending.call.is_none() && !self.is_requeue()
    }

    /// Whether `fail` puts the job back to be run again.
    pub fn is_requeue(&self) -> bool {
        self.end_state().is_some_and(|state| self.is_waiting(state))
    }

    /// Whether jobs in this state wait to be run.
    pub(crate) fn is_waiting(&self, state: &str) -> bool {
        self.states.waiting.iter().any(|waiting| waiting == state)
    }

    /// The column of the end, where `fail` writes it.
    pub(crate) fn end_written(&self) -> Option<&Identifier> {
        self.ended_at.as_ref().filter(|_| self.writes_an_end())
    }

    /// Where `fail` writes its error text.
    pub(crate) fn error_written(&self) -> Option<&ErrorText> {
        self.error.as_ref().filter(|_| self.writes_an_end())
    }

    /// What `fail` does, for people: `it writes state = 'FAILED', ended_at = the database's time`.
    pub fn fail_in_words(&self) -> String {
        if let Some(Call { function, args }) = &self.ending.call {
            let args: Vec<String> = args.iter().map(Argument::shown).collect();
            return format!("it calls {}({})", function.plain(), args.join(", "));
        }
        let mut parts = vec![format!(
            "{} = '{}'",
            self.state.as_str(),
            self.end_state().unwrap_or_default()
        )];
        parts.extend(
            self.end_written()
                .map(|column| format!("{} = {}", column.as_str(), Assigned::Now.shown())),
        );
        parts.extend(
            self.error_written()
                .map(|error| format!("{} in {}", Assigned::Error.shown(), error.column.as_str())),
        );
        let set = self.ending.set.iter();
        parts.extend(set.map(|(column, value)| format!("{} = {}", column.as_str(), value.shown())));
        let what = if self.is_requeue() {
            "puts the job back to be run again"
        } else {
            "writes"
        };
        format!("it {what}: {}", parts.join(", "))
    }

    /// The zone of timestamps without one, from the time zone database of this host: of a time, or of those that have none of
    /// their own. A file's own times are in UTC.
    ///
    /// # Errors
    /// If it has no such zone.
    pub fn zone_of(&self, source: Option<&TimeSource>) -> Result<TimeZone, jiff::Error> {
        let zone = source.and_then(|source| source.zone.as_deref());
        match zone.unwrap_or(&self.time_zone) {
            // UTC needs no look through the whole database.
            "UTC" | "Etc/UTC" | SERVER_ZONE => Ok(TimeZone::UTC),
            zone => TimeZone::get(zone),
        }
    }
}
