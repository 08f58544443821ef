//! Which code of a table's owner runs when, with the rights of the role that watches: each kind is planted with a function that
//! logs itself and its user, and then every command is run. docs/operations.md has the same table.

use crate::support::{
    Session,
    beatwarden::{run, words},
    postgres::{TestDatabase, shared},
};
use std::collections::BTreeSet;

/// Commands that read rows, and those that read the catalog or the ledger alone. `repair` is asked beside them.
const READING: [&[&str]; 3] = [&["check"], &["status"], &["explain", "1"]];
const READING_NO_ROW: [&[&str]; 3] = [&["history"], &["guard", "status"], &["grants", "--role", "someone"]];

/// The table of the owner of `app`, with a function that says who calls it and why.
struct Site {
    database: TestDatabase,
    folder: tempfile::TempDir,
    mark: String,
    role: String,
}

impl Site {
    /// The table, with what the owner has planted in it before and after the role got its rights.
    async fn new(state: &str, before: &str, after: &str) -> Self {
        let database = shared().database().await;
        let name = database.url.rsplit('/').next().unwrap().to_owned();
        let (role, owner, mark) = (format!("dog_{name}"), format!("owner_{name}"), format!("seen-{name}"));
        let client = database.client().await;
        let scene = format!(
            "CREATE ROLE {role} LOGIN; CREATE ROLE {owner} LOGIN; CREATE SCHEMA app AUTHORIZATION {owner}; SET SESSION AUTHORIZATION {owner};
             CREATE FUNCTION app.seen(why text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
                BEGIN RAISE LOG '{mark} % as %.', why, current_user; RETURN true; END $$;
             CREATE FUNCTION app.text(why text, value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
                BEGIN PERFORM app.seen(why); RETURN value; END $$;
             {before};
             CREATE TABLE app.runs (id integer PRIMARY KEY, job_name varchar, state {state}, started_at timestamp, ended_at timestamp,
                payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp);
             INSERT INTO app.runs (id, job_name, state, started_at, payload) VALUES
                (1, 'job', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '1 hour', '{{}}');
             RESET SESSION AUTHORIZATION"
        );
        client.run(&scene).await;
        let site = Self {
            database,
            folder: tempfile::tempdir().unwrap(),
            mark,
            role,
        };
        let file = "[[watch]]\npreset = \"meltano\"\ntable.name = \"app.runs\"\nrepair.missed_first = \"fail\"\n";
        std::fs::write(site.folder.path().join("b.toml"), file).unwrap();
        let (code, grants) = site.command(&["grants", "--role", &site.role], &owner);
        assert_eq!(code, 0, "{grants}");
        client
            .run(&format!(
                "SET SESSION AUTHORIZATION {owner}; {grants}; {after}; RESET SESSION AUTHORIZATION"
            ))
            .await;
        site
    }

    fn command(&self, arguments: &[&str], user: &str) -> (i32, String) {
        let url = self.database.url.replacen("postgres@", &format!("{user}@"), 1);
        let file = self.folder.path().join("b.toml");
        let more = format!(
            "--config {} --database {url} --listen 127.0.0.1:1",
            file.to_str().unwrap()
        );
        let more = words(&more);
        let (status, said, complaint) = run(&[arguments, &more].concat());
        (status.code().unwrap(), format!("{said}{complaint}"))
    }

    /// What has run since the beginning with the rights of the role.
    fn heard(&self) -> BTreeSet<String> {
        let log = std::fs::read_to_string(shared().folder().join("log")).unwrap();
        let by_the_role = format!(" as {}.", self.role);
        let lines = log
            .lines()
            .filter_map(|line| line.split_once(&self.mark)?.1.split_once(&by_the_role));
        lines.map(|(why, _)| why.trim().to_owned()).collect()
    }

    /// What runs when it is only read, and what runs besides when a job is repaired.
    async fn whose_code_runs(&self, is_repaired: bool) -> [BTreeSet<String>; 2] {
        for command in READING_NO_ROW {
            let (code, said) = self.command(command, &self.role);
            assert!(code <= 1, "{command:?}: {said}");
            assert_eq!(self.heard(), BTreeSet::new(), "{command:?}");
        }
        for command in READING {
            let (code, said) = self.command(command, &self.role);
            assert!(code <= 1, "{command:?}: {said}");
        }
        let reading = self.heard();
        let (_, said) = self.command(&["repair", "--now", "--yes", "--job", "1"], &self.role);
        let client = self.database.client().await;
        let failed = "SELECT count(*) FROM app.runs WHERE state::text = 'FAIL'";
        let failed: i64 = client.query_one(failed, &[]).await.unwrap().get(0);
        assert_eq!(failed == 1, is_repaired, "{said}");
        let all = self.heard();
        let besides = all.difference(&reading).cloned().collect();
        [reading, besides]
    }
}

fn kinds(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Beside a table that is repaired.
const PLANTED: &str = "
    CREATE FUNCTION app.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM app.seen('trigger'); RETURN NEW; END $$;
    CREATE TRIGGER fire BEFORE UPDATE ON app.runs FOR EACH ROW EXECUTE FUNCTION app.fire();
    ALTER TABLE app.runs ADD CONSTRAINT fine CHECK (app.text('constraint', state) IS NOT NULL);
    CREATE DOMAIN app.note AS varchar CHECK (app.text('domain', VALUE) IS NOT NULL);
    ALTER TABLE app.runs ALTER payload TYPE app.note;
    ALTER TABLE app.runs ADD COLUMN made text GENERATED ALWAYS AS (app.text('generated', state)) STORED;
    ALTER TABLE app.runs ADD COLUMN usual text DEFAULT app.text('default', 'x');
    CREATE INDEX by_text ON app.runs (app.text('index', state));
    CREATE INDEX partly ON app.runs (state) WHERE app.text('predicate', state) <> '';
    CREATE INDEX constant ON app.runs (job_name, app.text('constant_in_index', 'x'));
    CREATE INDEX constants ON app.runs (job_name) WHERE app.seen('constant_in_predicate') AND id > 0;
    CREATE STATISTICS app.guessed ON app.text('statistics', state), app.text('constant_in_statistics', 'x') FROM app.runs;
    ALTER TABLE app.beatwarden_repairs ALTER outcome SET DEFAULT app.text('default_of_the_ledger', NULL);
    ALTER TABLE app.beatwarden_repairs ADD CONSTRAINT fine CHECK (app.text('constraint_of_the_ledger', watch) IS NOT NULL)";

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_a_table_is_read_and_when_a_job_is_repaired() {
    let site = Site::new("varchar", "SELECT 1", PLANTED).await;
    let [reading, besides] = site.whose_code_runs(true).await;
    // The planner works out what is constant, whatever the statement asks.
    assert_eq!(
        reading,
        kinds("constant_in_index constant_in_predicate constant_in_statistics")
    );
    assert_eq!(
        besides,
        kinds("trigger constraint domain generated index predicate constraint_of_the_ledger default_of_the_ledger")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_and_a_cast_run_when_a_table_is_read_and_withhold_its_repairs() {
    let policy = "ALTER TABLE app.runs ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON app.runs USING (app.seen('policy'))";
    let site = Site::new("varchar", "SELECT 1", policy).await;
    assert_eq!(site.whose_code_runs(false).await, [kinds("policy"), kinds("")]);
    let kind = "CREATE TYPE app.st AS ENUM ('RUNNING', 'SUCCESS', 'FAIL', 'DEAD', 'IDLE', 'STATE_EDIT')";
    let cast = "CREATE FUNCTION app.cast(app.st) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.seen('cast'); RETURN enum_out($1); END $$;
        CREATE CAST (app.st AS text) WITH FUNCTION app.cast(app.st)";
    let site = Site::new("app.st", kind, cast).await;
    assert_eq!(site.whose_code_runs(false).await, [kinds("cast"), kinds("")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_runs_what_it_is_made_of_when_it_is_read() {
    let view = "ALTER TABLE app.runs RENAME TO hidden; CREATE VIEW app.runs AS SELECT * FROM app.hidden WHERE app.seen('view')";
    let site = Site::new(
        "varchar",
        "SELECT 1",
        &format!("{view}; GRANT SELECT ON app.runs TO PUBLIC"),
    )
    .await;
    assert_eq!(site.whose_code_runs(false).await, [kinds("view"), kinds("")]);
}

/// Kinds that are met less often, beside a table that is repaired.
const RARER: &str = "
    CREATE DOMAIN app.inner_note AS varchar CHECK (app.text('inner_domain', VALUE) IS NOT DISTINCT FROM VALUE);
    CREATE DOMAIN app.plain AS app.inner_note;
    ALTER TABLE app.runs ALTER payload TYPE app.inner_note, ADD COLUMN remark app.plain;
    CREATE FUNCTION app.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM app.seen('at_the_commit'); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON app.runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.late();
    CREATE FUNCTION app.silent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER sometimes BEFORE UPDATE ON app.runs FOR EACH ROW WHEN (app.seen('condition_of_a_trigger')) EXECUTE FUNCTION app.silent();
    CREATE TYPE app.boxed AS (inside text);
    CREATE FUNCTION app.boxed(varchar) RETURNS app.boxed LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN PERFORM app.seen('cast_in_a_constraint'); RETURN ROW($1)::app.boxed; END $$;
    CREATE CAST (varchar AS app.boxed) WITH FUNCTION app.boxed(varchar);
    ALTER TABLE app.runs ADD CONSTRAINT by_cast CHECK ((state::app.boxed).inside IS NOT NULL);
    ALTER TABLE app.runs ADD CONSTRAINT alone EXCLUDE (app.text('exclusion', state) WITH =);
    CREATE FUNCTION app.same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN app.seen('operator'); END $$;
    CREATE OPERATOR app.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = app.same);
    ALTER TABLE app.runs ADD CONSTRAINT by_operator CHECK (state::text OPERATOR(app.===) 'x'::text)";

#[tokio::test(flavor = "multi_thread")]
async fn rarer_kinds_run_when_a_job_is_repaired_and_check_names_them() {
    let site = Site::new("varchar", "SELECT 1", RARER).await;
    let [reading, besides] = site.whose_code_runs(true).await;
    assert_eq!(reading, kinds(""));
    assert_eq!(
        besides,
        kinds("inner_domain at_the_commit condition_of_a_trigger cast_in_a_constraint exclusion operator")
    );
    let (_, said) = site.command(&["check"], &site.role);
    for name in [
        "remark",
        "payload",
        "late",
        "sometimes",
        "by_cast",
        "alone",
        "by_operator",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constant_in_a_constraint_of_a_child_table_runs_when_the_table_is_read() {
    let child = "CREATE TABLE app.child (CONSTRAINT of_child CHECK (state <> app.text('constant_of_a_child', 'x'))) INHERITS (app.runs);
        INSERT INTO app.child (id, state) VALUES (2, 'SUCCESS')";
    let site = Site::new("varchar", "SELECT 1", child).await;
    let [reading, besides] = site.whose_code_runs(false).await;
    assert_eq!((reading, besides), (kinds("constant_of_a_child"), kinds("")));
    let (_, said) = site.command(&["check"], &site.role);
    assert!(said.contains("app.child"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_and_a_view_of_its_invoker_are_as_rules_and_views_are() {
    let rule = "CREATE RULE also AS ON UPDATE TO app.runs DO ALSO SELECT app.seen('rule')";
    let site = Site::new("varchar", "SELECT 1", rule).await;
    assert_eq!(site.whose_code_runs(false).await, [kinds(""), kinds("")]);
    let view = "ALTER TABLE app.runs RENAME TO hidden; GRANT SELECT ON app.hidden TO PUBLIC;
        CREATE VIEW app.runs WITH (security_invoker) AS SELECT * FROM app.hidden WHERE app.seen('view'); GRANT SELECT ON app.runs TO PUBLIC";
    let site = Site::new("varchar", "SELECT 1", view).await;
    assert_eq!(site.whose_code_runs(false).await, [kinds("view"), kinds("")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_partitioned_table_and_a_policy_of_a_partition() {
    let key = "ALTER TABLE app.runs RENAME TO old;
        CREATE TABLE app.runs (LIKE app.old) PARTITION BY LIST ((app.text('partition_key', state)));
        CREATE TABLE app.part PARTITION OF app.runs FOR VALUES IN ('RUNNING'); CREATE TABLE app.rest PARTITION OF app.runs DEFAULT;
        ALTER TABLE app.part ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON app.part USING (app.seen('policy_of_a_partition'));
        INSERT INTO app.runs SELECT * FROM app.old; GRANT SELECT, UPDATE ON app.runs TO PUBLIC";
    let site = Site::new("varchar", "SELECT 1", key).await;
    let [reading, besides] = site.whose_code_runs(false).await;
    assert_eq!((reading, besides), (kinds(""), kinds("")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_runs_where_a_value_of_it_is_made() {
    let word = "CREATE DOMAIN app.inner_word AS varchar CHECK (app.text('inner_word', VALUE) IS NOT NULL AND app.seen('constant_of_a_domain'));
        CREATE DOMAIN app.word AS app.inner_word CHECK (app.text('word', VALUE) IS NOT NULL)";
    let site = Site::new("app.word", word, "SELECT 1").await;
    assert_eq!(
        site.whose_code_runs(true).await,
        [kinds(""), kinds("inner_word word constant_of_a_domain")]
    );
    let (_, said) = site.command(&["check"], &site.role);
    assert!(
        said.contains("column `state` is a domain that calls app.text(text,text)"),
        "{said}"
    );
    // A key is looked for as a value of its type.
    let key = "CREATE DOMAIN app.inner_key AS integer CHECK (app.seen('key')); CREATE DOMAIN app.key AS app.inner_key;
        ALTER TABLE app.runs ALTER id TYPE app.key";
    let site = Site::new("varchar", "SELECT 1", key).await;
    assert_eq!(site.whose_code_runs(true).await, [kinds("key"), kinds("")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cast_of_the_type_under_a_domain_withholds_repairs() {
    let cast = "CREATE TYPE app.one AS ENUM ('1'); CREATE DOMAIN app.inner_key AS app.one; CREATE DOMAIN app.key AS app.inner_key;
        CREATE FUNCTION app.of_one(app.one) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM app.seen('cast'); RETURN enum_out($1); END $$;
        ALTER TABLE app.runs ALTER id TYPE app.key USING '1'; CREATE CAST (app.one AS text) WITH FUNCTION app.of_one(app.one)";
    let site = Site::new("varchar", "SELECT 1", cast).await;
    assert_eq!(site.whose_code_runs(false).await, [kinds("cast"), kinds("")]);
    let (_, said) = site.command(&["check"], &site.role);
    let withheld = "has a cast from or to text that calls app.of_one(app.one): a repair would run it";
    assert!(said.contains(withheld), "{said}");
}
