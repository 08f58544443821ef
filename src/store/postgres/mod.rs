//! The PostgreSQL store: one connection for passes, one for repairs, every await under a deadline.
//!
//! Only `query_typed` is used, never a kept prepared statement, and every setting is local to its transaction: that is
//! what lets a pooler in transaction mode stand in between.

mod catalog;
mod discovery;
mod facts;
mod grants;
mod guard;
mod ledger;
mod link;
mod observe;
mod obstacles;
mod operator;
mod passfile;
mod render;
mod repair;
mod row;
mod tls;
mod undo;

pub use grants::grants;
pub use link::{BadTarget, Target};
pub use tls::{Security, Verify};

use super::{Acknowledged, Inquiry, Ledger, Mapping, Resolution, Store, StoreError, Undo, Wanted, repair_id};
use crate::domain::{
    Access, Action, Discovery, Finding, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot,
};
use catalog::Catalog;
use discovery::Tailed;
use facts::Dated;
use link::Link;
use operator::Desk;
use render::Statements;
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where the address of the database comes from: asked again at every connect, so that a rotated secret is taken up.
pub type TargetSource = Box<dyn Fn() -> Result<Target, BoxError> + Send + Sync>;

/// What a [`PostgresStore`] needs to know.
pub struct PostgresSettings {
    /// Where to connect to.
    pub target: TargetSource,
    /// Table, columns and ledger.
    pub mapping: Mapping,
    /// What will be done with jobs that missed their first heartbeat: decides which rights are needed.
    pub action: Action,
    /// The deadline of one look at the table.
    pub poll_timeout: Duration,
    /// How far after the start a heartbeat still counts as written together with it.
    pub seed_tolerance: Duration,
    /// The name of this process in the ledger.
    pub instance: String,
    /// How running jobs are to be found.
    pub discovery: Wanted,
}

/// What a connection is good for, once the catalog was read through it.
#[derive(Debug)]
struct Ready {
    catalog: Catalog,
    statements: Statements,
    /// How running jobs are found, asked anew at each full look: a table grows.
    way: Mutex<Way>,
    /// What the catalog said last.
    facts: Mutex<Option<Dated>>,
}

/// How running jobs are found, and how the database would have to look for them by state.
#[derive(Clone, Copy, Debug)]
struct Way {
    discovery: Discovery,
    access: Access,
}

/// The watched database on a PostgreSQL server.
pub struct PostgresStore {
    settings: PostgresSettings,
    /// The connection that passes use, and what was found out through it.
    passes: Option<(Link, Arc<Ready>)>,
    /// The connection that repairs use.
    repairs: Option<Link>,
    /// What the last pass found out; repairs rest on it.
    ready: Option<Arc<Ready>>,
    /// The tail of the key.
    tail: Option<Tailed>,
    /// Whether the ledger's layout was looked at.
    migrated: bool,
}

impl PostgresStore {
    /// A store that connects when it is first asked.
    pub fn new(settings: PostgresSettings) -> Self {
        Self {
            settings,
            passes: None,
            repairs: None,
            ready: None,
            tail: None,
            migrated: false,
        }
    }

    /// The connection for passes, made anew if there is none.
    async fn passes(&mut self) -> Result<(), StoreError> {
        if self.passes.as_ref().is_some_and(|(link, _)| link.is_usable()) {
            return Ok(());
        }
        self.passes = None;
        let link = self.connect().await?;
        let catalog = catalog::read(&link, &self.settings).await?;
        let statements = Statements::render(&self.settings.mapping, &catalog)?;
        let way = discovery::way(&link, &catalog, &statements, &self.settings).await?;
        let ready = Arc::new(Ready {
            catalog,
            statements,
            way: Mutex::new(way),
            facts: Mutex::default(),
        });
        self.ready = Some(ready.clone());
        self.passes = Some((link, ready));
        Ok(())
    }

    async fn connect(&self) -> Result<Link, StoreError> {
        let target = (self.settings.target)().map_err(|source| StoreError::Connect {
            to: "the database".to_owned(),
            source,
        })?;
        Link::open(&target, self.settings.action, self.settings.poll_timeout).await
    }

    /// The connection for repairs, made anew if there is none.
    async fn repairs(&mut self) -> Result<&Link, StoreError> {
        if !self.repairs.as_ref().is_some_and(Link::is_usable) {
            self.repairs = Some(self.connect().await?);
        }
        Ok(self.repairs.as_ref().expect("just connected"))
    }

