//! The times of a job as they stand in SQL: in a column of the job table, or as the newest of the job's rows in another table.

use super::{
    column::{Column, TimeKind},
    sql::{literal, quoted},
};
use crate::store::{Mapping, SERVER_ZONE, TimeFormat};

/// The time zone of times that have none of their own.
pub(super) const ZONE: &str = "$1::pg_catalog.text";

#[derive(Clone, Debug)]
pub(super) struct TimeColumn {
    /// The column, of the job table or of the other one.
    pub column: Column,
    pub kind: TimeKind,
    pub format: TimeFormat,
    /// Whether a `timestamp` in it is in UTC.
    pub keeps_utc: bool,
    /// The zone of a `timestamp` in it, as an expression.
    pub zone: String,
    /// Where it stands in another table.
    pub elsewhere: Option<OtherRows>,
}

/// Rows of another table, as what stands behind FROM; its name there is `other`.
#[derive(Clone, Debug)]
pub(super) struct OtherRows {
    /// Those of the target row.
    pub of_target: String,
    /// Those of any job, and the column that names it, quoted, where that is the job's key and a job has one row at most.
    pub of_any: Option<(String, String)>,
}

impl TimeColumn {
    /// A column of the target row, in a `zone` of its own or that of the mapping.
    pub(super) fn new(
        column: Column,
        kind: TimeKind,
        format: TimeFormat,
        mapping: &Mapping,
        zone: Option<&str>,
    ) -> Self {
        Self {
            column,
            kind,
            format,
            keeps_utc: matches!(zone.unwrap_or(&mapping.time_zone), "UTC" | "Etc/UTC"),
            zone: zone_of(mapping, zone),
            elsewhere: None,
        }
    }

    /// The column, where it is one of the job table.
    pub(super) fn own(&self) -> Option<&Column> {
        self.elsewhere.is_none().then_some(&self.column)
    }

    /// Whether the other one takes its values as they are.
    pub(super) fn holds_the_same_as(&self, other: &Self) -> bool {
        let of = |time: &Self| (time.column.sql_type.clone(), time.format, time.zone.clone());
        of(self) == of(other)
    }

    /// Its value for the target row.
    pub(super) fn value(&self) -> String {
        self.of_value(|value| value.to_owned())
    }

    /// The same as `timestamptz`.
    pub(super) fn instant(&self) -> String {
        self.of_value(|value| self.read(value))
    }

    /// The same as it is sent: without work for the server where `all_keep_utc` and the value is the time it would be made into.
    pub(super) fn sent(&self, all_keep_utc: bool) -> String {
        self.of_value(|value| self.sent_value(value, all_keep_utc))
    }

    /// A value of the column as it is sent.
    pub(super) fn sent_value(&self, value: &str, all_keep_utc: bool) -> String {
        if self.needs_no_zone(all_keep_utc) {
            value.to_owned()
        } else {
            self.read(value)
        }
    }

    /// Whether its values are the times that they would be made into. Where another time is in another zone, none is taken
    /// as it is: who reads it can't distinguish them.
    pub(super) fn needs_no_zone(&self, all_keep_utc: bool) -> bool {
        self.kind == TimeKind::Naive && self.keeps_utc && all_keep_utc
    }

    /// An expression of its value, which stands in it more than once. The greatest is found once: by the end of the index,
    /// where the time stands behind the key in it, else among the few rows of the job.
    fn of_value(&self, expression: impl Fn(&str) -> String) -> String {
        match &self.elsewhere {
            None => expression(&self.column.target()),
            Some(rows) => format!(
                "(SELECT {} FROM (SELECT pg_catalog.max(other.{}) AS at FROM {}) AS newest)",
                expression("newest.at"),
                quoted(&self.column.name),
                rows.of_target,
            ),
        }
    }

    /// A value of the column as `timestamptz`. What lies outside 1970..9999 becomes infinity, because converting it could fail
    /// and take the whole pass with it.
    pub(super) fn read(&self, value: &str) -> String {
        let between = |first: &str, last: &str| {
            format!("{value} OPERATOR(pg_catalog.>=) {first} AND {value} OPERATOR(pg_catalog.<=) {last}")
        };
        let (is_readable, instant) = match self.kind {
            TimeKind::Zoned => return value.to_owned(),
            TimeKind::Naive => (
                between("timestamp '1970-01-01'", "timestamp '9999-12-31 23:59:59.999999'"),
                format!("{value} AT TIME ZONE {}", self.zone),
            ),
            TimeKind::WholeEpoch | TimeKind::Epoch => {
                let (last, divisor) = match self.format {
                    TimeFormat::EpochMillis => ("253402300799999", " OPERATOR(pg_catalog./) 1000.0"),
                    TimeFormat::EpochSeconds | TimeFormat::Timestamp => ("253402300799", ""),
                };
                (
                    between("0", last),
                    format!("pg_catalog.to_timestamp({value}::double precision{divisor})"),
                )
            }
        };
        format!(
            "CASE WHEN {is_readable} THEN {instant} WHEN {value} IS NOT NULL THEN 'infinity'::pg_catalog.timestamptz END"
        )
    }

    /// A `timestamptz` as the column holds its values.
    pub(super) fn write(&self, instant: &str) -> String {
        write_as(instant, self.kind, &self.column.named_type, (self.format, &self.zone))
    }
}

/// The zone of a `timestamp` as an expression: one of its own, or that of the mapping.
pub(super) fn zone_of(mapping: &Mapping, own: Option<&str>) -> String {
    match own.unwrap_or(&mapping.time_zone) {
        SERVER_ZONE => "pg_catalog.current_setting('TimeZone')".to_owned(),
        zone if zone == mapping.time_zone => ZONE.to_owned(),
        zone => format!("{}::pg_catalog.text", literal(zone)),
    }
}

/// A `timestamptz` as a value of this kind and type, in this format and zone.
pub(super) fn write_as(instant: &str, kind: TimeKind, named_type: &str, (format, zone): (TimeFormat, &str)) -> String {
    let scale = if format == TimeFormat::EpochMillis {
        " OPERATOR(pg_catalog.*) 1000"
    } else {
        ""
    };
    let epoch = format!("extract(epoch FROM {instant}){scale}");
    match kind {
        TimeKind::Zoned => instant.to_owned(),
        TimeKind::Naive => format!("({instant} AT TIME ZONE {zone})"),
        TimeKind::WholeEpoch => format!("pg_catalog.floor({epoch})::{named_type}"),
        TimeKind::Epoch => format!("({epoch})::{named_type}"),
    }
}
