//! A ledger that is not what it was made as: no job is changed without its entry, `check` says what is wrong, and `grants` makes
//! no ledger of someone else's table.

use crate::support::{
    Session,
    beatwarden::{run, words},
    postgres::{TestDatabase, shared},
};
use tokio_postgres::Client;

struct Site {
    database: TestDatabase,
    owner: Client,
    role: String,
}

impl Site {
    /// A dead job in a table, and a role without any right.
    async fn new() -> Self {
        let database = shared().database().await;
        let owner = database.client().await;
        let role = format!("dog_{}", database.url.rsplit('/').next().unwrap());
        owner.run(&super::tables()).await;
        owner.run(&format!("CREATE ROLE {role} LOGIN")).await;
        Self { database, owner, role }
    }

    fn run(&self, user: &str, action: &str, arguments: &[&str]) -> (i32, String) {
        let url = self.database.url.replacen("postgres@", &format!("{user}@"), 1);
        let common = format!("--database {url} --preset meltano --missed-first {action} --listen 127.0.0.1:1");
        let common = words(&common);
        let (status, out, log) = run(&[arguments, &common].concat());
        (status.code().unwrap(), format!("{out}{log}"))
    }

    fn grants(&self, action: &str) -> String {
        let (code, sql) = self.run("postgres", action, &["grants", "--role", &self.role]);
        assert_eq!(code, 0, "{sql}");
        sql
    }

    async fn grant(&self, action: &str) {
        let sql = self.grants(action);
        self.owner.run(&sql).await;
    }

    async fn sql(&self, statement: &str) {
        self.owner.run(statement).await;
    }

    async fn one(&self, query: &str) -> String {
        let row = self
            .owner
            .query_one(&format!("SELECT ({query})::text"), &[])
            .await
            .unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }
}

const RUNNING: &str = "SELECT count(*) FROM runs WHERE state = 'RUNNING' AND payload = '{\"customer\": 1}'";

