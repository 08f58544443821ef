//! A hardened server: EXECUTE of one function after the other is withdrawn from PUBLIC. Under the role of `grants` the rows are
//! read all the same, and `check` names what is missing.

use super::{ACTIONS, roles, tables};
use crate::support::{
    Session,
    beatwarden::{run, words},
    postgres::shared,
};

/// A function, what `check` says of it for `observe`, and whether jobs are repaired without it.
const FUNCTIONS: [(&str, &str, bool); 12] = [
    ("pg_current_wal_lsn()", "the timeline can't be read here", true),
    ("pg_walfile_name(pg_lsn)", "the timeline can't be read here", true),
    ("pg_control_system()", "the system identifier can't be read here", true),
    ("pg_is_in_recovery()", "in_hot_standby takes its place", true),
    (
        "pg_postmaster_start_time()",
        "the server's start can't be read here",
        true,
    ),
    ("inet_server_addr()", "", true),
    ("pg_lock_status()", "", true),
    (
        "pg_try_advisory_xact_lock(integer, integer)",
        "gives no advisory locks",
        false,
    ),
    ("row_security_active(oid)", "can't be asked for rights", false),
    ("has_table_privilege(oid, text)", "can't be asked for rights", false),
    (
        "has_column_privilege(oid, smallint, text)",
        "can't be asked for rights",
        false,
    ),
    ("has_schema_privilege(oid, text)", "can't be asked for rights", false),
];

#[tokio::test]
async fn each_function_can_be_withdrawn_and_rows_are_read_all_the_same() {
    for (function, note, repairs) in FUNCTIONS {
        let (database, owner) = shared().database_with(&tables()).await;
        let urls = roles(&database).await;
        let withdrawn = format!("REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC");
        owner.run(&withdrawn).await;
        for (action, url) in ACTIONS.into_iter().zip(&urls) {
            let (status, said, log) = run(&words(&format!(
                "check --database {url} --preset meltano --missed-first {action}"
            )));
            assert_eq!(
                status.success(),
                repairs || action == "observe",
                "{function}, {action}: {said}{log}"
            );
            assert!(
                said.contains("3 jobs are in a running state"),
                "{function}, {action}: {said}"
            );
            let notes = said.lines().filter(|line| line.contains("note server: ")).count();
            assert_eq!(notes, usize::from(!note.is_empty()), "{function}, {action}: {said}");
            assert!(said.contains(note), "{function}, {action}: {said}");
            if action != "observe" && !repairs {
                assert!(said.contains("FAIL rights: "), "{function}, {action}: {said}");
            }
        }
        // It watches for a while first, so not for each.
        if !function.contains("lsn()") && !function.contains("advisory") {
            continue;
        }
        let (status, said, log) = run(&words(&format!(
            "repair --now --action fail --yes --job 1 --database {} --preset meltano",
            urls[2]
        )));
        assert_eq!(status.success(), repairs, "{function}: {said}{log}");
    }
}
