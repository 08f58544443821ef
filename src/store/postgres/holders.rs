//! Who keeps repairs waiting, from the server's own table of locks.

use super::{PostgresSettings, Ready, link::Link, param::Param, sql::GATE, transaction::look_alone};
use crate::{
    domain::{Held, Holder, JobId},
    store::StoreError,
};
use std::time::Duration;
use tokio_postgres::Row;

/// The longest that it may take: nothing depends on it.
const WITHIN: Duration = Duration::from_secs(2);

/// The sessions that hold the gate, the row of a job, or its table.
pub(super) async fn holders(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    job: Option<&JobId>,
) -> Result<Vec<Holder>, StoreError> {
    let (class, table) = (GATE.cast_unsigned(), ready.catalog.gate().cast_unsigned());
    let key = job.map(JobId::to_string);
    let params: Vec<Param<'_>> = vec![&class, &table, &key];
    let answers = look_alone(
        link,
        WITHIN.min(settings.poll_timeout),
        &ready.statements.holders,
        params,
    );
    let rows = link
        .within_for(WITHIN * 2, "looking for who holds the locks", answers)
        .await?;
    Ok(rows.iter().map(holder).collect())
}

fn holder(row: &Row) -> Holder {
    let seconds: Option<f64> = row.get("seconds");
    Holder {
        held: match row.get("held") {
            "gate" => Held::Gate,
            "row" => Held::Row,
            _ => Held::Table,
        },
        pid: row.get::<_, Option<i32>>("pid").unwrap_or_default(),
        role: row.get("role"),
        application: row.get("application"),
        state: row.get("state"),
        age: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}
