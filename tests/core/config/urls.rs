//! Database URLs in every form that users have at hand, and the settings that are taken out of them.

use beatwarden::config::{DatabaseUrl, Defaults, PostgresUrl};
use beatwarden::connection::{SslMode, TargetSessionAttrs};
use std::path::{Path, PathBuf};
use tokio_postgres::config::Host;

/// A process without a variable, run by `os`.
fn defaults() -> Defaults {
    Defaults::new([], Some("os".to_owned()), vec![PathBuf::from("/var/run/postgresql")])
}

fn parse(text: &str) -> Result<DatabaseUrl, String> {
    DatabaseUrl::parse_in(text, &defaults())
}

fn postgres(text: &str) -> PostgresUrl {
    match parse(text) {
        Ok(DatabaseUrl::Postgres(url)) => url,
        other => panic!("expected PostgreSQL, got {other:?}"),
    }
}

/// What the driver reads out of the text that is left for it.
fn driver(text: &str) -> tokio_postgres::Config {
    postgres(text).text.expose().parse().expect("a text for the driver")
}

fn hosts(config: &tokio_postgres::Config) -> Vec<String> {
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    config.get_hosts().iter().map(name).collect()
}

#[test]
fn sqlite_is_found_behind_every_spelling() {
    for (text, path) in [
        ("sqlite:///meltano.db", "meltano.db"),
        ("sqlite:////var/lib/meltano.db", "/var/lib/meltano.db"),
        ("sqlite://meltano.db", "meltano.db"),
        ("sqlite+pysqlite:///meltano.db?timeout=5", "meltano.db"),
        ("sqlite:meltano.db", "meltano.db"),
        ("meltano.db", "meltano.db"),
        ("/var/lib/a=b.db", "/var/lib/a=b.db"),
        ("./a:b@c.db", "./a:b@c.db"),
        ("sqlite:////var/a:b@c.db", "/var/a:b@c.db"),
        (" .meltano/meltano.db\n", ".meltano/meltano.db"),
        ("\u{feff}/var/jobs.db\r\n", "/var/jobs.db"),
        ("/var/what?.db", "/var/what?.db"),
        ("/var/50%25.db", "/var/50%25.db"),
        ("sqlite:////var/50%.db", "/var/50%.db"),
        ("sqlite+aiosqlite:////var/jobs.db", "/var/jobs.db"),
    ] {
        assert_eq!(parse(text), Ok(DatabaseUrl::Sqlite(PathBuf::from(path))), "{text}");
    }
}

#[test]
fn every_dialect_of_postgresql_reaches_the_driver() {
    for scheme in ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"] {
        let config = driver(&format!("{scheme}://me:p%40ss@db:6432/jobs"));
        assert_eq!(config.get_user(), Some("me"));
        assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(
            (hosts(&config), config.get_ports()),
            (vec!["db".to_owned()], &[6432][..])
        );
        assert_eq!(config.get_dbname(), Some("jobs"));
    }
}

#[test]
fn several_hosts_work_in_the_words_of_libpq_and_of_sqlalchemy() {
    for text in [
        "postgresql://me@a:1,b:2/jobs?target_session_attrs=read-write",
        "postgresql+psycopg2://me@/jobs?host=a:1&host=b:2&target_session_attrs=primary",
        "host=a,b port=1,2 user=me dbname=jobs target_session_attrs=read-write",
    ] {
        let config = driver(text);
        assert_eq!(
            (hosts(&config), config.get_ports()),
            (vec!["a".to_owned(), "b".to_owned()], &[1, 2][..]),
            "{text}"
        );
        assert_eq!(postgres(text).target_session_attrs, Some(TargetSessionAttrs::ReadWrite));
    }
}

