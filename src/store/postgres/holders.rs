//! Who keeps repairs waiting, from the server's own table of locks.

use super::{
    PostgresSettings, Ready,
    ledger::{GATE, gate_of},
    link::{Link, Param},
    observe::begin,
};
use crate::{
    domain::{Held, Holder, JobId},
    store::StoreError,
};
use std::time::Duration;
use tokio_postgres::{Row, types::Type};

/// The longest that it may take: nothing depends on it.
const WITHIN: Duration = Duration::from_secs(2);

/// The sessions that hold the gate, the row of a job, or its table.
pub(super) async fn holders(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    job: Option<&JobId>,
) -> Result<Vec<Holder>, StoreError> {
    let client = link.client();
    let begin = begin(WITHIN.min(settings.poll_timeout));
    let (class, table) = (GATE.cast_unsigned(), gate_of(ready.catalog.oid).cast_unsigned());
    let key = job.map(JobId::to_string);
    let params: Vec<Param<'_>> = vec![(&class, Type::OID), (&table, Type::OID), (&key, Type::TEXT)];
    let answers = async {
        let (begun, rows, ended) = tokio::join!(
            biased;
            client.batch_execute(&begin),
            link.ask(&ready.statements.holders, params),
            client.batch_execute("COMMIT"),
        );
        begun?;
        let rows = rows?;
        ended?;
        Ok(rows)
    };
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