    /// The connection for an operator's questions: the one for passes, its deadline begun anew.
    async fn at_the_desk(&mut self) -> Result<Desk<'_>, StoreError> {
        self.passes().await?;
        let (link, ready) = self.passes.as_ref().expect("just connected");
        link.start_deadline();
        Ok(Desk {
            link,
            ready,
            settings: &self.settings,
        })
    }

    /// Drops the connection for repairs where its session can't be trusted any more.
    fn forget_repairs_link(&mut self, untrusted: bool) {
        if untrusted {
            self.repairs = None;
        }
    }

    fn ready(&self) -> Result<Arc<Ready>, StoreError> {
        self.ready
            .clone()
            .ok_or_else(|| StoreError::Schema("the table has not been read yet".to_owned()))
    }
}

impl Store for PostgresStore {
    async fn observe(&mut self, inquiry: &Inquiry) -> Result<Snapshot, StoreError> {
        self.passes().await?;
        let (link, ready) = self.passes.take().expect("just connected");
        link.start_deadline();
        // Taken out first: a pass that fails, or is dropped half-way, leaves no connection of unknown state behind.
        let snapshot = observe::observe(&link, &ready, &self.settings, inquiry, &mut self.tail).await?;
        if !link.is_second_choice() {
            self.passes = Some((link, ready));
        }
        Ok(snapshot)
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        let ready = self.ready()?;
        // A role that may write somebody's ledger needn't be allowed to create or change one. Outside of passes nobody has
        // looked yet.
        let exists = ready.catalog.ledger_exists.load(Ordering::Relaxed)
            || ledger::exists(self.repairs().await?, &ready).await?;
        if exists {
            if !self.migrated {
                self.migrated = true;
                if let Err(error) = ledger::migrate(self.repairs().await?, &ready).await {
                    self.repairs = None;
                    let error = error.chain();
                    tracing::warn!(
                        error,
                        "the ledger keeps its older layout, which is right but slower; tried again at the next start"
                    );
                }
            }
            return Ok(());
        }
        ledger::create(self.repairs().await?, &ready).await
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        let ready = match self.ready() {
            Ok(ready) => ready,
            Err(error) => return Outcome::Failed(error.chain()),
        };
        let link = match self.repairs().await {
            Ok(_) => self.repairs.take().expect("just connected"),
            Err(error) => return Outcome::Failed(error.chain()),
        };
        let id = repair_id(
            &self.settings.mapping.watch,
            &self.settings.mapping.table.plain(),
            repair,
        );
        let outcome = repair::repair(&link, &ready, &self.settings, repair, id).await;
        // A connection whose last answer is missing is never used again.
        if !matches!(outcome, Outcome::Unknown(_) | Outcome::Failed(_)) {
            self.repairs = Some(link);
        }
        outcome
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        let ready = self.ready()?;
        let id = repair_id(
            &self.settings.mapping.watch,
            &self.settings.mapping.table.plain(),
            repair,
        );
        let instance = self.settings.instance.clone();
        ledger::resolve(self.repairs().await?, &ready, &instance, id).await
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        let ready = self.ready()?;
        self.repairs().await?;
        let link = self.repairs.take().expect("just connected");
        let noted = ledger::note(&link, &ready, &self.settings, finding).await?;
        // After an error the connection may be in a transaction: it is dropped.
        self.repairs = Some(link);
        Ok(noted)
    }
}

impl Ledger for PostgresStore {
    async fn history(&mut self, limit: u32) -> Result<Vec<LedgerEntry>, StoreError> {
        let desk = self.at_the_desk().await?;
        operator::history(desk, limit).await
    }

    async fn history_of(&mut self, job: &JobId) -> Result<Vec<LedgerEntry>, StoreError> {
        let desk = self.at_the_desk().await?;
        operator::history_of(desk, &job.text()).await
    }

    async fn undo(&mut self, id: RepairId) -> Result<Undo, StoreError> {
        let desk = self.at_the_desk().await?;
        operator::undo(desk, id).await
    }

    async fn acknowledge(&mut self, id: RepairId) -> Result<Acknowledged, StoreError> {
        let desk = self.at_the_desk().await?;
        operator::acknowledge(desk, id).await
    }

    async fn acknowledge_fuse(&mut self) -> Result<RepairId, StoreError> {
        self.passes().await?;
        self.prepare_ledger().await?;
        let desk = self.at_the_desk().await?;
        operator::acknowledge_fuse(desk).await
    }
}