#[test]
fn settings_that_the_driver_does_not_know_are_taken_out() {
    let text = "postgres://me@db/jobs?sslmode=verify-full&sslrootcert=%2Fca%20s.pem&sslcert=c.pem&sslkey=k.pem\
                &passfile=p&target_session_attrs=standby&gssencmode=disable&connect_timeout=5&keepalives_count=3";
    let url = postgres(text);
    assert_eq!(url.sslmode, SslMode::VerifyFull);
    assert_eq!(url.sslrootcert.as_deref(), Some(Path::new("/ca s.pem")));
    assert_eq!(url.sslcert.as_deref(), Some(Path::new("c.pem")));
    assert_eq!(url.sslkey.as_deref(), Some(Path::new("k.pem")));
    assert_eq!(url.passfile.as_deref(), Some(Path::new("p")));
    assert_eq!(url.target_session_attrs, Some(TargetSessionAttrs::ReadOnly));
    assert_eq!(
        url.text.expose(),
        "host='db' port='5432' user='me' dbname='jobs' connect_timeout='5' keepalives_retries='3'"
    );
    assert_eq!(driver(text).get_keepalives_retries(), Some(3));
}

#[test]
fn what_is_not_said_is_what_libpq_takes() {
    let url = postgres("postgres://db/jobs");
    assert_eq!((url.sslmode, url.target_session_attrs), (SslMode::Prefer, None));
    assert_eq!((url.sslrootcert, url.passfile), (None, None));
}

#[test]
fn the_authorities_of_the_system_are_trusted_for_the_right_name_only() {
    for text in [
        "postgres://db/jobs?sslrootcert=system",
        "host=db sslrootcert=system",
        "postgres://db/jobs?sslrootcert=system&sslmode=verify-full",
    ] {
        assert_eq!(postgres(text).sslmode, SslMode::VerifyFull, "{text}");
    }
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let text = format!("postgres://db/jobs?sslmode={mode}&sslrootcert=system");
        let refused = parse(&text).unwrap_err();
        assert!(refused.contains("use verify-full"), "{refused}");
    }
}

#[test]
fn a_socket_folder_and_an_ipv6_address_are_hosts() {
    assert_eq!(
        hosts(&driver("postgresql://me@/jobs?host=/run/postgresql")),
        ["/run/postgresql"]
    );
    assert_eq!(
        hosts(&driver("postgresql://%2Frun%2Fpostgresql/jobs")),
        ["/run/postgresql"]
    );
    assert_eq!(hosts(&driver("host=/run/postgresql dbname=jobs")), ["/run/postgresql"]);
    let config = driver("postgresql://[::1]:6432/jobs");
    assert_eq!(
        (hosts(&config), config.get_ports()),
        (vec!["::1".to_owned()], &[6432][..])
    );
}

#[test]
fn odd_passwords_survive() {
    for (text, password) in [
        ("postgres://me:a/b?c@db/jobs", "a/b?c"),
        ("postgres://me:1e5@db/jobs", "1e5"),
        ("postgres://me:007@db/jobs", "007"),
        ("postgres://me:%25%2F%40@db/jobs", "%/@"),
        (
            r"host=db user=me dbname=jobs password='it\'s a \\ secret'",
            r"it's a \ secret",
        ),
        (r"host=db user=me dbname=jobs password = plain", "plain"),
        ("postgres://me@db/jobs?password=a%26b", "a&b"),
    ] {
        assert_eq!(driver(text).get_password(), Some(password.as_bytes()), "{text}");
        assert!(postgres(text).has_password(), "{text}");
    }
}

#[test]
fn an_at_sign_behind_the_host_is_no_end_of_a_password() {
    let text = "postgres://db:5432/jobs?application_name=me@home";
    let config = driver(text);
    assert_eq!(
        (hosts(&config), config.get_ports()),
        (vec!["db".to_owned()], &[5432][..])
    );
    assert_eq!(
        (config.get_application_name(), config.get_user()),
        (Some("me@home"), Some("os"))
    );
    assert!(!postgres(text).has_password());
}

