//! The same for the files of the HTTP side, and for a database on a server; and files behind links, as Kubernetes mounts them.

use super::{BACK, KINDS, Kind, SOON, Site, is_logged, replace};
use crate::support::{
    beatwarden::Beatwarden,
    certificates::{authority, identity},
    eventually, http,
    postgres::Cluster,
    runs::TABLE,
};
use std::{fs, os::unix::fs::symlink, process::Command};

/// A connection that is open needs no address; the next one does.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_it_is_met_at_the_next_connect_one_kind_after_the_other() {
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    let owner = database.client().await;
    owner.batch_execute(TABLE).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    replace(&url, &database.url);
    let dog = Beatwarden::watch(&[
        "--database-file",
        url.to_str().unwrap(),
        "--preset",
        "meltano",
        "--poll-interval",
        "200ms",
    ])
    .await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, BACK).await;
    let before = dog.log().len();
    Kind::Missing.put(&url);
    let ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beatwarden'";
    owner.batch_execute(ours).await.unwrap();
    // The log has each of them at once, although the watch was never good in between.
    for kind in [
        Kind::Missing,
        Kind::Folder,
        Kind::Pipe,
        Kind::Socket,
        Kind::Endless,
        Kind::Binary,
    ] {
        kind.put(&url);
        is_logged(&dog, before, &["could not be read", "database_file", kind.word()]).await;
    }
    replace(&url, &database.url);
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, BACK).await;
    assert!(dog.stop().success());
}

/// As Kubernetes mounts them: each file is a link into `..data`, which is a link to a folder, and the latter is exchanged.
#[tokio::test(flavor = "multi_thread")]
async fn files_behind_links_of_kubernetes_are_taken_up_together() {
    let site = Site::new();
    let ours = authority("our authority");
    replace(&site.path("authority.pem"), &ours.pem());
    let mount = |generation: &str, password: &str| {
        let folder = site.path(generation);
        fs::create_dir(&folder).unwrap();
        let server = identity("localhost", Some(&ours), |_| {});
        fs::write(folder.join("tls.crt"), server.certificate).unwrap();
        fs::write(folder.join("tls.key"), server.key).unwrap();
        let hash = bcrypt::hash(password, 5).unwrap();
        let web = format!(
            "tls_server_config: {{cert_file: tls.crt, key_file: tls.key}}\nbasic_auth_users: {{ann: {hash}}}\n"
        );
        fs::write(folder.join("web.yml"), web).unwrap();
        fs::write(folder.join("url"), site.text("jobs.db")).unwrap();
        symlink(generation, site.path("..data_tmp")).unwrap();
        fs::rename(site.path("..data_tmp"), site.path("..data")).unwrap();
    };
    mount("..1", "first");
    for name in ["tls.crt", "tls.key", "web.yml", "url"] {
        symlink(format!("..data/{name}"), site.path(name)).unwrap();
    }
    let arguments = ["--preset", "meltano", "--poll-interval", "200ms"];
    let (url, web) = (site.text("url"), site.text("web.yml"));
    let dog =
        Beatwarden::watch(&[&["--database-file", &url, "--web-config-file", &web][..], &arguments].concat()).await;
    let status = |password: &str| {
        let out = Command::new("curl")
            .args([
                "--silent",
                "--max-time",
                "10",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ])
            .args([
                "--user",
                &format!("ann:{password}"),
                "--cacert",
                &site.text("authority.pem"),
            ])
            .arg(format!("https://localhost:{}/metrics", dog.address.port()))
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(status("first"), "200");
    mount("..2", "second");
    fs::remove_dir_all(site.path("..1")).unwrap();
    eventually("the second password", SOON, async || {
        (status("second") == "200").then_some(())
    })
    .await;
    assert_eq!(status("first"), "401");
    // The folder is gone for a while, and comes back: the rules in force stay.
    let before = dog.log().len();
    fs::remove_file(site.path("..data")).unwrap();
    is_logged(&dog, before, &["the new web configuration is refused"]).await;
    assert_eq!((status("second").as_str(), status("first").as_str()), ("200", "401"));
    mount("..3", "third");
    eventually("the third password", SOON, async || {
        (status("third") == "200").then_some(())
    })
    .await;
}

/// The rules in force stay, whatever takes the place of the web configuration or of a file that it names.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_place_of_the_web_configuration_it_opens_nothing() {
    let site = Site::new();
    let hash = bcrypt::hash("right", 5).unwrap();
    let rules = format!("basic_auth_users: {{ann: {hash}}}\n");
    let web = site.path("web.yml");
    replace(&web, &rules);
    let (database, file) = (site.text("jobs.db"), site.text("web.yml"));
    let dog = Beatwarden::watch(&[
        "--database",
        &database,
        "--preset",
        "meltano",
        "--web-config-file",
        &file,
    ])
    .await;
    let status = |headers: &str| http::ask(dog.address, "GET", "/metrics", headers).status;
    // ann:right
    let right = "Authorization: Basic YW5uOnJpZ2h0\r\n";
    for kind in KINDS {
        let before = dog.log().len();
        kind.put(&web);
        dog.signal("HUP");
        is_logged(&dog, before, &["the new configuration is refused", "web.yml"]).await;
        assert_eq!((status(""), status(right)), (401, 200), "{kind:?}");
        replace(&web, &rules);
    }
    assert!(dog.most_memory() < 128, "{} MiB", dog.most_memory());
}
