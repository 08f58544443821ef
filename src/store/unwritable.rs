//! Columns that no one can set, whatever rights they have, and so no repair either. The same words for both databases.

use crate::domain::{Action, Cause, Obstacle};

/// Of columns that the database computes: generated ones, and those of an identity that is always generated. The names are
/// quoted.
pub(crate) fn computed(columns: &[String], action: Action) -> Option<Obstacle> {
    let are = match columns {
        [] => return None,
        [_] => "is",
        _ => "are",
    };
    let reason = format!(
        "{} {are} computed by the database (GENERATED ALWAYS), so `{}` can't set what it has to: name the column that the \
         application writes, or take another action",
        columns.join(", "),
        action.as_str()
    );
    Some(Obstacle::new(Cause::Rights, reason))
}