#[test]
fn logs_show_everything_but_the_password() {
    for (text, shown) in [
        (
            "postgres://me:hunter2@a:1,b:2/jobs?sslmode=require",
            "postgresql://me:***@a:1,b:2/jobs?sslmode=require",
        ),
        (
            "postgres://me@db/jobs?password=hunter2&options=-chunter2",
            "postgresql://me@db/jobs?password=***&options=***",
        ),
        (
            "host=db password='hunter2 x' user=me",
            "host='db' password='***' user='me'",
        ),
        ("host=postgres://u:hunter2@h host=db", "host='db'"),
        (
            "postgres://u@h?d?x://u:hunter2%4@application_name=y",
            "postgresql://u%40h%3Fd%3Fx:***@application_name=y",
        ),
        ("sqlite:////var/m.db?key=hunter2", "sqlite:////var/m.db"),
    ] {
        let url = parse(text).unwrap();
        assert_eq!(url.redacted(), shown);
        assert_eq!(parse(shown).unwrap().redacted(), shown);
        assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
    }
}

#[test]
fn keywords_of_which_none_can_be_shown_leave_a_url_that_says_nothing() {
    for text in ["options=-chunter2", "password=hunter2", "passfile=/hunter2 password=x"] {
        let url = postgres(text);
        let open = parse(url.without_secrets()).unwrap();
        assert_eq!(open.redacted(), url.without_secrets());
        assert_eq!(parse(url.redacted()).unwrap().redacted(), url.redacted());
    }
    assert_eq!(postgres("password=hunter2").without_secrets(), "postgresql://");
}

