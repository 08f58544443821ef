//! A time of the job as the catalog has it: in a column of the job table, or in another table. Owns what that one has to have,
//! an index that finds the rows of one job above all.

use super::{
    catalog::OtherTable,
    column::{Column, TimeKind},
    conditions::same_job,
    link::Link,
    relation::{self, Columns, Relation},
    sql::quoted,
    times::{OtherRows, TimeColumn},
};
use crate::store::{Elsewhere, Mapping, StoreError, TimeFormat, TimeSource};
use tokio_postgres::Row;

/// Bytes of another table that may be read whole for each running job: some thousand rows.
const SMALL: i64 = 1 << 20;

/// The time that `key` of the configuration describes, and the other table, if it stands in one.
pub(super) async fn time(
    link: &Link,
    (jobs, oid, mapping): (&Columns, u32, &Mapping),
    source: &TimeSource,
    key: &str,
) -> Result<(TimeColumn, Option<OtherTable>), StoreError> {
    let Some(elsewhere) = &source.elsewhere else {
        return Ok((own(jobs, mapping, source, key)?, None));
    };
    let other = relation::read(link, &elsewhere.table, &format!("{key}.table")).await?;
    let wanted = elsewhere.columns(&source.column, key);
    other.columns.all_there(&wanted)?;
    let mut time = own(&other.columns, mapping, source, &format!("{key}.column"))?;
    time.elsewhere = Some(rows(jobs, &other, (mapping, elsewhere), key)?);
    let read = OtherTable {
        table: other.table.quoted(),
        columns: wanted.iter().map(|(name, _)| name.as_str().to_owned()).collect(),
        missing_index: missing_index(link, &other, source, elsewhere).await?,
        refers: refers(link, &other, oid, elsewhere).await?,
    };
    Ok((time, Some(read)))
}

/// Whether the rows of the other table refer to the job, which has `oid`, by a foreign key.
async fn refers(link: &Link, other: &Relation, oid: u32, elsewhere: &Elsewhere) -> Result<bool, StoreError> {
    let (key, matching) = (elsewhere.key.as_str(), elsewhere.matching.as_str());
    let answer = link.ask(
        include_str!("sql/other_refers.sql"),
        vec![&other.oid, &key, &oid, &matching],
    );
    let rows = link.within("looking for a foreign key", answer).await?;
    Ok(rows.first().is_some_and(|row| row.get("refers")))
}

/// A time in a column of this table.
pub(super) fn own(
    columns: &Columns,
    mapping: &Mapping,
    source: &TimeSource,
    key: &str,
) -> Result<TimeColumn, StoreError> {
    let column = columns.find(&source.column, key)?;
    let format = source.format.unwrap_or(mapping.time_format);
    let kind = match (format, column.base.as_str()) {
        (TimeFormat::Timestamp, "timestamp") => TimeKind::Naive,
        (TimeFormat::Timestamp, "timestamptz") => TimeKind::Zoned,
        (TimeFormat::EpochSeconds | TimeFormat::EpochMillis, "int4" | "int8") => TimeKind::WholeEpoch,
        (TimeFormat::EpochSeconds | TimeFormat::EpochMillis, "float8" | "numeric") => TimeKind::Epoch,
        (TimeFormat::Timestamp, _) => {
            let expected = "timestamp or timestamptz, as watch.table.time_format = \"timestamp\" says (numbers need \"epoch_s\" or \"epoch_ms\")";
            return Err(columns.wrong_type(&column, key, expected));
        }
        (TimeFormat::EpochSeconds | TimeFormat::EpochMillis, _) => {
            let expected = "integer, bigint, numeric or double precision, as watch.table.time_format says (timestamps need \"timestamp\")";
            return Err(columns.wrong_type(&column, key, expected));
        }
    };
    Ok(TimeColumn::new(column, kind, format, mapping, source.zone.as_deref()))
}

/// The rows of the other table that belong to jobs. That a job has one of them at most is a promise of what they cost, and
/// of nothing else: where it is broken later, the greatest of them is still the one that counts.
fn rows(
    jobs: &Columns,
    other: &Relation,
    (mapping, elsewhere): (&Mapping, &Elsewhere),
    key: &str,
) -> Result<OtherRows, StoreError> {
    let names = other.columns.find(&elsewhere.key, &format!("{key}.key"))?;
    let matching: Column = jobs.find(&elsewhere.matching, &format!("{key}.match"))?;
    let same_job = same_job(&names, &matching, elsewhere.prefix.as_deref())
        .map_err(|expected| other.columns.wrong_type(&names, &format!("{key}.key"), &expected))?;
    let conditions = &elsewhere.conditions;
    let conditions = other.columns.conditions("other", conditions, &format!("{key}.where"))?;
    let table = other.table.quoted();
    let is_key = matching.name == mapping.id.as_str() && matching.is_integer() && names.is_integer();
    let is_single = is_key && names.is_unique_at_commit && !other.has_heirs;
    Ok(OtherRows {
        of_target: format!("{table} AS other WHERE {same_job} AND {conditions}"),
        of_any: is_single.then(|| (format!("{table} AS other WHERE {conditions}"), quoted(&names.name))),
    })
}

/// The statement that makes the index without which each pass would read the whole other table, for each running job.
///
/// # Errors
/// If the table is so large that such passes would hurt everyone.
async fn missing_index(
    link: &Link,
    other: &Relation,
    source: &TimeSource,
    elsewhere: &Elsewhere,
) -> Result<Option<String>, StoreError> {
    if !matches!(other.kind.as_str(), "r" | "p" | "m") {
        return Ok(None);
    }
    let answer = link.ask(include_str!("sql/other_indexes.sql"), vec![&other.oid]);
    let rows = link.within("looking for an index", answer).await?;
    let finds_a_job = |row: &Row| elsewhere.is_found_by(&row.get::<_, Vec<String>>("columns"), str::eq);
    if rows.iter().any(finds_a_job) {
        return Ok(None);
    }
    let advice = format!(
        "CREATE INDEX CONCURRENTLY ON {} ({})",
        other.table.quoted(),
        elsewhere.index_columns(&source.column)
    );
    match rows.first().map_or(0, |row| row.get::<_, i64>("bytes")) {
        bytes if bytes > SMALL => Err(elsewhere.too_large(&advice)),
        _ => Ok(Some(advice)),
    }
}
