//! Generated configurations, variables and database URLs: whatever is written, the answer is a valid configuration or
//! mistakes that name their key, never a panic, and never a password. `make fuzz` for long runs.

use super::support::Given;
use ::config::{File, FileFormat, Source};
use beatwarden::{
    config::{ConfigError, ConfigErrors, DatabaseUrl, keys},
    store::postgres::Target,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

/// A password that nothing else contains.
const CANARY: &str = "qX7canary";

/// What a value may look like, in JSON, which is YAML, too.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        select(vec![
            "",
            " ",
            "5s",
            "0s",
            "1M",
            "-1s",
            "100ms",
            "99999999999999999999y",
            "1h 30m",
            "5",
            "observe",
            "backfill",
            "fail",
            "meltano",
            "runs",
            "public.runs",
            "a.b.c",
            "\"",
            "\0",
            "\u{202e}",
            "\u{1b}[31m",
            "epoch_s",
            "UTC",
            "Mars/Olympus",
            "127.0.0.1:0",
            "postgres://u:qX7canary@db/meltano",
            "sqlite:///x.db",
            "auto",
            "key_tail",
            "debug",
            "nan",
            "inf",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => select(vec![0_i64, 1, -1, i64::MAX]).prop_map(Value::from),
        1 => select(vec![0.0, 0.5, 1.0, 1e308, -0.0]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A known key, one nearly known, or anything.
fn key() -> impl Strategy<Value = String> {
    let known: Vec<&str> = keys::KEYS.iter().map(|key| key.path).collect();
    prop_oneof![
        6 => select(known.clone()).prop_map(str::to_owned),
        1 => select(known).prop_map(|path| path[1..].to_owned()),
        1 => any::<String>(),
    ]
}

/// A value as TOML, its tables inline; none for what holds a null, which TOML has not.
fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        // A string is written as in JSON, but for one more character that has to be escaped.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        Value::Array(values) => format!(
            "[{}]",
            values.iter().map(inline).collect::<Option<Vec<_>>>()?.join(", ")
        ),
        Value::Object(table) => format!("{{{}}}", pairs(table)?.join(", ")),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    })
}

/// A table's keys with their values, as TOML.
fn pairs(table: &Map<String, Value>) -> Option<Vec<String>> {
    let pair = |(key, value): (&String, &Value)| Some(format!("{} = {}", inline(&json!(key))?, inline(value)?));
    table.iter().map(pair).collect()
}