#[test]
fn a_bad_url_is_refused_without_being_repeated() {
    let cases: &[(&str, &str)] = &[
        ("", "the database URL is empty"),
        ("mysql://u:hunter2@h/d", "only PostgreSQL and SQLite can be watched"),
        ("mariadb+pymysql://u:hunter2@h/d", "MySQL and MariaDB are not supported"),
        ("mssql+pyodbc://u:hunter2@h/d", "Microsoft SQL Server is not supported"),
        ("oracle+oracledb://u:hunter2@h/d", "Oracle is not supported"),
        ("mongodb+srv://u:hunter2@h/d", "MongoDB is not supported"),
        ("postgre://u:hunter2@h/d", "did you mean postgres://?"),
        ("hunter2://h/d", "only PostgreSQL and SQLite can be watched; expected"),
        ("jdbc:postgresql://h/d?user=u&password=hunter2", "take off jdbc:"),
        (
            "MELTANO_DATABASE_URI=postgresql://u:hunter2@h/d",
            "there is a name with = before",
        ),
        ("\"postgresql://u:hunter2@h/d\"", "there are quotes around"),
        ("'postgresql://u:hunter2@h/d'\n", "there are quotes around"),
        ("\u{201c}postgresql://u:hunter2@h/d\u{201d}", "there are quotes around"),
        ("postgresql://u:hunter2\u{7}@h/d", "a character that can't be seen"),
        ("sqlite+pysqlcipher://:hunter2@/d", "opens no plain SQLite file"),
        ("sqlite:////var/my%20jobs.db", "give the path without sqlite:"),
        ("sqlite:////://a:hunter2@/db", "it reads like `user:password@host`"),
        ("file:///var/jobs.db", "file: URIs are not supported"),
        ("${MELTANO_DATABASE_URI}", "a variable was not replaced"),
        ("~/.meltano/meltano.db", "write the whole path"),
        ("sqlite:///~/meltano.db", "write the whole path"),
        (
            "service=meltano password=hunter2",
            "name host, port, user and dbname instead",
        ),
        ("hots=db user=u password=hunter2", "the first keyword is not one"),
        ("host=db password=hunter2 hunter=2", "a keyword is unknown"),
        (
            "host=db application_name=postgres://u:hunter2@h",
            "reads like `user:password@host`",
        ),
        ("postgres://u:x@h/d?hunter=2@h", "a keyword is unknown"),
        ("postgres://h/d?user=a%00b", "a % is not followed"),
        ("host=@abstract user=u", "no name, no address and no folder"),
        ("postgresql+asyncpg://h/d?password=hunter2", "leaves user open"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        (":memory:", "in memory"),
        ("sqlite:///file:m.db?uri=true", "file: URIs are not supported"),
        (
            "postgres://u:hunter2@h/d?sslmode=full",
            "expected disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("postgres://u:hunter2@h/d?sslmod=require", "did you mean sslmode?"),
        ("postgres://u:hun@ter2?hunter2=1@h/d", "a keyword is unknown"),
        ("postgres://u:hun@hunter2@h/d", "write @ in a password as %40"),
        ("postgres://u:hunter2", "a port is not a number"),
        ("postgres://h:0/d", "a port is not a number"),
        ("postgres://h:65536/d", "a port is not a number"),
        ("postgres://[::1/d", "no closing ]"),
        ("postgres://u:hunter2@h/d?sslmode", "has no =value"),
        ("postgres://h/d?user=%zz", "a % is not followed by two hex digits"),
        ("postgres://h/d?user=%+1", "a % is not followed by two hex digits"),
        (
            "postgres://h/d?connect_timeout=soon",
            "the value of connect_timeout is not one that libpq knows",
        ),
        (
            "postgres://h/d?hostaddr=localhost",
            "the value of hostaddr is not one that libpq knows",
        ),
        ("postgres://h/d?sslcrl=x", "the keyword sslcrl is not supported"),
        (
            "postgres://h/d?target_session_attrs=prefer-standby",
            "expected any, read-write, read-only, primary, standby",
        ),
        (
            "host=db password=my hunter2",
            "write a value with blanks in single quotes",
        ),
        ("host=db password='hunter2", "a single quote is not closed"),
        ("postgres://h/d\npostgres://hunter2", "more than one line"),
        // Not as files of such names, which would be shown.
        ("postgresql//u:hunter2@h/d", "misspelt"),
        ("postgres:/u:hunter2@h/d", "misspelt"),
        ("u:hunter2@h/d", "misspelt"),
        ("//u:hunter2@h/d", "misspelt"),
        ("/u:hunter2@h/d", "misspelt"),
        ("postgres:u:hunter2", "misspelt"),
        ("PostgreSQL+psycopg2:hunter2", "misspelt"),
        ("sqlite://u:hunter2@h/d", "misspelt"),
    ];
    for (text, expected) in cases {
        let problem = parse(text).expect_err(text);
        assert!(problem.contains(expected), "{text}: {problem}");
        assert!(!problem.contains("hunter2"), "{text}: {problem}");
    }
}

#[test]
fn a_file_of_secrets_that_holds_a_bare_password_is_refused_without_showing_it() {
    for text in ["hunter2", "hunter2/with=signs", "hunter2.with.dots"] {
        let problem = DatabaseUrl::parse_secret(text).expect_err(text);
        assert!(problem.contains("a password alone is not enough"), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
    for text in ["/var/lib/jobs", "./jobs", "jobs.db", "sqlite:///jobs", "sqlite:jobs"] {
        let parsed = DatabaseUrl::parse_secret(text);
        assert!(matches!(parsed, Ok(DatabaseUrl::Sqlite(_))), "{text}: {parsed:?}");
    }
    // A path with these signs can still be said.
    let odd = parse("./12:30@home.db");
    assert_eq!(odd, Ok(DatabaseUrl::Sqlite("./12:30@home.db".into())));
}

#[test]
fn an_unknown_keyword_is_named_where_it_can_be_no_piece_of_a_password() {
    for (text, named) in [
        ("postgres://u:hunter2@h/d?sslmod=require", true),
        ("postgres://h/d?pgbouncer=true", true),
        ("postgresql://u@h/d?connection_limit=1&sslmode=require", true),
        ("postgres://h:5432/d?pgbouncer=true", false),
        ("postgres://u:x@h/d?pgbouncer=a@b", false),
    ] {
        let problem = parse(text).expect_err(text);
        let name = &text[text.find('?').unwrap() + 1..text.find('=').unwrap()];
        assert_eq!(
            problem.contains(&format!("the keyword {name} is unknown")),
            named,
            "{text}: {problem}"
        );
    }
}

#[test]
fn what_editors_and_shells_leave_around_a_url_is_cut() {
    for text in [
        "\u{feff}postgresql://u@h/d",
        "  postgresql://u@h/d \r\n\r\n",
        "\u{200b}postgresql://u@h/d\u{feff}\n",
    ] {
        assert_eq!(postgres(text).redacted(), "postgresql://u@h/d");
        assert!(
            matches!(DatabaseUrl::parse_secret(text), Ok(DatabaseUrl::Postgres(_))),
            "{text}"
        );
    }
}

#[test]
fn a_user_that_the_system_has_no_name_for_has_to_be_named() {
    let unnamed = |variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Defaults::new(variables, None, vec!["/var/run/postgresql".into()])
    };
    let problem = DatabaseUrl::parse_in("postgresql://h/d", &unnamed(&[])).unwrap_err();
    assert!(problem.contains("name the user in the URL, or in PGUSER"), "{problem}");
    for (text, variables) in [
        ("postgresql://u@h/d", &[][..]),
        ("postgresql://h/d", &[("PGUSER", "u")][..]),
    ] {
        let url = DatabaseUrl::parse_in(text, &unnamed(variables));
        assert!(url.is_ok(), "{text}: {url:?}");
    }
}

#[test]
fn no_host_means_the_folder_where_the_socket_is_and_stays_it_while_the_server_restarts() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folders = || vec![first.path().to_path_buf(), second.path().to_path_buf()];
    let folder = |text: &str| {
        let defaults = Defaults::new([], Some("os".to_owned()), folders());
        let Ok(DatabaseUrl::Postgres(url)) = DatabaseUrl::parse_in(text, &defaults) else {
            panic!("{text}")
        };
        hosts(&url.text.expose().parse().unwrap()).remove(0)
    };
    let socket =
        |at: &Path, port: u16| std::os::unix::net::UnixListener::bind(at.join(format!(".s.PGSQL.{port}"))).unwrap();
    assert_eq!(folder("postgresql:///d"), first.path().to_str().unwrap());
    let kept = socket(second.path(), 5432);
    assert_eq!(folder("postgresql:///d"), second.path().to_str().unwrap());
    assert_eq!(folder("postgresql:///d?port=6432"), first.path().to_str().unwrap());
    // Another server comes, and ours goes for a moment.
    let other = socket(first.path(), 5432);
    std::fs::remove_file(second.path().join(".s.PGSQL.5432")).unwrap();
    assert_eq!(folder("postgresql:///d"), second.path().to_str().unwrap());
    drop((kept, other));
}

#[test]
fn the_variables_that_complete_a_url_are_named_and_its_password_is_not() {
    let variables = [("PGPASSWORD", "hunter2"), ("PGUSER", "u"), ("PGPORT", "")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let defaults = Defaults::new(variables, None, vec!["/var/run/postgresql".into()]);
    let url = match DatabaseUrl::parse_in("postgresql://h/d", &defaults) {
        Ok(DatabaseUrl::Postgres(url)) => url,
        other => panic!("{other:?}"),
    };
    assert_eq!(url.completed_by, ["PGUSER", "PGPASSWORD"]);
    assert!(!url.has_password() && !format!("{url:?}").contains("hunter2"));
    assert!(url.text.expose().contains("password='hunter2'"));
}

/// Whoever copies what is shown means the same database.
#[test]
fn what_is_shown_is_read_as_it_was_written() {
    for (written, shown) in [
        // As postgresql:// two readers would go to two ports.
        ("postgres://a,b:2/d", "postgres://a,b:2/d"),
        ("postgres://h/d", "postgresql://h/d"),
        ("jobs.db", "sqlite:///jobs.db"),
        ("/var/jobs.db", "sqlite:////var/jobs.db"),
        ("sqlite:///jobs.db ?timeout=5", "sqlite:///jobs.db ?"),
        ("sqlite:/// jobs.db\u{200b}?", "sqlite:/// jobs.db\u{200b}?"),
        ("jobs?00.db", "./jobs?00.db"),
        ("/var/jobs%20new.db", "/var/jobs%20new.db"),
        ("./jobs?.db", "./jobs?.db"),
    ] {
        for text in [written, shown] {
            let parsed = DatabaseUrl::parse_in(text, &defaults()).expect(text);
            assert_eq!(parsed.redacted(), shown, "{text}");
        }
    }
}
