//! Errors of SQLite as what an operator has to act on.

use crate::store::StoreError;
use rusqlite::ErrorCode;
use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

/// The error of a statement, by what the operator has to do about it.
pub(super) fn failed(what: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let file = path.display();
    let as_whom = |what| {
        let user = rustix::process::geteuid().as_raw();
        let cure = match fs::metadata(path) {
            Ok(metadata) if metadata.uid() == user => {
                "that is its owner: give it the right to read and write the file and its folder (chmod u+rwX)"
            }
            Ok(_) => "run Beatwarden as the file's owner",
            Err(_) => "let it enter the file's folder, and run Beatwarden as the file's owner",
        };
        StoreError::Rights(format!("SQLite can't {what} {file} as user {user} ({error}): {cure}"))
    };
    match code {
        Some(ErrorCode::NotADatabase) => StoreError::Schema(format!(
            "{file} is not a SQLite database (or it is encrypted): check the path"
        )),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            as_whom("open")
        }
        Some(ErrorCode::ReadOnly) => as_whom("write"),
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
