//! The further columns that a `fail` sets: which types take which values, their expressions and their images.

use super::{
    column::{Column, TimeKind},
    failures::refusal,
    link::Link,
    sql::{literal, object, quoted},
    times::TimeColumn,
};
use crate::{
    domain::{Assigned, Literal},
    store::{Ending, Mapping, StoreError, TimeFormat, reading::KEPT},
};

/// The error text among the parameters of a repair.
pub(super) const ERROR: &str = "$19::pg_catalog.text";

/// A further column that a `fail` sets.
#[derive(Clone, Debug)]
pub(super) struct SetColumn {
    pub column: Column,
    value: Assigned,
    /// How the column holds a time, where it is set to one.
    time: Option<TimeColumn>,
}

impl SetColumn {
    /// # Errors
    /// If the column's type doesn't take the value.
    pub(super) fn new(column: Column, value: &Assigned, mapping: &Mapping) -> Result<Self, StoreError> {
        let time = match column.base.as_str() {
            "timestamp" => Some(TimeKind::Naive),
            "timestamptz" => Some(TimeKind::Zoned),
            base => number_kind(base, mapping.time_format),
        };
        let expected = match value {
            Assigned::Null if !column.nullable => "a column that may be NULL",
            Assigned::Now if time.is_none() => {
                "timestamp or timestamptz, or a number where watch.table.time_format is epoch_s or epoch_ms"
            }
            Assigned::Error if !column.is_text() && !is_json(&column) => "a text, json or jsonb",
            Assigned::OneMore if !is_number(&column) => "a number",
            Assigned::Now | Assigned::Null | Assigned::Error | Assigned::OneMore | Assigned::Literal(_) => {
                let time = time.map(|kind| TimeColumn::new(column.clone(), kind, mapping.time_format, mapping, None));
                return Ok(Self {
                    column,
                    value: value.clone(),
                    time,
                });
            }
        };
        let is = if column.nullable { "" } else { " NOT NULL" };
        Err(StoreError::Schema(format!(
            "column `{}` of `{}` is {}{is} ({}); {} needs {expected}",
            column.name,
            mapping.table.plain(),
            column.sql_type,
            Ending::SET,
            value.shown(),
        )))
    }

    /// The column, and what it is set to.
    pub(super) fn assigned(&self) -> String {
        format!("{} = {}", quoted(&self.column.name), self.value())
    }

    fn value(&self) -> String {
        let Column { named_type, .. } = &self.column;
        match (&self.value, &self.time) {
            (Assigned::Now, Some(time)) => time.write("pg_catalog.now()"),
            (Assigned::Now | Assigned::Null, _) => "NULL".to_owned(),
            (Assigned::Error, _) if self.column.is_jsonb() => format!("pg_catalog.to_jsonb({ERROR})"),
            (Assigned::Error, _) if is_json(&self.column) => format!("pg_catalog.to_json({ERROR})"),
            // A text that doesn't fit must not keep the job from being ended.
            (Assigned::Error, _) => match self.column.longest {
                Some(longest) => format!("pg_catalog.left({ERROR}, {longest})"),
                None => ERROR.to_owned(),
            },
            (Assigned::OneMore, _) => format!(
                "(coalesce({}, 0::{named_type}) OPERATOR(pg_catalog.+) 1::{named_type})",
                self.column.target()
            ),
            (Assigned::Literal(value), _) => format!("{}::{named_type}", literal(value.text())),
        }
    }

    /// The column as an image has it: as the JSON value that it is, or as its text.
    pub(super) fn shown(&self) -> String {
        if self.is_plain() {
            self.column.target()
        } else {
            format!("{}::pg_catalog.text", self.column.target())
        }
    }

    /// Whether a value comes back from JSON as it went in.
    pub(super) fn is_plain(&self) -> bool {
        let times = matches!(self.column.base.as_str(), "date" | "timestamp" | "timestamptz");
        times || is_number(&self.column) || matches!(self.column.base.as_str(), "bool" | "uuid")
    }

