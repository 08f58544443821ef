//! Whose the guard's function is: a stranger who could change it would run code as the writer.

use crate::support::{
    Session,
    beatwarden::run,
    postgres::{self, TestDatabase},
    runs::TABLE,
};

/// A database whose table belongs to one role, with another that may create in its schema.
struct Scene {
    _database: TestDatabase,
    client: tokio_postgres::Client,
    name: String,
    owner: String,
    stranger: String,
}

impl Scene {
    async fn new() -> Self {
        let database = postgres::shared().database().await;
        let client = database.client().await;
        let name = database.url.rsplit('/').next().unwrap().to_owned();
        let (owner, stranger) = (format!("owner_{name}"), format!("stranger_{name}"));
        let scene = format!(
            "CREATE ROLE {owner} LOGIN; CREATE ROLE {stranger} LOGIN; {TABLE}; ALTER TABLE runs OWNER TO {owner};
             GRANT CREATE ON SCHEMA public TO {owner}, {stranger}"
        );
        client.run(&scene).await;
        Self {
            _database: database,
            client,
            name,
            owner,
            stranger,
        }
    }

    fn guard(&self, role: &str, verb: &[&str]) -> (i32, String) {
        let url = postgres::shared().url(role, &self.name);
        let (status, said, complaint) = run(&[&["guard"], verb, &["--database", &url, "--preset", "meltano"]].concat());
        (status.code().unwrap(), format!("{said}{complaint}"))
    }

    fn ok(&self, role: &str, verb: &[&str]) -> String {
        let (code, said) = self.guard(role, verb);
        assert_eq!(code, 0, "{role} {verb:?}: {said}");
        said
    }

    async fn holder(&self) -> String {
        let query = "SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE proname = 'beatwarden_guard_runs'";
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    async fn as_role(&self, role: &str, sql: &str) {
        let script = format!("SET SESSION AUTHORIZATION {role}; {sql}; RESET SESSION AUTHORIZATION");
        self.client.run(&script).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_belongs_to_the_owner_of_the_table_no_matter_who_installs_it() {
    let scene = Scene::new().await;
    for role in [scene.owner.as_str(), "postgres"] {
        scene.ok(role, &["install"]);
        assert_eq!(scene.holder().await, scene.owner, "installed by {role}");
        assert!(scene.ok(role, &["status"]).contains("installed and sound"));
        scene.ok(role, &["remove"]);
    }
    // A role that may make triggers on the table could have made this one, too.
    let rights = format!("GRANT SELECT, TRIGGER ON runs TO {0}", scene.stranger);
    scene.client.run(&rights).await;
    scene.ok(&scene.stranger, &["install"]);
    assert_eq!(
        scene.holder().await,
        scene.stranger,
        "it can't be given away by this role"
    );
    assert!(scene.ok("postgres", &["status"]).contains("installed and sound"));
    let no_more = format!("REVOKE TRIGGER ON runs FROM {}", scene.stranger);
    scene.client.run(&no_more).await;
    let (code, said) = scene.guard("postgres", &["status"]);
    assert!(code == 1 && said.contains("belongs to the role"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_a_stranger_made_first_is_refused() {
    let scene = Scene::new().await;
    let planted =
        "CREATE FUNCTION public.beatwarden_guard_runs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    scene.as_role(&scene.stranger, planted).await;
    for role in [scene.owner.as_str(), "postgres"] {
        let (code, said) = scene.guard(role, &["install"]);
        assert!(
            code == 1 && said.contains("belongs to the role") && said.contains(&scene.stranger),
            "{role}: {said}"
        );
    }
    // Nor by the printed SQL, which looks for itself.
    let print = scene.ok(&scene.owner, &["install", "--print"]);
    let refused = scene.client.batch_execute(&print).await.unwrap_err();
    assert!(
        refused.as_db_error().unwrap().message().contains("belongs to"),
        "{refused:?}"
    );
    scene.client.run("ROLLBACK").await;
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'runs'::regclass";
    assert_eq!(scene.client.query_one(triggers, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(scene.holder().await, scene.stranger);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_function_or_its_triggers_is_named() {
    let scene = Scene::new().await;
    let function = "ALTER FUNCTION public.beatwarden_guard_runs()";
    let give = format!("{function} OWNER TO {}", scene.stranger);
    let changes = [
        (format!("{function} SECURITY DEFINER"), "is SECURITY DEFINER"),
        (format!("{function} RESET search_path"), "has other settings"),
        (format!("{function} SET search_path = public"), "has other settings"),
        (format!("{function} SET role = postgres"), "has other settings"),
        (give, "belongs to the role"),
        (
            "CREATE OR REPLACE FUNCTION public.beatwarden_guard_runs() RETURNS trigger LANGUAGE plpgsql
             SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END'"
                .to_owned(),
            "has another body",
        ),
        (
            "CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE OR REPLACE TRIGGER zz_beatwarden_guard BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION public.mine()"
                .to_owned(),
            "which is not the guard's",
        ),
        (
            "CREATE OR REPLACE TRIGGER zz_beatwarden_guard BEFORE INSERT ON runs FOR EACH ROW WHEN (NEW.id > 5)
             EXECUTE FUNCTION public.beatwarden_guard_runs()"
                .to_owned(),
            "fires for something else",
        ),
        (
            "CREATE OR REPLACE TRIGGER zz_beatwarden_guard BEFORE INSERT ON runs FOR EACH ROW
             EXECUTE FUNCTION public.beatwarden_guard_runs('x')"
                .to_owned(),
            "fires for something else",
        ),
        ("ALTER TABLE runs DISABLE TRIGGER zz_beatwarden_guard_start".to_owned(), "is switched off"),
        ("ALTER TABLE runs ENABLE REPLICA TRIGGER zz_beatwarden_guard".to_owned(), "is switched off"),
    ];
    for (change, word) in changes {
        scene.ok(&scene.owner, &["install"]);
        scene.client.run(&change).await;
        let (code, said) = scene.guard(&scene.owner, &["status"]);
        assert!(code == 1 && said.contains(word), "{change}: {said}");
        let as_json = scene.guard(&scene.owner, &["status", "--json"]).1;
        assert!(
            as_json.contains("\"sound\":false") && as_json.contains(word),
            "{as_json}"
        );
        scene.ok("postgres", &["remove"]);
        scene
            .client
            .run("DROP FUNCTION IF EXISTS public.mine(), public.beatwarden_guard_runs()")
            .await;
    }
}
