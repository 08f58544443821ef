//! Database URLs: of libpq, of SQLAlchemy, libpq's keywords, files. The first line is the URL, the others are libpq's variables.
#![no_main]

#[cfg(feature = "libpq")]
mod libpq;

use beatwarden::{
    config::{DatabaseUrl, Defaults},
    store::postgres::Target,
};
use libfuzzer_sys::fuzz_target;

/// A password that no one may see.
const CANARY: &str = "qX7canary";

fuzz_target!(|text: &str| {
    let (url, variables) = text.split_once('\n').unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables: Vec<_> = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let defaults = Defaults::new(variables.clone(), Some("someone".to_owned()), vec!["/tmp".into()]);
    let parse = |url: &str| DatabaseUrl::parse_in(url, &defaults);
    let parsed = parse(url);
    match &parsed {
        Ok(parsed) => {
            let shown = parsed.redacted();
            let again = parse(&shown).map(|parsed| parsed.redacted());
            // Which of the schemes is shown depends on what is hidden: a password may be what the two who know postgresql:// read in
            // two ways.
            let one_scheme = |text: String| match text.split_once("://") {
                Some((scheme, rest)) if scheme.starts_with("postgres") => format!("postgresql://{rest}"),
                _ => text,
            };
            assert_eq!(
                again.map(one_scheme),
                Ok(one_scheme(shown)),
                "{url:?} is shown as a text that means something else"
            );
        }
        Err(problem) => assert!(!problem.is_empty(), "refused without words"),
    }
    if let Ok(DatabaseUrl::Postgres(parsed)) = &parsed {
        let target = Target::new(parsed.text.expose(), parsed.sslmode, parsed.target_session_attrs);
        let target = target.unwrap_or_else(|error| panic!("{url:?} is accepted, and the driver refuses it: {error:?}"));
        assert!(!target.shown().is_empty());
        let open = parse(parsed.without_secrets());
        assert!(open.is_ok(), "{url:?} without secrets is refused: {open:?}");
        #[cfg(feature = "libpq")]
        if variables.is_empty() && url.trim_start().starts_with("postgres://") {
            libpq::agrees(url.trim(), parsed.text.expose());
        }
    }
    if !text.contains(CANARY) {
        is_hidden(&format!("postgres://user:{CANARY}@{url}"), &defaults);
        is_hidden(&format!("{url}:{CANARY}@host/db"), &defaults);
        is_hidden(&format!("host=db password={CANARY} {url}"), &defaults);
    }
});

/// What stands where a password does is shown by no one.
fn is_hidden(spelled: &str, defaults: &Defaults) {
    let shown = match DatabaseUrl::parse_in(spelled, defaults) {
        // The name of a file is no secret.
        Ok(DatabaseUrl::Sqlite(_)) => return,
        Ok(url) => format!("{} {url:?}", url.redacted()),
        Err(problem) => problem,
    };
    assert!(!shown.contains(CANARY), "{spelled:?} shows {shown}");
}
