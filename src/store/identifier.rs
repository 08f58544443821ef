//! Names in SQL. [`Identifier`] is the only way of a user-given name into a statement.

/// A name in SQL: checked once, always quoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(String);

/// Why a text can't be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Nothing there.
    #[error("a name can't be empty")]
    Empty,
    /// PostgreSQL cuts names at 63 bytes, which would make it another name.
    #[error("name `{0}` is longer than 63 bytes")]
    TooLong(String),
    /// No database knows names with control characters.
    #[error("name {0:?} has a control character")]
    Control(String),
}

impl Identifier {
    /// Checks `name`.
    ///
    /// # Errors
    /// If it is empty, longer than 63 bytes, or has control characters.
    pub fn new(name: &str) -> Result<Self, IdentifierError> {
        if name.is_empty() {
            Err(IdentifierError::Empty)
        } else if name.len() > 63 {
            Err(IdentifierError::TooLong(name.to_owned()))
        } else if name.chars().any(char::is_control) {
            Err(IdentifierError::Control(name.to_owned()))
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// Checks `name` for a SQLite file, which takes names of any length.
    ///
    /// # Errors
    /// If it is empty, or has control characters.
    pub fn of_any_length(name: &str) -> Result<Self, IdentifierError> {
        match Self::new(name) {
            Err(IdentifierError::TooLong(name)) if !name.chars().any(char::is_control) => Ok(Self(name)),
            checked => checked,
        }
    }

    /// A name that is made of names that were checked.
    pub(super) fn made_of(name: String) -> Self {
        Self(name)
    }

    /// The name of something of ours in a file, where names take any length: `prefix`, and this name.
    pub(super) fn after(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0))
    }

    /// The name as it is in the catalog.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in SQL: in double quotes, quotes doubled. The same in both databases.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A table, with its schema where one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The schema; none means the database's own search.
    pub schema: Option<Identifier>,
    /// The table.
    pub name: Identifier,
}

impl TableName {
    /// From `table` or `schema.table`.
    ///
    /// # Errors
    /// If one of the parts can't be a name.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        Self::parse_by(text, Identifier::new)
    }

    /// The same, by the rules of one database.
    ///
    /// # Errors
    /// If one of the parts can't be a name there.
    pub fn parse_by(
        text: &str,
        check: impl Fn(&str) -> Result<Identifier, IdentifierError>,
    ) -> Result<Self, IdentifierError> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(check(schema)?), name),
            None => (None, text),
        };
        Ok(Self {
            schema,
            name: check(name)?,
        })
    }

    /// The same table, in the schema of `other` where it names none.
    #[must_use]
    pub(super) fn beside(&self, other: &Self) -> Self {
        Self {
            schema: self.schema.clone().or_else(|| other.schema.clone()),
            name: self.name.clone(),
        }
    }

    /// As it stands in SQL.
    pub fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", schema.quoted(), self.name.quoted()),
            None => self.name.quoted(),
        }
    }

    /// As people read it.
    pub fn plain(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", schema.as_str(), self.name.as_str()),
            None => self.name.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_quoted_or_refused() {
        let quoted = |name: &str| Identifier::new(name).map(|name| name.quoted());
        assert_eq!(
            quoted("a\"; DROP TABLE x; --"),
            Ok("\"a\"\"; DROP TABLE x; --\"".to_owned())
        );
        assert_eq!(quoted(""), Err(IdentifierError::Empty));
        assert_eq!(quoted("a\0"), Err(IdentifierError::Control("a\0".to_owned())));
        assert!(quoted(&"x".repeat(64)).is_err());
    }
}