    /// The column's part of an image; nothing where its value takes too much of it, so that an undo can't restore it.
    fn image(&self, columns: usize) -> String {
        let shown = self.shown();
        format!(
            "CASE WHEN pg_catalog.octet_length(pg_catalog.to_jsonb({shown})::pg_catalog.text) OPERATOR(pg_catalog.>) {} \
             THEN '{{}}'::pg_catalog.jsonb ELSE {} END",
            KEPT / columns.max(1),
            object(&[(&self.column.name, shown.clone())])
        )
    }
}

/// How a number of this type holds a time; nothing where times are no numbers.
pub(super) fn number_kind(base: &str, format: TimeFormat) -> Option<TimeKind> {
    match base {
        _ if format == TimeFormat::Timestamp => None,
        "int4" | "int8" => Some(TimeKind::WholeEpoch),
        "float8" | "numeric" => Some(TimeKind::Epoch),
        _ => None,
    }
}

fn is_json(column: &Column) -> bool {
    matches!(column.base.as_str(), "json" | "jsonb")
}

fn is_number(column: &Column) -> bool {
    column.is_integer() || matches!(column.base.as_str(), "numeric" | "float4" | "float8")
}

/// The part of an image that has the further columns; empty where there are none.
pub(super) fn images(set: &[SetColumn]) -> String {
    let images = set.iter().map(|column| column.image(set.len()));
    images
        .map(|image| format!(" OPERATOR(pg_catalog.||) {image}"))
        .collect()
}

/// Asks the database for each value that the configuration gives, so that one that its column doesn't take is found before a job
/// is to be ended.
pub(super) async fn try_values(link: &Link, mapping: &Mapping, set: &[SetColumn]) -> Result<(), StoreError> {
    for SetColumn { column, value, .. } in set {
        let Assigned::Literal(value) = value else { continue };
        let refused = |why: &str| {
            StoreError::Schema(format!(
                "{}: column `{}` of `{}` is {}, which doesn't take '{}': {why}",
                Ending::SET,
                column.name,
                mapping.table.plain(),
                column.sql_type,
                value.text().escape_debug()
            ))
        };
        // A longer text would be cut by a cast, and refused by the table.
        let is_too_long = |longest: i32| i32::try_from(value.text().chars().count()).is_ok_and(|count| count > longest);
        if let Some(longest) = column.longest.filter(|longest| is_too_long(*longest)) {
            return Err(refused(&format!("it takes {longest} characters")));
        }
        if let Some(why) = refusal_of(link, value, &column.named_type).await? {
            return Err(refused(&why));
        }
    }
    Ok(())
}

/// The same for the state that a `fail` writes, where its column's type is a domain.
pub(super) async fn try_state(link: &Link, mapping: &Mapping, state: &Column) -> Result<(), StoreError> {
    let Some(written) = mapping.end_state().filter(|_| state.is_domain) else {
        return Ok(());
    };
    match refusal_of(link, &Literal::Text(written.to_owned()), &state.named_type).await? {
        None => Ok(()),
        Some(why) => Err(StoreError::Schema(format!(
            "column `{}` of `{}` is {}, which doesn't take '{}', the state of a job that `fail` ends (watch.table.failure, \
             watch.repair.fail.state): {why}",
            state.name,
            mapping.table.plain(),
            state.sql_type,
            written.escape_debug()
        ))),
    }
}

/// Why a value is none of a type; nothing where it is one, or where the type can't be asked without running its owner's code.
pub(super) async fn refusal_of(link: &Link, value: &Literal, named_type: &str) -> Result<Option<String>, StoreError> {
    const WHAT: &str = "trying a value of watch.repair.fail";
    let is_tried = link.ask(include_str!("sql/is_tried.sql"), vec![&named_type]);
    let rows = link.within(WHAT, is_tried).await?;
    if !rows.first().is_some_and(|row| row.get("is_tried")) {
        return Ok(None);
    }
    let statement = format!(
        "/* beatwarden: try value */ SELECT {}::{named_type} IS NULL AS is_null",
        literal(value.text())
    );
    let answer = async { Ok(link.ask(&statement, vec![]).await) };
    match link.within(WHAT, answer).await? {
        Ok(_) => Ok(None),
        Err(error) => refusal(WHAT, error).map(Some),
    }
}
