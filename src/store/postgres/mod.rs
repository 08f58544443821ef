//! The PostgreSQL store: one connection for passes, one for repairs, every await under a deadline.
//!
//! Every setting is local to its transaction, and nothing stays prepared unless the connection is proven to be direct (`kept`):
//! that is what lets a pooler in transaction mode stand in between.

mod addresses;
mod ask;
mod catalog;
mod certificate;
mod column;
mod conditions;
mod connector;
mod driver;
mod elsewhere;
mod ending;
mod error_column;
mod facts;
mod fail;
mod failures;
mod function;
mod grants;
mod guard;
mod guard_sql;
mod guard_state;
mod holders;
mod hosts;
mod inventory;
mod kept;
mod lanes;
mod ledger;
mod link;
mod links;
mod named;
mod observe;
mod obstacles;
mod operator;
mod param;
mod passfile;
mod probe;
mod ranged;
mod relation;
mod render;
mod repair;
mod row;
mod schema;
mod search_path;
mod server;
mod server_addr;
mod sql;
mod survey;
mod target;
mod times;
mod tls;
mod transaction;
mod trust;
mod undo;

pub use grants::{grants, index_advice, locate};
pub use inventory::PostgresInventory;
pub use links::Links;
pub use named::database_named_by;
pub use passfile::PassFile;
pub use target::Target;
pub use tls::Security;

use super::{
    Acknowledged, Entries, Ledger, ObserveRequest, Resolution, Settings, Store, StoreError, Undo,
    layout::KEEPS_ITS_INDEXES, look::Carried, repair_id, settings::Source,
};
use crate::domain::{
    Cause, Coverage, Finding, Holder, Job, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot,
};
use addresses::Addresses;
use catalog::Catalog;
use futures_util::future::OptionFuture;
use lanes::Slot;
use link::{Link, LinkId};
use links::{FullLook, WatchLanes};
use operator::LedgerSession;
use render::Statements;
use server::Server;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use survey::Announced;

/// Where a target comes from.
pub type TargetSource = Source<Target>;
/// What a PostgreSQL store needs to know.
pub type PostgresSettings = Settings<TargetSource>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a connection is good for, once the catalog was read through it.
#[derive(Debug)]
struct Ready {
    /// What the server reports about itself.
    server: Server,
    catalog: Catalog,
    statements: Statements,
}

/// What was found out through a connection; repairs rest on it.
struct Known {
    by: LinkId,
    ready: Arc<Ready>,
    /// When the server was asked what it reports about itself.
    probed: Instant,
}

/// The watched database on a PostgreSQL server.
pub struct PostgresStore {
    settings: Arc<PostgresSettings>,
    addresses: Addresses,
    links: Links,
    /// Where it finds its connections among them.
    lanes: WatchLanes,
    known: Option<Known>,
    /// What the last pass left to the next.
    carried: Carried,
    /// The full look in progress.
    full_look: Option<FullLook>,
    /// Whether the ledger's layout was looked at.
    migrated: bool,
    /// Whether a connection for repairs was used since the last pass.
    has_written: AtomicBool,
    /// Of a watch that continues: whether a role with more rights than it needs was logged.
    announced: Option<Announced>,
}

impl PostgresStore {
    /// A store that connects when it is first asked.
    pub fn new(settings: PostgresSettings) -> Self {
        let links = Links::default();
        let settings = Arc::new(settings);
        Self {
            addresses: Addresses::new(settings.clone()),
            lanes: WatchLanes::new(&links, settings.poll_timeout, settings.poll_timeout),
            settings,
            links,
            known: None,
            carried: Carried::default(),
            full_look: None,
            migrated: false,
            has_written: AtomicBool::new(false),
            announced: None,
        }
    }

    /// The same store, asked this often, over connections that it shares with other watches of the same database.
    #[must_use]
    pub fn sharing(self, links: Links, poll_interval: Duration) -> Self {
        Self {
            lanes: WatchLanes::new(&links, poll_interval, self.settings.poll_timeout),
            links,
            announced: Some(Announced::default()),
            ..self
        }
    }

