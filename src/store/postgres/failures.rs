//! Errors of the driver as what an operator has to act on. Reads types and SQLSTATEs; a text only
//! where the driver has no other mark.

use super::{BoxError, trust::Flaw};
use crate::{
    domain::{LONGEST_FOREIGN, cut, in_full},
    store::{Barrier, StoreError},
};
use std::{error::Error as _, io};
use tokio_postgres::{Error, error::SqlState};

/// Why no connection could be made; and by the other way, where that was tried as well.
pub(super) fn connect_error(to: String, error: Error, other: Option<(&str, Error)>) -> StoreError {
    let by = barrier(&error);
    let refused = error.code().is_some_and(|code| code.code().starts_with("28"));
    let mut source = described(error);
    if let Some((way, other)) = other {
        source = format!(
            "{}; {way}: {}",
            in_full(source.as_ref()),
            in_full(described(other).as_ref())
        )
        .into();
    }
    match by {
        _ if refused => StoreError::Auth { to, source },
        Some(by) => StoreError::Barred { to, by, source },
        None => StoreError::Connect { to, source },
    }
}

/// Whether the server may take a connection with encryption where it took none without, or the other way round: the
/// handshake failed, or its rules for clients have no place for this kind. A wrong password is wrong both ways.
pub(super) fn would_talk_otherwise(error: &Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => io_error(error).is_some_and(|error| {
            let is_verdict = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut);
            wraps_tls(error) || (error.raw_os_error().is_none() && !is_verdict)
        }),
    }
}

/// What the driver calls an error of its TLS, of whatever cause.
const OF_TLS: &str = "error performing TLS handshake";

/// What stands in the way, where that is known.
fn barrier(error: &Error) -> Option<Barrier> {
    if let Some(code) = error.code() {
        return match *code {
            SqlState::INVALID_CATALOG_NAME => Some(Barrier::Database),
            SqlState::TOO_MANY_CONNECTIONS => Some(Barrier::Full),
            ref code if is_ending(code) => Some(Barrier::NotServing),
            SqlState::UNDEFINED_OBJECT
            | SqlState::INVALID_PARAMETER_VALUE
            | SqlState::CANT_CHANGE_RUNTIME_PARAM
            | SqlState::FEATURE_NOT_SUPPORTED
            | SqlState::PROTOCOL_VIOLATION => Some(Barrier::Parameter),
            _ => None,
        };
    }
    match io_error(error) {
        // A server that has no TLS is an error of the driver with nothing below it but words.
        None if error.to_string() == OF_TLS => Some(Barrier::Security),
        Some(error) if wraps_tls(error) => Some(Barrier::Security),
        // A host and its port are refused, or don't answer; only a path isn't found.
        Some(error) if error.kind() == io::ErrorKind::NotFound => Some(Barrier::Socket),
        // The driver's own verdict on what the server said of itself: an operating system's has a number.
        Some(error) if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() => {
            Some(Barrier::Mode)
        }
        _ => None,
    }
}

/// Whether a server that says so takes no sessions now.
fn is_ending(code: &SqlState) -> bool {
    let codes = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
    ];
    codes.contains(code)
}

/// Whether a server that says so has ended the session: it has answered, but not what became of a transaction.
pub(super) fn ends_session(code: &SqlState) -> bool {
    is_ending(code) || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
}

/// The operating system's or the driver's I/O error at the root.
fn io_error(error: &Error) -> Option<&io::Error> {
    error.source().and_then(|source| source.downcast_ref::<io::Error>())
}

fn wraps_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn tls_error(error: &Error) -> Option<&rustls::Error> {
    io_error(error)?.get_ref()?.downcast_ref::<rustls::Error>()
}

/// Whether the driver itself can't continue, although the server and the network can: without a password that is what is
/// missing.
pub(super) fn is_unfinished(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| error.code().is_none() && !error.is_closed() && io_error(error).is_none())
}

/// Whether the connection is no more: nothing can be said of what was asked through it.
fn is_broken(error: &Error) -> bool {
    // What the driver can't decode is an I/O error as well, which it made up.
    let made_up = |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
    error.is_closed() || io_error(error).is_some_and(|error| !made_up(error) || wraps_tls(error))
}

/// An error of the driver with the words and the SQLSTATE that its own Display leaves out. Not the details of a value that
/// is refused (classes 22 and 23), nor of an error that a trigger raises (P0): they may have the whole row in them ("Failing
/// row contains ..."), the writer's payload included. Each part is cut, so that the SQLSTATE is always there.
pub(super) fn described(error: Error) -> BoxError {
    match error.as_db_error() {
        Some(db) => {
            let code = db.code().code();
            let mut text = format!("{} (SQLSTATE {code})", cut(db.message(), LONGEST_FOREIGN / 2));
            let has_rows = ["22", "23", "P0"].iter().any(|class| code.starts_with(class));
            let detail = db.detail().filter(|_| !has_rows);
            for part in [detail, db.hint()].into_iter().flatten() {
                text.push_str("; ");
                text.push_str(&cut(part, LONGEST_FOREIGN / 5));
            }
            text.into()
        }
        None => match tls_error(&error).and_then(Flaw::of) {
            Some(flaw) => format!("{error}: {flaw}").into(),
            None => Box::new(error),
        },
    }
}

/// What an error of missing rights ends with.
pub(super) const WHERE_RIGHTS_ARE: &str = "; see `beatwarden grants` for the rights that are needed";

/// The error of a statement, by what the operator has to do about it.
pub(super) fn query_error(what: &'static str, error: Error) -> StoreError {
    let Some(code) = error.code().cloned() else {
        let broken = is_broken(&error);
        let source = Box::new(error);
        return if broken {
            StoreError::Closed { during: what, source }
        } else {
            StoreError::BadAnswer { what, source }
        };
    };
    let source = described(error);
    match code {
        SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Rights(format!("{what}: {source}{WHERE_RIGHTS_ARE}")),
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH => {
            StoreError::Schema(format!("{what}: {source}"))
        }
        SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked { what, source },
        SqlState::INVALID_TEXT_REPRESENTATION
        | SqlState::NUMERIC_VALUE_OUT_OF_RANGE
        | SqlState::CHARACTER_NOT_IN_REPERTOIRE
        | SqlState::UNTRANSLATABLE_CHARACTER => StoreError::BadValue { what, source },
        code if ends_session(&code) => StoreError::Closed { during: what, source },
        _ => StoreError::Query { what, source },
    }
}

/// Why a statement is refused for good.
///
/// # Errors
/// If the error says nothing of the statement: a connection that broke, a server that ends, a lock, a time that is over.
pub(super) fn refusal(what: &'static str, error: Error) -> Result<String, StoreError> {
    let passing = ["08", "25", "40", "53", "57", "58"];
    let code = error.code().map(|code| code.code().to_owned());
    match code {
        Some(code) if code != "55P03" && !passing.iter().any(|class| code.starts_with(class)) => {
            Ok(described(error).to_string())
        }
        _ => Err(query_error(what, error)),
    }
}
