//! Errors of SQLite as what an operator has to act on.

use crate::store::StoreError;
use rusqlite::ErrorCode;
use std::{path::Path, time::Duration};

/// The error of a statement, by what the operator has to do about it.
pub(super) fn failed(what: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let file = path.display();
    match code {
        Some(ErrorCode::NotADatabase) => StoreError::Schema(format!(
            "{file} is not a SQLite database (or it is encrypted): check --database"
        )),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            StoreError::Rights(format!(
                "SQLite can't open {file} as user {} ({error}): run Beatwarden as the file's owner",
                rustix::process::geteuid().as_raw()
            ))
        }
        Some(ErrorCode::ReadOnly) => StoreError::Rights(format!(
            "SQLite can't write {file} as user {} ({error}): run Beatwarden as the file's owner",
            rustix::process::geteuid().as_raw()
        )),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked {
            what,
            source: error.into(),
        },
        Some(ErrorCode::OperationInterrupted) => StoreError::Timeout {
            what,
            after: Duration::ZERO,
        },
        _ => {
            let text = error.to_string();
            if text.contains("no such table") || text.contains("no such column") {
                StoreError::Schema(format!("{what}: {text}"))
            } else {
                StoreError::Query {
                    what,
                    source: error.into(),
                }
            }
        }
    }
}