    /// The connection for passes, opened if there is none, and what is known through it.
    async fn passes(&mut self) -> Result<(Slot, Arc<Ready>), StoreError> {
        let mut slot = self.lanes.passes.take(self.settings.poll_timeout).await?;
        // As long as none is found, the server that we have is the best one.
        if let Some(better) = self.links.better() {
            *slot = Some(better);
        } else if !slot.as_ref().is_some_and(Link::is_usable) {
            slot.connects();
            *slot = None;
            *slot = Some(self.addresses.connect(None).await?);
        } else if let Some(place) = self.links.place()
            && held(&slot).place() != &place
        {
            // Another connection has found a better server.
            slot.connects();
            *slot = None;
            *slot = Some(self.addresses.connect(Some(&place)).await?);
        }
        let link = slot.as_ref().expect("just connected");
        self.links.look_at(link.place());
        if let Some(Known { by, ready, probed }) = &mut self.known
            && *by == link.id()
            && facts::is_still_so(link, ready, &self.settings, probed).await
        {
            let ready = ready.clone();
            slot.works();
            return Ok((slot, ready));
        }
        link.start_deadline(self.settings.poll_timeout);
        match self.learn(&slot, link).await {
            Ok(ready) => {
                let ready = Arc::new(ready);
                self.known = Some(Known {
                    by: link.id(),
                    ready: ready.clone(),
                    probed: Instant::now(),
                });
                self.carried.begin_again();
                slot.works();
                Ok((slot, ready))
            }
            Err(error) => {
                // Whatever state it is in now, no other caller gets it.
                *slot = None;
                Err(error)
            }
        }
    }

    /// Reads the catalog.
    async fn learn(&self, slot: &Slot, link: &Link) -> Result<Ready, StoreError> {
        slot.asks();
        let server = link.reported().await?;
        slot.asks();
        let catalog = schema::read(link, &self.settings).await?;
        slot.asks();
        let statements = Statements::render(&self.settings.mapping, &catalog, &server);
        let mut ready = Ready {
            server,
            catalog,
            statements,
        };
        slot.asks();
        // They travel together: where many watches of a distant database begin at once, each waits for all before it.
        let survey = OptionFuture::from(self.announced.as_ref().map(|announced| {
            let watch = &self.settings.mapping.watch;
            Box::pin(announced.once(link, &ready, watch))
        }));
        let (no_facts, _) = tokio::join!(biased; facts::refused(link, &ready, &self.settings), survey);
        ready.server.no_facts = no_facts?;
        Ok(ready)
    }

    /// A demoted primary keeps its connections alive, and a standby is seldom the only server: another host may take writes
    /// by now. Meanwhile the passes continue, since a host that never answers would hold up each of them.
    fn look_for_better(&self, read_only: bool) {
        let addresses = self.addresses.clone();
        let is_wanted = read_only && addresses.prefers_writable();
        self.links
            .search(is_wanted.then_some(async move { addresses.connect_writable().await }));
    }

    /// The connection for repairs, opened if there is none, and the slot that it was taken out of: it is put back once the last
    /// answer is there. An answer that is missing may never come, and after an error it may be in a transaction.
    async fn repairs(&self) -> Result<(Slot, Link), StoreError> {
        let mut slot = self.lanes.repairs.take(self.settings.poll_timeout).await?;
        // Repairs go where the passes look: after a failover this connection may lead to the old server still.
        let place = self.links.place();
        // And what triggers of one table left in a session (settings, locks, temporary tables) must not reach another's.
        let table = self.known.as_ref().map(|known| known.ready.catalog.oid);
        let leads_there =
            |link: &Link| place.as_ref().is_none_or(|place| link.place() == place) && link.served() == table;
        let link = match slot.take().filter(|link| link.is_usable() && leads_there(link)) {
            Some(link) => {
                link.start_deadline(self.settings.poll_timeout);
                link
            }
            None => {
                slot.connects();
                self.addresses.connect(place.as_ref()).await?.serving(table)
            }
        };
        self.has_written.store(true, Ordering::Relaxed);
        slot.works();
        Ok((slot, link))
    }

    /// The connection for an operator's questions: the one for passes, its deadline started again.
    async fn for_operator(&mut self) -> Result<(Slot, Arc<Ready>), StoreError> {
        let (slot, ready) = self.passes().await?;
        held(&slot).start_deadline(self.settings.poll_timeout);
        Ok((slot, ready))
    }

    fn ledger_session<'a>(&'a self, (slot, ready): &'a (Slot, Arc<Ready>)) -> LedgerSession<'a> {
        LedgerSession {
            link: held(slot),
            ready,
            settings: &self.settings,
            addresses: &self.addresses,
        }
    }

    fn ready(&self) -> Result<Arc<Ready>, StoreError> {
        let ready = self.known.as_ref().map(|known| known.ready.clone());
        ready.ok_or_else(|| StoreError::Schema("the table has not been read yet".to_owned()))
    }
}

/// The connection in a slot that was just filled.
fn held(slot: &Slot) -> &Link {
    slot.as_ref().expect("just connected")
}

