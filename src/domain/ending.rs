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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_configuration_mean_what_is_shown_and_any_other_text_itself() {
        let assigned = Assigned::WORDS.map(|word| Assigned::from_text(word).shown());
        assert_eq!(
            assigned,
            ["the database's time", "NULL", "the error text", "one more than before"]
        );
        let arguments = Argument::WORDS.map(|word| Argument::from_text(word).shown());
        assert_eq!(arguments, ["the job's key", "the error text", "the database's time"]);
        let text = "it's {now}\n";
        assert_eq!(
            Assigned::from_text(text),
            Assigned::Literal(Literal::Text(text.to_owned()))
        );
        assert_eq!(
            Argument::from_text(text),
            Argument::Literal(Literal::Text(text.to_owned()))
        );
        assert_eq!(Argument::from_text(text).shown(), "'it\\'s {now}\\n'");
    }

    #[test]
    fn a_literal_has_the_text_form_that_every_type_reads() {
        let literals = [
            Literal::Text("a".to_owned()),
            Literal::Number("1.50".to_owned()),
            Literal::Truth(true),
            Literal::Truth(false),
        ];
        assert_eq!(literals.each_ref().map(Literal::text), ["a", "1.50", "true", "false"]);
        let shown = literals.map(|literal| Assigned::Literal(literal).shown());
        assert_eq!(shown, ["'a'", "1.50", "true", "false"]);
    }
}
