//! A column as the catalog has it, as far as the statements need to know it.

use super::sql::quoted;

/// How a time column holds its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeKind {
    /// `timestamp`: in the configured zone.
    Naive,
    /// `timestamptz`.
    Zoned,
    /// A whole number of seconds or milliseconds.
    WholeEpoch,
    /// A number of seconds or milliseconds with a fraction.
    Epoch,
}

/// One column, as far as the statements need it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    /// The type as people write it, for messages.
    pub sql_type: String,
    /// The type with its schema, quoted, for statements.
    pub named_type: String,
    /// The operator that decides whether two of its values are the same, with its schema.
    pub equality: String,
    /// The name of the type, or of the type under a domain and all that it is made over.
    pub base: String,
    pub is_domain: bool,
    /// Longest text that it takes, where that is limited.
    pub longest: Option<i32>,
    pub is_unique: bool,
    pub is_unique_at_commit: bool,
    pub nullable: bool,
    pub readable: bool,
    /// The values, if it is an enum.
    pub labels: Vec<String>,
}

impl Column {
    pub(super) fn is_text(&self) -> bool {
        matches!(self.base.as_str(), "text" | "varchar" | "bpchar" | "name")
    }

    pub(super) fn is_integer(&self) -> bool {
        matches!(self.base.as_str(), "int2" | "int4" | "int8")
    }

    /// Below every key that the column can have, and still one of its type.
    pub(super) fn lowest(&self) -> i64 {
        match self.base.as_str() {
            "int2" => i64::from(i16::MIN),
            "int4" => i64::from(i32::MIN),
            _ => i64::MIN,
        }
    }

    pub(super) fn is_jsonb(&self) -> bool {
        self.base == "jsonb"
    }

    /// The column of the target row, as it stands in SQL.
    pub(super) fn target(&self) -> String {
        format!("target.{}", quoted(&self.name))
    }

    /// The type that a bound text is cast to for this column, without its length: `character` alone is one character long.
    pub(super) fn cast(&self) -> &str {
        if self.is_text() {
            "pg_catalog.text"
        } else {
            &self.named_type
        }
    }
}
