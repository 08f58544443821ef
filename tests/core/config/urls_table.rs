//! URLs of PostgreSQL, each asked of libpq, of SQLAlchemy and of us: where we connect is where one of them would have
//! connected, and where both would, but not to the same place, we refuse.

use beatwarden::config::{DatabaseUrl, Defaults};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};
use tokio_postgres::config::Host;

/// What is expected of us.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// A connection, where libpq and SQLAlchemy would go; one of them may refuse.
    Same,
    /// A connection, where SQLAlchemy would go, although libpq would go elsewhere.
    AsSqlAlchemy,
    /// A mistake with these words.
    Refused(&'static str),
}

use Expected::{AsSqlAlchemy, Refused, Same};

/// A URL, variables (`NAME=value`, with blanks in between), and what is expected.
const TABLE: &[(&str, &str, Expected)] = &[
    // The first row names the user of the operating system.
    ("postgresql://", "", Same),
    // The plain forms.
    ("postgresql://u@db/jobs", "", Same),
    ("postgres://u@db/jobs", "", Same),
    ("postgresql+psycopg2://u@db/jobs", "", Same),
    ("postgresql+psycopg://u@db:6432/jobs", "", Same),
    ("postgresql://u:secret@db:6432/jobs", "", Same),
    ("host=db port=6432 user=u dbname=jobs password=secret", "", Same),
    ("host=db user = 'u v' dbname=jobs", "", Same),
    ("host=one host=two dbname=jobs", "", Same),
    ("host='' user=u dbname=jobs", "PGHOST=elsewhere", Same),
    ("host=db password=a://b user=u", "", Same),
    // No host, no user, no database.
    ("postgresql:///jobs", "", Same),
    ("postgresql:///jobs?user=u", "", Same),
    ("postgresql://u@/jobs", "", Same),
    ("postgresql://u@", "", Same),
    ("postgresql://u@db", "", Same),
    ("postgresql://u@db/", "PGDATABASE=jobs", Same),
    ("postgres:///?dbname=jobs&user=u", "", Same),
    ("dbname=jobs", "", Same),
    ("postgresql://db", "", Same),
    ("postgresql://:6432/jobs", "", Same),
    ("postgresql://u:@db/jobs", "", Same),
    ("postgresql://db:/jobs", "", Same),
    ("postgresql://@db/jobs", "", Same),
    ("postgresql://:secret@db/jobs", "", Same),
    // Keywords take the place of what stands before them.
    (
        "postgresql://u@127.0.0.1:5433/db?host=/run/postgresql&port=5432",
        "",
        Same,
    ),
    ("postgresql://u@127.0.0.1:5433/db?host=/run/postgresql", "", Same),
    (
        "postgresql://u@localhost/db?host=/cloudsql/project:region:instance",
        "",
        Same,
    ),
    (
        "postgresql+psycopg2://u@localhost/db?host=/cloudsql/project:region:instance",
        "",
        Same,
    ),
    ("postgresql://u@one/db?host=two", "", Same),
    ("postgresql://u@one:1/db?port=2", "", Same),
    ("postgresql://u:p@one/db?user=v&dbname=other&password=q", "", Same),
    ("postgresql://u@one/db?hostaddr=192.0.2.1", "", Same),
    ("postgresql://u@/db?hostaddr=192.0.2.1&port=6432", "", Same),
    ("postgresql://%2Frun%2Fpostgresql/db", "", Same),
    ("postgresql://u@one/db?sslmode=require&connect_timeout=5", "", Same),
    ("postgresql://u@one/db?ssl=true", "", Same),
    (
        "postgresql://u@one/db?user=",
        "",
        Refused("leave out keywords without a value"),
    ),
    (
        "postgresql://u@one/db?host=",
        "",
        Refused("leave out keywords without a value"),
    ),
    ("postgres://u@one/db?host=", "", Same),
    ("postgresql+psycopg2://u@one/db?host=", "", Same),
    (
        "postgresql://u@one/db?user=v&user=w",
        "",
        Refused("user is there twice"),
    ),
    (
        "postgresql://u@one/db?port=1&port=2",
        "",
        Refused("port is there twice"),
    ),
    ("postgresql://u@one/db?port=2&port=2", "", Same),
    // Several hosts.
    ("postgresql://u@one,two/db", "", Same),
    ("postgresql://u@one:1,two:2/db", "", Same),
    ("postgresql://u@one:1,two/db", "", Same),
    ("postgresql://u@one,two:5433/db", "", Refused("different port")),
    ("postgres://u@one,two:5433/db", "", Same),
    ("postgresql://u@one,two:5432/db", "", Same),
    ("postgresql://u@one,two/db", "PGPORT=6432", Refused("different port")),
    ("postgresql://u@/db?host=one,two&port=1,2", "", Same),
    ("postgresql://u@/db?host=one,two&port=1", "", Same),
    ("postgresql://u@x:7/db?host=one,two", "", Refused("different port")),
    ("postgresql://u@/db?host=one:1&host=two:2", "", Same),
    ("postgresql+psycopg2://u@/db?host=one:1&host=two:2", "", Same),
    ("postgresql+psycopg2://u@x:7/db?host=one&host=two", "", Same),
    ("postgresql://u@/db?host=one&host=two", "", AsSqlAlchemy),
    ("postgres://u@/db?host=one&host=two", "", Refused("host is there twice")),
    ("postgresql://u@x/db?host=one:1", "", Same),
    (
        "postgresql://u@/db?host=one:1&host=two:2&port=3",
        "",
        Refused("nothing in between"),
    ),
    ("host=one,two port=1,2,3 user=u", "", Refused("don't fit together")),
    ("host=one,two hostaddr=192.0.2.1,192.0.2.2 user=u dbname=jobs", "", Same),
    ("postgresql://u@one,,two/db", "", Same),
    ("postgresql://u@one/db?target_session_attrs=read-write", "", Same),
    // Addresses of IPv6.
    ("postgresql://u@[::1]:6432/db", "", Same),
    ("postgresql://u@[2001:db8::1]/db", "", Same),
    ("postgresql://u@[::1/db", "", Refused("no closing ]")),
    ("postgresql://u@[::1]6432/db", "", Refused("comes :port, or nothing")),
    ("postgres://u@[::1],[::2]:2/db", "", Same),
    // A bracket that is left: what SQLAlchemy makes of two addresses, and what no one can look up.
    ("postgres://u?:@[::1]:1,two]", "", Refused("is no name, no address")),
    (
        "postgresql+psycopg2://u@[::1],[::2]:2/db",
        "",
        Refused("is no name, no address"),
    ),
    ("postgresql://u@[::1],[::2]:2/db", "", Refused("a different host")),
    ("host=[::1] user=u dbname=jobs", "", Refused("is no name, no address")),
    ("host=/run/[one] user=u dbname=jobs", "", Same),
    // Escapes of SQLAlchemy's: what is none stands for itself, what is no text for no one.
    ("postgresql+psycopg2://u%41:a%zz%41@db/jobs", "", Same),
    ("postgresql+psycopg2://u%41%zz@db/jobs", "", Same),
    ("postgres://%A00so@db/jobs", "", Refused("UTF-8")),
    ("postgresql+psycopg2://u:%A00so@db/jobs", "", Refused("UTF-8")),
    // A host that libpq could not look up, and does not where another takes its place.
    ("postgres://u@v@?host=/run/one&dbname=jobs", "", Same),
    (
        "postgresql://u@v@?host=/run/one&dbname=jobs",
        "",
        Refused("a different user"),
    ),
    // What takes the place of a variable, and is not shown.
    ("postgresql://u@db/jobs?gssencmode=disable", "PGGSSENCMODE=prefer", Same),
    // What libpq refuses for its raw =, and would read in another way than SQLAlchemy where it is encoded.
    ("postgres://u@a,b:1/db?host=c,d=,e", "", Refused("only as it is spelt")),
    // Escapes, and signs in the wrong place.
    ("postgresql://u:p%40%2F%3A%3F%25@db/jobs", "", Same),
    ("postgresql://u%40home:p@db/jobs", "", Same),
    ("postgresql://u:100%@db/jobs", "", Same),
    ("postgresql://u@db/my%20jobs", "", Same),
    ("postgresql://u@db/?dbname=my%20jobs", "", Same),
    ("postgresql://u@db/?dbname=my+jobs", "", Refused("a + as %2B")),
    ("postgres://u@db/?dbname=my+jobs", "", Same),
    ("postgresql+psycopg2://u@db/?dbname=my+jobs", "", Same),
    ("postgresql://u:a+b@db/jobs", "", Same),
    ("postgresql://u@server:p@db/jobs", "", Same),
    ("postgresql://u:a/b?c@db/jobs", "", Same),
    ("postgresql://one:1234/x@two/db", "", Refused("an @ too many")),
    ("postgresql://one:1234/db?application_name=a@two", "", Refused("%40")),
    ("postgresql://u:p@q@db/jobs", "", Refused("an @ too many")),
    ("postgresql://u@db/jobs?options=-csearch_path=x", "", Same),
    ("postgresql://u@db/jobs?options=-csearch_path%3Dx", "", Same),
    ("postgresql://u@db:0/jobs", "", Refused("a port is not a number")),
    ("postgresql://u@db:65536/jobs", "", Refused("a port is not a number")),
    ("postgresql://u@db:five/jobs", "", Refused("a port is not a number")),
    ("postgresql://u@d b/jobs", "", Refused("no name, no address")),
    ("postgresql://u@db/jobs?sslmode", "", Refused("no =value")),
    ("postgresql://u@db/jobs?sslmode=full", "", Refused("expected disable")),
    (
        "postgresql://u@db/jobs?service=x",
        "",
        Refused("service is not supported"),
    ),
    (
        "postgresql://u@db/jobs?requirepeer=x",
        "",
        Refused("requirepeer is not supported"),
    ),
    (
        "postgresql://u@db/jobs?gssencmode=require",
        "",
        Refused("this value of gssencmode is not supported"),
    ),
    ("postgresql://u@db/jobs?gssencmode=disable&krbsrvname=x", "", Same),
    ("postgresql://u@db/jobs?ssl_min_protocol_version=TLSv1.2", "", Same),
    (
        "postgresql://u@db/jobs?schema=public",
        "",
        Refused("the keyword schema is unknown"),
    ),
    (
        "postgresql+unheard://u@db/jobs",
        "",
        Refused("the driver behind postgresql+ is unknown"),
    ),
    ("postgresql+asyncpg:///jobs", "", Refused("leaves host open")),
    // What the environment completes, and never overrides.
    ("postgresql:///jobs", "PGHOST=one PGPORT=6432 PGUSER=v", Same),
    (
        "postgresql://u@db:1/jobs",
        "PGHOST=one PGPORT=6432 PGUSER=v PGDATABASE=x PGPASSWORD=s",
        Same,
    ),
    (
        "postgresql://u@db/jobs",
        "PGPORT=6432 PGPASSWORD=s PGSSLMODE=require",
        Same,
    ),
    ("postgresql://u:own@db/jobs", "PGPASSWORD=s", Same),
    ("postgresql://u@db/jobs", "PGHOSTADDR=192.0.2.1", Same),
    (
        "postgresql://u@one,two/jobs",
        "PGHOSTADDR=192.0.2.1",
        Refused("don't fit together"),
    ),
    ("postgresql:///", "PGUSER=v", Same),
    ("postgresql:///", "PGHOST=one,two PGPORT=1,2", Same),
    (
        "postgresql:///jobs",
        "PGHOST=/run/sockets PGOPTIONS=-csearch_path=x",
        Same,
    ),
    (
        "postgresql://u@db/jobs",
        "PGPASSFILE=/run/secrets/pgpass PGTARGETSESSIONATTRS=read-write",
        Same,
    ),
    ("user=u", "PGHOST=one PGDATABASE=jobs", Same),
    ("postgresql://u@db/jobs", "PGPORT=five", Refused("port")),
    ("postgresql://u@db/jobs", "PGSSLMODE=full", Refused("sslmode")),
    (
        "postgresql://u@db/jobs",
        "PGSERVICE=x",
        Refused("the variable PGSERVICE is set"),
    ),
    ("postgresql://u@db/jobs?sslmode=disable", "PGSSLMODE=require", Same),
];

