//! What a pass does about keys that don't tell rows apart: rows that share one, and rows that have none. A running job is
//! never left out in silence.

use super::view::View;
use crate::{
    domain::{Job, Look},
    store::StoreError,
};
use std::sync::{PoisonError, atomic::Ordering};
use tokio_postgres::types::Type;

impl View<'_> {
    /// Fails where rows share a key: one would hide the others.
    pub(super) fn refuse_shared_keys(&self, rows: &[Job]) -> Result<(), StoreError> {
        if self.ready.catalog.is_unique {
            return Ok(());
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.note_across(rows);
        shared.refuse(&self.settings.mapping)
    }

    /// The running rows without a key, which nothing that goes by keys meets: counted in full looks, where there can be any.
    pub(super) async fn count_keyless(&self, look: Look) -> Result<u64, StoreError> {
        let ready = self.ready;
        if look == Look::Full && ready.catalog.id.nullable {
            let states = &self.settings.mapping.states.running;
            let answer = self
                .link
                .ask(&ready.statements.keyless, vec![(states, Type::TEXT_ARRAY)]);
            let rows = self.link.within("counting rows without a key", answer).await?;
            let count = rows.first().map_or(0, |row| row.get::<_, i64>("keyless"));
            ready
                .keyless
                .store(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
        }
        Ok(ready.keyless.load(Ordering::Relaxed))
    }
}
