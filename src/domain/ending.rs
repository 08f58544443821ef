//! What `fail` writes to a row, or gives to a function, in the words of the configuration.

/// A value that stands in the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A text, in the text form of the column's type.
    Text(String),
    /// A number, in decimal digits.
    Number(String),
    /// `true` or `false`.
    Truth(bool),
}

impl Literal {
    /// In the text form that every type reads.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Truth(true) => "true",
            Self::Truth(false) => "false",
        }
    }
}

/// What a column is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// The database's time, in the column's type and zone.
    Now,
    /// NULL.
    Null,
    /// The error text.
    Error,
    /// One more than before; NULL counts as zero.
    OneMore,
    /// This value.
    Literal(Literal),
}

impl Assigned {
    /// The words, as the configuration spells them.
    pub const WORDS: [&str; 4] = ["{now}", "{null}", "{error}", "{+1}"];

    /// A text of the configuration: one of the words, or itself.
    pub fn from_text(text: &str) -> Self {
        match text {
            "{now}" => Self::Now,
            "{null}" => Self::Null,
            "{error}" => Self::Error,
            "{+1}" => Self::OneMore,
            literal => Self::Literal(Literal::Text(literal.to_owned())),
        }
    }

    /// As people read it.
    pub fn shown(&self) -> String {
        match self {
            Self::Now => "the database's time".to_owned(),
            Self::Null => "NULL".to_owned(),
            Self::Error => "the error text".to_owned(),
            Self::OneMore => "one more than before".to_owned(),
            Self::Literal(literal) => shown(literal),
        }
    }
}

/// What a function is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The job's key.
    Id,
    /// The error text.
    Error,
    /// The database's time, in the argument's type.
    Now,
    /// This value.
    Literal(Literal),
}

impl Argument {
    /// The words, as the configuration spells them.
    pub const WORDS: [&str; 3] = ["{id}", "{error}", "{now}"];

    /// A text of the configuration: one of the words, or itself.
    pub fn from_text(text: &str) -> Self {
        match text {
            "{id}" => Self::Id,
            "{error}" => Self::Error,
            "{now}" => Self::Now,
            literal => Self::Literal(Literal::Text(literal.to_owned())),
        }
    }

    /// As people read it.
    pub fn shown(&self) -> String {
        match self {
            Self::Id => "the job's key".to_owned(),
            Self::Error => "the error text".to_owned(),
            Self::Now => "the database's time".to_owned(),
            Self::Literal(literal) => shown(literal),
        }
    }
}

fn shown(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("'{}'", text.escape_debug()),
        Literal::Number(_) | Literal::Truth(_) => literal.text().to_owned(),
    }
}