fn variables(text: &str) -> BTreeMap<String, String> {
    let pairs = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').expect("NAME=value"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What libpq and SQLAlchemy answer for every row, asked of the Python of one version of Meltano.
fn real_answers(version: &str) -> Vec<Value> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("BEATWARDEN_TEST_CACHE").unwrap_or_else(|| {
        let home = || set("HOME").expect("a home").join(".cache");
        set("XDG_CACHE_HOME").unwrap_or_else(home).join("beatwarden-tests")
    });
    let python = cache.join(version).join("bin/python");
    assert!(
        python.exists(),
        "{} is missing: run scripts/setup-tests.sh",
        python.display()
    );
    let questions: Vec<Value> = TABLE.iter().map(|(url, set, _)| json!([url, variables(set)])).collect();
    let mut child = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/core/config/ask_the_real_ones.py"
        ))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(json!(questions).to_string().as_bytes())
        .expect("Python reads");
    drop(stdin);
    let output = child.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "Python failed");
    serde_json::from_slice(&output.stdout).expect("an answer for each row")
}

/// Ours, in the words of the others.
fn ours(url: &str, set: &str, user: &str) -> Result<Value, String> {
    let defaults = Defaults::new(
        variables(set),
        Some(user.to_owned()),
        vec!["/var/run/postgresql".into()],
    );
    let DatabaseUrl::Postgres(url) = DatabaseUrl::parse_in(url, &defaults)? else {
        panic!("{url} is no file");
    };
    let driver: tokio_postgres::Config = url.text.expose().parse().expect("a text for the driver");
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let join = |list: Vec<String>| list.join(",");
    Ok(json!({
        "host": join(driver.get_hosts().iter().map(host).collect()),
        "hostaddr": join(driver.get_hostaddrs().iter().map(ToString::to_string).collect()),
        "port": join(driver.get_ports().iter().map(ToString::to_string).collect()),
        "user": driver.get_user(),
        "dbname": driver.get_dbname(),
        "password": String::from_utf8_lossy(driver.get_password().unwrap_or_default()),
        "passfile": url.passfile.unwrap_or_default(),
        "options": driver.get_options().unwrap_or_default(),
        "sslmode": url.sslmode.as_str(),
        "target_session_attrs": url.target_session_attrs.map_or("any", |attrs| attrs.as_str()),
    }))
}

