//! The address of the database, read again at every connect, with the files that it names.
//!
//! Files may lie on a volume that hangs. They are read on a thread of their own, one at a time for each watch, so that neither
//! the other watches nor the end of the process wait for it.

use super::{
    PostgresSettings,
    hosts::{self, nowhere},
    link::Link,
    server_addr::ServerAddr,
    target::Target,
};
use crate::{domain::Action, store::StoreError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// Where one watch connects to.
#[derive(Clone)]
pub(super) struct Addresses {
    settings: Arc<PostgresSettings>,
    /// The thread that reads; one that hangs keeps its permit.
    reader: Arc<Semaphore>,
    /// Whether a server that takes writes is to be looked for, as the address said last.
    prefers_writable: Arc<AtomicBool>,
}

impl Addresses {
    pub(super) fn new(settings: Arc<PostgresSettings>) -> Self {
        let prefers_writable = settings.action != Action::Observe;
        Self {
            settings,
            reader: Arc::new(Semaphore::new(1)),
            prefers_writable: Arc::new(AtomicBool::new(prefers_writable)),
        }
    }

    /// Whether a server that takes writes is to be looked for first.
    pub(super) fn prefers_writable(&self) -> bool {
        self.prefers_writable.load(Ordering::Relaxed)
    }

    /// Connects to a certain place, if there is one.
    pub(super) async fn connect(&self, beside: Option<&ServerAddr>) -> Result<Link, StoreError> {
        let (action, deadline) = (self.settings.action, self.settings.poll_timeout);
        hosts::open(&self.target().await?, action, deadline, beside).await
    }

    /// Connects to a server that takes writes, or to none.
    pub(super) async fn connect_writable(&self) -> Result<Link, StoreError> {
        hosts::open_writable(self.target().await?, self.settings.poll_timeout).await
    }

    /// The address as of now.
    async fn target(&self) -> Result<Target, StoreError> {
        let within = self.settings.poll_timeout;
        let target = timeout(within, self.read())
            .await
            .unwrap_or_else(|_| Err(late(within)))?;
        let prefers = target.prefers_writable(self.settings.action);
        self.prefers_writable.store(prefers, Ordering::Relaxed);
        Ok(target)
    }

    async fn read(&self) -> Result<Target, StoreError> {
        let permit = self.reader.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (settings, (answer, target)) = (self.settings.clone(), oneshot::channel());
        let read = move || {
            let _permit = permit;
            let target = (settings.address)().map_err(nowhere).and_then(Target::read_files);
            // No one may be left to hear it.
            let _ = answer.send(target);
        };
        let started = thread::Builder::new().name("address".to_owned()).spawn(read);
        started.map_err(|error| nowhere(error.into()))?;
        match target.await {
            Ok(target) => target,
            Err(_) => Err(StoreError::Bug("reading the address of the database".to_owned())),
        }
    }
}

fn late(within: Duration) -> StoreError {
    nowhere(
        format!("its address, or a file that the address names, was not read within {within:?}; does the volume hang?")
            .into(),
    )
}
