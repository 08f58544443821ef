//! Who keeps the gate of the repairs shut.

use super::{Line, bad};
use crate::{app::AnyStore, domain::Holder, store::Store};
use std::time::Duration;

/// Who holds the gate of the repairs for longer than any repair takes.
pub(super) async fn gate_holder(store: &mut AnyStore) -> Option<Holder> {
    /// A repair holds it for milliseconds, and never for longer than two seconds.
    const LONGER: Duration = Duration::from_millis(2_500);
    let before = store.holders(None).await.ok()?;
    if before.is_empty() {
        return None;
    }
    tokio::time::sleep(LONGER).await;
    let after = store.holders(None).await.ok()?;
    after
        .into_iter()
        .find(|now| before.iter().any(|then| then.pid == now.pid))
}

/// What is to be done about it.
pub(super) fn held(holder: &Holder) -> Line {
    let text = format!(
        "not_leader: {holder}, so nothing is repaired: find out whose it is, and if it is no Beatwarden at work, end it (SELECT \
         pg_terminate_backend({})) or let its owner do so",
        holder.pid
    );
    bad(text)
}