#[test]
fn no_url_leads_where_neither_libpq_nor_sqlalchemy_would_have_gone() {
    let (older, newer) = (real_answers("meltano-4"), real_answers("meltano-3.6"));
    let user = older[0]["libpq"]["user"]
        .as_str()
        .expect("libpq knows the user")
        .to_owned();
    let mut wrong = Vec::new();
    for (index, (url, set, expected)) in TABLE.iter().enumerate() {
        let answer = ours(url, set, &user);
        let libpq = &older[index]["libpq"];
        let sqlalchemy = [&older[index]["sqlalchemy"], &newer[index]["sqlalchemy"]];
        let is_one_of_theirs = |ours: &Value| ours == libpq || sqlalchemy.contains(&ours);
        let agree = libpq.is_null() || sqlalchemy[1].is_null() || libpq == sqlalchemy[1];
        let is_right = match (expected, &answer) {
            (Same, Ok(ours)) => is_one_of_theirs(ours) && agree,
            (AsSqlAlchemy, Ok(ours)) => sqlalchemy.contains(&ours) && !agree,
            (Refused(words), Err(problem)) => problem.contains(words),
            _ => false,
        };
        if !is_right {
            wrong.push(format!(
                "{url} {set}\n  ours       {answer:?}\n  libpq      {libpq}\n  SQLAlchemy {}\n             {}",
                sqlalchemy[0], sqlalchemy[1]
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "of {} URLs these are wrong:\n{}",
        TABLE.len(),
        wrong.join("\n")
    );
}
