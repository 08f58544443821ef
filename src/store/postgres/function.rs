//! The system's own function that ends a job: which signature is meant, and what it is given.

use super::{
    column::{Column, TimeKind},
    ending::{number_kind, refusal_of},
    link::Link,
    sql::{literal, quoted},
    times::{write_as, zone_of},
};
use crate::{
    domain::{Argument, Literal},
    store::{Call, Ending, Identifier, Mapping, StoreError, TableName},
};
use tokio_postgres::Row;

/// A function that was found, and how it is called for a row.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub oid: u32,
    /// With its schema and the types of its arguments, for people.
    pub signature: String,
    /// The call, as it stands in SQL.
    pub call: String,
}

/// One function of the name that is configured.
struct Candidate {
    oid: u32,
    signature: String,
    is_plain: bool,
    takes: usize,
    defaults: usize,
    types: Vec<String>,
    bases: Vec<String>,
}

impl Candidate {
    fn of(row: &Row) -> Self {
        let count = |column| usize::try_from(row.get::<_, i32>(column)).unwrap_or_default();
        Self {
            oid: row.get("oid"),
            signature: row.get("signature"),
            is_plain: row.get("is_plain"),
            takes: count("takes"),
            defaults: count("defaults"),
            types: row.get("types"),
            bases: row.get("bases"),
        }
    }

    /// What it is given, as expressions; nothing where it doesn't take that.
    fn given(&self, args: &[Argument], id: &Column, mapping: &Mapping) -> Option<Vec<String>> {
        let enough = args.len() <= self.takes && args.len() + self.defaults >= self.takes;
        if !self.is_plain || !enough {
            return None;
        }
        let types = self.types.iter().zip(&self.bases);
        let given = args.iter().zip(types);
        given
            .map(|(argument, (named, base))| expression(argument, (named, base), id, mapping))
            .collect()
    }
}

/// An argument in the type that is wanted; nothing where it can't have that type.
fn expression(argument: &Argument, (named, base): (&str, &str), id: &Column, mapping: &Mapping) -> Option<String> {
    let width = |base: &str| ["int2", "int4", "int8"].iter().position(|known| *known == base);
    let is_text = matches!(base, "text" | "varchar" | "bpchar" | "name");
    let is_number = width(base).is_some() || matches!(base, "numeric" | "float4" | "float8");
    match argument {
        Argument::Id => {
            let is_wide_enough = width(&id.base).is_some_and(|of_id| width(base) >= Some(of_id));
            let fits = is_wide_enough || base == id.base || is_text && id.is_text();
            fits.then(|| format!("$2::pg_catalog.text::{named}"))
        }
        Argument::Error => is_text.then(|| format!("$19::pg_catalog.text::{named}")),
        Argument::Now => {
            let kind = match base {
                "timestamp" => TimeKind::Naive,
                "timestamptz" => TimeKind::Zoned,
                _ => number_kind(base, mapping.time_format)?,
            };
            Some(write_as(
                "pg_catalog.now()",
                kind,
                named,
                (mapping.time_format, &zone_of(mapping, None)),
            ))
        }
        Argument::Literal(value) => {
            let fits = match value {
                Literal::Text(_) => true,
                Literal::Number(_) => is_number,
                Literal::Truth(_) => base == "bool",
            };
            fits.then(|| format!("{}::{named}", literal(value.text())))
        }
    }
}

/// Finds the one function that fits the configuration.
///
/// # Errors
/// If none fits, or more than one.
pub(super) async fn find(
    link: &Link,
    mapping: &Mapping,
    (call, table): (&Call, &TableName),
    id: &Column,
) -> Result<Function, StoreError> {
    let schema = call.function.schema.as_ref().or(table.schema.as_ref());
    let schema = schema.map(Identifier::as_str).unwrap_or_default();
    let name = call.function.name.as_str();
    let answer = link.ask(include_str!("sql/function.sql"), vec![&schema, &name]);
    let rows = link.within("looking for the function that ends a job", answer).await?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of).collect();
    let mut fitting = Vec::new();
    let mut refusals = Vec::new();
    for candidate in &candidates {
        let Some(given) = candidate.given(&call.args, id, mapping) else {
            continue;
        };
        match refusal_by(link, &call.args, candidate).await? {
            None => fitting.push((candidate, given)),
            Some(why) => refusals.push(format!("{} {why}", candidate.signature)),
        }
    }
    let wanted = format!("{schema}.{name}").escape_debug().to_string();
    let args: Vec<String> = call.args.iter().map(Argument::shown).collect();
    let problem = match fitting.as_slice() {
        [(candidate, given)] => {
            return Ok(Function {
                oid: candidate.oid,
                signature: candidate.signature.clone(),
                call: format!("{}.{}({})", quoted(schema), quoted(name), given.join(", ")),
            });
        }
        [] if candidates.is_empty() => "there is no such function".to_owned(),
        [] if !refusals.is_empty() => refusals.join("; "),
        [] => format!(
            "no function of that name takes ({}); there is {}",
            args.join(", "),
            listed(candidates.iter())
        ),
        several => format!(
            "more than one function takes ({}): {}",
            args.join(", "),
            listed(several.iter().map(|(candidate, _)| *candidate))
        ),
    };
    Err(StoreError::Schema(format!(
        "{}: function `{wanted}`: {problem}",
        Ending::CALL
    )))
}

fn listed<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> String {
    let signatures: Vec<&str> = candidates.map(|candidate| candidate.signature.as_str()).collect();
    signatures.join(", ")
}

/// Why one of the values is none of the argument's type.
async fn refusal_by(link: &Link, args: &[Argument], candidate: &Candidate) -> Result<Option<String>, StoreError> {
    for (argument, named) in args.iter().zip(&candidate.types) {
        let Argument::Literal(value) = argument else { continue };
        if let Some(why) = refusal_of(link, value, named).await? {
            return Ok(Some(format!("doesn't take '{}': {why}", value.text().escape_debug())));
        }
    }
    Ok(None)
}

/// What the server says where the function has left the job in a running state: it stands in the error's message.
pub(super) const STILL_RUNNING: &str = "the function left the job in a running state";