/// Puts a value at a dotted path.
fn put(into: &mut Value, path: &str, value: Value) {
    let mut place = into;
    for part in path.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// A document: a few keys of the program, and a few watches.
fn document() -> impl Strategy<Value = Value> {
    let pairs = || vec((key(), value()), 0..8);
    let watches = prop_oneof![
        8 => vec(pairs().prop_map(table), 0..3).prop_map(Value::from),
        1 => value(),
    ];
    (pairs(), watches, any::<bool>()).prop_map(|(program, watches, is_good)| {
        let mut document = if is_good { json!({}) } else { table(program) };
        document["watch"] = watches;
        // Most of what is generated is wrong in more than one way; some of it shall get further.
        if let (true, Some(watch)) = (is_good, document["watch"].get_mut(0)) {
            put(watch, "preset", json!("meltano"));
            put(watch, "database", json!("jobs.db"));
        }
        document
    })
}

fn table(pairs: Vec<(String, Value)>) -> Value {
    let mut table = json!({});
    for (path, value) in pairs {
        put(&mut table, &path, value);
    }
    table
}

/// Every mistake names what to look for, and shows no password.
fn judge(loaded: Result<beatwarden::config::Loaded, ConfigErrors>) -> Result<(), TestCaseError> {
    match loaded {
        Ok(loaded) => {
            prop_assert!(
                !loaded.config.watches.is_empty(),
                "a configuration that watches nothing"
            );
            for line in &loaded.provenance {
                prop_assert!(!line.value.contains(CANARY), "{} shows a password", line.key);
            }
        }
        Err(ConfigErrors(mistakes)) => {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes {
                let said = mistake.to_string();
                let named = match &mistake {
                    ConfigError::Unparsable { path, .. } => said.contains(path.to_str().expect("UTF-8")),
                    ConfigError::Value { key, .. }
                    | ConfigError::UnknownKey { key, .. }
                    | ConfigError::Missing { key, .. }
                    | ConfigError::Conflict { key, .. }
                    | ConfigError::Unreadable { key, .. }
                    | ConfigError::Database { key, .. } => !key.is_empty() && said.starts_with(key.as_str()),
                };
                prop_assert!(named, "no key is named: {said}");
                prop_assert!(!said.contains(CANARY), "a password is shown: {said}");
                prop_assert!(!said.chars().any(char::is_control), "control characters: {said:?}");
            }
        }
    }
    Ok(())
}

/// Pieces of database URLs, good and broken.
const PIECES: [&str; 38] = [
    "postgres",
    "postgresql",
    "postgresql+psycopg2",
    "sqlite",
    "mysql",
    "://",
    ":",
    "/",
    "//",
    "@",
    "user",
    "db",
    "localhost",
    "[::1]",
    "[",
    "]",
    "5432",
    "0",
    "99999",
    ",",
    "?",
    "&",
    "=",
    "sslmode=",
    "require",
    "verify-full",
    "host=",
    "port=",
    "password=",
    "options=",
    "%",
    "%41",
    "%zz",
    "%00",
    "'",
    "\\",
    " ",
    "target_session_attrs=primary",
];

fn url() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Keywords of a URL with a value that is allowed; of the first ones one at most.
const ENCRYPTION: [&str; 3] = [
    "sslmode=require",
    "sslmode=verify-full&sslrootcert=/etc/ssl/own%20ca.pem",
    "sslmode=disable",
];
const KEYWORDS: [&str; 9] = [
    "connect_timeout=5",
    "application_name=a%20b%2Fc",
    "options=-c%20search_path%3Dapp%2Cpublic",
    "target_session_attrs=read-write",
    "keepalives_idle=30",
    "channel_binding=prefer",
    "client_encoding=utf8",
    "gssencmode=disable",
    "passfile=/home/app/.pgpass",
];

/// A text as a URL has to spell it: every byte with a meaning of its own as an escape.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Hosts of which libpq and SQLAlchemy say the same, in front of the path or behind the `?`.
fn hosts() -> impl Strategy<Value = (String, Option<String>)> {
    let name = "[a-z][a-z0-9-]{0,12}(\\.[a-z]{2,5}){0,3}";
    let port = 1_u16..;
    prop_oneof![
        (name, port.clone()).prop_map(|(name, port)| (format!("{name}:{port}"), None)),
        name.prop_map(|name| (name, None)),
        Just((String::new(), None)),
        (0_u16.., port.clone()).prop_map(|(part, port)| (format!("[2001:db8::{part:x}]:{port}"), None)),
        Just(("%2Fvar%2Frun%2Fpostgresql".to_owned(), None)),
        Just((String::new(), Some("host=/var/run/postgresql".to_owned()))),
        ("[a-z-]{1,10}", "[a-z0-9-]{1,10}").prop_map(|(project, instance)| (
            String::new(),
            Some(format!("host=/cloudsql/{project}:europe-west1:{instance}"))
        )),
        (name, port.clone(), name, port)
            .prop_map(|(one, first, two, second)| (format!("{one}:{first},{two}:{second}"), None)),
    ]
}

#[test]
fn a_key_without_a_value_loses_no_watch() {
    for key in keys::KEYS {
        let mut document = json!({"watch": [
            {"name": "a", "preset": "meltano", "database": "a.db"},
            {"name": "b", "preset": "meltano", "database": "b.db"},
        ]});
        put(&mut document["watch"][0], key.path, Value::Null);
        match Given::file("beatwarden.yaml", &document.to_string()).load() {
            Ok(loaded) => {
                let watches = &loaded.config.watches;
                assert_eq!(watches.len(), 2, "{}", key.path);
                let mapping = &watches[0].mapping;
                let is_judged = mapping.last_heartbeat_at.is_some() || mapping.max_runtime.is_some();
                assert!(is_judged, "{}", key.path);
            }
            Err(ConfigErrors(mistakes)) => assert!(!mistakes.is_empty(), "{}", key.path),
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_yaml_file_says_is_a_configuration_or_mistakes_with_their_keys(document in document()) {
        judge(Given::file("beatwarden.yaml", &document.to_string()).load())?;
    }

    #[test]
    fn whatever_a_toml_file_says_is_a_configuration_or_mistakes_with_their_keys(document in document()) {
        let Some(lines) = document.as_object().and_then(pairs) else {
            return Ok(());
        };
        let text = lines.join("\n");
        let read = File::from_str(&text, FileFormat::Toml).collect();
        prop_assert!(read.is_ok(), "it is no TOML: {read:?} {text}");
        judge(Given::toml(&text).load())?;
    }

    #[test]
    fn whatever_text_a_file_holds_is_read_without_a_panic(text in any::<String>(), is_yaml in any::<bool>()) {
        judge(Given::file(if is_yaml { "beatwarden.yaml" } else { "beatwarden.toml" }, &text).load())?;
    }

    #[test]
    fn whatever_variables_say_is_a_configuration_or_mistakes_with_their_names(
        variables in vec((key(), value()), 0..8),
        overlays in any::<bool>(),
    ) {
        let mut given = if overlays { Given::toml(super::support::MELTANO) } else { Given::nothing() };
        for (path, value) in variables {
            let prefix = if overlays { "BEATWARDEN__WATCH__MELTANO__" } else { "BEATWARDEN__" };
            let name = format!("{prefix}{}", path.replace('.', "__").to_uppercase());
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            given = given.variable(&name, &text);
        }
        judge(given.load())?;
    }

    #[test]
    fn whatever_is_given_as_a_database_url_is_understood_or_refused(text in url()) {
        if let Ok(DatabaseUrl::Postgres(url)) = DatabaseUrl::parse(&text) {
            let target = Target::new(url.text.expose(), url.sslmode, url.target_session_attrs);
            let _ = target.map(|target| target.shown());
        }
        let _ = DatabaseUrl::parse_secret(&text);
    }

    #[test]
    fn whatever_url_is_spelt_as_it_should_be_is_taken_and_shown_so_that_it_is_read_back(
        scheme in select(vec!["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"]),
        // A user or database with `:` and `@` reads like a password in the wrong place.
        user in "[^\\pC:]{1,12}",
        password in option::of("\\PC{1,12}"),
        (hosts, keyword) in hosts(),
        name in "[^\\pC:]{1,12}",
        encryption in option::of(select(ENCRYPTION.to_vec())),
        keywords in subsequence(KEYWORDS.to_vec(), 0..3),
    ) {
        let query: Vec<&str> = keyword.as_deref().into_iter().chain(encryption).chain(keywords).collect();
        let password = password.map_or_else(String::new, |password| format!(":{}", escaped(&password)));
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let text = format!("{scheme}://{}{password}@{hosts}/{}{query}", escaped(&user), escaped(&name));
        let url = DatabaseUrl::parse(&text);
        prop_assert!(url.is_ok(), "{text}: {url:?}");
        let shown = url.map(|url| url.redacted()).unwrap_or_default();
        let again = DatabaseUrl::parse(&shown).map(|url| url.redacted());
        prop_assert_eq!(again.as_deref(), Ok(shown.as_str()), "{} ", text);
    }

    #[test]
    fn whatever_stands_around_a_password_it_is_never_shown(before in url(), user in "[a-z]{1,5}", host in url(), query in url()) {
        let spelled = [
            format!("postgres://{user}:{CANARY}@{host}/db?{query}"),
            format!("postgresql+psycopg2://{user}:{CANARY}@{host}"),
            format!("{before}://{user}:{CANARY}@{host}/db"),
            format!("host=db user={user} password={CANARY} dbname={query}"),
            format!("password='{CANARY}' {before}"),
        ];
        for text in spelled {
            let shown = match DatabaseUrl::parse(&text) {
                Ok(url) => format!("{} {url:?}", url.redacted()),
                Err(problem) => problem,
            };
            prop_assert!(!shown.contains(CANARY), "{text} is shown as {shown}");
        }
    }
}