/// What is done to a sound ledger, and a word of what `check` says about it.
const FLAWS: [(&str, &str); 13] = [
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER t BEFORE INSERT ON beatwarden_repairs FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger t",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM beatwarden_repairs; RETURN NULL; END';
         CREATE TRIGGER t AFTER INSERT ON beatwarden_repairs FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger t",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER t AFTER INSERT ON beatwarden_repairs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger t",
    ),
    ("CREATE RULE r AS ON INSERT TO beatwarden_repairs DO INSTEAD NOTHING", "rule"),
    ("ALTER TABLE beatwarden_repairs ENABLE ROW LEVEL SECURITY", "row security"),
    ("ALTER TABLE beatwarden_repairs DROP CONSTRAINT beatwarden_repairs_pkey", "unique key"),
    (
        "ALTER TABLE beatwarden_repairs DROP CONSTRAINT beatwarden_repairs_pkey;
         ALTER TABLE beatwarden_repairs ADD PRIMARY KEY (repair_id) DEFERRABLE",
        "unique key",
    ),
    ("CREATE ROLE {stranger}; ALTER TABLE beatwarden_repairs OWNER TO {stranger}", "belongs to the role"),
    ("ALTER TABLE beatwarden_repairs SET UNLOGGED", "outlives a crash"),
    ("CREATE TABLE heir () INHERITS (beatwarden_repairs)", "inherit"),
    ("ALTER TABLE beatwarden_repairs ALTER COLUMN before TYPE text", "not a ledger"),
    ("ALTER TABLE beatwarden_repairs RENAME COLUMN undo_of TO undone", "not a ledger"),
    (
        "ALTER TABLE beatwarden_repairs RENAME TO theirs; CREATE VIEW beatwarden_repairs AS SELECT * FROM theirs;
         GRANT SELECT, INSERT, UPDATE ON beatwarden_repairs TO PUBLIC",
        "plain table",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_altered_withholds_repairs_and_check_says_what_is_wrong() {
    for (flaw, word) in FLAWS {
        let site = Site::new().await;
        site.grant("fail").await;
        assert_eq!(site.run(&site.role, "fail", &["check"]).0, 0);
        site.sql(&flaw.replace("{stranger}", &format!("stranger_of_{}", site.role)))
            .await;
        let (code, said) = site.run(&site.role, "fail", &["check"]);
        assert!(
            code == 1 && said.contains("no_ledger") && said.contains(word),
            "{flaw}: {said}"
        );
        let (code, said) = site.run(&site.role, "fail", &["repair", "--now", "--yes", "--job", "1"]);
        assert!(code == 1 && said.contains("ledger"), "{code} {flaw}: {said}");
        assert_eq!(site.one(RUNNING).await, "3", "{flaw}: {said}");
    }
}

/// An audit as it should be written, and what owners and administrators of a hosted server do: no obstacle.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_tables_owner_or_with_an_audit_is_as_good_as_any() {
    let site = Site::new().await;
    site.grant("fail").await;
    let owner = format!("owner_of_{}", site.role);
    site.sql(&format!(
        "CREATE ROLE {owner}; ALTER TABLE runs OWNER TO {owner}; ALTER TABLE beatwarden_repairs OWNER TO {owner};
         CREATE TABLE audit (what jsonb);
         CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            'BEGIN INSERT INTO public.audit VALUES (to_jsonb(NEW)); RETURN NULL; END';
         CREATE TRIGGER audited AFTER INSERT ON beatwarden_repairs FOR EACH ROW EXECUTE FUNCTION audited()"
    ))
    .await;
    let (code, said) = site.run(&site.role, "fail", &["check"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = site.run(&site.role, "fail", &["repair", "--now", "--yes", "--job", "1"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(site.one("SELECT count(*) FROM audit").await, "1");
}

/// What is there between two reads of the catalog, or comes with the rights of its function: the statement itself sees that
/// the entry is missing, and the job stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_and_an_undo_whose_entry_does_not_stay_change_nothing() {
    for trigger in [
        "CREATE TRIGGER t AFTER INSERT",
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT",
    ] {
        let deferred = if trigger.contains("CONSTRAINT") {
            "DEFERRABLE INITIALLY DEFERRED"
        } else {
            ""
        };
        let site = Site::new().await;
        site.grant("fail").await;
        let (code, said) = site.run(&site.role, "fail", &["repair", "--now", "--yes", "--job", "1"]);
        assert_eq!(code, 0, "{said}");
        let id = site.one("SELECT repair_id FROM beatwarden_repairs").await;
        let row = "SELECT string_agg(runs::text, ' ' ORDER BY id) FROM runs";
        let before = site.one(row).await;
        site.sql(&format!(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                'BEGIN DELETE FROM public.beatwarden_repairs WHERE repair_id = NEW.repair_id; RETURN NULL; END';
             {trigger} ON beatwarden_repairs {deferred} FOR EACH ROW EXECUTE FUNCTION f()"
        ))
        .await;
        for command in [&["repair", "--now", "--yes", "--job", "2"][..], &["undo", &id, "--yes"]] {
            let (code, said) = site.run(&site.role, "fail", command);
            assert!(
                code == 1 && said.contains("the ledger took no entry"),
                "{command:?}: {code} {said}"
            );
            assert_eq!(site.one(row).await, before, "{command:?}: {said}");
        }
        assert_eq!(site.one("SELECT count(*) FROM beatwarden_repairs").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_make_no_ledger_of_a_strangers_table() {
    let site = Site::new().await;
    let stranger = format!("stranger_of_{}", site.role);
    let sql = site.grants("fail");
    site.sql(&format!(
        "CREATE ROLE {stranger}; GRANT CREATE ON SCHEMA public TO {stranger}; SET ROLE {stranger};
         CREATE TABLE beatwarden_repairs (repair_id uuid); RESET ROLE"
    ))
    .await;
    let error = site.owner.batch_execute(&sql).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains(&stranger), "{error:?}");
    let granted = format!(
        "SELECT has_table_privilege('{}', 'beatwarden_repairs', 'INSERT')",
        site.role
    );
    assert_eq!(site.one(&granted).await, "false");
}

/// An index of an earlier version is in no one's way: those by table have names of their own, the same that a watch gives them.
#[tokio::test(flavor = "multi_thread")]
async fn grants_give_a_ledger_of_an_earlier_version_the_indexes_that_it_is_read_by() {
    let site = Site::new().await;
    site.sql(include_str!("../contract/ledger_1.postgres.sql")).await;
    site.grant("fail").await;
    let by_table = "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes
                     WHERE tablename = 'beatwarden_repairs' AND indexdef LIKE '%(table_name, %'";
    assert_eq!(
        site.one(by_table).await,
        "beatwarden_repairs_table_job beatwarden_repairs_table_late beatwarden_repairs_table_time beatwarden_repairs_table_unacknowledged"
    );
}

/// Rights that a former action needed go; the table's owner keeps its own.
#[tokio::test(flavor = "multi_thread")]
async fn grants_of_another_action_take_back_what_is_not_needed_any_more() {
    let site = Site::new().await;
    for action in ["backfill", "fail", "observe"] {
        site.grant(action).await;
        site.grant(action).await;
        let may = async |what: &str| {
            site.one(&format!("SELECT has_column_privilege('{}', 'runs', {what})", site.role))
                .await
                == "true"
        };
        assert_eq!(
            may("'last_heartbeat_at', 'UPDATE'").await,
            action == "backfill",
            "{action}"
        );
        for column in ["state", "ended_at", "payload"] {
            assert_eq!(
                may(&format!("'{column}', 'UPDATE'")).await,
                action == "fail",
                "{action} {column}"
            );
        }
        assert_eq!(may("'payload', 'SELECT'").await, action == "fail", "{action}");
        assert!(may("'state', 'SELECT'").await);
        let ledger = format!(
            "SELECT has_table_privilege('{}', 'beatwarden_repairs', 'SELECT')",
            site.role
        );
        assert_eq!(site.one(&ledger).await == "true", action != "observe", "{action}");
        assert_eq!(site.run(&site.role, action, &["check"]).0, 0, "{action}");
    }
}

/// A role's sessions find the table by the role's path; so does what is printed, no matter which role runs it with which path.
#[tokio::test(flavor = "multi_thread")]
async fn grants_name_the_schema_where_the_roles_sessions_find_the_table() {
    let site = Site::new().await;
    let role = site.role.clone();
    site.sql(&format!(
        "CREATE SCHEMA \"Of Us\"; CREATE TABLE \"Of Us\".runs (LIKE runs INCLUDING ALL); CREATE SCHEMA dba;
         ALTER ROLE {role} SET search_path = nowhere, \"Of Us\", public; SET search_path = dba"
    ))
    .await;
    let sql = site.grants("fail");
    assert!(sql.contains("ON \"Of Us\".\"runs\" TO"), "{sql}");
    site.sql(&sql).await;
    let (code, said) = site.run(&role, "fail", &["check"]);
    assert_eq!(code, 0, "{said}");
    let there = site
        .one("SELECT to_regclass('\"Of Us\".beatwarden_repairs')::oid::regclass")
        .await;
    assert!(there.contains("beatwarden_repairs"), "{there}");
    // A view is observed.
    site.sql(&format!(
        "ALTER TABLE \"Of Us\".runs RENAME TO jobs; CREATE VIEW \"Of Us\".runs AS SELECT * FROM \"Of Us\".jobs; GRANT SELECT ON \"Of Us\".runs TO {role}"
    ))
    .await;
    let sql = site.grants("fail");
    assert!(sql.contains("no table") && !sql.contains("GRANT UPDATE"), "{sql}");
}