impl Store for PostgresStore {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        let asked = Instant::now();
        // A session that repaired ends with the pass, and with it whatever the table's triggers left in it: a lock that they
        // took would keep every other process from its gate.
        if self.has_written.swap(false, Ordering::Relaxed) {
            self.lanes.repairs.close_idle();
        }
        let (mut slot, ready) = self.passes().await?;
        // Taken out first: a pass that fails, or is dropped half-way, leaves no connection of unknown state behind.
        let link = slot.take().expect("just connected");
        link.start_deadline(self.settings.poll_timeout);
        if request.coverage == Coverage::Full && self.full_look.is_none() {
            self.full_look = Some(self.links.full_look());
        }
        let looks = self.full_look.as_ref().map_or(1, FullLook::of);
        let call = observe::Call { request, asked, looks };
        let snapshot = observe::observe(&link, &ready, &self.settings, call, &mut self.carried).await?;
        if !self.carried.is_in_full_look() {
            self.full_look = None;
        }
        let read_only = snapshot.obstacles.iter().any(|found| found.cause == Cause::ReadOnly);
        self.look_for_better(read_only);
        if link.keep_wanted().await.is_ok() {
            *slot = Some(link);
        }
        Ok(snapshot)
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        let ready = self.ready()?;
        let (mut slot, link) = self.repairs().await?;
        // A role that may write another role's ledger needn't be allowed to create or change one. Outside of passes the
        // ledger was not looked for yet.
        let exists = self.carried.has_ledger() || ledger::is_sound(&link, &ready).await?;
        if !exists {
            ledger::create(&link, &ready).await?;
        } else if !self.migrated {
            self.migrated = true;
            if let Err(error) = ledger::migrate(&link, &ready).await {
                let error = error.chain();
                tracing::warn!(error, "{KEEPS_ITS_INDEXES}");
                return Ok(());
            }
        }
        *slot = Some(link);
        Ok(())
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        let ready = match self.ready() {
            Ok(ready) => ready,
            Err(error) => return Outcome::Failed(error.chain()),
        };
        let (mut slot, link) = match self.repairs().await {
            Ok(lent) => lent,
            Err(error) => return Outcome::Failed(error.chain()),
        };
        let id = repair_id(&ready.catalog.table.plain(), repair);
        let (outcome, is_other_server) = repair::repair(&link, &ready, &self.settings, repair, id).await;
        if matches!(outcome, Outcome::Failed(_)) {
            // Perhaps a right was revoked: the next pass says which.
            self.carried.forget_facts();
        }
        // A connection whose last answer is missing is never used again, nor one that leads to another server than the one
        // that was observed: behind one address there may be several.
        let is_good = !is_other_server && !matches!(outcome, Outcome::Unknown(_) | Outcome::Failed(_));
        if is_good && link.keep_wanted().await.is_ok() {
            *slot = Some(link);
        }
        outcome
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        let ready = self.ready()?;
        let id = repair_id(&ready.catalog.table.plain(), repair);
        let (mut slot, link) = self.repairs().await?;
        let resolution = ledger::resolve(&link, &ready, &self.settings.instance, id).await?;
        *slot = Some(link);
        Ok(resolution)
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        let ready = self.ready()?;
        let (mut slot, link) = self.repairs().await?;
        let noted = ledger::note(&link, &ready, finding).await?;
        *slot = Some(link);
        Ok(noted)
    }

    async fn holders(&mut self, job: Option<&JobId>) -> Result<Vec<Holder>, StoreError> {
        let ready = self.ready()?;
        let (mut slot, link) = self.repairs().await?;
        let holders = holders::holders(&link, &ready, &self.settings, job).await?;
        *slot = Some(link);
        Ok(holders)
    }

    async fn good_runs(&mut self) -> Result<Vec<Job>, StoreError> {
        survey::good_runs(self).await
    }
}

impl Ledger for PostgresStore {
    async fn entries(&mut self, which: Entries) -> Result<Vec<LedgerEntry>, StoreError> {
        let lent = self.for_operator().await?;
        operator::entries(self.ledger_session(&lent), &which).await
    }

    async fn newest_run(&mut self, name: &str) -> Result<Option<JobId>, StoreError> {
        let lent = self.for_operator().await?;
        operator::newest_run(self.ledger_session(&lent), name).await
    }

    async fn undo(&mut self, id: RepairId) -> Result<Undo, StoreError> {
        let lent = self.for_operator().await?;
        operator::undo(self.ledger_session(&lent), id).await
    }

    async fn acknowledge(&mut self, id: RepairId) -> Result<Acknowledged, StoreError> {
        let lent = self.for_operator().await?;
        operator::acknowledge(self.ledger_session(&lent), id).await
    }

    async fn acknowledge_fuse(&mut self) -> Result<RepairId, StoreError> {
        self.for_operator().await?;
        self.prepare_ledger().await?;
        let lent = self.for_operator().await?;
        operator::acknowledge_fuse(self.ledger_session(&lent)).await
    }
}
