//! Names in SQL. [`Identifier`] is the only way of a user-given name into a statement.

/// PostgreSQL cuts names at so many bytes, which would make it another name.
pub const LONGEST_NAME: usize = 63;

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
        match Self::of_any_length(name) {
            Ok(_) if name.len() > LONGEST_NAME => Err(IdentifierError::TooLong(name.to_owned())),
            checked => checked,
        }
    }

    /// Checks `name` for a SQLite file, which takes names of any length.
    ///
    /// # Errors
    /// If it is empty, or has control characters.
    pub fn of_any_length(name: &str) -> Result<Self, IdentifierError> {
        if name.is_empty() {
            Err(IdentifierError::Empty)
        } else if name.chars().any(char::is_control) {
            Err(IdentifierError::Control(name.to_owned()))
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// A name that is made of names that were checked.
    pub(crate) fn made_of(name: String) -> Self {
        Self(name)
    }

    /// The name of something of ours in a file, where names take any length: `prefix`, and this name.
    pub(crate) fn after(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0))
    }

    /// The name as it is in the catalog.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in SQL: in double quotes, quotes doubled. The same in both databases.
    pub fn quoted(&self) -> String {
        quoted(&self.0)
    }
}

/// A name of the catalog as it stands in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
        Naming::OfAServer.table(text)
    }

    /// The same table, in the schema of `other` where it names none.
    #[must_use]
    pub(crate) fn beside(&self, other: &Self) -> Self {
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

/// What names are like in one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// On a PostgreSQL server: of limited length, and tables stand in schemas.
    OfAServer,
    /// In a SQLite file: of any length. One configuration serves both databases, so a schema is no mistake here: what it holds
    /// stands in the file.
    OfAFile,
}

impl Naming {
    /// A column, or something else without a schema.
    ///
    /// # Errors
    /// If the text can't be a name there.
    pub fn column(self, text: &str) -> Result<Identifier, IdentifierError> {
        match self {
            Self::OfAServer => Identifier::new(text),
            Self::OfAFile => Identifier::of_any_length(text),
        }
    }

    /// From `table` or `schema.table`.
    ///
    /// # Errors
    /// If one of the parts can't be a name there.
    pub fn table(self, text: &str) -> Result<TableName, IdentifierError> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(self.column(schema)?), name),
            None => (None, text),
        };
        Ok(TableName {
            schema: schema.filter(|_| self == Self::OfAServer),
            name: self.column(name)?,
        })
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
