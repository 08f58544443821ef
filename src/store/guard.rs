//! The guard: an optional trigger that writes a job's first heartbeat in the transaction that makes it running. The verbs
//! of an operator; what the guard is made of is each database's own affair.

use super::StoreError;
use crate::domain::Guard;
use std::{future::Future, time::Duration};

/// What happens while a command waits for the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The lock was not had this time.
    Lock {
        /// How often it was tried so far.
        tries: u32,
        /// When it is tried again.
        again_in: Duration,
    },
    /// An index is being built; for how long so far.
    Index(Duration),
}

/// Called with what happens while a command waits.
pub type Progress<'a> = &'a (dyn Fn(Waiting) + Sync);

/// The guard, and what is not as it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardState {
    /// The judgement.
    pub guard: Guard,
    /// What differs, each as a clause for people.
    pub differs: Vec<String>,
}

/// What an operator does with the guard. Every call ends within a deadline of its own, and leaves no transaction behind.
pub trait Guarded: Send {
    /// Whether the guard is there, and sound.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn guard(&mut self) -> impl Future<Output = Result<GuardState, StoreError>> + Send;

    /// Installs the guard, or repairs one that was altered or disabled.
    ///
    /// # Errors
    /// If rights are missing, the table can't have a trigger, or its lock can't be had for two minutes.
    fn install_guard(&mut self, progress: Progress<'_>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the guard; that there is none is no error.
    ///
    /// # Errors
    /// As `install_guard`. On PostgreSQL the guard does nothing any more from the first moment on.
    fn remove_guard(&mut self, progress: Progress<'_>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Builds the index that makes the poll cheap, unless it is there. Returns its name.
    ///
    /// # Errors
    /// If long transactions or a pooler stand against it, or it can't be built; nothing invalid is left behind.
    fn build_index(&mut self, progress: Progress<'_>) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// The SQL that installs the guard and builds the index, for an administrator.
    ///
    /// # Errors
    /// If the database can't be asked for the table's columns.
    fn guard_sql(&mut self) -> impl Future<Output = Result<GuardSql, StoreError>> + Send;
}

/// The SQL of the guard, as an administrator would run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSql {
    /// Installs it.
    pub install: String,
    /// Removes it.
    pub remove: String,
    /// Builds the index.
    pub index: String,
}
